//! What a node tells of itself: metrics for Prometheus, traces for OpenTelemetry, ids of requests.
//!
//! [`Metrics`] has what is counted and measured. Whoever serves something takes its [`Series`] once, so that a request costs
//! some additions to atomic numbers and no look-up. [`Tracer`] makes spans of times that have been measured already, once a
//! request is answered: while traces are off it is not there, and costs nothing.

#![forbid(unsafe_code)]

mod metrics;
mod names;
mod otlp;
mod request_id;
mod resident;
mod stage;
mod trace;

pub use metrics::{Counting, Existing, Metrics, Scrape, Series, Subject};
pub use names::METRICS;
pub use request_id::RequestId;
pub use resident::{Resident, process_open_files, process_resident_bytes};
pub use stage::{ColdStep, Outcome, Stage, Stages};
pub use trace::{Trace, TraceConfig, TraceError, Tracer};
