//! Convolutions along a row with fewer multiplications: Winograd's minimal filtering.
//!
//! Four results of a filter of `r` numbers are made of `r + 3` products instead of `4 r`: the image and the filter are
//! evaluated at as many points, multiplied there, and the results are interpolated (S. Winograd, Arithmetic Complexity of
//! Computations, 1980; for neural networks Lavin and Gray, <https://arxiv.org/abs/1509.09308>).

use crate::activation::Bounds;
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
    of_image: [[f32; PRODUCTS]; PRODUCTS],
    /// Of those for a point and for its opposite, what is the same in both.
    same: [[f32; PRODUCTS]; 3],
    /// The rest, which is added for the point and subtracted for its opposite.
    opposite: [[f32; PRODUCTS]; 3],
    /// For each result, those of the products.
    of_products: [[f32; PRODUCTS]; RESULTS],
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
        let of_image: [[f32; PRODUCTS]; PRODUCTS] = array(&self.of_image)?;
        let half = |pair: usize, sign: f32| {
            let (one, other) = (of_image.get(1 + 2 * pair), of_image.get(2 + 2 * pair));
            let of = |at: usize| Some(0.5 * (one?[at] + sign * other?[at]));
            std::array::from_fn(|at| of(at).unwrap_or_default())
        };
        let [same, opposite] = [1.0, -1.0].map(|sign| std::array::from_fn(|pair| half(pair, sign)));
        Some(Matrices { of_image, same, opposite, of_products: array(&self.of_products)? })
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

impl<const PRODUCTS: usize> Matrices<PRODUCTS> {
    /// Of how many points the opposite is one too. Without a point that has none, polynomials with these as roots are even or odd, and
    /// every other coefficient is 0.
    const PAIRS: usize = (PRODUCTS - 2) / 2;
    const STEP: usize = if PRODUCTS.is_multiple_of(2) { 2 } else { 1 };

