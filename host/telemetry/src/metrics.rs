//! Metrics, in the text form that Prometheus reads.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::names;
use crate::stage::{ColdStep, Outcome, Stage, Stages};

/// Whose series they are. Each has either a model or a function; what it lacks is empty, which Prometheus takes for absent.
const SUBJECT: [&str; 3] = ["model", "version", "function"];

/// Bounds of the histograms, in seconds: twice as wide each, from 10 µs to 20 s.
const BOUNDS: usize = 22;

/// Bounds of the sizes of batches: twice as wide each, from 1 item to 1024.
const SIZES: usize = 11;

/// What is counted and measured.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    stages: HistogramVec,
    cold: HistogramVec,
    instances: IntGaugeVec,
    loads: IntCounterVec,
    batches: Batches,
    /// What others keep, written down when it is asked for, by one at a time.
    kept: Mutex<Kept>,
}

struct Kept {
    limits: IntCounterVec,
    queue_depth: IntGaugeVec,
    in_flight: IntGaugeVec,
    versions: IntGaugeVec,
    models: IntGaugeVec,
    evictions: IntCounterVec,
    resident: IntGaugeVec,
    process_resident: IntGauge,
    process_open_files: IntGauge,
    triton: Vec<(&'static str, IntCounterVec)>,
    pending: IntGaugeVec,
}

/// The series of batches.
#[derive(Clone)]
struct Batches {
    sizes: HistogramVec,
    failures: IntCounterVec,
}

/// Whose series they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A version of a model.
    Model {
        /// The model's name.
        name: String,
        /// Its version.
        version: String,
    },
    /// A function, by its name.
    Function(String),
}

/// The series of one subject, at hand.
pub struct Series {
    outcomes: [IntCounter; Outcome::ALL.len()],
    duration: Histogram,
    stages: [Histogram; Stage::ALL.len()],
    cold: [Histogram; ColdStep::ALL.len()],
    instances: IntGauge,
    /// Made when the first batch has run: few subjects have any.
    batches: OnceLock<(Histogram, IntCounter)>,
    of_batches: Batches,
    subject: Subject,
}

/// An instance that exists, until this is dropped.
pub struct Existing(IntGauge);

/// A request that is counted when this is dropped; as one whose client went away, unless it is told otherwise.
pub struct Counting<'a> {
    series: &'a Series,
    began: Instant,
    outcome: Outcome,
}

/// What others keep, to be written down.
pub struct Scrape<'a> {
    kept: &'a Kept,
}

// === impl Metrics ===

