//! Where the blocks of an inference lie in memory, planned before it runs.
//!
//! An inference of one shape asks for the same blocks in the same order each time. So it is watched once ([`Trace`]), each of
//! its blocks gets a place in one arena, such that blocks which are in use at different times share theirs ([`Plan`]), and
//! every later inference is held against it, step by step ([`Replay`]): as long as it does the same, the next block's place
//! is the next line of a table, and to free one is nothing. An inference that does anything else, as one of another shape
//! does, goes on with an ordinary heap.
//!
//! The places are found as TensorFlow Lite finds those of tensors: "greedy by size for offset calculation", from Yury
//! Pisarchyk and Juhyun Lee, *Efficient Memory Management for Deep Neural Net Inference*, 2020,
//! <https://arxiv.org/abs/2001.03288>. Here it takes everything that is allocated, not tensors alone.
//!
//! This crate only counts: it holds no memory but its tables, and the allocator that uses it knows where the arena is.

#![forbid(unsafe_code)]

mod plan;
mod replay;
mod trace;

pub use plan::Plan;
pub use replay::{Place, Replay};
pub use trace::Trace;

#[cfg(test)]
mod tests;
