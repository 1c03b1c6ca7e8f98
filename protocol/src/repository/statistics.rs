//! A model's statistics, in the form of Triton's statistics extension.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::to_body;

/// How often something happened, and how long it took in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DurationStatistic {
    /// How often.
    pub count: u64,
    /// How long in all, in nanoseconds.
    pub ns: u64,
}

/// What has happened to one model since the server started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelStatistics<'a> {
    /// The model's name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// When the last inference was asked for, in milliseconds since 1970; 0 where none was.
    pub last_inference: u64,
    /// Successful inferences; each item of a batch counts.
    pub inference_count: u64,
    /// Successful runs of the model; a batch counts once.
    pub execution_count: u64,
    /// Requests that were answered.
    pub success: DurationStatistic,
    /// Requests that failed.
    pub fail: DurationStatistic,
    /// Waiting for a place to run.
    pub queue: DurationStatistic,
    /// Preparing inputs.
    pub compute_input: DurationStatistic,
    /// Running the model.
    pub compute_infer: DurationStatistic,
    /// Taking out outputs.
    pub compute_output: DurationStatistic,
    /// The same by how many items ran together, where requests run in batches.
    pub batches: &'a [BatchStatistics],
    /// How often each limit was met, by the limit's name: an addition to Triton's form.
    pub limits: &'a [(&'a str, u64)],
}

/// What has happened to batches of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchStatistics {
    /// Items of the batch.
    pub batch_size: u64,
    /// Preparing inputs.
    pub compute_input: DurationStatistic,
    /// Running the model.
    pub compute_infer: DurationStatistic,
    /// Taking out outputs.
    pub compute_output: DurationStatistic,
}

/// What has happened to one function since the server started: an addition to Triton's form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionStatistics<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Where it is served.
    pub route: &'a str,
    /// Requests that it answered, whatever it said.
    pub success: DurationStatistic,
    /// Requests that it did not answer.
    pub fail: DurationStatistic,
    /// Waiting for a place to run.
    pub queue: DurationStatistic,
    /// Running.
    pub compute: DurationStatistic,
    /// How often each limit was met, by the limit's name.
    pub limits: &'a [(&'a str, u64)],
}

/// A graph that the server runs for its models and functions, and how: an addition to Triton's form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GraphMetadata<'a> {
    /// What it is called.
    pub name: &'a str,
    /// The file that it was loaded from.
    pub file: &'a str,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: &'a str,
    /// What runs it, such as `onnxruntime`.
    pub backend: &'a str,
    /// The version of what runs it.
    pub backend_version: &'a str,
    /// Where it runs, such as `cpu` or `cuda:0`.
    pub device: &'a str,
    /// Where it was to run.
    pub device_asked: &'a str,
    /// Why it runs on the CPU although a GPU was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fell_back: Option<&'a str>,
    /// Computations that it can do at once.
    pub contexts: usize,
    /// Threads that a computation may use.
    pub threads: usize,
    /// How far the backend changed it to make it faster.
    pub optimization: &'a str,
    /// How long loading took, in nanoseconds.
    pub load_ns: u64,
}

/// What has happened to one graph since the server started: an addition to Triton's form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GraphStatistics<'a> {
    /// The graph.
    #[serde(flatten)]
    pub graph: GraphMetadata<'a>,
    /// How often it was loaded.
    pub loads: u64,
    /// Computations that were asked for, those that failed included.
    pub requests: u64,
    /// Computations that gave no outputs.
    pub failures: u64,
    /// How long it computed in all, in nanoseconds.
    pub compute_ns: u64,
}

#[derive(Serialize)]
struct Body<'a> {
    model_stats: Vec<Row<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    function_stats: Vec<FunctionRow<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    graph_stats: &'a [GraphStatistics<'a>],
    #[serde(skip_serializing_if = "Counters::is_empty")]
    server_limits: Counters<'a>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    version: &'a str,
    last_inference: u64,
    inference_count: u64,
    execution_count: u64,
    inference_stats: Durations,
    batch_stats: &'a [BatchStatistics],
    limits: Counters<'a>,
}

#[derive(Serialize)]
struct FunctionRow<'a> {
    name: &'a str,
    route: &'a str,
    success: DurationStatistic,
    fail: DurationStatistic,
    queue: DurationStatistic,
    compute: DurationStatistic,
    limits: Counters<'a>,
}

#[derive(Serialize)]
struct Durations {
    success: DurationStatistic,
    fail: DurationStatistic,
    queue: DurationStatistic,
    compute_input: DurationStatistic,
    compute_infer: DurationStatistic,
    compute_output: DurationStatistic,
}

struct Counters<'a>(&'a [(&'a str, u64)]);

/// The body of [`Route::ModelStats`](crate::Route::ModelStats) and
/// [`Route::AllStats`](crate::Route::AllStats).
///
/// `functions` are the functions that are served beside the models, `graphs` those that the server runs for both, and `server_limits` says how often each limit was met
/// that is no model's, by the limit's name: additions to Triton's form, absent where there is none.
#[must_use]
pub fn statistics(
    models: &[ModelStatistics<'_>],
    functions: &[FunctionStatistics<'_>],
    graphs: &[GraphStatistics<'_>],
    server_limits: &[(&str, u64)],
) -> Vec<u8> {
    let model_stats = models
        .iter()
        .map(|model| Row {
            name: model.name,
            version: model.version,
            last_inference: model.last_inference,
            inference_count: model.inference_count,
            execution_count: model.execution_count,
            inference_stats: Durations {
                success: model.success,
                fail: model.fail,
                queue: model.queue,
                compute_input: model.compute_input,
                compute_infer: model.compute_infer,
                compute_output: model.compute_output,
            },
            batch_stats: model.batches,
            limits: Counters(model.limits),
        })
        .collect();
    let function_stats = functions
        .iter()
        .map(|function| FunctionRow {
            name: function.name,
            route: function.route,
            success: function.success,
            fail: function.fail,
            queue: function.queue,
            compute: function.compute,
            limits: Counters(function.limits),
        })
        .collect();
    to_body(&Body { model_stats, function_stats, graph_stats: graphs, server_limits: Counters(server_limits) })
}

// === impl Counters ===

impl Counters<'_> {
    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Counters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, count) in self.0 {
            map.serialize_entry(name, count)?;
        }
        map.end()
    }
}
