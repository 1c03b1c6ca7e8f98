use proptest::prelude::*;
use tract_linalg::mmm::RoundingPolicy;

use super::*;

/// Every test is done with tiles of so many rows.
const SIZES: [usize; 2] = [8, 32];

/// The most numbers of a tile.
const CELLS: usize = 32 * COLUMNS;

fn numbers(count: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-8.0_f32..8.0, count)
}

/// Where a tile lies, row by row.
fn rows_at(tile: &mut [f32]) -> OutputStoreKer {
    let (row_byte_stride, col_byte_stride) = (4 * COLUMNS as isize, 4);
    OutputStoreKer { ptr: tile.as_mut_ptr().cast(), row_byte_stride, col_byte_stride, item_size: 4 }
}

/// Does `specs` to a tile.
fn kernel(rows: usize, specs: &[FusedKerSpec<f32>]) -> isize {
    // SAFETY: the tests give as many numbers as a tile has rows, columns or numbers, as each spec needs.
    unsafe {
        match rows {
            8 => run::<8>(specs),
            32 => run::<32>(specs),
            _ => panic!("there is no such kernel"),
        }
    }
}

/// What is stored after `specs` were done to a tile of so many rows that was loaded from `start`.
fn done(rows: usize, start: &[f32], specs: &[FusedKerSpec<f32>]) -> Vec<f32> {
    let mut stored = vec![f32::NAN; rows * COLUMNS];
    let mut all = vec![FusedKerSpec::Clear, FusedKerSpec::LoadTile(start.as_ptr(), start.as_ptr())];
    all.extend_from_slice(specs);
    all.extend([FusedKerSpec::Store(rows_at(&mut stored)), FusedKerSpec::Done]);
    assert_eq!(kernel(rows, &all), 0);
    stored
}

/// What `f` makes of each row, column and number.
fn plain(rows: usize, start: &[f32], f: impl Fn(usize, usize, f32) -> f32) -> Vec<f32> {
    start.iter().take(rows * COLUMNS).enumerate().map(|(at, &x)| f(at / COLUMNS, at % COLUMNS, x)).collect()
}

fn close(got: &[f32], expected: &[f32]) {
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        let tolerance = 1e-4 * expected.abs().max(1.0);
        assert!(
            (got - expected).abs() <= tolerance,
            "row {}, column {}: {got}, not {expected}",
            at / COLUMNS,
            at % COLUMNS
        );
    }
}

