//! Measures peers by turns, so that what disturbs one disturbs all.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::peer::Peer;
use crate::pace::Pace;
use crate::statistics::median;

/// How long each peer runs in one turn.
const TURN: Duration = Duration::from_millis(100);
/// How many turns there are.
const TURNS: u32 = 30;
/// For how long turns begin: on a busy machine there are fewer of them.
const PATIENCE: Duration = Duration::from_secs(30);
/// For how long, in all, turns wait for the machine to be quiet, or are taken again where it was not.
pub const WAIT: Duration = Duration::from_secs(60);
/// How often a turn is taken at the most.
const TRIES: usize = 5;
/// The fewest runs, however long they take.
const MIN_RUNS: u32 = 7;
/// The most runs in one turn, however short they are.
const MAX_RUNS: f64 = 2_000.0;
/// Longer runs than this are none the slower for what others have left in the processor's caches.
const LONG: Duration = Duration::from_millis(500);
/// For how long each peer runs before it counts: compilers at run time are then done, and memory is there.
const WARM_UP: Duration = Duration::from_millis(400);

/// A peer in the middle of being measured.
pub struct Entry {
    peer: Box<dyn Peer>,
    /// How many runs a turn has.
    count: usize,
    /// Whether the first run of a turn counts.
    long: bool,
    /// How long the runs took that count.
    spent: Duration,
    times: Result<Vec<Duration>>,
}

impl Entry {
    /// A peer that will take part.
    pub fn new(peer: Box<dyn Peer>) -> Entry {
        Entry { peer, count: 1, long: false, spent: Duration::ZERO, times: Ok(Vec::new()) }
    }

    /// How long each run took, or why there are none.
    pub fn times(self) -> Result<Vec<Duration>> {
        self.times
    }

    /// Runs until it is warm, and finds out how many runs fit into a turn.
    fn warm_up(&mut self) {
        let (start, mut count) = (Instant::now(), 1);
        loop {
            match self.peer.time(count) {
                Ok(times) => {
                    let time = median(&times);
                    self.long = time > LONG;
                    self.count = (TURN.as_secs_f64() / time.as_secs_f64().max(1e-9)).clamp(1.0, MAX_RUNS) as usize;
                }
                Err(error) => {
                    self.times = Err(error);
                    return;
                }
            }
            if start.elapsed() >= WARM_UP {
                return;
            }
            count = self.count.min(count * 4);
        }
    }

    /// Whether it has had less than its share before this turn.
    fn is_due(&self, turn: u32) -> bool {
        let Ok(times) = &self.times else { return false };
        self.spent < TURN * (turn + 1) || (times.len() as u32) * TURNS < MIN_RUNS * (turn + 1)
    }

    /// Runs until it has had the fewest runs that there may be.
    fn make_up(&mut self, pace: &mut Pace, patience: &mut Duration) {
        while self.times.as_ref().is_ok_and(|times| times.len() < MIN_RUNS as usize) {
            self.take_turn(pace, patience);
        }
    }

    fn take_turn(&mut self, pace: &mut Pace, patience: &mut Duration) {
        // Another peer had the caches of the processor.
        let uncounted = usize::from(!self.long);
        let measured = pace.quietly(TRIES, patience, || self.peer.time(self.count + uncounted));
        match (measured, &mut self.times) {
            (Ok(new), Ok(times)) => {
                let new = &new[uncounted.min(new.len())..];
                self.spent += new.iter().sum::<Duration>();
                times.extend(new);
            }
            (Err(error), times) => *times = Err(error),
            (Ok(_), Err(_)) => {}
        }
    }
}

/// Measures all of them: so many turns, or as many as begin within half a minute, not counting for how long they wait, which is no longer
/// than `wait` in all.
pub fn measure(entries: &mut [Entry], pace: &mut Pace, wait: Duration) {
    entries.iter_mut().for_each(Entry::warm_up);
    let (start, mut patience) = (Instant::now(), wait);
    for turn in 0..TURNS {
        if start.elapsed() >= PATIENCE + (wait - patience) {
            break;
        }
        // Nobody always comes after the same one.
        let first = turn as usize % entries.len().max(1);
        let (before, after) = entries.split_at_mut(first);
        let due = after.iter_mut().chain(before).filter(|entry| entry.is_due(turn));
        due.for_each(|entry| entry.take_turn(pace, &mut patience));
    }
    entries.iter_mut().for_each(|entry| entry.make_up(pace, &mut patience));
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;
    use crate::tensor::Tensor;

    /// A peer that says how long its runs take.
    struct Says(Duration);

    impl Peer for Says {
        fn outputs(&mut self) -> Result<Vec<Tensor>> {
            Ok(Vec::new())
        }

        fn time(&mut self, count: usize) -> Result<Vec<Duration>> {
            if self.0.is_zero() {
                bail!("it cannot");
            }
            std::thread::sleep(Duration::from_millis(1));
            Ok(vec![self.0; count])
        }
    }

    #[test]
    fn slow_peers_have_their_runs_and_failures_stop_nobody() {
        let entries = [Duration::from_secs(5), Duration::ZERO, Duration::from_millis(10)];
        let mut entries = entries.map(|time| Entry::new(Box::new(Says(time))));
        measure(&mut entries, &mut Pace::default(), Duration::ZERO);
        let [slow, failing, fast] = entries.map(Entry::times);
        assert!(slow.expect("times").len() >= MIN_RUNS as usize);
        assert_eq!(failing.expect_err("a reason").to_string(), "it cannot");
        // Ten runs fit into each turn, and one more before them does not count.
        assert_eq!(fast.expect("times").len(), 10 * TURNS as usize);
    }
}
