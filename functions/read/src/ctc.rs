//! From the model's output to text: the best path of connectionist temporal classification (Graves et al., 2006,
//! section 3.2), as RapidOCR's `CTCLabelDecode` reads it.

use samara_function::{Problem, Tensor};

/// The class that stands for no character.
const BLANK: usize = 0;

/// What was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The text.
    pub text: String,
    /// The mean probability of its characters, 0 to 1; 0 where there are none.
    pub confidence: f64,
}

/// Reads the text of the first line in a batch.
///
/// `output` is FP32[batch, steps, classes], with the probability of each class at each step. The likeliest class of each
/// step is taken; what repeats the step before is dropped, and so are blanks. `characters` names the classes.
///
/// # Errors
///
/// 500 if the output has another shape, or other than as many classes as there are characters.
pub fn read(output: &Tensor, characters: &[String]) -> Result<Reading, Problem> {
    let &[batch, _, classes] = &*output.shape else {
        return Err(Problem::internal(format!(
            "the model's output has the shape {:?}, not [-1,-1,6625]",
            output.shape
        )));
    };
    if batch != 1 || classes != characters.len() as u64 {
        let detail = format!("the model's output is {:?}, but there are {} characters", output.shape, characters.len());
        return Err(Problem::internal(detail));
    }
    let probabilities = output.to_fp32()?;
    let (mut text, mut sum, mut count) = (String::new(), 0.0, 0_u32);
    let mut before = BLANK;
    for step in probabilities.chunks_exact(characters.len().max(1)) {
        let (class, probability) = likeliest(step);
        if class != BLANK && class != before {
            text.push_str(characters.get(class).map_or("", |character| character));
            sum += f64::from(probability);
            count += 1;
        }
        before = class;
    }
    let confidence = if count == 0 { 0.0 } else { sum / f64::from(count) };
    Ok(Reading { text, confidence })
}

/// The first of the likeliest classes.
fn likeliest(step: &[f32]) -> (usize, f32) {
    step.iter().copied().enumerate().fold((BLANK, f32::NEG_INFINITY), |best, (class, probability)| {
        if probability > best.1 { (class, probability) } else { best }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output over the classes blank, a, b and space, with these classes the likeliest.
    fn output(path: &[(usize, f32)]) -> Tensor {
        let mut values = vec![0.0; 4 * path.len()];
        for (step, &(class, probability)) in values.chunks_mut(4).zip(path) {
            step[class] = probability;
        }
        Tensor::fp32("y", &[1, path.len() as u64, 4], &values).unwrap()
    }

    fn characters() -> Vec<String> {
        ["<blank>", "a", "b", " "].map(str::to_owned).to_vec()
    }

    #[test]
    fn repetitions_and_blanks_are_dropped() {
        let path = [(1, 0.5), (1, 0.9), (0, 0.9), (1, 0.25), (3, 1.0), (2, 0.75), (2, 0.1), (0, 1.0)];
        let reading = read(&output(&path), &characters()).unwrap();
        assert_eq!(reading, Reading { text: "aa b".to_owned(), confidence: 0.625 });
    }

    #[test]
    fn nothing_is_read_where_nothing_is() {
        for path in [&[][..], &[(0, 1.0), (0, 0.5)]] {
            assert_eq!(read(&output(path), &characters()).unwrap(), Reading { text: String::new(), confidence: 0.0 });
        }
    }

    #[test]
    fn what_does_not_fit_is_a_fault_of_the_model() {
        let output = output(&[(1, 1.0)]);
        assert_eq!(read(&output, &characters()[1..]).unwrap_err().status(), 500);
        let flat = Tensor::fp32("y", &[1, 4], &[0.0; 4]).unwrap();
        assert_eq!(read(&flat, &characters()).unwrap_err().status(), 500);
        let batch = Tensor::fp32("y", &[2, 1, 4], &[0.0; 8]).unwrap();
        assert_eq!(read(&batch, &characters()).unwrap_err().status(), 500);
    }
}
