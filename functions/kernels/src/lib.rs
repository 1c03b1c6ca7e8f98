//! Kernels for WebAssembly's 128-bit vectors: the innermost loops of what a model does, and how tract gets at some of them.
//!
//! The operators of crate samara-operators call most of these. For what is left to tract, `elementwise` and `product` add
//! themselves to the registries in which tract looks for kernels.

pub mod activation;
pub mod cells;
mod elementwise;
mod five;
pub mod fourier;
mod functions;
mod integers;
pub mod lines;
#[cfg(test)]
mod numbers;
mod peak;
pub mod places;
mod product;
pub mod program;
pub mod quantized;
pub mod resample;
pub mod rows;
pub mod strided;
mod tile;
pub mod tune;
mod twelve;
mod vector;
mod weights;
pub mod winograd;

pub use peak::peak;
pub use vector::F32x4;
