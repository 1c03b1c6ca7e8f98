//! With a clock that is made up: every test says what time it is.

use std::num::{NonZeroU32, NonZeroUsize};

use proptest::prelude::*;

use super::*;

mod batching;

const MS: Duration = Duration::from_millis(1);
const FAR: Duration = Duration::from_secs(3600);

fn scheduler<T>(workers: usize, queue: usize) -> Scheduler<T> {
    Scheduler::new(NodeLimits { workers: NonZeroUsize::new(workers).unwrap(), queue })
}

fn weight(weight: u32) -> LaneLimits {
    LaneLimits { weight: NonZeroU32::new(weight).unwrap(), ..LaneLimits::default() }
}

/// Workers that take a lane's time for each of its requests, and lanes that bring them.
struct Node {
    scheduler: Scheduler<Instant>,
    now: Instant,
    ends: Vec<(Instant, WorkId)>,
    /// By lane: how long a request takes, how often one comes, and when the next does.
    lanes: Vec<(LaneId, Duration, Duration, Instant)>,
    /// By lane: how long each that has run had waited.
    waits: Vec<Vec<Duration>>,
    refused: Vec<usize>,
}

impl Node {
    fn new(workers: usize, queue: usize, lanes: &[(LaneLimits, Duration, Duration)]) -> Node {
        let mut scheduler = scheduler(workers, queue);
        let now = Instant::now();
        let lanes: Vec<_> =
            lanes.iter().map(|(limits, takes, every)| (scheduler.add(*limits), *takes, *every, now)).collect();
        let (waits, refused) = (vec![Vec::new(); lanes.len()], vec![0; lanes.len()]);
        Node { scheduler, now, ends: Vec::new(), lanes, waits, refused }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while let Some(Taken { id, lane, work }) = self.scheduler.take(self.now) {
                self.waits[lane.0].push(self.now - work);
                self.ends.push((self.now + self.lanes[lane.0].1, id));
            }
            let next_end = self.ends.iter().map(|(at, _)| *at).min();
            let next_arrival = self.lanes.iter().map(|lane| lane.3).min().unwrap();
            self.now = next_end.map_or(next_arrival, |at| at.min(next_arrival));
            if self.now >= end {
                return;
            }
            let now = self.now;
            for (_, id) in self.ends.extract_if(.., |(at, _)| *at <= now) {
                self.scheduler.complete(now, id);
            }
            for (lane, _, every, next) in &mut self.lanes {
                if *next <= now {
                    *next += *every;
                    if self.scheduler.submit(now, *lane, now + FAR, now).is_err() {
                        self.refused[lane.0] += 1;
                    }
                }
            }
        }
    }

    /// How much of the workers' time each lane has had, relative to the first.
    fn shares(&self) -> Vec<f64> {
        let time = |index: usize| self.waits[index].len() as f64 * self.lanes[index].1.as_secs_f64();
        (0..self.lanes.len()).map(|index| time(index) / time(0)).collect()
    }
}

#[test]
fn lanes_that_want_more_than_there_is_have_time_by_their_weights() {
    let hot = 100 * MS / 1000;
    let lanes = [(weight(1), 5 * MS, hot), (weight(3), 5 * MS, hot), (weight(1), MS, hot)];
    let mut node = Node::new(2, 300, &lanes);
    node.run(Duration::from_secs(10));
    // By time, not by requests: the third's take a fifth as long, and five times as many run.
    for (share, wanted) in node.shares().into_iter().zip([1.0, 3.0, 1.0]) {
        assert!((share / wanted - 1.0).abs() < 0.05, "{share} instead of {wanted}");
    }
}

#[test]
fn a_hot_lane_beside_a_quiet_one_costs_it_no_more_than_the_rest_of_a_request() {
    let lanes = [(weight(1), 2 * MS, MS / 10), (weight(1), 2 * MS, 40 * MS)];
    let mut node = Node::new(2, 50, &lanes);
    node.run(Duration::from_secs(10));
    assert!(node.refused[0] > 10_000, "the hot lane was not: {}", node.refused[0]);
    assert_eq!(node.refused[1], 0);
    let longest = node.waits[1].iter().max().unwrap();
    assert!(*longest <= 2 * MS, "{longest:?}");
}

