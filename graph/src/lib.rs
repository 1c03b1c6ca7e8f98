//! The form in which a graph goes from the compiler to the engine.
//!
//! That form is [NNEF](https://www.khronos.org/nnef), in tract's dialect: a text for the graph, and a file for each tensor.
//! The compiler writes it and the engine reads it, so both need the same set of operators: [`framework`] is that set.

#![forbid(unsafe_code)]
#![deny(missing_docs, rust_2018_idioms)]

mod binary_trees;
pub mod quantization;
mod simplify;

pub use binary_trees::repair_binary_trees;
pub use simplify::{optimize, simplify};

use tract_nnef::framework::Nnef;
use tract_nnef::internal::*;
use tract_nnef::tract_core::ops::{math, nn};
use tract_onnx_opl::WithOnnx;

/// NNEF with tract's own operators, those that ONNX needs, and those that tract has but cannot write down.
#[must_use]
pub fn framework() -> Nnef {
    tract_nnef::nnef().with_onnx().with_registry(missing_operators())
}

/// Operators that tract 0.23.9 makes of ONNX graphs, but has no NNEF for.
fn missing_operators() -> Registry {
    let mut registry = Registry::new("samara");
    registry.register_unit_element_wise("samara_gelu_exact", &nn::gelu_exact::GeluExact {});
    registry.register_binary("samara_rem", &math::Rem {});
    registry.register_binary("samara_subf", &math::SubF {});
    quantization::register(&mut registry);
    registry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(model: &TypedModel) -> TypedModel {
        let framework = framework();
        let archive = framework.write_to_tar_with_config(model, Vec::new(), false, true).expect("written");
        framework.model_for_read(&mut archive.as_slice()).expect("read")
    }

    #[test]
    fn what_tract_cannot_write_is_written_and_read() {
        let mut model = TypedModel::default();
        let a = model.add_source("a", f32::fact([3])).expect("source");
        let b = model.add_source("b", f32::fact([3])).expect("source");
        let gelu = model.wire_node("gelu", nn::gelu_exact::gelu_exact(), &[a]).expect("wired");
        let rem = model.wire_node("rem", math::rem(), &[gelu[0], b]).expect("wired");
        model.select_output_outlets(&rem).expect("outputs");

        let inputs = || tvec!(tensor1(&[1_f32, -2.0, 3.5]).into(), tensor1(&[0.5_f32, 0.7, 2.0]).into());
        let before = model.clone().into_runnable().expect("plan").run(inputs()).expect("run");
        let after = round_trip(&model).into_runnable().expect("plan").run(inputs()).expect("run");
        assert_eq!(before, after);
    }
}
