//! Discrete Fourier transforms of real numbers, four rows at a time: one in each lane of a vector.
//!
//! N real numbers are taken for N / 2 complex ones, whose transform gives theirs (Oppenheim and Schafer, *Discrete-Time Signal
//! Processing*, on the computation for real sequences). That one is Stockham's (*High-Speed Convolution and Correlation*, 1966),
//! which needs no reversal of bits: four numbers at a time, and two in the last stage where N / 2 is no power of four.

use std::mem::MaybeUninit;

use crate::vector::F32x4;

/// The fewest numbers that are transformed.
pub const LEAST: usize = 8;

/// A transform of rows that are multiplied with a window first.
pub struct Transform {
    /// Half of each number of the window: what comes of pairs is halved.
    window: Vec<f32>,
    /// For each stage but one of two numbers, and for each of its groups of four: the cosines and sines of what three of
    /// them are turned by.
    turns: Vec<Vec<[f32; 6]>>,
    /// For each number of the spectrum the cosine and the sine of what the odd numbers are turned by.
    ends: Vec<[f32; 2]>,
}

impl Transform {
    /// The transform of as many numbers as the window has. None where that is no power of two, or too few.
    pub fn new(window: &[f32]) -> Option<Transform> {
        let length = window.len();
        if !length.is_power_of_two() || length < LEAST {
            return None;
        }
        let turn = |part: usize, of: usize| {
            let (sin, cos) = (-std::f64::consts::TAU * part as f64 / of as f64).sin_cos();
            [cos as f32, sin as f32]
        };
        let mut turns = vec![];
        let mut left = length / 2;
        while left >= 4 {
            let groups = (0..left / 4).map(|group| {
                let [one, two, three] = [1, 2, 3].map(|times| turn(times * group, left));
                [one[0], one[1], two[0], two[1], three[0], three[1]]
            });
            turns.push(groups.collect());
            left /= 4;
        }
        let ends = (0..=length / 2).map(|number| turn(number, length)).collect();
        Some(Transform { window: window.iter().map(|x| x / 2.0).collect(), turns, ends })
    }

    /// Numbers of a row.
    pub fn length(&self) -> usize {
        self.window.len()
    }

    /// Numbers of its spectrum: those of the negative frequencies are conjugates.
    pub fn bins(&self) -> usize {
        self.ends.len()
    }

    /// Gives `take` each number of the spectra of four rows: which it is, its real part and its imaginary part. `rows` has
    /// a vector for each number of a row, with those of all four; it is overwritten, as is what else there is `room` for.
    ///
    /// # Panics
    ///
    /// Panics where either is not as long as a row.
    pub fn run(&self, rows: &mut [F32x4], room: &mut [MaybeUninit<F32x4>], mut take: impl FnMut(usize, F32x4, F32x4)) {
        let length = self.length();
        assert!(rows.len() == length && room.len() == length, "there are {length} numbers of each row");
        for (x, weight) in rows.iter_mut().zip(&self.window) {
            *x = *x * F32x4::splat(*weight);
        }
        let (mut from, mut to) = (rows.as_mut_ptr(), room.as_mut_ptr().cast());
        // How many numbers lie beside each other that are done the same to.
        let mut beside = 1;
        for turns in &self.turns {
            // SAFETY: there are half as many complex numbers in both; the stage before has written to those at `from`.
            unsafe { four(turns, beside, from, to) };
            (from, to) = (to, from);
            beside *= 4;
        }
        if beside < length / 2 {
            // SAFETY: as above.
            unsafe { two(beside, from, to) };
            from = to;
        }
        // The first number is the one behind the last too.
        let half = length / 2;
        for (bin, [cos, sin]) in self.ends.iter().enumerate() {
            let (at, mirror) = (if bin == half { 0 } else { bin }, if bin == 0 { 0 } else { half - bin });
            // SAFETY: there are half as many complex numbers.
            let [x, y, mirrored_x, mirrored_y] = unsafe {
                let [number, mirrored] = [at, mirror].map(|at| from.cast_const().add(2 * at));
                [*number, *number.add(1), *mirrored, *mirrored.add(1)]
            };
            let (even_x, even_y) = (x + mirrored_x, y - mirrored_y);
            let (odd_x, odd_y) = (y + mirrored_y, mirrored_x - x);
            let [cos, sin] = [cos, sin].map(|x| F32x4::splat(*x));
            take(bin, odd_x.mul_add(cos, even_x) - odd_y * sin, odd_y.mul_add(cos, odd_x.mul_add(sin, even_y)));
        }
    }
}

