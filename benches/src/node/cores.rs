//! Throughput against the number of workers.

use anyhow::{Result, ensure};
use serde_json::json;

use super::open_loop::OpenLoop;
use super::{CORES, Target};
use crate::report::Row;
use crate::samara::Samara;

const MODEL: &str = "efficientnet-lite0";
/// Requests for each worker in a round.
const REQUESTS: usize = 100;
/// Rounds in turns, of which the median counts.
const ROUNDS: usize = 5;
const SCALING: f64 = 1.85;

/// Has one worker, and then two, answer as many as they can, in turns.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let targets = [1, 2].map(|workers| Target::serve(samara, MODEL, &[format!("--workers={workers}")]));
    let [one, two] = targets;
    let (one, two) = (one?, two?);
    let rate = |target: &Target, workers: usize| -> Result<f64> {
        let replies =
            OpenLoop::closed(target.address(), &target.path, &target.request, workers * 2, workers * REQUESTS).run()?;
        ensure!(replies.other_than(&[200]) == 0, "requests failed");
        Ok(replies.rate())
    };
    let mut rounds = (0..ROUNDS).map(|_| Ok([rate(&one, 1)?, rate(&two, 2)?])).collect::<Result<Vec<_>>>()?;
    let scaling = |[one, two]: &[f64; 2]| two / one;
    rounds.sort_by(|a, b| scaling(a).total_cmp(&scaling(b)));
    let middle = rounds[ROUNDS / 2];
    // What one core computes twice at a time is no two cores' work.
    let row = Row::new(
        format!("{MODEL}: throughput of two workers"),
        format!("{:.1} requests/s, {:.2}x", middle[1], scaling(&middle)),
    )
    .compared_with(format!("{:.1} requests/s of one; {} cores are told of here", middle[0], *CORES))
    .details(json!({"rounds": rounds, "siblings": siblings()}));
    Ok(vec![row.bar("≥ 1.85x", scaling(&middle) >= SCALING)])
}

/// Which logical processors are of one core, as far as the machine tells.
fn siblings() -> Vec<String> {
    let lists = (0..*CORES).filter_map(|cpu| {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
    });
    let mut lists: Vec<String> = lists.collect();
    lists.dedup();
    lists
}
