use proptest::prelude::*;
use tract_linalg::mmm::RoundingPolicy;

use super::*;

const CELLS: usize = SIDE * SIDE;

fn numbers(count: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-8.0_f32..8.0, count)
}

/// Where a tile lies, row by row.
fn rows_at(tile: &mut [f32]) -> OutputStoreKer {
    let (row_byte_stride, col_byte_stride) = (4 * SIDE as isize, 4);
    OutputStoreKer { ptr: tile.as_mut_ptr().cast(), row_byte_stride, col_byte_stride, item_size: 4 }
}

/// What is stored after `specs` were done to a tile that was loaded from `start`.
fn done(start: &[f32], specs: &[FusedKerSpec<f32>]) -> Vec<f32> {
    let mut stored = vec![f32::NAN; CELLS];
    let mut all = vec![FusedKerSpec::Clear, FusedKerSpec::LoadTile(start.as_ptr(), start.as_ptr())];
    all.extend_from_slice(specs);
    all.extend([FusedKerSpec::Store(rows_at(&mut stored)), FusedKerSpec::Done]);
    // SAFETY: the tests give eight or 64 numbers, as each spec needs.
    assert_eq!(unsafe { run(&all) }, 0);
    stored
}

/// What `f` makes of each row, column and number.
fn plain(start: &[f32], f: impl Fn(usize, usize, f32) -> f32) -> Vec<f32> {
    start.iter().enumerate().map(|(at, &x)| f(at / SIDE, at % SIDE, x)).collect()
}

fn close(got: &[f32], expected: &[f32]) {
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        let tolerance = 1e-4 * expected.abs().max(1.0);
        assert!((got - expected).abs() <= tolerance, "row {}, column {}: {got}, not {expected}", at / SIDE, at % SIDE);
    }
}

