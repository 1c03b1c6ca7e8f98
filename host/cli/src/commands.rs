//! One module for each subcommand.

pub mod compile;
pub mod infer;
pub mod inspect;
pub mod serve;
