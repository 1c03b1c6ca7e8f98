//! Medians of durations.

use std::time::Duration;

/// The value below which a share of the samples lies, from 0 to 1.
///
/// # Panics
///
/// Without samples.
pub fn quantile(samples: &[Duration], share: f64) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().checked_sub(1).expect("no samples");
    sorted[(last as f64 * share).round() as usize]
}

/// The value in the middle.
pub fn median(samples: &[Duration]) -> Duration {
    quantile(samples, 0.5)
}

/// A duration in milliseconds.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A duration for people.
pub fn show(duration: Duration) -> String {
    match milliseconds(duration) {
        ms if ms < 0.1 => format!("{:.1} µs", ms * 1e3),
        ms if ms < 1.0 => format!("{:.0} µs", ms * 1e3),
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 1000.0 => format!("{ms:.1} ms"),
        ms => format!("{:.2} s", ms / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let samples: Vec<Duration> = [5, 1, 4, 2, 3].map(Duration::from_millis).into();
        assert_eq!(median(&samples), Duration::from_millis(3));
        assert_eq!(quantile(&samples, 0.0), Duration::from_millis(1));
        assert_eq!(quantile(&samples, 1.0), Duration::from_millis(5));
    }

    #[test]
    fn durations_are_shown_in_a_fitting_unit() {
        let shown = [15, 150, 1_500, 41_000, 2_500_000].map(|us| show(Duration::from_micros(us)));
        assert_eq!(shown, ["15.0 µs", "150 µs", "1.50 ms", "41.0 ms", "2.50 s"]);
    }
}
