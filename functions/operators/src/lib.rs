//! Operators for tract's graphs on kernels for WebAssembly, and the rewrite that puts them there.
//!
//! tract loads a graph and simplifies it; [`rewrite`] then replaces what it has operators of its own for, and leaves the rest
//! to tract. Tensors between these operators lie as suits them: channels last, without axes of size 1.

mod batch;
mod cell;
mod chain;
mod convolution;
mod depthwise;
mod expression;
mod forest;
mod fused;
mod geometry;
mod layout;
mod lines;
mod map;
mod pad;
mod pattern;
mod pool;
mod product;
mod quantized;
mod rewrite;
mod strips;
mod winograd;

pub use rewrite::rewrite;
