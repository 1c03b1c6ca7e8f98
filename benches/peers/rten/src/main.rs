//! rten as a peer: runs a model as often as asked, and tells how long each run took.
//!
//! `samara-rten-peer MODEL.onnx REQUEST.json` speaks as `benches/README.md` says of all peers. One thread, on which the
//! runs are called, so that none crosses to another; every optimisation, weights packed when the model is loaded.

#![forbid(unsafe_code)]

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value};
use rten_tensor::Layout;
use rten_tensor::prelude::AsView;
use serde::Deserialize;
use serde_json::json;

const VERSION: &str = concat!("rten ", env!("RTEN_VERSION"));

fn main() -> Result<()> {
    let pool = Arc::new(ThreadPool::with_num_threads(1));
    let peer = Peer::load(Arc::clone(&pool)).and_then(|peer| Ok((peer.outputs()?, peer)));
    let (outputs, peer) = match peer {
        Ok(loaded) => loaded,
        Err(error) => {
            println!("{}", json!({"version": VERSION, "error": format!("{error:#}")}));
            return Ok(());
        }
    };
    println!("{}", json!({"version": VERSION, "outputs": outputs}));
    for line in std::io::stdin().lock().lines() {
        let count: usize = line?.trim().parse()?;
        let times = pool.run(|| (0..count).map(|_| peer.time()).collect::<Result<Vec<u64>>>())?;
        println!("{}", json!(times));
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// A loaded model, and what it is given.
struct Peer {
    model: Model,
    inputs: Vec<(NodeId, Value)>,
    options: RunOptions,
}

impl Peer {
    fn load(pool: Arc<ThreadPool>) -> Result<Peer> {
        let mut arguments = std::env::args().skip(1);
        let (Some(model), Some(request)) = (arguments.next(), arguments.next()) else {
            bail!("a model and a request have to be named");
        };
        let model = ModelOptions::with_all_ops().enable_optimization(true).prepack_weights(true).load_file(model)?;
        let request: Request = serde_json::from_slice(&std::fs::read(request)?)?;
        let inputs = request.inputs.into_iter().map(|input| Ok((model.node_id(&input.name)?, input.value()?)));
        let inputs = inputs.collect::<Result<_>>()?;
        Ok(Peer { model, inputs, options: RunOptions::default().with_thread_pool(Some(pool)) })
    }

    fn run(&self) -> Result<Vec<Value>> {
        let inputs = self.inputs.iter().map(|(id, value)| (*id, value.into())).collect();
        Ok(self.model.run(inputs, self.model.output_ids(), Some(self.options.clone()))?)
    }

    /// The nanoseconds of a run.
    fn time(&self) -> Result<u64> {
        let start = Instant::now();
        let outputs = self.run()?;
        let time = start.elapsed();
        drop(outputs);
        Ok(u64::try_from(time.as_nanos())?)
    }

    /// What a run gives, as the Open Inference Protocol writes it.
    fn outputs(&self) -> Result<Vec<serde_json::Value>> {
        let ids = self.model.output_ids().iter();
        ids.zip(self.run()?)
            .map(|(&id, value)| {
                let name = self.model.node_info(id).and_then(|info| info.name().map(str::to_owned));
                let (datatype, shape, data) = match value {
                    Value::FloatTensor(tensor) => ("FP32", tensor.shape().to_vec(), json!(tensor.to_vec())),
                    Value::Int32Tensor(tensor) => ("INT32", tensor.shape().to_vec(), json!(tensor.to_vec())),
                    _ => bail!("output {name:?} is neither FP32 nor INT32"),
                };
                Ok(json!({"name": name, "datatype": datatype, "shape": shape, "data": data}))
            })
            .collect()
    }
}

/// A request of the Open Inference Protocol.
#[derive(Deserialize)]
struct Request {
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    datatype: String,
    shape: Vec<usize>,
    data: Vec<serde_json::Value>,
}

impl Input {
    /// As rten takes it, which has 32 bits for every integer.
    fn value(&self) -> Result<Value> {
        let wrong = || format!("an element of {} is no {}", self.name, self.datatype);
        Ok(match self.datatype.as_str() {
            "FP32" => {
                let elements = self.data.iter().map(|element| element.as_f64().map(|value| value as f32));
                Value::from_shape(&self.shape, elements.collect::<Option<Vec<f32>>>().with_context(wrong)?)?
            }
            "INT32" | "INT64" => {
                let elements = self.data.iter().map(|element| i32::try_from(element.as_i64()?).ok());
                Value::from_shape(&self.shape, elements.collect::<Option<Vec<i32>>>().with_context(wrong)?)?
            }
            other => bail!("input {} is {other}", self.name),
        })
    }
}