impl Metrics {
    /// Without a series yet.
    ///
    /// # Panics
    ///
    /// Never: the names are constants, each used once, which a test sees.
    #[must_use]
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let with = |label: &'static str| [&SUBJECT[..], &[label]].concat();
        let kept = Kept {
            limits: counters(
                &registry,
                names::LIMIT_HITS,
                "Requests that met a limit, by the limit; without a model or function, connections",
                &with("limit"),
            ),
            queue_depth: gauges(&registry, names::QUEUE_DEPTH, "Requests that wait for a worker", &SUBJECT),
            in_flight: gauges(&registry, names::IN_FLIGHT, "Requests that run", &SUBJECT),
            versions: gauges(&registry, names::MODEL_VERSIONS, "Versions of a model that are loaded", &SUBJECT[..1]),
            models: gauges(
                &registry,
                names::MODELS,
                "Models that are served, and those of them that are mapped, each version counted",
                &["state"],
            ),
            evictions: counters(&registry, names::EVICTIONS, "Models that were unmapped, by why", &["reason"]),
            resident: gauges(
                &registry,
                names::MODEL_RESIDENT,
                "Memory that is resident of a model's code, and of its image in all instances",
                &SUBJECT[..2],
            ),
            process_resident: gauge(&registry, names::PROCESS_RESIDENT, "Memory of the process that is resident"),
            process_open_files: gauge(&registry, names::PROCESS_OPEN_FILES, "Files that the process has open"),
            triton: [
                (names::NV_SUCCESS, "Requests that were answered"),
                (names::NV_FAILURE, "Requests that failed"),
                (names::NV_COUNT, "Inferences, each item of a batch counted"),
                (names::NV_EXEC_COUNT, "Runs of the model, a batch counted once"),
                (names::NV_REQUEST_US, "Time of all requests, in microseconds"),
                (names::NV_QUEUE_US, "Time in the queue, in microseconds"),
                (names::NV_INPUT_US, "Time to prepare inputs, in microseconds"),
                (names::NV_INFER_US, "Time to run the model, in microseconds"),
                (names::NV_OUTPUT_US, "Time to take out outputs, in microseconds"),
            ]
            .map(|(name, help)| (name, counters(&registry, name, help, &SUBJECT[..2])))
            .into(),
            pending: gauges(&registry, names::NV_PENDING, "Requests that wait for a worker", &SUBJECT[..2]),
        };
        Metrics {
            requests: counters(&registry, names::REQUESTS, "Requests, by how they ended", &with("outcome")),
            durations: histograms(
                &registry,
                names::REQUEST_DURATION,
                "Time of a request, from its head to its reply",
                &SUBJECT,
            ),
            stages: histograms(&registry, names::STAGE_DURATION, "Time of a request's stages", &with("stage")),
            cold: histograms(&registry, names::COLD_START_DURATION, "Time of a cold start's steps", &with("step")),
            loads: counters(
                &registry,
                names::MODEL_LOADS,
                "Components that were loaded, or could not be, by the outcome; without a model where that is not known",
                &["model", "outcome"],
            ),
            instances: gauges(&registry, names::INSTANCES, "Instances that exist", &SUBJECT),
            batches: Batches {
                sizes: sizes(
                    &registry,
                    names::BATCH_SIZE,
                    "Items that ran together, where requests may",
                    &SUBJECT[..2],
                ),
                failures: counters(
                    &registry,
                    names::BATCH_FAILURES,
                    "Batches that failed, whose requests were then run one by one",
                    &SUBJECT[..2],
                ),
            },
            kept: Mutex::new(kept),
            registry,
        }
    }

    /// The series of a subject.
    #[must_use]
    pub fn series(&self, subject: &Subject) -> Series {
        let labels = subject.labels();
        let with = |label: &'static str| [&labels[..], &[label]].concat();
        Series {
            outcomes: Outcome::ALL.map(|outcome| self.requests.with_label_values(&with(outcome.name()))),
            duration: self.durations.with_label_values(&labels),
            stages: Stage::ALL.map(|stage| self.stages.with_label_values(&with(stage.name()))),
            cold: ColdStep::ALL.map(|step| self.cold.with_label_values(&with(step.name()))),
            instances: self.instances.with_label_values(&labels),
            batches: OnceLock::new(),
            of_batches: self.batches.clone(),
            subject: subject.clone(),
        }
    }

    /// Counts a component that was loaded, or could not be.
    pub fn load(&self, model: &str, succeeded: bool) {
        let outcome = if succeeded { Outcome::Success } else { Outcome::Failed };
        self.loads.with_label_values(&[model, outcome.name()]).inc();
    }

    /// All of it as Prometheus reads it, once `keep` has written down what others keep.
    pub fn text(&self, keep: impl FnOnce(&mut Scrape<'_>)) -> String {
        // One at a time, as the counters that others keep are set anew each time.
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // What has gone since is not told any more.
        for gauges in [&kept.versions, &kept.resident] {
            gauges.reset();
        }
        keep(&mut Scrape { kept: &kept });
        let mut text = String::new();
        // It can fail where a family has no metric, and those are left out.
        let families: Vec<_> =
            self.registry.gather().into_iter().filter(|family| !family.get_metric().is_empty()).collect();
        let _ = TextEncoder::new().encode_utf8(&families, &mut text);
        text
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

// === impl Subject ===

impl Subject {
    fn labels(&self) -> [&str; 3] {
        match self {
            Subject::Model { name, version } => [name, version, ""],
            Subject::Function(name) => ["", "", name],
        }
    }
}

// === impl Series ===

impl Series {
    /// Counts a request when what this returns is dropped.
    #[must_use]
    pub fn count(&self, began: Instant) -> Counting<'_> {
        Counting { series: self, began, outcome: Outcome::Cancelled }
    }

    /// Measures the stages of a request.
    pub fn measure(&self, stages: &Stages) {
        for (stage, began, ended) in stages.iter() {
            self.stages[stage as usize].observe((ended - began).as_secs_f64());
        }
    }

    /// Counts an instance among those that exist until what this returns is dropped.
    #[must_use]
    pub fn instance(&self) -> Existing {
        self.instances.inc();
        Existing(self.instances.clone())
    }

    /// Measures a batch by its items, of one request or of several.
    pub fn measure_batch(&self, items: u64) {
        self.batches().0.observe(items as f64);
    }

    /// Counts a batch that failed, whose requests are then run one by one.
    pub fn count_batch_failure(&self) {
        self.batches().1.inc();
    }

    fn batches(&self) -> &(Histogram, IntCounter) {
        self.batches.get_or_init(|| {
            let [model, version, _] = self.subject.labels();
            let Batches { sizes, failures } = &self.of_batches;
            (sizes.with_label_values(&[model, version]), failures.with_label_values(&[model, version]))
        })
    }

    /// Measures a step of a cold start.
    pub fn measure_cold(&self, step: ColdStep, time: Duration) {
        self.cold[step as usize].observe(time.as_secs_f64());
    }
}

impl Drop for Existing {
    fn drop(&mut self) {
        self.0.dec();
    }
}

// === impl Counting ===

impl Counting<'_> {
    /// Says how the request ended.
    pub fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        self.series.outcomes[self.outcome as usize].inc();
        self.series.duration.observe(self.began.elapsed().as_secs_f64());
    }
}

