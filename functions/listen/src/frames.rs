//! The probability of speech in each frame of a sound.
//!
//! The model listens to 512 samples at a time, 32 ms, with the 64 before them in front (zeros at first), and remembers
//! what it heard in a state that goes from one frame to the next (zeros at first). The last frame is filled up with
//! zeros. So does `OnnxWrapper` in silero_vad/utils_vad.py of the Python package silero-vad 6.2.3.

use samara_function::{Model, Problem, Tensor};

/// How many samples a frame has.
pub const FRAME: usize = 512;

/// How many samples from before a frame go in with it.
const CONTEXT: usize = 64;

const STATE: [u64; 3] = [2, 1, 128];

/// The probability of speech in each frame of [`FRAME`] samples, from 0 to 1.
///
/// # Errors
///
/// The model's; 422 where a probability is no number.
pub fn probabilities(model: &dyn Model, samples: &[f32]) -> Result<Vec<f32>, Problem> {
    let mut input = [0.0_f32; CONTEXT + FRAME];
    let mut state = Tensor::fp32("state", &STATE, &[0.0; 256])?;
    let mut probabilities = Vec::with_capacity(samples.len().div_ceil(FRAME));
    for (index, frame) in samples.chunks(FRAME).enumerate() {
        input.copy_within(FRAME.., 0);
        for (slot, sample) in input.iter_mut().skip(CONTEXT).zip(frame.iter().chain(std::iter::repeat(&0.0))) {
            *slot = *sample;
        }
        let input = Tensor::fp32("input", &[1, input.len() as u64], &input)?;
        let outputs = model.infer(vec![input, state], &["output", "stateN"])?;
        let Ok([output, next]) = <[Tensor; 2]>::try_from(outputs) else {
            return Err(Problem::internal("the model gave other than the two outputs that it was asked for"));
        };
        probabilities.push(probability(&output, index)?);
        state = Tensor { name: "state".to_owned(), ..next };
    }
    Ok(probabilities)
}

fn probability(output: &Tensor, frame: usize) -> Result<f32, Problem> {
    match *output.to_fp32()? {
        [probability] if (0.0..=1.0).contains(&probability) => Ok(probability),
        [other] => {
            let at = (frame * FRAME) as f64 / f64::from(crate::resample::MODEL_RATE);
            let detail = format!("at {at:.3} seconds, the model gives {other} where it should give a probability");
            Err(Problem::unprocessable(format!("{detail}: the samples there are too large")))
        }
        _ => Err(Problem::internal("the model gave other than one probability for a frame")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use samara_function::testing::FakeModel;

    use super::*;

    fn outputs(probability: f32, state: f32) -> Vec<Tensor> {
        let output = Tensor::fp32("output", &[1, 1], &[probability]).unwrap();
        vec![output, Tensor::fp32("stateN", &STATE, &[state; 256]).unwrap()]
    }

    #[test]
    fn frames_come_with_what_was_before_them() {
        let samples: Vec<f32> = (1..=1100).map(|number| number as f32 / 2048.0).collect();
        let calls = Rc::new(Cell::new(0));
        let (counted, sound) = (calls.clone(), samples.clone());
        let model = FakeModel::new(move |inputs| {
            let call = counted.replace(counted.get() + 1);
            let at =
                |index: isize| usize::try_from(index).ok().and_then(|index| sound.get(index)).copied().unwrap_or(0.0);
            let input: Vec<f32> = (0..576).map(|index| at(call * 512 - 64 + index)).collect();
            let state = Tensor::fp32("state", &STATE, &[call as f32; 256]).unwrap();
            assert_eq!(inputs, [Tensor::fp32("input", &[1, 576], &input).unwrap(), state], "frame {call}");
            Ok(outputs(call as f32 / 4.0, (call + 1) as f32))
        });
        assert_eq!(probabilities(&model, &samples).unwrap(), [0.0, 0.25, 0.5]);
        assert_eq!(calls.get(), 3);
    }

    #[test]
    fn no_samples_make_no_frames() {
        assert_eq!(probabilities(&FakeModel::unasked(), &[]).unwrap(), [0.0; 0]);
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        for value in [f32::NAN, -0.1, 1.1] {
            let model = FakeModel::new(move |_| Ok(outputs(value, 0.0)));
            let problem = probabilities(&model, &[0.0; 512]).unwrap_err();
            assert_eq!(problem.status(), 422);
            assert!(problem.detail().starts_with(&format!("at 0.000 seconds, the model gives {value}")), "{problem}");
        }
        let model = FakeModel::new(|_| {
            let output = Tensor::fp32("output", &[2], &[0.5; 2]).unwrap();
            Ok(vec![output, outputs(0.0, 0.0).remove(1)])
        });
        assert_eq!(probabilities(&model, &[0.0; 512]).unwrap_err().status(), 500);
    }
}
