//! A hot model beside a quiet one.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::open_loop::{OpenLoop, Replies, finish};
use super::{CORES, Target};
use crate::report::Row;
use crate::samara::Samara;
use crate::statistics::show;

const MODEL: &str = "magika";
const TIME: Duration = Duration::from_secs(15);
/// How much of its share of the node the quiet one asks for.
const QUIET: f64 = 0.2;
/// How much of its share the hot one asks for.
const HOT: f64 = 10.0;
const SLOWDOWN: f64 = 2.0;

/// Asks the quiet one alone, and then again beside the hot one, under the node's defaults and with a concurrency for the hot one
/// that leaves a core to the others.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for concurrency in [None, Some((*CORES - 1).max(1))] {
        let mut configuration = format!("[model.hot]\nqueue = {}\n", *CORES);
        if let Some(most) = concurrency {
            configuration.push_str(&format!("concurrency = {most}\n"));
        }
        let target = Target::serve_copies(samara, MODEL, &["hot", "quiet"], &configuration)?;
        let path = |name: &str| format!("/v2/models/{name}/infer");
        let ask = |name: &str, rate, time| OpenLoop::new(target.address(), &path(name), &target.request, rate, time);
        let peak = OpenLoop::closed(target.address(), &path("quiet"), &target.request, *CORES * 2, 1000).run()?;
        let share = peak.rate() / 2.0;
        let quiet = ask("quiet", QUIET * share, TIME);
        let alone = quiet.run()?;
        let hot = ask("hot", HOT * share, TIME).start();
        let beside = quiet.run()?;
        let hot = finish(hot)?;
        ensure!(alone.other_than(&[200]) == 0, "requests failed on an idle node");
        rows.push(row(concurrency, share, &alone, &beside, &hot));
    }
    Ok(rows)
}

fn row(concurrency: Option<usize>, share: f64, alone: &Replies, beside: &Replies, hot: &Replies) -> Row {
    let (before, after) = (alone.p99(), beside.p99());
    let (slowdown, failed) = (after.as_secs_f64() / before.as_secs_f64(), beside.other_than(&[200]));
    let setting =
        concurrency.map_or("no concurrency set".to_owned(), |most| format!("concurrency = {most} for the hot one"));
    let row = Row::new(
        format!("{MODEL} twice: p99 of a quiet one beside one at {HOT:.0} times its share, {setting}"),
        format!("{}, {slowdown:.2}x, {failed} errors", show(after)),
    )
    .compared_with(format!("{} alone; the hot one had {:.0} requests/s", show(before), hot.rate()))
    .details(json!({"share": share, "alone": alone, "beside": beside, "hot": hot}));
    match concurrency {
        None => row,
        Some(_) => row.bar("≤ 2x, no errors", slowdown <= SLOWDOWN && failed == 0),
    }
}
