//! Cells of recurrent layers: what is done with the sums of one step.

use crate::functions::{sigmoid, tanh};
use crate::vector::F32x4;

/// What an LSTM (Hochreiter and Schmidhuber, 1997, <https://doi.org/10.1162/neco.1997.9.8.1735>) makes of a step, for one item of
/// the batch: `gates` are the sums of its input, output, forget and cell gates, in ONNX's order, `hidden` numbers each;
/// `cell` is the state before. Writes the hidden state and the state.
///
/// # Safety
///
/// There are four times `hidden` numbers at `gates` and `hidden` at `cell`, and there is room for as many at `to_hidden` and
/// at `to_cell`.
pub unsafe fn lstm(hidden: usize, gates: *const f32, cell: *const f32, to_hidden: *mut f32, to_cell: *mut f32) {
    for first in (0..hidden).step_by(4) {
        let count = (hidden - first).min(4);
        // SAFETY: as the caller says.
        unsafe {
            let [input, output, forget, new] =
                [0, 1, 2, 3].map(|gate| F32x4::load_some(gates.add(gate * hidden + first), count));
            let before = F32x4::load_some(cell.add(first), count);
            let after = sigmoid(forget).mul_add(before, sigmoid(input) * tanh(new));
            after.store_some(to_cell.add(first), count);
            (sigmoid(output) * tanh(after)).store_some(to_hidden.add(first), count);
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
        fn a_step_is_what_its_gates_say(hidden in 1..23_usize, seed in 0..1000_u32) {
            let gates: Vec<f32> = numbers(seed, 4 * hidden).into_iter().map(|x| 6.0 * x).collect();
            let before = numbers(seed + 1, hidden);
            let mut states = [vec![f32::NAN; hidden + 1], vec![f32::NAN; hidden + 1]];
            let [to_hidden, to_cell] = states.each_mut().map(|state| state.as_mut_ptr());
            // SAFETY: there are as many numbers, and as much room.
            unsafe { lstm(hidden, gates.as_ptr(), before.as_ptr(), to_hidden, to_cell) };
            let plain = |x: f64| 1.0 / (1.0 + (-x).exp());
            for at in 0..hidden {
                let [input, output, forget, new] = [0, 1, 2, 3].map(|gate| f64::from(gates[gate * hidden + at]));
                let after = plain(forget) * f64::from(before[at]) + plain(input) * new.tanh();
                let expected = [plain(output) * after.tanh(), after];
                for (state, expected) in states.iter().zip(expected) {
                    prop_assert!((f64::from(state[at]) - expected).abs() < 1e-6, "{} {expected}", state[at]);
                }
            }
            prop_assert!(states.iter().all(|state| state[hidden].is_nan()), "nothing else is written to");
        }
    }
}
