//! The rest of the command: `samara infer`, `samara inspect`, and how it is called.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod bench;
mod config;
mod infer;
mod inspect;
mod new;
mod usage;
