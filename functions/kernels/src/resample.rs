//! Another size for an axis of a tensor: each place of the result is made of some places of the input, as interpolation has it.

/// What the places of an axis are made of, so many each.
#[derive(Clone, Copy, Debug)]
pub struct Taps<'a> {
    /// Places of the input that a place of the result is made of.
    pub window: usize,
    /// These places, for one place of the result after the other.
    pub places: &'a [usize],
    /// What each is multiplied by. Those that are 0 are not looked at.
    pub weights: &'a [f32],
}

/// Writes an axis that is made of another one, of which each place has `inner` numbers.
///
/// # Panics
///
/// Panics where a place is not in the input, or the result is not as large as the taps say.
pub fn resample(from: &[f32], inner: usize, taps: &Taps<'_>, to: &mut [f32]) {
    let Taps { window, places, weights } = *taps;
    assert_eq!(places.len(), weights.len(), "a weight for each place");
    assert_eq!(to.len() * window, places.len() * inner, "a window for each place of the result");
    if inner == 0 || window == 0 {
        return to.fill(0.0);
    }
    let windows = places.chunks_exact(window).zip(weights.chunks_exact(window));
    if inner == 1 {
        for (to, (places, weights)) in to.iter_mut().zip(windows) {
            let taps = places.iter().zip(weights).filter(|(_, weight)| **weight != 0.0);
            *to = taps.fold(0.0, |sum, (place, weight)| sum + weight * from[*place]);
        }
        return;
    }
    for (to, (places, weights)) in to.chunks_exact_mut(inner).zip(windows) {
        let taps = places.iter().zip(weights).filter(|(_, weight)| **weight != 0.0);
        let mut taps = taps.map(|(place, weight)| (&from[place * inner..][..inner], *weight));
        // Two at a time, as most often there are no more. What is computed is the same for all numbers, which makes vectors of them.
        match (taps.next(), taps.next()) {
            (None, _) => to.fill(0.0),
            (Some((one, 1.0)), None) => to.copy_from_slice(one),
            (Some((one, weight)), None) => to.iter_mut().zip(one).for_each(|(to, x)| *to = x * weight),
            (Some((one, of_one)), Some((other, of_other))) => {
                let numbers = to.iter_mut().zip(one).zip(other);
                numbers.for_each(|((to, x), y)| *to = x * of_one + y * of_other);
            }
        }
        for (other, weight) in taps {
            to.iter_mut().zip(other).for_each(|(to, x)| *to += x * weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_are_sums_of_places(
            (window, inner, size, places) in (1..5_usize, 0..40_usize, 1..9_usize, 0..9_usize),
            seed in prop::collection::vec((0..100_usize, prop_oneof![Just(0.0_f32), Just(1.0), -2.0..2.0_f32]), 40),
        ) {
            let (indices, weights): (Vec<usize>, Vec<f32>) =
                seed.iter().take(window * places).map(|(place, weight)| (place % size, *weight)).unzip();
            let from: Vec<f32> = (0..size * inner).map(|index| (index as f32 * 0.7).sin()).collect();
            let mut to = vec![f32::NAN; places * inner];
            resample(&from, inner, &Taps { window, places: &indices, weights: &weights }, &mut to);
            for (at, got) in to.iter().enumerate() {
                let (place, number) = (at / inner, at % inner);
                let taps = place * window..(place + 1) * window;
                let expected: f32 = taps.map(|tap| weights[tap] * from[indices[tap] * inner + number]).sum();
                prop_assert!((got - expected).abs() < 1e-5, "{got} where {expected} is due");
            }
        }
    }

    #[test]
    fn what_has_no_weight_is_not_looked_at() {
        let from = [1.0, f32::NAN, 2.0, f32::INFINITY];
        let taps = Taps { window: 2, places: &[0, 1, 1, 0], weights: &[0.5, 0.0, 0.0, 1.0] };
        let mut to = [0.0; 2];
        resample(&from[..2], 1, &taps, &mut to);
        assert_eq!(to, [0.5, 1.0]);
        let mut to = [0.0; 4];
        let of_two = [1.0, 2.0, f32::NAN, f32::INFINITY];
        resample(&of_two, 2, &taps, &mut to);
        assert_eq!(to, [0.5, 1.0, 1.0, 2.0]);
    }
}