#[test]
fn what_a_lane_does_not_ask_for_is_not_owed_to_it() {
    let mut scheduler = scheduler::<u32>(1, 1000);
    let (a, b) = (scheduler.add(weight(1)), scheduler.add(weight(1)));
    let mut now = Instant::now();
    let mut order = Vec::new();
    for round in 0..200 {
        scheduler.submit(now, a, now + FAR, 0).unwrap();
        if round == 100 {
            for _ in 0..50 {
                scheduler.submit(now, b, now + FAR, 1).unwrap();
                scheduler.submit(now, a, now + FAR, 0).unwrap();
            }
        }
        let Taken { id, work, .. } = scheduler.take(now).unwrap();
        now += MS;
        scheduler.complete(now, id);
        order.push(work);
    }
    // They take turns from when the second came: it does not go fifty times in a row.
    assert_eq!(order[101..141].iter().sum::<u32>(), 20);
}

#[test]
fn no_more_of_a_lane_run_than_may() {
    let mut scheduler = scheduler::<()>(4, 100);
    let narrow = scheduler.add(LaneLimits { concurrency: NonZeroUsize::new(1), ..weight(1) });
    let wide = scheduler.add(weight(1));
    let now = Instant::now();
    for _ in 0..5 {
        scheduler.submit(now, narrow, now + FAR, ()).unwrap();
    }
    let first = scheduler.take(now).unwrap();
    assert!(scheduler.take(now).is_none(), "a second one runs");
    scheduler.submit(now, wide, now + FAR, ()).unwrap();
    assert_eq!(scheduler.take(now).unwrap().lane, wide);
    scheduler.complete(now + MS, first.id);
    assert_eq!(scheduler.take(now).unwrap().lane, narrow);
}

#[test]
fn a_full_lane_refuses_and_says_when_to_come_again() {
    let mut scheduler = scheduler::<()>(1, 100);
    let lane = scheduler.add(LaneLimits { queue: Some(3), ..weight(1) });
    let mut now = Instant::now();
    scheduler.submit(now, lane, now + FAR, ()).unwrap();
    let taken = scheduler.take(now).unwrap();
    now += 2000 * MS;
    scheduler.complete(now, taken.id);
    // A worker is free, so that one of the four does not wait.
    for _ in 0..4 {
        scheduler.submit(now, lane, now + FAR, ()).unwrap();
    }
    let (_, refusal) = scheduler.submit(now, lane, now + FAR, ()).unwrap_err();
    assert!(matches!(refusal, Refusal::QueueFull { waiting: 4, .. }), "{refusal:?}");
    assert_eq!(refusal.retry_after_seconds(), Some(8));
    scheduler.take(now).unwrap();
    assert!(scheduler.submit(now, lane, now + FAR, ()).is_err(), "three wait, and one runs");
}

#[test]
fn a_full_node_takes_the_place_of_who_has_most_for_its_weight() {
    let mut scheduler = scheduler::<u32>(1, 10);
    let (hot, heavy, quiet) = (scheduler.add(weight(1)), scheduler.add(weight(4)), scheduler.add(weight(1)));
    let now = Instant::now();
    scheduler.submit(now, hot, now + FAR, 0).unwrap();
    scheduler.take(now).unwrap();
    for number in 1..=6 {
        scheduler.submit(now, hot, now + FAR, number).unwrap();
    }
    for number in 10..14 {
        scheduler.submit(now, heavy, now + FAR, number).unwrap();
    }
    let (_, displaced) = scheduler.submit(now, quiet, now + FAR, 20).unwrap();
    let (youngest, refusal) = displaced.unwrap();
    assert_eq!(youngest, 6);
    assert!(matches!(refusal, Refusal::Displaced { waiting: 5, .. }), "{refusal:?}");
    let (_, refusal) = scheduler.submit(now, hot, now + FAR, 7).unwrap_err();
    assert!(matches!(refusal, Refusal::QueueFull { waiting: 10, .. }), "{refusal:?}");
    assert_eq!((scheduler.depth(hot).0, scheduler.depth(heavy).0, scheduler.depth(quiet).0), (5, 4, 1));
}