/// A complex number of each row.
type Complex = [F32x4; 2];

/// Turns a number.
#[inline(always)]
fn turned([x, y]: Complex, cos: F32x4, sin: F32x4) -> Complex {
    [x * cos - y * sin, y.mul_add(cos, x * sin)]
}

#[inline(always)]
fn sum(a: Complex, b: Complex) -> Complex {
    [a[0] + b[0], a[1] + b[1]]
}

#[inline(always)]
fn difference(a: Complex, b: Complex) -> Complex {
    [a[0] - b[0], a[1] - b[1]]
}

/// A stage that takes four numbers at a time, of groups that are turned, with `beside` numbers each.
///
/// # Safety
///
/// There are four times as many complex numbers at `from`, and there is room for as many at `to`.
unsafe fn four(turns: &[[f32; 6]], beside: usize, from: *const F32x4, to: *mut F32x4) {
    let apart = 2 * turns.len() * beside;
    // SAFETY: as the caller says.
    unsafe {
        for (group, turn) in turns.iter().enumerate() {
            let [cos_one, sin_one, cos_two, sin_two, cos_three, sin_three] = turn.map(F32x4::splat);
            for index in 0..beside {
                let read = |at: *const F32x4| [*at, *at.add(1)];
                let at = from.add(2 * (group * beside + index));
                let [a, b, c, d] = [0, 1, 2, 3].map(|number| read(at.add(number * apart)));
                let (even_sum, even_difference) = (sum(a, c), difference(a, c));
                let odd_sum = sum(b, d);
                // Turned by a quarter: i times the difference.
                let quarter = [d[1] - b[1], b[0] - d[0]];
                let write = |number: usize, [x, y]: Complex| {
                    let at = to.add(2 * ((4 * group + number) * beside + index));
                    at.write(x);
                    at.add(1).write(y);
                };
                write(0, sum(even_sum, odd_sum));
                write(1, turned(difference(even_difference, quarter), cos_one, sin_one));
                write(2, turned(difference(even_sum, odd_sum), cos_two, sin_two));
                write(3, turned(sum(even_difference, quarter), cos_three, sin_three));
            }
        }
    }
}

/// The last stage where it takes two numbers at a time.
///
/// # Safety
///
/// There are twice `beside` complex numbers at `from`, and there is room for as many at `to`.
unsafe fn two(beside: usize, from: *const F32x4, to: *mut F32x4) {
    // SAFETY: as the caller says.
    unsafe {
        for index in 0..2 * beside {
            let (a, b) = (*from.add(index), *from.add(2 * beside + index));
            to.add(index).write(a + b);
            to.add(2 * beside + index).write(a - b);
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
        fn a_spectrum_is_what_the_sums_say(power in 3..11_u32, seed in 0..1000_u32) {
            let length = 1_usize << power;
            let (window, from) = (numbers(seed, length), numbers(seed + 1, 4 * length));
            let transform = Transform::new(&window).unwrap();
            // SAFETY: there are four numbers in each part.
            let mut rows: Vec<F32x4> = from.chunks_exact(4).map(|part| unsafe { F32x4::load(part.as_ptr()) }).collect();
            let mut room = Box::new_uninit_slice(length);
            let mut spectrum = vec![];
            transform.run(&mut rows, &mut room, |bin, x, y| {
                assert_eq!(bin, spectrum.len());
                spectrum.push([x.to_array(), y.to_array()]);
            });
            prop_assert_eq!(spectrum.len(), length / 2 + 1);
            prop_assert_eq!(spectrum.len(), transform.bins());
            for (bin, got) in spectrum.iter().enumerate() {
                for row in 0..4 {
                    let mut expected = [0.0, 0.0];
                    for (step, weight) in window.iter().enumerate() {
                        let turn = -std::f64::consts::TAU * (bin * step % length) as f64 / length as f64;
                        let x = f64::from(from[4 * step + row]) * f64::from(*weight);
                        expected[0] += x * turn.cos();
                        expected[1] += x * turn.sin();
                    }
                    for (got, expected) in got.iter().zip(expected) {
                        let error = (f64::from(got[row]) - expected).abs();
                        prop_assert!(error < 1e-6 * length as f64, "{bin} of {length}: {} {expected}", got[row]);
                    }
                }
            }
        }
    }

    #[test]
    fn other_lengths_are_left() {
        assert!([0, 1, 4, 12, 100].into_iter().all(|length| Transform::new(&vec![1.0; length]).is_none()));
    }
}
