//! What it costs to run each request in a fresh instance.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use samara_protocol::InputTensor;
use samara_runtime::{Config, Instance, Model, Runtime};
use serde_json::json;

use crate::report::Row;
use crate::samara::Samara;
use crate::statistics::{median, milliseconds, quantile, show};
use crate::zoo::Card;

/// How often a model is run before it counts, and how often it then is, in either way.
struct Rounds {
    warm_up: usize,
    counted: usize,
}

/// What was measured of one model.
#[derive(Default)]
struct Times {
    /// The call, in an instance that has run before.
    reused: Vec<Duration>,
    /// The call, in a fresh instance that was made before.
    fresh: Vec<Duration>,
    /// The same with the making of the instance.
    instantiated: Vec<Duration>,
    /// The drop of the instance, which resets its memory.
    reset: Vec<Duration>,
}

/// Compares fresh with reused instances.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let mut config = Config::default();
    config.cache_directory = Some(samara.code_cache());
    let runtime = Runtime::new(&config)?;
    let fashion = compare(samara, &runtime, "fashion-cnn", 1.25, Rounds { warm_up: 200, counted: 4000 })?;
    let efficientnet = compare(samara, &runtime, "efficientnet-lite0", 1.04, Rounds { warm_up: 10, counted: 100 })?;
    Ok([fashion, efficientnet].concat())
}

fn compare(samara: &Samara, runtime: &Runtime, name: &str, bar: f64, rounds: Rounds) -> Result<Vec<Row>> {
    let card = Card::read(name)?;
    let model = runtime.load(&samara.component(&card.build)?)?;
    let vector = card.first()?;
    let inputs: Vec<InputTensor<'_>> = vector.inputs.iter().map(|input| input.as_input()).collect();
    measure(&model, &inputs, rounds.warm_up)?;
    let times = measure(&model, &inputs, rounds.counted)?;

    let (reused, fresh) = (median(&times.reused), median(&times.fresh));
    let (instantiated, reset) = (median(&times.instantiated), median(&times.reset));
    let ratio = |time: Duration| time.as_secs_f64() / reused.as_secs_f64();
    let summary = |samples: &[Duration]| {
        json!({
            "p50_ms": milliseconds(median(samples)),
            "p10_ms": milliseconds(quantile(samples, 0.1)),
            "p90_ms": milliseconds(quantile(samples, 0.9)),
        })
    };
    let details = json!({
        "rounds": rounds.counted,
        "reused": summary(&times.reused),
        "fresh": summary(&times.fresh),
        "instantiated": summary(&times.instantiated),
        "reset": summary(&times.reset),
    });
    Ok(vec![
        Row::new(
            format!("{name}: request in a fresh instance, made before it as the server does, p50"),
            format!("{}: {:.3}x", show(fresh), ratio(fresh)),
        )
        .compared_with(format!("{} in a reused instance", show(reused)))
        .bar(format!("≤ {bar}x"), ratio(fresh) <= bar)
        .details(details),
        Row::new(
            format!("{name}: the same with instantiation"),
            format!(
                "{}: {:.3}x; reset {} more, off the reply's path",
                show(instantiated),
                ratio(instantiated),
                show(reset)
            ),
        )
        .compared_with(format!("{} in a reused instance", show(reused))),
    ])
}

/// Runs the model in reused and in fresh instances by turns, so that what disturbs the one disturbs the other.
fn measure(model: &Model, inputs: &[InputTensor<'_>], rounds: usize) -> Result<Times> {
    let mut times = Times::default();
    let mut reused = model.instantiate()?;
    call(&mut reused, inputs)?;
    for round in 0..rounds {
        // Whoever comes second may find the processor's caches warmer.
        if round % 2 == 0 {
            times.reused.push(call(&mut reused, inputs)?);
        }
        let start = Instant::now();
        let mut instance = model.instantiate()?;
        let made = start.elapsed();
        let ran = call(&mut instance, inputs)?;
        let start = Instant::now();
        drop(instance);
        times.reset.push(start.elapsed());
        times.fresh.push(ran);
        times.instantiated.push(made + ran);
        if round % 2 == 1 {
            times.reused.push(call(&mut reused, inputs)?);
        }
    }
    Ok(times)
}

/// An inference's time.
pub fn call(instance: &mut Instance, inputs: &[InputTensor<'_>]) -> Result<Duration> {
    let start = Instant::now();
    let outputs = instance.infer(inputs, &[])?;
    let time = start.elapsed();
    ensure!(!outputs.is_empty(), "the model gave no outputs");
    Ok(time)
}
