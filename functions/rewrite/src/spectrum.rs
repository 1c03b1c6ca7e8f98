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
    let is_like = |column: usize, of: &dyn Fn(f64) -> f64| {
        (0..steps).all(|step| {
            let turn = TAU * (column % bins * step % steps) as f64 / steps as f64;
            (f64::from(weight(step, column)) - f64::from(window[step]) * of(turn)).abs() <= close
        })
    };
    let are_like = |sign: f64| (bins..columns).all(|column| is_like(column, &|turn| sign * turn.sin()));
    let is_opposite = are_like(1.0);
    let is_transform = (0..bins).all(|column| is_like(column, &f64::cos)) && (is_opposite || are_like(-1.0));
    is_transform.then_some((window, is_opposite))
}
