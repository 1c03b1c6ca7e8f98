//! Whether kernels are chosen for this processor that are the fastest on it.

use std::time::Duration;

use anyhow::{Context, Result};
use samara_artifact::Tune;
use samara_protocol::InputTensor;
use samara_runtime::{Config, Runtime};
use serde_json::json;

use crate::measurements::isolation::call;
use crate::report::Row;
use crate::samara::Samara;
use crate::statistics::{median, milliseconds, show};
use crate::zoo::Card;

const MODEL: &str = "efficientnet-lite0";
const WARM_UP: usize = 5;
const ROUNDS: usize = 60;

/// Of the time with the fastest kernels.
const MAX_RATIO: f64 = 1.05;

/// Compares a model compiled for each kind of processors, in instances that are reused: by turns, as a machine is not
/// equally fast all the time.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let card = Card::read(MODEL)?;
    let mut config = Config::default();
    config.cache_directory = Some(samara.code_cache());
    let runtime = Runtime::new(&config)?;
    let vector = card.first()?;
    let inputs: Vec<InputTensor<'_>> = vector.inputs.iter().map(|input| input.as_input()).collect();
    let mut instances = vec![];
    for tune in Tune::ALL {
        let model = runtime.load(&samara.component_tuned(&card.build, tune)?)?;
        instances.push((tune, model.instantiate()?, vec![]));
    }
    for round in 0..WARM_UP + ROUNDS {
        for (_, instance, times) in &mut instances {
            let time = call(instance, &inputs)?;
            if round >= WARM_UP {
                times.push(time);
            }
        }
    }
    let times: Vec<(Tune, Duration)> = instances.iter().map(|(tune, _, times)| (*tune, median(times))).collect();
    let of = |wanted| times.iter().find(|(tune, _)| *tune == wanted).map(|(_, time)| *time);
    let here = Tune::here();
    let own = of(here).context("no kernels are tuned for this machine")?;
    let fastest = times.iter().map(|(_, time)| *time).min().unwrap_or(own);
    let others =
        times.iter().filter(|(tune, _)| *tune != here).map(|(tune, time)| format!("{} for {tune}", show(*time)));
    let ratio = own.as_secs_f64() / fastest.as_secs_f64();
    let details = times.iter().map(|(tune, time)| (tune.to_string(), json!(milliseconds(*time)))).collect();
    Ok(vec![
        Row::new(format!("{MODEL} tuned for {here}, as on this machine by default, p50"), show(own))
            .compared_with(others.collect::<Vec<_>>().join(", "))
            .bar(format!("≤ {MAX_RATIO}x of the fastest"), ratio <= MAX_RATIO)
            .details(serde_json::Value::Object(details)),
    ])
}
