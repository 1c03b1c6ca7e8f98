//! Convolutions along a row with fewer multiplications: Winograd's minimal filtering.
//!
//! Four results of a filter of `r` numbers are made of `r + 3` products instead of `4 r`: the image and the filter are
//! evaluated at as many points, multiplied there, and the results are interpolated (S. Winograd, Arithmetic Complexity of
//! Computations, 1980; for neural networks Lavin and Gray, <https://arxiv.org/abs/1509.09308>).

use crate::vector::F32x4;

/// Results that are made at a time.
pub const RESULTS: usize = 4;

/// The finite points; infinity is one more. More of them, or larger ones, would cost too much precision.
const POINTS: [f64; 7] = [0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5];

/// How filters of one length are computed.
pub struct Filtering {
    /// For each product, the factors of the filter's numbers.
    pub of_filter: Vec<Vec<f64>>,
    /// For each product, the factors of the image's numbers.
    of_image: Vec<Vec<f32>>,
    /// For each result, the factors of the products.
    of_products: Vec<Vec<f32>>,
}

/// The factors, for so many products.
pub struct Matrices<const PRODUCTS: usize> {
    /// For each product, those of the image's numbers.
    pub of_image: [[f32; PRODUCTS]; PRODUCTS],
    /// For each result, those of the products.
    pub of_products: [[f32; PRODUCTS]; RESULTS],
}

impl Filtering {
    /// How filters of `length` numbers are computed, where there are points enough: for 2 to 5.
    pub fn of(length: usize) -> Option<Filtering> {
        if !(2..=5).contains(&length) {
            return None;
        }
        let points = &POINTS[..length + RESULTS - 2];
        let others =
            |index: usize| points.iter().enumerate().filter(move |(other, _)| *other != index).map(|(_, x)| *x);
        // The coefficients of the product of x - each, the lowest first.
        let roots = |roots: &mut dyn Iterator<Item = f64>| {
            roots.fold(vec![1.0], |polynomial: Vec<f64>, root| {
                let mut next = vec![0.0; polynomial.len() + 1];
                for (power, coefficient) in polynomial.iter().enumerate() {
                    next[power + 1] += coefficient;
                    next[power] -= coefficient * root;
                }
                next
            })
        };
        let powers = |x: f64, count: usize| (0..count as i32).map(|power| x.powi(power)).collect::<Vec<_>>();
        let last = |count: usize| (0..count).map(|index| f64::from(u8::from(index + 1 == count))).collect::<Vec<_>>();
        let mut of_filter = vec![];
        let mut of_image = vec![];
        let mut at_points = vec![];
        for (index, &point) in points.iter().enumerate() {
            let scale: f64 = others(index).map(|other| point - other).product();
            of_filter.push(powers(point, length).iter().map(|power| power / scale).collect());
            let mut row = roots(&mut others(index));
            row.push(0.0);
            of_image.push(row);
            at_points.push(powers(point, RESULTS));
        }
        of_filter.push(last(length));
        of_image.push(roots(&mut points.iter().copied()));
        at_points.push(last(RESULTS));
        let single = |row: Vec<f64>| row.into_iter().map(|x| x as f32).collect();
        Some(Filtering {
            of_filter,
            of_image: of_image.into_iter().map(single).collect(),
            of_products: (0..RESULTS).map(|result| at_points.iter().map(|row| row[result] as f32).collect()).collect(),
        })
    }

    /// The factors of the image's numbers, of which there are as many as products, and of the products. None where there are not
    /// so many.
    pub fn matrices<const PRODUCTS: usize>(&self) -> Option<Matrices<PRODUCTS>> {
        Some(Matrices { of_image: array(&self.of_image)?, of_products: array(&self.of_products)? })
    }

    /// Products for four results.
    pub fn products(&self) -> usize {
        self.of_filter.len()
    }
}

