//! Convolutions along a row with fewer multiplications: Winograd's minimal filtering.
//!
//! Four results of a filter of `r` numbers are made of `r + 3` products instead of `4 r`: the image and the filter are
//! evaluated at as many points, multiplied there, and the results are interpolated (S. Winograd, Arithmetic Complexity of
//! Computations, 1980; for neural networks Lavin and Gray, <https://arxiv.org/abs/1509.09308>).

use crate::rows::Bounds;
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
    pub of_image: Vec<Vec<f32>>,
    /// For each result, the factors of the products.
    pub of_products: Vec<Vec<f32>>,
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

    /// Products for four results.
    pub fn products(&self) -> usize {
        self.of_filter.len()
    }
}

/// Writes the sum of vectors, each times its factor, within bounds.
///
/// # Safety
///
/// There are `length` numbers at each vector, and there is room for as many at `to`.
pub unsafe fn weighted_sum(terms: &[(f32, *const f32)], length: usize, bounds: Bounds, to: *mut f32) {
    let whole = length / 4 * 4;
    let (low, high) = (F32x4::splat(bounds.low), F32x4::splat(bounds.high));
    // SAFETY: as the caller says.
    unsafe {
        for first in (0..whole).step_by(4) {
            let mut sum = F32x4::ZERO;
            for &(factor, from) in terms {
                sum = F32x4::load(from.add(first)).mul_add(F32x4::splat(factor), sum);
            }
            sum.at_least(low).at_most(high).store(to.add(first));
        }
        for index in whole..length {
            let sum = terms.iter().map(|&(factor, from)| factor * *from.add(index)).sum();
            *to.add(index) = bounds.clip(sum);
        }
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
        fn a_weighted_sum_is_within_bounds(
            vectors in prop::collection::vec((-2.0_f32..2.0, prop::collection::vec(-1.0_f32..1.0, 11)), 1..6)
        ) {
            let terms: Vec<_> = vectors.iter().map(|(factor, vector)| (*factor, vector.as_ptr())).collect();
            let mut sums = [0.0; 11];
            // SAFETY: there are 11 numbers in each.
            unsafe { weighted_sum(&terms, 11, Bounds { low: -1.0, high: 1.5 }, sums.as_mut_ptr()) };
            for (index, sum) in sums.into_iter().enumerate() {
                let expected: f64 = vectors.iter().map(|(factor, vector)| f64::from(*factor) * f64::from(vector[index])).sum();
                prop_assert!((f64::from(sum) - expected.clamp(-1.0, 1.5)).abs() < 1e-5, "{sum} {expected}");
            }
        }
    }

    #[test]
    fn other_filters_are_left() {
        assert!([0, 1, 6].into_iter().all(|length| Filtering::of(length).is_none()));
    }
}
