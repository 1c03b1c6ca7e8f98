//! What a function around a model costs.

use std::fs;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use samara_classify::preprocessing;
use samara_function::Request;
use samara_handler::{Handler, HandlerRuntime};
use samara_picture::Picture;
use samara_protocol::{Datatype, InputTensor};
use samara_runtime::{Config, Model, Runtime};
use serde_json::json;
use tokio::sync::oneshot;

use crate::report::Row;
use crate::samara::{Samara, repository};
use crate::statistics::{median, milliseconds, quantile, show};
use crate::zoo::Card;

/// The functions, and what each component may have at most without a model, in bytes.
const FUNCTIONS: [(&str, u64); 6] = [
    ("classify", 2_000_000),
    ("embed", 3_000_000),
    ("identify", 2_000_000),
    ("listen", 2_000_000),
    ("read", 2_000_000),
    ("score", 2_000_000),
];

/// A photo of about 100 kB.
const PHOTO: &str = "models/.cache/photos/rocket.jpg";

const WARM_UP: usize = 5;
const ROUNDS: usize = 60;

/// How much longer than its parts a function may take.
const BAR: f64 = 1.15;

/// What was measured of each round.
#[derive(Default)]
struct Times {
    /// The function, its instance made for the request.
    function: Vec<Duration>,
    /// The picture decoded and prepared by the same code, built for this machine.
    native: Vec<Duration>,
    /// The model alone, in a fresh instance made before.
    model: Vec<Duration>,
}

pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let mut rows = FUNCTIONS.iter().map(|&(name, bar)| size(name, bar)).collect::<Result<Vec<_>>>()?;
    rows.push(classify(samara)?);
    Ok(rows)
}

fn component(name: &str) -> PathBuf {
    repository().join("target").join("functions").join(format!("{name}.wasm"))
}

fn size(name: &str, bar: u64) -> Result<Row> {
    let path = component(name);
    let bytes = fs::metadata(&path).with_context(|| format!("{}: make functions", path.display()))?.len();
    let row = Row::new(format!("function {name} without a model"), format!("{:.2} MB", bytes as f64 / 1e6));
    Ok(row.bar(format!("≤ {} MB", bar / 1_000_000), bytes <= bar))
}

fn classify(samara: &Samara) -> Result<Row> {
    let card = Card::read("efficientnet-lite0")?;
    let path = samara.component(&card.build)?;
    let mut config = Config::default();
    config.cache_directory = Some(samara.code_cache());
    let model = Runtime::new(&config)?.load(&path)?;
    let function = fs::read(component("classify"))?;
    let linked = samara_linker::link(&function, &fs::read(&path)?)?;
    let handler = HandlerRuntime::new(&config)?.load(&linked, NonZeroU32::MIN)?;
    let photo = fs::read(repository().join(PHOTO))?;
    let network = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;

    let mut times = Times::default();
    for round in 0..WARM_UP + ROUNDS {
        let function = network.block_on(ask(&handler, &photo))?;
        let (native, model) = in_parts(&model, &photo)?;
        if round >= WARM_UP {
            times.function.push(function);
            times.native.push(native);
            times.model.push(model);
        }
    }
    let (function, native, model) = (median(&times.function), median(&times.native), median(&times.model));
    let ratio = function.as_secs_f64() / (native + model).as_secs_f64();
    let summary = |samples: &[Duration]| json!({"p50_ms": milliseconds(median(samples)), "p90_ms": milliseconds(quantile(samples, 0.9))});
    let details = json!({
        "rounds": ROUNDS,
        "photo_bytes": photo.len(),
        "function": summary(&times.function),
        "native": summary(&times.native),
        "model": summary(&times.model),
    });
    let row = Row::new(
        format!("classify of a JPEG of {} kB, linked, in a fresh instance, p50", photo.len() / 1000),
        format!("{}: {ratio:.3}x", show(function)),
    )
    .compared_with(format!("{} decoded and prepared natively + {} the model alone", show(native), show(model)));
    Ok(row.bar(format!("≤ {BAR}x"), ratio <= BAR).details(details))
}

/// One request to the function, until its reply is whole.
async fn ask(handler: &Handler, photo: &[u8]) -> Result<Duration> {
    let body = Full::new(photo.to_vec().into()).map_err(|never| match never {}).boxed_unsync();
    let request = hyper::Request::post("http://localhost/classify").header("content-type", "image/jpeg").body(body)?;
    let (reply, answer) = oneshot::channel();
    let start = Instant::now();
    let read = async {
        let reply: samara_handler::Reply = answer.await??;
        let status = reply.status();
        let body = reply.into_body().collect().await.map_err(|error| anyhow::anyhow!("{error:?}"))?.to_bytes();
        ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&body));
        Ok(start.elapsed())
    };
    tokio::join!(handler.handle(request, Duration::from_secs(30), reply), read).1
}

/// The same by its parts: the picture natively, the model alone.
fn in_parts(model: &Model, photo: &[u8]) -> Result<(Duration, Duration)> {
    let request = Request::post("/classify", "image/jpeg", photo);
    let start = Instant::now();
    let picture = Picture::of(&request)?;
    let input = preprocessing::input(&picture)?;
    let native = start.elapsed();
    let mut instance = model.instantiate()?;
    let inputs = [InputTensor {
        name: (&*input.name).into(),
        datatype: Datatype::Fp32,
        shape: (&input.shape[..]).into(),
        data: (&input.data[..]).into(),
    }];
    let start = Instant::now();
    ensure!(instance.infer(&inputs, &[])?.len() == 1, "the model gave no outputs");
    Ok((native, start.elapsed()))
}
