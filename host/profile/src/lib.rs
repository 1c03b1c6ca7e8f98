//! Measures a model.
//!
//! [`latency`] is what users get: how long it takes to make an instance, and to run the model in a fresh one and in one that
//! is used again. [`operators`] is where that time goes, beside what this CPU could do.

#![forbid(unsafe_code)]

mod latency;
mod operators;

pub use latency::{Latency, Quantiles, latency};
pub use operators::{Operator, Profile, ProfileError, check, operators};
