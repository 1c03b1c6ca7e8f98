//! Kernels for WebAssembly's 128-bit vectors, and how tract gets at them.
//!
//! tract looks for its kernels in registries that any crate can add to. `depthwise`, `elementwise` and
//! `product` do, when they are linked.

mod depthwise;
mod elementwise;
mod peak;
mod product;
mod tile;
mod vector;

pub use peak::peak;
