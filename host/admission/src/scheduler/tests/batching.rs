//! Requests that run together.

use super::*;
use crate::Batching;

fn batching(max_size: usize, max_delay: Duration) -> LaneLimits {
    let batching = Batching { max_size: NonZeroUsize::new(max_size).unwrap(), max_delay };
    LaneLimits { batching: Some(batching), ..weight(1) }
}

/// Takes a request and all that run with it, as a worker does that finds them all alike.
fn take_batch<T>(scheduler: &mut Scheduler<T>, now: Instant, max_size: usize) -> Option<(WorkId, Vec<T>)> {
    let Taken { id, work, .. } = scheduler.take(now)?;
    let mut works = vec![work];
    while let Some(joined) = max_size.checked_sub(works.len()).and_then(|room| scheduler.join(id, room)) {
        works.push(joined.work);
    }
    Some((id, works))
}

#[test]
fn who_waits_runs_together_in_the_order_of_arrival() {
    let mut scheduler = scheduler::<u32>(1, 100);
    let lane = scheduler.add(batching(4, Duration::ZERO));
    let now = Instant::now();
    for number in 0..10 {
        scheduler.submit(now, lane, now + FAR, number).unwrap();
    }
    let mut batches = Vec::new();
    while let Some((id, batch)) = take_batch(&mut scheduler, now, 4) {
        assert_eq!(scheduler.depth(lane).1, batch.len());
        assert!(scheduler.take(now).is_none(), "one batch is one run");
        scheduler.complete(now + MS, id);
        batches.push(batch);
    }
    assert_eq!(batches, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
}

#[test]
fn a_batch_goes_when_it_is_full_or_its_oldest_has_waited_long_enough() {
    let mut scheduler = scheduler::<u32>(2, 100);
    let (lane, other) = (scheduler.add(batching(3, 10 * MS)), scheduler.add(weight(1)));
    let start = Instant::now();
    scheduler.submit(start, lane, start + FAR, 0).unwrap();
    scheduler.submit(start + 6 * MS, lane, start + FAR, 1).unwrap();
    let now = start + 9 * MS;
    assert!(scheduler.take(now).is_none() && !scheduler.is_wanted(now), "it waits for a third");
    assert_eq!(scheduler.next_due(), Some(start + 10 * MS));
    // Others have the workers meanwhile.
    scheduler.submit(now, other, now + FAR, 9).unwrap();
    let taken = scheduler.take(now).unwrap();
    assert_eq!((taken.work, scheduler.expected_wait(now, lane)), (9, Duration::ZERO));
    scheduler.complete(now, taken.id);
    let (id, batch) = take_batch(&mut scheduler, start + 10 * MS, 3).unwrap();
    assert_eq!(batch, [0, 1]);
    scheduler.complete(start + 11 * MS, id);
    let now = start + 20 * MS;
    for number in 2..5 {
        assert!(scheduler.take(now).is_none());
        scheduler.submit(now, lane, now + FAR, number).unwrap();
    }
    assert_eq!(take_batch(&mut scheduler, now, 3).unwrap().1, [2, 3, 4]);
}

#[test]
fn a_request_counts_for_its_items() {
    let mut scheduler = scheduler::<u32>(4, 100);
    let lane = scheduler.add(batching(8, FAR));
    let now = Instant::now();
    let mut submit = |items, number| scheduler.submit_items(now, lane, now + 2 * FAR, items, number).unwrap();
    submit(3, 0);
    submit(4, 1);
    submit(2, 2);
    let first = scheduler.take(now).unwrap();
    assert_eq!(first.work, 0);
    assert_eq!(scheduler.join(first.id, 5).unwrap().work, 1);
    assert!(scheduler.join(first.id, 1).is_none(), "it has two items");
    assert!(scheduler.take(now).is_none(), "two items are no full batch");
    scheduler.submit_items(now, lane, now + 2 * FAR, 100, 3).unwrap();
    let second = scheduler.take(now).unwrap();
    assert_eq!(second.work, 2);
    assert!(scheduler.join(second.id, 6).is_none());
    assert_eq!(scheduler.take(now).unwrap().work, 3, "what is more than a batch need not wait");
}

/// Half of the time that it can spare, so that there is some left if it takes longer than expected.
#[test]
fn who_has_less_time_is_sent_off_earlier() {
    let mut scheduler = scheduler::<u32>(1, 100);
    let lane = scheduler.add(batching(8, 100 * MS));
    let hurried = scheduler.add(LaneLimits { queue_deadline: Some(30 * MS), ..batching(8, 100 * MS) });
    let mut now = Instant::now();
    scheduler.submit(now, hurried, now + FAR, 1).unwrap();
    assert_eq!(scheduler.next_due(), Some(now + 15 * MS));
    assert_eq!(scheduler.take(now + 15 * MS).unwrap().work, 1);
    scheduler.complete(now + 15 * MS, WorkId(0));
    // It is known to take 20 ms.
    scheduler.submit(now, lane, now + 100 * MS, 2).unwrap();
    let taken = scheduler.take(now + 50 * MS).unwrap();
    now += 70 * MS;
    scheduler.complete(now, taken.id);
    scheduler.submit(now, lane, now + FAR, 3).unwrap();
    scheduler.submit(now + MS, lane, now + 61 * MS, 4).unwrap();
    assert_eq!(scheduler.next_due(), Some(now + 21 * MS));
    let (_, batch) = take_batch(&mut scheduler, now + 21 * MS, 8).unwrap();
    assert_eq!(batch, [3, 4]);
}

#[test]
fn nobody_waits_for_others_that_cannot_come() {
    let mut scheduler = scheduler::<u32>(1, 5);
    let narrow = scheduler.add(LaneLimits { queue: Some(2), ..batching(8, FAR) });
    let lane = scheduler.add(batching(8, FAR));
    let now = Instant::now();
    for number in 0..2 {
        assert!(scheduler.take(now).is_none());
        scheduler.submit(now, narrow, now + 2 * FAR, number).unwrap();
    }
    let (id, batch) = take_batch(&mut scheduler, now, 8).unwrap();
    assert_eq!(batch, [0, 1], "its queue is full");
    scheduler.complete(now, id);
    for number in 2..7 {
        assert!(scheduler.take(now).is_none());
        scheduler.submit(now, lane, now + 2 * FAR, number).unwrap();
    }
    let (id, batch) = take_batch(&mut scheduler, now, 8).unwrap();
    assert_eq!(batch, [2, 3, 4, 5, 6], "the node's queue is full");
    scheduler.complete(now, id);
    scheduler.submit(now, lane, now + 2 * FAR, 7).unwrap();
    assert!(scheduler.take(now).is_none());
    scheduler.drain();
    assert_eq!(scheduler.take(now).unwrap().work, 7, "nobody comes any more");
}

#[test]
fn who_is_put_back_is_the_next() {
    let mut scheduler = scheduler::<u32>(2, 100);
    let lane = scheduler.add(batching(8, Duration::ZERO));
    let now = Instant::now();
    let ids: Vec<_> = (0..4).map(|number| scheduler.submit(now, lane, now + FAR, number).unwrap().0).collect();
    let first = scheduler.take(now).unwrap();
    let second = scheduler.join(first.id, 7).unwrap();
    assert_eq!(scheduler.cancel(lane, ids[1]), None, "it runs");
    assert_eq!((scheduler.waiting(), scheduler.depth(lane)), (2, (2, 2)));
    scheduler.put_back(first.id, second.place, second.work);
    assert_eq!((scheduler.waiting(), scheduler.depth(lane)), (3, (3, 1)));
    assert_eq!(scheduler.cancel(lane, ids[2]), Some(2));
    assert_eq!(take_batch(&mut scheduler, now, 8).unwrap().1, [1, 3]);
}

/// Two lanes of one weight want more than there is. The one that is run in batches has half of the time all the same, and
/// more of its requests run in it.
#[test]
fn a_batch_costs_each_of_its_requests_its_share() {
    let mut scheduler = scheduler::<usize>(1, 1000);
    let lanes = [scheduler.add(batching(8, Duration::ZERO)), scheduler.add(weight(1))];
    let mut now = Instant::now();
    let (mut time, mut requests) = ([Duration::ZERO; 2], [0; 2]);
    for _ in 0..2000 {
        for (index, lane) in lanes.iter().enumerate() {
            while scheduler.depth(*lane).0 < 20 {
                scheduler.submit(now, *lane, now + FAR, index).unwrap();
            }
        }
        let taken = scheduler.take(now).unwrap();
        let mut count = 1;
        while taken.work == 0 && count < 8 && scheduler.join(taken.id, 8 - count).is_some() {
            count += 1;
        }
        // A batch of eight takes twice as long as one request.
        let takes = if taken.work == 0 { 8 * MS } else { 4 * MS };
        now += takes;
        scheduler.complete(now, taken.id);
        time[taken.work] += takes;
        requests[taken.work] += count;
    }
    let share = time[0].as_secs_f64() / time[1].as_secs_f64();
    assert!((share - 1.0).abs() < 0.02, "{share}");
    assert!(requests[0] > requests[1] * 39 / 10, "{requests:?}");
}

#[test]
fn a_lane_of_batches_drains_faster_and_who_comes_is_told_so() {
    let mut scheduler = scheduler::<u32>(1, 100);
    let lane = scheduler.add(LaneLimits { queue_deadline: Some(30 * MS), ..batching(10, Duration::ZERO) });
    let mut now = Instant::now();
    for number in 0..10 {
        scheduler.submit(now, lane, now + FAR, number).unwrap();
    }
    let (id, batch) = take_batch(&mut scheduler, now, 10).unwrap();
    assert_eq!(batch.len(), 10);
    now += 20 * MS;
    scheduler.complete(now, id);
    for number in 0..10 {
        scheduler.submit(now, lane, now + FAR, number).unwrap();
    }
    let (id, _) = take_batch(&mut scheduler, now, 10).unwrap();
    // Ten of 20 ms each, one by one, would be too many for 30 ms; together they are not.
    for number in 0..10 {
        scheduler.submit(now, lane, now + FAR, number).unwrap();
        assert!(scheduler.expected_wait(now, lane) <= 40 * MS);
    }
    let refused = scheduler.submit(now, lane, now + FAR, 11).unwrap_err().1;
    assert!(matches!(refused, Refusal::TooLate { wait, .. } if wait == 40 * MS), "{refused:?}");
    now += 5 * MS;
    assert_eq!(scheduler.expected_wait(now, lane), 35 * MS);
    scheduler.complete(now, id);
}

#[derive(Clone, Debug)]
enum Step {
    Submit {
        items: usize,
        deadline: u32,
    },
    /// So many can be stacked; the next is put back.
    Run {
        alike: usize,
    },
    Complete(usize),
    Cancel(usize),
    Wait(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (1..6_usize, 1..50_u32).prop_map(|(items, deadline)| Step::Submit { items, deadline }),
        3 => (1..6_usize).prop_map(|alike| Step::Run { alike }),
        2 => (0..8_usize).prop_map(Step::Complete),
        1 => (0..8_usize).prop_map(Step::Cancel),
        2 => (0..20_u32).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    /// Whatever happens: no request is lost or doubled or overtaken, none waits for others for longer than it may while there
    /// is a worker, and no batch has more items than it may unless it is one request.
    #[test]
    fn batches_lose_nothing(steps in steps(), workers in 1..3_usize, queue in 1..12_usize, delay in 0..8_u32) {
        const MAX_SIZE: usize = 8;
        let mut scheduler = scheduler::<usize>(workers, queue);
        let lane = scheduler.add(batching(MAX_SIZE, delay * MS));
        let mut now = Instant::now();
        let (mut waiting, mut running) = (Vec::<(WorkId, usize, usize, Instant)>::new(), Vec::<(WorkId, usize)>::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Submit { items, deadline } => {
                    if let Ok((id, displaced)) = scheduler.submit_items(now, lane, now + deadline * MS, items, number) {
                        prop_assert!(displaced.is_none());
                        waiting.push((id, items, number, now));
                    }
                }
                Step::Run { alike } => match scheduler.take(now) {
                    Some(Taken { id, work, .. }) => {
                        let (first, mut size, oldest, _) = waiting.remove(0);
                        prop_assert_eq!((first, oldest), (id, work));
                        let mut count = 1;
                        while let Some(joined) = scheduler.join(id, MAX_SIZE.saturating_sub(size)) {
                            prop_assert_eq!((joined.place.items, joined.work), (waiting[0].1, waiting[0].2));
                            if count == alike {
                                scheduler.put_back(id, joined.place, joined.work);
                                break;
                            }
                            size += waiting.remove(0).1;
                            count += 1;
                        }
                        prop_assert!(size <= MAX_SIZE || count == 1);
                        running.push((id, count));
                    }
                    None => {
                        let waits = waiting.iter().all(|(_, _, _, came)| now - *came < delay * MS);
                        let items: usize = waiting.iter().map(|entry| entry.1).sum();
                        prop_assert!(running.len() == workers || (waits && items < MAX_SIZE && waiting.len() < queue));
                        prop_assert!(waiting.is_empty() || running.len() == workers || scheduler.next_due() > Some(now));
                    }
                },
                Step::Complete(index) if index < running.len() => scheduler.complete(now, running.remove(index).0),
                Step::Cancel(index) if index < waiting.len() => {
                    let (id, _, number, _) = waiting.remove(index);
                    prop_assert_eq!(scheduler.cancel(lane, id), Some(number));
                }
                Step::Wait(time) => now += time * MS,
                Step::Complete(_) | Step::Cancel(_) => {}
            }
            let runs: usize = running.iter().map(|run| run.1).sum();
            prop_assert_eq!(scheduler.depth(lane), (waiting.len(), runs));
            prop_assert_eq!(scheduler.waiting(), waiting.len());
            prop_assert!(running.len() <= workers);
            prop_assert!(scheduler.expected_wait(now, lane) < FAR);
        }
    }
}
