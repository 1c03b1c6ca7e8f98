//! Filters that make up a discrete Fourier transform.

use std::f64::consts::TAU;

/// How far numbers may be from what they are held for, of the largest of the window: what rounding leaves of a cosine that has been
/// multiplied with it.
const CLOSE: f64 = 5e-7;

/// The window that `columns` filters of `steps` numbers have been multiplied with, if the first half of them are the cosines of all
/// frequencies from none to half of the steps, and the others the sines; and whether these have the sign of the exponent of an
/// inverse transform. `weight` tells each number by its step and its column.
pub fn window(steps: usize, columns: usize, weight: impl Fn(usize, usize) -> f32) -> Option<(Vec<f32>, bool)> {
    let bins = steps / 2 + 1;
    if !steps.is_power_of_two() || columns != 2 * bins {
        return None;
    }
    let window: Vec<f32> = (0..steps).map(|step| weight(step, 0)).collect();
    let close = CLOSE * window.iter().map(|x| f64::from(x.abs())).fold(0.0, f64::max);
    // Computed once each, as there are as many filters as numbers in them.
    let turns: Vec<(f64, f64)> = (0..steps).map(|part| (TAU * part as f64 / steps as f64).sin_cos()).collect();
    let is_like = |column: usize, of: &dyn Fn((f64, f64)) -> f64| {
        (0..steps).all(|step| {
            let turn = turns[column % bins * step % steps];
            (f64::from(weight(step, column)) - f64::from(window[step]) * of(turn)).abs() <= close
        })
    };
    if !(0..bins).all(|column| is_like(column, &|(_, cos)| cos)) {
        return None;
    }
    let are_like = |sign: f64| (bins..columns).all(|column| is_like(column, &|(sin, _)| sign * sin));
    [true, false]
        .into_iter()
        .find(|is_opposite| are_like(if *is_opposite { 1.0 } else { -1.0 }))
        .map(|is| (window.clone(), is))
}