proptest! {
    #[test]
    fn a_product_is_added(
        (left, right, start) in (0..40_usize).prop_flat_map(|depth| (numbers(depth * SIDE), numbers(depth * SIDE), numbers(CELLS)))
    ) {
        let k = left.len() / SIDE;
        let product = FusedKerSpec::AddMatMul { k, pa: left.as_ptr().cast(), pb: right.as_ptr().cast(), packing: 0 };
        let sum = |row: usize, column: usize, x: f32| {
            let product: f64 =
                (0..k).map(|step| f64::from(left[step * SIDE + row]) * f64::from(right[step * SIDE + column])).sum();
            (f64::from(x) + product) as f32
        };
        close(&done(&start, &[product]), &plain(&start, sum));
    }

    #[test]
    fn what_is_done_with_one_number_is_done_to_all(start in numbers(CELLS), a in -4.0_f32..4.0) {
        type Case = (fn(f32) -> FusedKerSpec<f32>, fn(f32, f32) -> f32);
        let cases: [Case; 7] = [
            (FusedKerSpec::ScalarMin, |a, x| x.min(a)),
            (FusedKerSpec::ScalarMax, |a, x| x.max(a)),
            (FusedKerSpec::ScalarAdd, |a, x| x + a),
            (FusedKerSpec::ScalarMul, |a, x| x * a),
            (FusedKerSpec::ScalarSub, |a, x| a - x),
            (FusedKerSpec::ScalarSubF, |a, x| x - a),
            (FusedKerSpec::LeakyRelu, |a, x| if x > 0.0 { x } else { a * x }),
        ];
        for (spec, f) in cases {
            close(&done(&start, &[spec(a)]), &plain(&start, |_, _, x| f(a, x)));
        }
    }

    #[test]
    fn what_is_done_by_row_or_column_is_done_to_that(start in numbers(CELLS), operands in numbers(SIDE)) {
        type Case = (fn(*const f32) -> FusedKerSpec<f32>, fn(*const f32) -> FusedKerSpec<f32>, fn(f32, f32) -> f32);
        let cases: [Case; 6] = [
            (FusedKerSpec::PerRowMin, FusedKerSpec::PerColMin, |a, x| x.min(a)),
            (FusedKerSpec::PerRowMax, FusedKerSpec::PerColMax, |a, x| x.max(a)),
            (FusedKerSpec::PerRowAdd, FusedKerSpec::PerColAdd, |a, x| x + a),
            (FusedKerSpec::PerRowMul, FusedKerSpec::PerColMul, |a, x| x * a),
            (FusedKerSpec::PerRowSub, FusedKerSpec::PerColSub, |a, x| a - x),
            (FusedKerSpec::PerRowSubF, FusedKerSpec::PerColSubF, |a, x| x - a),
        ];
        for (by_row, by_column, f) in cases {
            close(&done(&start, &[by_row(operands.as_ptr())]), &plain(&start, |row, _, x| f(operands[row], x)));
            close(&done(&start, &[by_column(operands.as_ptr())]), &plain(&start, |_, column, x| f(operands[column], x)));
        }
    }

    #[test]
    fn products_of_rows_and_columns_are_added(start in numbers(CELLS), rows in numbers(SIDE), columns in numbers(SIDE)) {
        let spec = FusedKerSpec::AddRowColProducts(rows.as_ptr(), columns.as_ptr());
        close(&done(&start, &[spec]), &plain(&start, |row, column, x| x + rows[row] * columns[column]));
    }

    #[test]
    fn shifts_are_factors(start in numbers(CELLS), shift in 0..8_usize) {
        let factor = (1 << shift) as f32;
        close(&done(&start, &[FusedKerSpec::ShiftLeft(shift)]), &plain(&start, |_, _, x| x * factor));
        let right = FusedKerSpec::RoundingShiftRight(shift, RoundingPolicy::Even);
        close(&done(&start, &[right]), &plain(&start, |_, _, x| x / factor));
        let scale = FusedKerSpec::QScale(shift as isize, RoundingPolicy::Even, 1 << 30);
        close(&done(&start, &[scale]), &plain(&start, |_, _, x| x * 0.5 / factor));
    }

    #[test]
    fn any_strides_are_stored_to_and_added_from(start in numbers(CELLS), other in numbers(4 * CELLS)) {
        // Rows one after the other, columns one after the other, and neither.
        for (row, column) in [(SIDE, 1), (20, 1), (1, SIDE), (1, 20), (2, 3 * SIDE)] {
            let at = |x: usize, y: usize| row * x + column * y;
            let strided = |place: *mut f32| OutputStoreKer {
                ptr: place.cast(),
                row_byte_stride: 4 * row as isize,
                col_byte_stride: 4 * column as isize,
                item_size: 4,
            };
            let mut other = other.clone();
            let added = done(&start, &[FusedKerSpec::AddUnicast(strided(other.as_mut_ptr()))]);
            close(&added, &plain(&start, |x, y, number| number + other[at(x, y)]));

            let mut stored = vec![f32::NAN; 4 * CELLS];
            done(&start, &[FusedKerSpec::Store(strided(stored.as_mut_ptr()))]);
            let read: Vec<f32> = (0..CELLS).map(|cell| stored[at(cell / SIDE, cell % SIDE)]).collect();
            prop_assert_eq!(read, start.clone());
            let written = stored.iter().filter(|number| !number.is_nan()).count();
            prop_assert_eq!(written, CELLS, "nothing else is written to");
        }
    }
}

#[test]
fn tract_prefers_the_kernel_for_products_that_are_no_vectors() {
    let tier = tract_linalg::mmm_tiers::declared().find(|tier| tier.name == "samara").expect("it is registered");
    assert!(tract_linalg::mmm_routines::declared().any(|routine| (routine.make)().name() == NAME));
    let others = tract_linalg::mmm_tiers::declared().filter(|other| other.arch == tier.arch && other.name != tier.name);
    assert!(others.into_iter().all(|other| other.precedence < tier.precedence));
}
