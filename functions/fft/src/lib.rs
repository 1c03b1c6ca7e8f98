//! Fourier transforms for the engine, in a twentieth of rustfft's code.
//!
//! tract links rustfft for two operators, `DFT` and `STFT`. Its planner brings kernels for every length and vector width:
//! 590 kB of a guest that wants to be small, in every component, for operators that few models have. This crate takes its
//! place (`[patch.crates-io]`) and has as much of its interface as tract calls. Lengths that are powers of two take
//! O(n log n) steps by the radix-2 algorithm (Cooley and Tukey, 1965), others too, through a convolution of a power of two
//! (Bluestein, 1970). Results differ from rustfft's in the last bits.

#![forbid(unsafe_code)]

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

pub use num_complex;
pub use num_traits;

use num_complex::Complex;
use num_traits::{Float, FromPrimitive};

/// The numbers that can be transformed: `f32` and `f64`.
pub trait FftNum: Float + FromPrimitive + Send + Sync + Debug + 'static {}

impl<T: Float + FromPrimitive + Send + Sync + Debug + 'static> FftNum for T {}

/// From time to frequency, or back. Neither scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FftDirection {
    /// From time to frequency.
    Forward,
    /// From frequency to time.
    Inverse,
}

/// A transform of one length.
pub trait Fft<T: FftNum>: Send + Sync {
    /// Transforms each run of the plan's length in `buffer`, in place.
    fn process(&self, buffer: &mut [Complex<T>]);
}

/// Makes transforms.
#[derive(Default)]
pub struct FftPlanner<T>(PhantomData<T>);

impl<T: FftNum> FftPlanner<T> {
    /// A planner, which keeps nothing.
    #[must_use]
    pub fn new() -> Self {
        FftPlanner(PhantomData)
    }

    /// A transform of `length` complex numbers.
    pub fn plan_fft(&mut self, length: usize, direction: FftDirection) -> Arc<dyn Fft<T>> {
        Arc::new(Plan::new(length, direction))
    }

    /// A transform from time to frequency.
    pub fn plan_fft_forward(&mut self, length: usize) -> Arc<dyn Fft<T>> {
        self.plan_fft(length, FftDirection::Forward)
    }
}

/// The factors of a transform, computed in `f64`.
struct Plan<T> {
    length: usize,
    /// `e^(∓2πik/n)` for the power of two in use.
    roots: Vec<Complex<T>>,
    /// For other lengths.
    chirp: Option<Chirp<T>>,
}

/// What a length that is no power of two needs.
struct Chirp<T> {
    /// `e^(∓πik²/n)`.
    factors: Vec<Complex<T>>,
    /// The transform of the factors' conjugates.
    filter: Vec<Complex<T>>,
}

impl<T: FftNum> Plan<T> {
    fn new(length: usize, direction: FftDirection) -> Self {
        let sign = if direction == FftDirection::Forward { -1.0 } else { 1.0 };
        if length <= 1 || length.is_power_of_two() {
            return Plan { length, roots: roots(length, sign), chirp: None };
        }
        let padded = (2 * length - 1).next_power_of_two();
        // k² modulo 2n, since the chirp repeats after 2n: k² itself would lose precision.
        let factors: Vec<_> =
            (0..length).map(|k| unit(sign * ((k * k) % (2 * length)) as f64 / (2 * length) as f64)).collect();
        // Both directions of the convolution's own transform use the forward roots.
        let roots = roots(padded, -1.0);
        let mut filter = vec![zero(); padded];
        for (k, factor) in factors.iter().enumerate() {
            filter[k] = factor.conj();
            filter[(padded - k) % padded] = factor.conj();
        }
        radix2(&mut filter, &roots);
        Plan { length, roots, chirp: Some(Chirp { factors, filter }) }
    }
}

impl<T: FftNum> Fft<T> for Plan<T> {
    fn process(&self, buffer: &mut [Complex<T>]) {
        if self.length <= 1 {
            return;
        }
        for run in buffer.chunks_exact_mut(self.length) {
            match &self.chirp {
                None => radix2(run, &self.roots),
                Some(chirp) => bluestein(run, chirp, &self.roots),
            }
        }
    }
}

