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

/// By how much longer than the least the work may take on a machine that is quiet.
const EVEN: f64 = 1.1;
/// After what was measured, one of so many shows that the machine is still quiet: others take a core for half a millisecond anywhere.
const SAMPLES: usize = 3;

/// How long the same work took, again and again, while something was measured, and then something else.
#[derive(Debug, Default)]
pub struct Pace {
    noted: Vec<(String, Vec<Duration>)>,
    least: Option<Duration>,
    waited: Duration,
}

impl Pace {
    /// What is measured from now on.
    pub fn begin(&mut self, name: &str) {
        self.noted.push((name.to_owned(), Vec::new()));
    }

    /// Works once.
    fn work(&mut self) -> Duration {
        let (mut sums, summands) = (black_box([1.0_f32; NUMBERS]), black_box([0.5_f32; NUMBERS]));
        let start = Instant::now();
        for _ in 0..TIMES {
            let factor = black_box(0.999_f32);
            for (sum, summand) in sums.iter_mut().zip(&summands) {
                *sum = *sum * factor + summand;
            }
        }
        black_box(sums);
        let time = start.elapsed();
        self.least = Some(self.least.map_or(time, |least| least.min(time)));
        time
    }

    fn is_even(&self, time: Duration) -> bool {
        self.least.is_none_or(|least| time.as_secs_f64() <= least.as_secs_f64() * EVEN)
    }

    /// Measures something once the machine is quiet, and again, up to so many times in all, where it was not afterwards. What is
    /// spent on both comes off the patience; when there is none left, what is measured counts as it is.
    pub fn quietly<T>(&mut self, tries: usize, patience: &mut Duration, mut measure: impl FnMut() -> T) -> T {
        let mut number = 0;
        loop {
            number += 1;
            let start = Instant::now();
            let mut before = self.work();
            while !self.is_even(before) && start.elapsed() < *patience {
                before = self.work();
            }
            let measured_from = Instant::now();
            let measured = measure();
            let all = measured_from.elapsed();
            let after: [Duration; SAMPLES] = std::array::from_fn(|_| self.work());
            let spent = measured_from.duration_since(start);
            let counts = after.iter().any(|time| self.is_even(*time)) || number >= tries || *patience <= spent;
            let lost = if counts { spent } else { spent + all };
            self.waited += lost;
            *patience = patience.saturating_sub(lost);
            if counts {
                if let Some((_, times)) = self.noted.last_mut() {
                    times.extend([before, after[0]]);
                }
                return measured;
            }
        }
    }

    /// How long was waited for the machine to be quiet, and spent on what did not count.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// By how much the median of the work's times, before and after what counted, was longer than the least of all while each was
    /// measured: 0.1 is a tenth.
    pub fn lags(&self) -> BTreeMap<String, f64> {
        let Some(least) = self.least else { return BTreeMap::new() };
        let lag = |times: &[Duration]| median(times).as_secs_f64() / least.as_secs_f64() - 1.0;
        let taken = self.noted.iter().filter(|(_, times)| !times.is_empty());
        taken.map(|(name, times)| (name.clone(), lag(times))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lags_behind_the_least_of_all() {
        let times = |times: &[u64]| times.iter().map(|time| Duration::from_secs(*time)).collect();
        let noted = vec![("even".to_owned(), times(&[9, 8, 8])), ("uneven".to_owned(), times(&[12, 13, 10, 14, 8]))];
        let mut pace = Pace { noted, least: Some(Duration::from_secs(8)), ..Pace::default() };
        assert_eq!(pace.lags(), BTreeMap::from([("even".to_owned(), 0.0), ("uneven".to_owned(), 0.5)]));
        pace.begin("nothing");
        assert_eq!(pace.lags().len(), 2);
        assert!(Pace::default().lags().is_empty());
    }

    #[test]
    fn what_is_disturbed_is_measured_again_while_there_is_patience() {
        let mut pace = Pace { least: Some(Duration::ZERO), ..Pace::default() };
        pace.begin("never quiet");
        let mut count = 0;
        let mut measure = |tries, mut patience: Duration| {
            count = 0;
            let last = pace.quietly(tries, &mut patience, || {
                count += 1;
                count
            });
            assert_eq!(last, count);
            (count, patience)
        };
        assert_eq!(measure(3, Duration::ZERO), (1, Duration::ZERO), "there was no patience");
        let (count, left) = measure(1, Duration::from_millis(5));
        assert_eq!((count, left), (1, Duration::ZERO), "it waits, then measures");
        assert!(pace.waited() >= Duration::from_millis(5));
        assert!(pace.lags().contains_key("never quiet"));
    }
}
