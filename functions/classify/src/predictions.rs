//! From scores to the likeliest classes.

use samara_function::Problem;
use serde::Serialize;

/// A class and how likely it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The class's name; its index if the model has no labels.
    pub label: String,
    /// Its index among the model's classes, from 0.
    pub index: usize,
    /// Its probability, 0 to 1.
    pub probability: f64,
}

/// The likeliest classes, the likeliest first, of equals the one with the smaller index.
///
/// `logits` has one score for each class. The probabilities are their softmax, exp(x - max) / Σ exp(x - max).
///
/// # Errors
///
/// 500 if there are other than as many labels as scores, or a score that is no number.
pub fn best(logits: &[f32], labels: &[String], count: usize) -> Result<Vec<Prediction>, Problem> {
    if !labels.is_empty() && labels.len() != logits.len() {
        let detail = format!("the model has {} labels for {} classes", labels.len(), logits.len());
        return Err(Problem::internal(detail));
    }
    if let Some(index) = logits.iter().position(|logit| !logit.is_finite()) {
        return Err(Problem::internal(format!("the model's score for class {index} is no number")));
    }
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponential = |logit: f32| (f64::from(logit) - f64::from(most)).exp();
    let sum: f64 = logits.iter().map(|&logit| exponential(logit)).sum();

    let mut ranked: Vec<(usize, f32)> = logits.iter().copied().enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let predictions = ranked.into_iter().take(count).map(|(index, logit)| Prediction {
        label: labels.get(index).cloned().unwrap_or_else(|| index.to_string()),
        index,
        probability: exponential(logit) / sum,
    });
    Ok(predictions.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_come_first() {
        let labels = ["a", "b", "c", "d"].map(str::to_owned);
        let found = best(&[1.0, 1000.0, 1.0, 999.0], &labels, 3).unwrap();
        let names: Vec<_> = found.iter().map(|prediction| (&*prediction.label, prediction.index)).collect();
        assert_eq!(names, [("b", 1), ("d", 3), ("a", 0)]);
        assert!((found[0].probability - 0.731_058_578_63).abs() < 1e-9);
        assert_eq!(found[2].probability, 0.0);
        assert_eq!(best(&[0.0, 0.0], &[], 5).unwrap()[1], Prediction { label: "1".into(), index: 1, probability: 0.5 });
    }

    #[test]
    fn what_does_not_fit_is_a_fault_of_the_model() {
        assert_eq!(best(&[1.0], &["a".into(), "b".into()], 1).unwrap_err().status(), 500);
        assert_eq!(best(&[1.0, f32::NAN], &[], 1).unwrap_err().status(), 500);
    }
}
