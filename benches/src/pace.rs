//! How evenly the machine computes. What else runs on the hardware of a virtual machine slows its cores down, and no clock that it has
//! tells: only that the same work takes longer.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::statistics::median;

/// Numbers that are multiplied and added, of two arrays in the first cache: a core's ports for that, for loads and for stores are all
/// busy, as kernels keep them, and what shares the core makes it slower by as much.
const NUMBERS: usize = 2048;
/// How often they are: for about a millisecond.
const TIMES: usize = 4_000;

/// How long the same work took, again and again, while something was measured, and then something else.
#[derive(Debug, Default)]
pub struct Pace(Vec<(String, Vec<Duration>)>);

impl Pace {
    /// What is measured from now on.
    pub fn begin(&mut self, name: &str) {
        self.0.push((name.to_owned(), Vec::new()));
    }

    /// Works once more.
    pub fn take(&mut self) {
        let (mut sums, summands) = (black_box([1.0_f32; NUMBERS]), black_box([0.5_f32; NUMBERS]));
        let start = Instant::now();
        for _ in 0..TIMES {
            let factor = black_box(0.999_f32);
            for (sum, summand) in sums.iter_mut().zip(&summands) {
                *sum = *sum * factor + summand;
            }
        }
        black_box(sums);
        if let Some((_, times)) = self.0.last_mut() {
            times.push(start.elapsed());
        }
    }

    /// By how much the median of the work's times was longer than the least of all while each was measured: 0.1 is a tenth.
    pub fn lags(&self) -> BTreeMap<String, f64> {
        let Some(least) = self.0.iter().flat_map(|(_, times)| times).min() else { return BTreeMap::new() };
        let lag = |times: &[Duration]| median(times).as_secs_f64() / least.as_secs_f64() - 1.0;
        let taken = self.0.iter().filter(|(_, times)| !times.is_empty());
        taken.map(|(name, times)| (name.clone(), lag(times))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lags_behind_the_least_of_all() {
        let times = |times: &[u64]| times.iter().map(|time| Duration::from_secs(*time)).collect();
        let mut pace =
            Pace(vec![("even".to_owned(), times(&[9, 8, 8])), ("uneven".to_owned(), times(&[12, 13, 10, 14, 8]))]);
        assert_eq!(pace.lags(), BTreeMap::from([("even".to_owned(), 0.0), ("uneven".to_owned(), 0.5)]));
        pace.begin("nothing");
        assert_eq!(pace.lags().len(), 2);
        pace.take();
        assert_eq!(pace.lags().get("nothing"), Some(&0.0), "what was taken is the least: {pace:?}");
        assert!(Pace::default().lags().is_empty());
    }
}