/// Rows of a matrix, where there are so many of so many.
fn array<const ROWS: usize, const COLUMNS: usize>(rows: &[Vec<f32>]) -> Option<[[f32; COLUMNS]; ROWS]> {
    let rows: Vec<[f32; COLUMNS]> = rows.iter().map(|row| row.as_slice().try_into().ok()).collect::<Option<_>>()?;
    rows.try_into().ok()
}

/// Multiplies a matrix with a vector of vectors, `length` numbers at each of `from`, on top of `start`, which is given the first
/// of four numbers; `take` gets these, how many of them count, and what came out for each row.
///
/// # Safety
///
/// There are as many numbers at each of `from`.
#[inline(always)]
pub unsafe fn multiply<const ROWS: usize, const COLUMNS: usize>(
    matrix: &[[f32; COLUMNS]; ROWS],
    from: [*const f32; COLUMNS],
    length: usize,
    start: impl Fn(usize) -> F32x4,
    mut take: impl FnMut(usize, usize, [F32x4; ROWS]),
) {
    for first in (0..length).step_by(4) {
        let count = (length - first).min(4);
        // SAFETY: as the caller says.
        let vectors = from.map(|from| unsafe { F32x4::load_some(from.wrapping_add(first), count) });
        let start = start(first);
        take(
            first,
            count,
            std::array::from_fn(|row| {
                matrix[row].iter().zip(vectors).fold(start, |sum, (factor, x)| {
                    // SAFETY: it is a number.
                    x.mul_add(unsafe { F32x4::load_splat(factor) }, sum)
                })
            }),
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn four_results_are_those_of_the_filter(
            filter in prop::collection::vec(-1.0_f64..1.0, 2..6),
            image in prop::collection::vec(-1.0_f64..1.0, 8),
        ) {
            let filtering = Filtering::of(filter.len()).expect("there are points enough");
            let dot = |factors: &[f32], numbers: &[f64]| -> f64 {
                factors.iter().zip(numbers).map(|(factor, x)| f64::from(*factor) * x).sum()
            };
            let products: Vec<f64> = (0..filtering.products())
                .map(|product| {
                    let of_filter: f64 = filtering.of_filter[product].iter().zip(&filter).map(|(x, y)| x * y).sum();
                    of_filter * dot(&filtering.of_image[product], &image)
                })
                .collect();
            for result in 0..RESULTS {
                let expected: f64 = filter.iter().zip(&image[result..]).map(|(x, y)| x * y).sum();
                let got = dot(&filtering.of_products[result], &products);
                prop_assert!((got - expected).abs() < 1e-12 * 1e3, "{got} {expected}");
            }
        }

        #[test]
        fn a_matrix_is_multiplied_with_vectors_of_any_length(
            factors in prop::array::uniform2(prop::array::uniform3(-2.0_f32..2.0)),
            vectors in (1..12_usize).prop_flat_map(|length| {
                prop::array::uniform3(prop::collection::vec(-1.0_f32..1.0, length))
            })
        ) {
            let length = vectors[0].len();
            let mut results = [vec![0.0; length], vec![0.0; length]];
            let from = [0, 1, 2].map(|column| vectors[column].as_ptr());
            // SAFETY: there are as many numbers in each, and as much room.
            unsafe {
                multiply(&factors, from, length, |_| F32x4::splat(0.5), |first, count, rows| {
                    for (row, result) in rows.into_iter().zip(&mut results) {
                        row.store_some(result[first..].as_mut_ptr(), count);
                    }
                });
            }
            for (result, factors) in results.iter().zip(factors) {
                for (index, got) in result.iter().enumerate() {
                    let expected: f32 = factors.iter().zip(&vectors).map(|(factor, vector)| factor * vector[index]).sum();
                    prop_assert!((got - expected - 0.5).abs() < 1e-5, "{got} {expected}");
                }
            }
        }
    }

    #[test]
    fn other_filters_are_left() {
        assert!([0, 1, 6].into_iter().all(|length| Filtering::of(length).is_none()));
    }
}