// === impl Scrape ===

impl Scrape<'_> {
    /// How often a limit was met by requests to a subject; by connections, where there is none.
    pub fn limit(&mut self, subject: Option<&Subject>, limit: &str, count: u64) {
        let labels = subject.map_or([""; 3], Subject::labels);
        set(&self.kept.limits, &[&labels[..], &[limit]].concat(), count);
    }

    /// How many requests to a subject wait, and how many run.
    pub fn depth(&mut self, subject: &Subject, waiting: usize, running: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let labels = subject.labels();
        self.kept.queue_depth.with_label_values(&labels).set(number(waiting));
        self.kept.in_flight.with_label_values(&labels).set(number(running));
        if let Subject::Model { name, version } = subject {
            self.kept.pending.with_label_values(&[name, version]).set(number(waiting));
        }
    }

    /// How many versions of a model are loaded.
    pub fn versions(&mut self, name: &str, count: usize) {
        self.kept.versions.with_label_values(&[name]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many models are served, and how many of them are mapped.
    pub fn models(&mut self, registered: usize, mapped: usize) {
        for (state, count) in [("registered", registered), ("mapped", mapped)] {
            self.kept.models.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// How many models have been unmapped for a reason.
    pub fn evictions(&mut self, reason: &str, count: u64) {
        set(&self.kept.evictions, &[reason], count);
    }

    /// How much memory of a model is resident.
    pub fn resident(&mut self, name: &str, version: &str, bytes: u64) {
        self.kept.resident.with_label_values(&[name, version]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// What the process has.
    pub fn process(&mut self, resident_bytes: u64, open_files: u64) {
        self.kept.process_resident.set(i64::try_from(resident_bytes).unwrap_or(i64::MAX));
        self.kept.process_open_files.set(i64::try_from(open_files).unwrap_or(i64::MAX));
    }

    /// The counters that have Triton's names, in the order of [`METRICS`](crate::METRICS).
    pub fn triton(&mut self, name: &str, version: &str, counts: [u64; 9]) {
        for ((_, counter), count) in self.kept.triton.iter().zip(counts) {
            set(counter, &[name, version], count);
        }
    }
}

fn set(counters: &IntCounterVec, labels: &[&str], count: u64) {
    let counter = counters.with_label_values(labels);
    counter.inc_by(count.saturating_sub(counter.get()));
}

fn counters(registry: &Registry, name: &'static str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauges(registry: &Registry, name: &'static str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn gauge(registry: &Registry, name: &'static str, help: &str) -> IntGauge {
    registered(registry, IntGauge::new(name, help))
}

fn histograms(registry: &Registry, name: &'static str, help: &str, labels: &[&str]) -> HistogramVec {
    let bounds = (0..BOUNDS).map(|power| 1e-5 * f64::from(1_u32 << power)).collect();
    registered(registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(bounds), labels))
}

fn sizes(registry: &Registry, name: &'static str, help: &str, labels: &[&str]) -> HistogramVec {
    let bounds = (0..SIZES).map(|power| f64::from(1_u32 << power)).collect();
    registered(registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(bounds), labels))
}

/// Registers what was made of constants.
#[expect(clippy::expect_used, reason = "the names are constants, each used once: a test makes all of them")]
fn registered<M: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<M>) -> M {
    let metric = metric.expect("a name that is one");
    registry.register(Box::new(metric.clone())).expect("a name that is used once");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Subject {
        Subject::Model { name: "m".to_owned(), version: "2".to_owned() }
    }

    #[test]
    fn everything_that_is_named_is_told() {
        let metrics = Metrics::new();
        let series = metrics.series(&model());
        series.measure_cold(ColdStep::Map, Duration::from_millis(3));
        metrics.load("m", true);
        assert!(!metrics.text(|_| {}).contains("samara_batch_size"), "nothing ran in batches");
        series.measure_batch(5);
        let text = metrics.text(|scrape| {
            scrape.limit(None, "header_bytes", 1);
            scrape.depth(&model(), 3, 1);
            scrape.models(2, 1);
            scrape.evictions("idle", 3);
            scrape.resident("m", "2", 4096);
            scrape.versions("m", 2);
            scrape.process(8192, 12);
            scrape.triton("m", "2", [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        });
        for name in crate::METRICS {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name} is missing:\n{text}");
        }
        assert!(text.contains("nv_inference_compute_output_duration_us{model=\"m\",version=\"2\"} 9"), "{text}");
        assert!(text.contains("samara_batch_size_bucket{model=\"m\",version=\"2\",le=\"4\"} 0"), "{text}");
        assert!(text.contains("samara_batch_size_bucket{model=\"m\",version=\"2\",le=\"8\"} 1"), "{text}");
        assert!(text.contains("samara_batch_failures_total{model=\"m\",version=\"2\"} 0"), "{text}");
        assert!(text.contains("samara_queue_depth{function=\"\",model=\"m\",version=\"2\"} 3"), "{text}");
    }

    #[test]
    fn what_has_gone_is_not_told_any_more() {
        let metrics = Metrics::new();
        assert!(metrics.text(|scrape| scrape.versions("m", 2)).contains("samara_model_versions{model=\"m\"} 2"));
        assert!(!metrics.text(|_| {}).contains("samara_model_versions{"));
    }

    #[test]
    fn a_request_that_is_not_ended_is_one_whose_client_went_away() {
        let metrics = Metrics::new();
        let series = metrics.series(&Subject::Function("f".to_owned()));
        series.count(Instant::now()).end(Outcome::Success);
        drop(series.count(Instant::now()));
        let text = metrics.text(|_| {});
        for outcome in ["success", "cancelled"] {
            let line =
                format!("samara_requests_total{{function=\"f\",model=\"\",outcome=\"{outcome}\",version=\"\"}} 1");
            assert!(text.contains(&line), "{text}");
        }
        let count = "samara_request_duration_seconds_count{function=\"f\",model=\"\",version=\"\"} 2";
        assert!(text.contains(count), "{text}");
    }

    #[test]
    fn counters_that_others_keep_are_told_as_they_are_and_never_fall() {
        let metrics = Metrics::new();
        let told = |count| metrics.text(|scrape| scrape.limit(Some(&model()), "queue", count));
        let value = |count| {
            format!("samara_limit_hits_total{{function=\"\",limit=\"queue\",model=\"m\",version=\"2\"}} {count}")
        };
        assert!(told(3).contains(&value(3)));
        assert!(told(5).contains(&value(5)));
        assert!(told(5).contains(&value(5)));
    }

    #[test]
    fn stages_are_measured_that_were_come_to() {
        let metrics = Metrics::new();
        let series = metrics.series(&model());
        let mut stages = Stages::default();
        let began = Instant::now();
        stages.note(Stage::Infer, began, began + Duration::from_millis(7));
        series.measure(&stages);
        let text = metrics.text(|_| {});
        let count = |stage: &str, count: u32| {
            format!(
                "samara_stage_duration_seconds_count{{function=\"\",model=\"m\",stage=\"{stage}\",version=\"2\"}} {count}"
            )
        };
        assert!(text.contains(&count("infer", 1)) && text.contains(&count("parse", 0)), "{text}");
    }
}
