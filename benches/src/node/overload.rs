//! A node that is offered twice what it can do.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::open_loop::OpenLoop;
use super::{CORES, Target};
use crate::report::Row;
use crate::samara::Samara;
use crate::statistics::show;

const MODEL: &str = "magika";
const TIME: Duration = Duration::from_secs(15);
/// Requests that find out how long one takes on an idle node.
const ALONE: usize = 300;

const GOODPUT: f64 = 0.95;
const SLOWDOWN: f64 = 3.0;
const REFUSAL: Duration = Duration::from_millis(2);

/// Finds the peak with as many clients as keep the workers busy, then offers twice as much.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    // The generator has a core, as if it were on another machine.
    let workers = (*CORES - 1).max(1);
    // What an operator would set who promises three times the time of one: no more may wait than are served in that time.
    let options = [format!("--workers={workers}"), format!("--queue={workers}")];
    let target = Target::serve(samara, MODEL, &options)?;
    let ask = |clients, count| OpenLoop::closed(target.address(), &target.path, &target.request, clients, count).run();
    let alone = ask(1, ALONE)?;
    ensure!(alone.other_than(&[200]) == 0, "requests failed on an idle node");
    let guess = ask(workers * 2, ALONE)?.rate();
    let peak = ask(workers * 2, (guess * TIME.as_secs_f64()) as usize)?.rate();
    let overloaded = OpenLoop::new(target.address(), &target.path, &target.request, 2.0 * peak, TIME).run()?;
    let goodput = overloaded.rate() / peak;
    let slowdown = overloaded.p99().as_secs_f64() / alone.p99().as_secs_f64();
    let (errors, refused) = (overloaded.other_than(&[200, 503]), overloaded.count(503));
    let details = json!({"peak": peak, "alone": alone, "overloaded": overloaded, "options": options});
    Ok(vec![
        Row::new(
            format!("{MODEL}, offered twice its peak, {}: goodput", options.join(" ")),
            format!("{:.1} % of the peak, {errors} errors", goodput * 100.0),
        )
        .compared_with(format!("{peak:.0} requests/s at the peak"))
        .bar("≥ 95 %, no errors", goodput >= GOODPUT && errors == 0)
        .details(details),
        Row::new("… p99 of what was admitted", format!("{}, {slowdown:.2}x", show(overloaded.p99())))
            .compared_with(format!("{} on an idle node", show(alone.p99())))
            .bar("≤ 3x", slowdown <= SLOWDOWN),
        Row::new("… p99 of refusals", format!("{}, {refused} refused", show(overloaded.refused_p99())))
            .bar("≤ 2 ms", overloaded.refused_p99() <= REFUSAL && refused > 0),
    ])
}