#[test]
fn who_would_be_too_late_is_refused_at_once() {
    let mut scheduler = scheduler::<()>(1, 100);
    let lane = scheduler.add(LaneLimits { queue_deadline: Some(250 * MS), ..weight(1) });
    let mut now = Instant::now();
    scheduler.submit(now, lane, now + FAR, ()).unwrap();
    let taken = scheduler.take(now).unwrap();
    now += 100 * MS;
    scheduler.complete(now, taken.id);
    // Each takes 100 ms: one runs, one waits for 100 ms, one for 200.
    scheduler.submit(now, lane, now + FAR, ()).unwrap();
    let taken = scheduler.take(now).unwrap();
    scheduler.submit(now, lane, now + FAR, ()).unwrap();
    // It could wait, but would have no time left to run.
    let (_, refusal) = scheduler.submit(now, lane, now + 250 * MS, ()).unwrap_err();
    assert!(matches!(refusal, Refusal::TooLate { allowed, .. } if allowed == 150 * MS), "{refusal:?}");
    scheduler.submit(now, lane, now + FAR, ()).unwrap();
    let (_, refusal) = scheduler.submit(now, lane, now + FAR, ()).unwrap_err();
    let Refusal::TooLate { wait, allowed, retry_after } = refusal else { panic!("{refusal:?}") };
    assert_eq!((wait, allowed, retry_after), (300 * MS, 250 * MS, 50 * MS));
    // Half of what runs is done.
    now += 50 * MS;
    assert_eq!(scheduler.expected_wait(now, lane), 250 * MS);
    scheduler.submit(now, lane, now + FAR, ()).unwrap();
    scheduler.complete(now, taken.id);
}

#[test]
fn nobody_is_refused_for_a_wait_that_there_is_not() {
    let mut scheduler = scheduler::<()>(1, 100);
    let lane = scheduler.add(LaneLimits { queue_deadline: Some(MS), ..weight(1) });
    let mut now = Instant::now();
    for _ in 0..3 {
        // It takes longer than it may, every time; but it may try.
        scheduler.submit(now, lane, now + 10 * MS, ()).unwrap();
        let taken = scheduler.take(now).unwrap();
        now += 100 * MS;
        scheduler.complete(now, taken.id);
    }
}

#[test]
fn a_deadline_that_has_passed_is_told_at_once() {
    let mut scheduler = scheduler::<()>(1, 100);
    let lane = scheduler.add(weight(1));
    let now = Instant::now();
    assert_eq!(scheduler.submit(now, lane, now, ()).unwrap_err().1, Refusal::Expired);
    assert_eq!(Refusal::Expired.retry_after_seconds(), None);
}

#[test]
fn who_goes_away_frees_a_place() {
    let mut scheduler = scheduler::<u32>(1, 2);
    let lane = scheduler.add(weight(1));
    let now = Instant::now();
    let ids: Vec<_> = (0..3).map(|number| scheduler.submit(now, lane, now + FAR, number).unwrap().0).collect();
    assert!(scheduler.submit(now, lane, now + FAR, 3).is_err());
    assert_eq!(scheduler.cancel(lane, ids[1]), Some(1));
    assert_eq!(scheduler.cancel(lane, ids[1]), None);
    scheduler.submit(now, lane, now + FAR, 4).unwrap();
    assert_eq!(scheduler.take(now).unwrap().work, 0);
    assert_eq!(scheduler.cancel(lane, ids[0]), None, "what runs cannot be taken back");
}

