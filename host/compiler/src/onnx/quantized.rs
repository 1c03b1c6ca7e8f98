//! Quantized graphs.
//!
//! ONNX has three ways to say that a model computes with bytes: operators between `DequantizeLinear` and `QuantizeLinear`;
//! operators of their own, `QLinearConv` and the like, some of them ONNX Runtime's; and products in `i32` of what
//! `DynamicQuantizeLinear` gives. By definition all of them compute what the first does, so that is what they are made here,
//! before tract sees them: the engine has to know one form only, and what it has no operator for is computed in floats.

mod operators;
mod rewrite;

pub use operators::register;
pub use rewrite::{dequantized, is_known};