proptest! {
    #[test]
    fn a_product_is_added(
        (rows, left, right, start) in (prop::sample::select(&SIZES[..]), 0..70_usize).prop_flat_map(|(rows, depth)| {
            (Just(rows), numbers(depth * rows), numbers(depth * COLUMNS), numbers(CELLS))
        })
    ) {
        let k = right.len() / COLUMNS;
        let product = FusedKerSpec::AddMatMul { k, pa: left.as_ptr().cast(), pb: right.as_ptr().cast(), packing: 0 };
        let sum = |row: usize, column: usize, x: f32| {
            let terms = (0..k).map(|step| f64::from(left[step * rows + row]) * f64::from(right[step * COLUMNS + column]));
            (f64::from(x) + terms.sum::<f64>()) as f32
        };
        close(&done(rows, &start, &[product]), &plain(rows, &start, sum));
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
        for rows in SIZES {
            for (spec, f) in cases {
                close(&done(rows, &start, &[spec(a)]), &plain(rows, &start, |_, _, x| f(a, x)));
            }
        }
    }

    #[test]
    fn what_is_done_by_row_or_column_is_done_to_that(start in numbers(CELLS), operands in numbers(32)) {
        type Case = (fn(*const f32) -> FusedKerSpec<f32>, fn(*const f32) -> FusedKerSpec<f32>, fn(f32, f32) -> f32);
        let cases: [Case; 6] = [
            (FusedKerSpec::PerRowMin, FusedKerSpec::PerColMin, |a, x| x.min(a)),
            (FusedKerSpec::PerRowMax, FusedKerSpec::PerColMax, |a, x| x.max(a)),
            (FusedKerSpec::PerRowAdd, FusedKerSpec::PerColAdd, |a, x| x + a),
            (FusedKerSpec::PerRowMul, FusedKerSpec::PerColMul, |a, x| x * a),
            (FusedKerSpec::PerRowSub, FusedKerSpec::PerColSub, |a, x| a - x),
            (FusedKerSpec::PerRowSubF, FusedKerSpec::PerColSubF, |a, x| x - a),
        ];
        for rows in SIZES {
            for (by_row, by_column, f) in cases {
                let at = operands.as_ptr();
                close(&done(rows, &start, &[by_row(at)]), &plain(rows, &start, |row, _, x| f(operands[row], x)));
                close(&done(rows, &start, &[by_column(at)]), &plain(rows, &start, |_, column, x| f(operands[column], x)));
            }
        }
    }

    #[test]
    fn products_of_rows_and_columns_are_added(start in numbers(CELLS), of_rows in numbers(32), columns in numbers(COLUMNS)) {
        let spec = FusedKerSpec::AddRowColProducts(of_rows.as_ptr(), columns.as_ptr());
        for rows in SIZES {
            close(&done(rows, &start, &[spec]), &plain(rows, &start, |row, column, x| x + of_rows[row] * columns[column]));
        }
    }

    #[test]
    fn shifts_are_factors(start in numbers(CELLS), shift in 0..8_usize) {
        let factor = (1 << shift) as f32;
        for rows in SIZES {
            close(&done(rows, &start, &[FusedKerSpec::ShiftLeft(shift)]), &plain(rows, &start, |_, _, x| x * factor));
            let right = FusedKerSpec::RoundingShiftRight(shift, RoundingPolicy::Even);
            close(&done(rows, &start, &[right]), &plain(rows, &start, |_, _, x| x / factor));
            let scale = FusedKerSpec::QScale(shift as isize, RoundingPolicy::Even, 1 << 30);
            close(&done(rows, &start, &[scale]), &plain(rows, &start, |_, _, x| x * 0.5 / factor));
        }
    }

    #[test]
    fn any_strides_are_stored_to_and_added_from(start in numbers(CELLS), other in numbers(4 * CELLS)) {
        for rows in SIZES {
            // Rows one after the other, columns one after the other, and neither.
            for (row, column) in [(COLUMNS, 1), (20, 1), (1, rows), (1, rows + 12), (2, 3 * rows)] {
                let at = |x: usize, y: usize| row * x + column * y;
                let strided = |place: *mut f32| OutputStoreKer {
                    ptr: place.cast(),
                    row_byte_stride: 4 * row as isize,
                    col_byte_stride: 4 * column as isize,
                    item_size: 4,
                };
                let mut other = other.clone();
                let added = done(rows, &start, &[FusedKerSpec::AddUnicast(strided(other.as_mut_ptr()))]);
                close(&added, &plain(rows, &start, |x, y, number| number + other[at(x, y)]));

                let mut stored = vec![f32::NAN; 4 * CELLS];
                done(rows, &start, &[FusedKerSpec::Store(strided(stored.as_mut_ptr()))]);
                let cells = rows * COLUMNS;
                let read: Vec<f32> = (0..cells).map(|cell| stored[at(cell / COLUMNS, cell % COLUMNS)]).collect();
                prop_assert_eq!(read.as_slice(), &start[..cells]);
                let written = stored.iter().filter(|number| !number.is_nan()).count();
                prop_assert_eq!(written, cells, "nothing else is written to");
            }
        }
    }
}

#[test]
fn tract_prefers_the_kernels_for_products_that_are_no_vectors() {
    let tier = tract_linalg::mmm_tiers::declared().find(|tier| tier.name == "samara").expect("it is registered");
    for (rows, name) in KERNELS {
        let kernel =
            tract_linalg::mmm_routines::declared().map(|routine| (routine.make)()).find(|it| it.name() == *name);
        assert_eq!(kernel.map(|kernel| (kernel.mr(), kernel.nr())), Some((*rows, COLUMNS)));
    }
    let others = tract_linalg::mmm_tiers::declared().filter(|other| other.arch == tier.arch && other.name != tier.name);
    let others: Vec<_> = others.map(|other| other.precedence).collect();
    assert!(!others.is_empty(), "tract has one of its own");
    assert!(others.iter().all(|&precedence| precedence < tier.precedence));
}

#[test]
fn the_kernel_fits_the_product() {
    let kernel = |m, k, n| {
        let query = Query::plain(DatumType::F32, m, k, n);
        preferred(&tract_linalg::isa::native(), DatumType::F32, &query, &[])
    };
    assert_eq!(kernel(Some(12_544), Some(16), Some(96)), Some("samara_f32_32x8"), "tiles weigh more than rows");
    assert_eq!(kernel(Some(49), Some(1152), Some(320)), Some("samara_f32_8x8"), "rows weigh more than tiles");
    assert_eq!(kernel(None, Some(16), Some(96)), Some("samara_f32_8x8"));
    assert_eq!(kernel(Some(64), Some(64), Some(1)), None);
}
