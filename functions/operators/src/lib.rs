//! Operators for tract's graphs on kernels for WebAssembly.
//!
//! Tensors between them lie as suits them: channels last, without axes of size 1. Crate samara-rewrite puts them into graphs.

pub mod attention;
pub mod batch;
pub mod cell;
pub mod chain;
pub mod convolution;
pub mod depthwise;
pub mod fold;
pub mod forest;
pub mod fourier;
pub mod fused;
pub mod gather;
pub mod geometry;
pub mod grouped;
mod image;
pub mod layout;
pub mod lines;
pub mod map;
pub mod pad;
pub mod parts;
pub mod pool;
pub mod product;
pub mod quantized;
pub mod resample;
mod strips;
pub mod winograd;
