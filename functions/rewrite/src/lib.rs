//! The rewrite of tract's graphs that puts in the operators of crate samara-operators.
//!
//! tract loads a graph and simplifies it; [`rewrite`] then replaces what there are operators for, and leaves the rest to tract. It
//! runs when a model is compiled and never when one is asked, so this crate is compiled to be small, and the operators to be fast.

mod attention;
mod chain;
mod expression;
mod pattern;
mod rewriter;
mod spectrum;
mod symmetry;

pub use rewriter::rewrite;