/// Radix-2 decimation in time, in place; `roots` are those of the run's length.
fn radix2<T: FftNum>(run: &mut [Complex<T>], roots: &[Complex<T>]) {
    let length = run.len();
    let shift = usize::BITS - length.trailing_zeros();
    for index in 0..length {
        let reversed = index.reverse_bits() >> shift;
        if index < reversed {
            run.swap(index, reversed);
        }
    }
    let mut half = 1;
    while half < length {
        let stride = length / (2 * half);
        for block in run.chunks_exact_mut(2 * half) {
            let (even, odd) = block.split_at_mut(half);
            for (k, (a, b)) in even.iter_mut().zip(odd).enumerate() {
                let product = *b * roots[k * stride];
                (*a, *b) = (*a + product, *a - product);
            }
        }
        half *= 2;
    }
}

/// A transform of any length as a convolution with a chirp.
fn bluestein<T: FftNum>(run: &mut [Complex<T>], chirp: &Chirp<T>, roots: &[Complex<T>]) {
    let Chirp { factors, filter } = chirp;
    let padded = filter.len();
    let mut work = vec![zero(); padded];
    for ((slot, value), factor) in work.iter_mut().zip(run.iter()).zip(factors) {
        *slot = *value * *factor;
    }
    radix2(&mut work, roots);
    // The inverse transform is the forward one of the conjugate, conjugated and scaled.
    for (value, factor) in work.iter_mut().zip(filter) {
        *value = (*value * *factor).conj();
    }
    radix2(&mut work, roots);
    let scale = number::<T>(1.0 / padded as f64);
    for ((value, result), factor) in run.iter_mut().zip(&work).zip(factors) {
        *value = result.conj() * *factor * scale;
    }
}

/// The first half of the `length`-th roots of unity.
fn roots<T: FftNum>(length: usize, sign: f64) -> Vec<Complex<T>> {
    (0..length / 2).map(|k| unit(sign * k as f64 / length as f64)).collect()
}

/// `e^(2πit)`.
fn unit<T: FftNum>(turns: f64) -> Complex<T> {
    let (sine, cosine) = (turns * std::f64::consts::TAU).sin_cos();
    Complex::new(number(cosine), number(sine))
}

fn number<T: FftNum>(value: f64) -> T {
    T::from_f64(value).unwrap_or_else(T::nan)
}

fn zero<T: FftNum>() -> Complex<T> {
    Complex::new(T::zero(), T::zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, term by term.
    fn by_definition(input: &[Complex<f64>], sign: f64) -> Vec<Complex<f64>> {
        let length = input.len();
        (0..length)
            .map(|k| {
                input
                    .iter()
                    .enumerate()
                    .map(|(n, value)| value * unit::<f64>(sign * ((k * n) % length) as f64 / length as f64))
                    .sum()
            })
            .collect()
    }

    fn largest_difference(a: &[Complex<f64>], b: &[Complex<f64>]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).norm()).fold(0.0, f64::max)
    }

    #[test]
    fn every_length_agrees_with_the_definition() {
        for length in (1..70).chain([100, 128, 251, 400, 512]) {
            let input: Vec<_> =
                (0..length).map(|n| Complex::new((n as f64 * 0.7).sin(), (n as f64 * 1.3).cos())).collect();
            for (direction, sign) in [(FftDirection::Forward, -1.0), (FftDirection::Inverse, 1.0)] {
                let mut output = input.clone();
                FftPlanner::new().plan_fft(length, direction).process(&mut output);
                let difference = largest_difference(&output, &by_definition(&input, sign));
                assert!(difference < 1e-9 * length as f64, "{length} {direction:?}: {difference}");
            }
        }
    }

    #[test]
    fn there_and_back_is_where_one_was() {
        for length in [12, 16] {
            let input: Vec<_> = (0..length).map(|n| Complex::new(n as f64, -0.5 * n as f64)).collect();
            let mut output = input.clone();
            FftPlanner::new().plan_fft_forward(length).process(&mut output);
            FftPlanner::new().plan_fft(length, FftDirection::Inverse).process(&mut output);
            let output: Vec<_> = output.iter().map(|value| value / length as f64).collect();
            assert!(largest_difference(&input, &output) < 1e-12);
        }
    }

    #[test]
    fn each_run_of_a_buffer_is_transformed() {
        let mut buffer = vec![Complex::new(1.0, 0.0); 6];
        FftPlanner::<f64>::new().plan_fft_forward(3).process(&mut buffer);
        for start in [0, 3] {
            assert!((buffer[start].re - 3.0).abs() < 1e-12 && buffer[start + 1].norm() < 1e-12);
        }
    }
}
