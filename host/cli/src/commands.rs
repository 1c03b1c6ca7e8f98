//! One module for each subcommand.

pub mod bench;
pub mod compile;
pub mod config;
pub mod infer;
pub mod inspect;
pub mod link;
pub mod new;
pub mod run;
pub mod serve;
pub mod spin;