#[derive(Clone, Debug)]
enum Step {
    Submit(usize, u32),
    Take,
    Complete(usize),
    Cancel(usize),
    Wait(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_usize, 0..50_u32).prop_map(|(lane, deadline)| Step::Submit(lane, deadline)),
        3 => Just(Step::Take),
        2 => (0..8_usize).prop_map(Step::Complete),
        1 => (0..8_usize).prop_map(Step::Cancel),
        2 => (0..20_u32).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    /// Whatever happens: limits hold, no request is lost or doubled, a lane's go in the order in which they came, and no
    /// worker rests while something could run.
    #[test]
    fn no_request_is_lost_and_every_limit_holds(steps in steps(), workers in 1..4_usize, queue in 1..6_usize) {
        let mut scheduler = scheduler::<usize>(workers, queue);
        let limits = [
            weight(1),
            LaneLimits { concurrency: NonZeroUsize::new(1), ..weight(3) },
            LaneLimits { queue: Some(2), queue_deadline: Some(10 * MS), ..weight(2) },
        ];
        let lanes = limits.map(|limits| scheduler.add(limits));
        let mut now = Instant::now();
        let (mut waiting, mut running) = (Vec::<(WorkId, usize, usize)>::new(), Vec::<(WorkId, usize)>::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Submit(lane, deadline) => match scheduler.submit(now, lanes[lane], now + deadline * MS, number) {
                    Ok((id, displaced)) => {
                        if let Some((work, _)) = displaced {
                            let index = waiting.iter().position(|entry| entry.2 == work).unwrap();
                            prop_assert_ne!(waiting[index].1, lane);
                            waiting.remove(index);
                        }
                        waiting.push((id, lane, number));
                    }
                    Err((work, _)) => prop_assert_eq!(work, number),
                },
                Step::Take => match scheduler.take(now) {
                    Some(Taken { id, lane, work }) => {
                        let index = waiting.iter().position(|entry| entry.1 == lane.0).unwrap();
                        prop_assert_eq!(waiting.remove(index), (id, lane.0, work));
                        running.push((id, lane.0));
                    }
                    None => {
                        let narrow = running.iter().filter(|entry| entry.1 == 1).count();
                        let could = waiting.iter().any(|entry| entry.1 != 1 || narrow == 0);
                        prop_assert!(running.len() == workers || !could);
                    }
                },
                Step::Complete(index) if index < running.len() => scheduler.complete(now, running.remove(index).0),
                Step::Cancel(index) if index < waiting.len() => {
                    let (id, lane, number) = waiting.remove(index);
                    prop_assert_eq!(scheduler.cancel(lanes[lane], id), Some(number));
                }
                Step::Wait(time) => now += time * MS,
                Step::Complete(_) | Step::Cancel(_) => {}
            }
            prop_assert_eq!(scheduler.waiting(), waiting.len());
            prop_assert!(running.len() <= workers);
            prop_assert!(running.iter().filter(|entry| entry.1 == 1).count() <= 1);
            prop_assert!(waiting.len() <= queue + workers);
            for (lane, id) in lanes.iter().enumerate() {
                let count = |of: usize| waiting.iter().filter(|entry| entry.1 == of).count();
                prop_assert_eq!(scheduler.depth(*id).0, count(lane));
                prop_assert!(scheduler.expected_wait(now, *id) < FAR);
            }
        }
    }
}

#[test]
fn who_has_a_reply_may_come_again_at_once() {
    let mut scheduler = scheduler::<u32>(1, 0);
    let lane = scheduler.add(LaneLimits { concurrency: NonZeroUsize::new(1), ..weight(1) });
    let mut now = Instant::now();
    for round in 0..3 {
        scheduler.submit(now, lane, now + 2 * MS, round).unwrap();
        if round > 0 {
            // The worker is not ready yet.
            assert!(scheduler.take(now).is_none());
        }
        let busy = round.checked_sub(1).map(u64::from).map(WorkId);
        busy.into_iter().for_each(|id| scheduler.complete(now, id));
        let id = scheduler.take(now).unwrap().id;
        assert!(scheduler.submit(now, lane, now + 2 * MS, 9).is_err(), "it runs");
        now += 2 * MS;
        scheduler.answered(id);
        assert_eq!(scheduler.expected_wait(now, lane), Duration::ZERO);
    }
    assert_eq!(scheduler.depth(lane), (0, 1));
}