    /// What the image's numbers are at the points.
    #[inline(always)]
    fn at_points(&self, image: [F32x4; PRODUCTS]) -> [F32x4; PRODUCTS] {
        let sum = |row: &[f32; PRODUCTS], first: usize| {
            let mut sum = F32x4::ZERO;
            for at in (first..PRODUCTS).step_by(Self::STEP) {
                // SAFETY: it is a number.
                sum = image[at].mul_add(unsafe { F32x4::load_splat(&row[at]) }, sum);
            }
            sum
        };
        let mut points = [F32x4::ZERO; PRODUCTS];
        points[0] = sum(&self.of_image[0], 0);
        for pair in 0..Self::PAIRS {
            // Of both, the coefficients are the same or opposite.
            let [even, odd] = [&self.same[pair], &self.opposite[pair]];
            let [even, odd] = [sum(even, 0), sum(odd, Self::STEP - 1)];
            points[1 + 2 * pair] = even + odd;
            points[2 + 2 * pair] = even - odd;
        }
        #[expect(
            clippy::needless_range_loop,
            reason = "LLVM makes a loop of what skips some, with all of them in memory"
        )]
        for point in 1 + 2 * Self::PAIRS..PRODUCTS {
            points[point] = sum(&self.of_image[point], Self::STEP - 1);
        }
        points
    }

    /// The results, of what the products are; the bias is added to each.
    #[inline(always)]
    fn results(&self, products: [F32x4; PRODUCTS], bias: F32x4) -> [F32x4; RESULTS] {
        let pairs: [[F32x4; 2]; 3] = std::array::from_fn(|pair| match pair < Self::PAIRS {
            true => {
                let [one, other] = [products[1 + 2 * pair], products[2 + 2 * pair]];
                [one + other, one - other]
            }
            false => [F32x4::ZERO; 2],
        });
        std::array::from_fn(|result| {
            let factors = &self.of_products[result];
            let mut sum = if result == 0 { bias + products[0] } else { bias };
            for (pair, sums) in pairs.iter().enumerate().take(Self::PAIRS) {
                // SAFETY: it is a number.
                sum = sums[result % 2].mul_add(unsafe { F32x4::load_splat(&factors[1 + 2 * pair]) }, sum);
            }
            for point in 1 + 2 * Self::PAIRS..PRODUCTS - 1 {
                // SAFETY: as above.
                sum = products[point].mul_add(unsafe { F32x4::load_splat(&factors[point]) }, sum);
            }
            if result + 1 == RESULTS { sum + products[PRODUCTS - 1] } else { sum }
        })
    }

    /// Evaluates `length` numbers of each of as many places of an image at the points.
    ///
    /// # Safety
    ///
    /// There are as many numbers at each of `from`, and there is room for as many at each of `to`.
    pub unsafe fn evaluate(&self, from: [*const f32; PRODUCTS], length: usize, to: [*mut f32; PRODUCTS]) {
        let whole = length / 4 * 4;
        // SAFETY: as the caller says.
        unsafe {
            for first in (0..whole).step_by(4) {
                let points = self.at_points(from.map(|from| F32x4::load(from.add(first))));
                for (point, to) in points.into_iter().zip(to) {
                    point.store(to.add(first));
                }
            }
            if whole < length {
                let some = length - whole;
                let points = self.at_points(from.map(|from| F32x4::load_some(from.add(whole), some)));
                for (point, to) in points.into_iter().zip(to) {
                    point.store_some(to.add(whole), some);
                }
            }
        }
    }

    /// Makes results of products, of `length` columns each, with a bias for each column and within bounds: as many as are wanted, one after
    /// the other.
    ///
    /// # Safety
    ///
    /// There are as many numbers at each of `from` and at `bias`, and there is room for all results at `to`.
    pub unsafe fn interpolate(
        &self,
        from: [*const f32; PRODUCTS],
        length: usize,
        bias: *const f32,
        bounds: Bounds,
        to: *mut f32,
        wanted: usize,
    ) {
        let (low, high) = (F32x4::splat(bounds.low), F32x4::splat(bounds.high));
        let whole = length / 4 * 4;
        // SAFETY: as the caller says.
        unsafe {
            for first in (0..whole).step_by(4) {
                let products = from.map(|from| F32x4::load(from.add(first)));
                let results = self.results(products, F32x4::load(bias.add(first)));
                for (index, result) in results.into_iter().enumerate().take(wanted) {
                    result.at_least(low).at_most(high).store(to.add(index * length + first));
                }
            }
            if whole < length {
                let some = length - whole;
                let products = from.map(|from| F32x4::load_some(from.add(whole), some));
                let results = self.results(products, F32x4::load_some(bias.add(whole), some));
                for (index, result) in results.into_iter().enumerate().take(wanted) {
                    result.at_least(low).at_most(high).store_some(to.add(index * length + whole), some);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numbers::numbers;

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
        fn vectors_of_any_length_are_filtered(
            length in 1..12_usize, taps in 3..6_usize, wanted in 1..5_usize, seed in 0..1000_u32,
        ) {
            let filtering = Filtering::of(taps).expect("there are points enough");
            match taps {
                3 => vectors_are_filtered::<6>(&filtering, length, wanted, seed)?,
                4 => vectors_are_filtered::<7>(&filtering, length, wanted, seed)?,
                _ => vectors_are_filtered::<8>(&filtering, length, wanted, seed)?,
            }
        }
    }

    fn vectors_are_filtered<const PRODUCTS: usize>(
        filtering: &Filtering,
        length: usize,
        wanted: usize,
        seed: u32,
    ) -> Result<(), TestCaseError> {
        let matrices = filtering.matrices::<PRODUCTS>().expect("there are as many");
        let image = numbers(seed, PRODUCTS * length);
        let (filter, bias) = (numbers(seed + 1, PRODUCTS), numbers(seed + 2, length));
        let filter = &filter[..PRODUCTS + 1 - RESULTS];
        let mut points = vec![f32::NAN; PRODUCTS * length + 1];
        let mut results = vec![f32::NAN; wanted * length + 1];
        let bounds = Bounds { low: -0.75, high: 1.5 };
        // SAFETY: there are as many numbers, and as much room.
        unsafe {
            let from = std::array::from_fn(|place| image[place * length..].as_ptr());
            let to = points.as_mut_ptr();
            matrices.evaluate(from, length, std::array::from_fn(|point| to.add(point * length)));
            for (row, factors) in points.chunks_exact_mut(length).zip(&filtering.of_filter) {
                let factor: f64 = factors.iter().zip(filter).map(|(factor, x)| factor * f64::from(*x)).sum();
                row.iter_mut().for_each(|x| *x *= factor as f32);
            }
            let from = std::array::from_fn(|point| points[point * length..].as_ptr());
            matrices.interpolate(from, length, bias.as_ptr(), bounds, results.as_mut_ptr(), wanted);
        }
        for result in 0..wanted {
            for column in 0..length {
                let taps = filter.iter().zip(image[result * length + column..].iter().step_by(length));
                let expected: f32 = bias[column] + taps.map(|(factor, x)| factor * x).sum::<f32>();
                let (got, expected) = (results[result * length + column], expected.clamp(bounds.low, bounds.high));
                prop_assert!((got - expected).abs() < 1e-4, "{got} {expected}");
            }
        }
        prop_assert!(
            results[wanted * length].is_nan() && points[PRODUCTS * length].is_nan(),
            "nothing else is written to"
        );
        Ok(())
    }

    #[test]
    fn other_filters_are_left() {
        assert!([0, 1, 6].into_iter().all(|length| Filtering::of(length).is_none()));
    }
}
