//! Kernels for WebAssembly's 128-bit vectors, and how tract gets at them.
//!
//! tract looks for its kernels in registries that any crate can add to: `product` does, when it is linked.

mod depthwise;
mod elementwise;
mod peak;
mod product;
mod tile;
mod vector;

pub use peak::peak;
