//! A function as a component: the model that it imports, and the handler that it exports.

use crate::{Datatype, Metadata, Model, ModelError, Tensor, TensorSpec};

#[cfg(feature = "incoming-handler")]
#[allow(missing_docs, clippy::undocumented_unsafe_blocks, reason = "generated from wit/, which documents each item")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "samara:inference/function",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_handler",
    });
}

#[cfg(not(feature = "incoming-handler"))]
#[allow(missing_docs, clippy::undocumented_unsafe_blocks, reason = "generated from wit/, which documents each item")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "samara:inference/asks",
        generate_all,
    });
}

#[cfg(feature = "incoming-handler")]
mod handler;

#[cfg(feature = "incoming-handler")]
pub use bindings::{
    export_handler,
    exports::wasi::http::incoming_handler::{Guest as IncomingHandler, IncomingRequest, ResponseOutparam},
};
#[cfg(feature = "incoming-handler")]
pub use handler::handle;

use bindings::samara::inference::model as wit;

/// The model that the component is linked to.
#[derive(Clone, Copy, Debug)]
pub struct LinkedModel;

impl Model for LinkedModel {
    fn metadata(&self) -> Metadata {
        let metadata = wit::metadata();
        let specs = |specs: Vec<wit::TensorSpec>| specs.into_iter().map(Into::into).collect();
        Metadata {
            name: metadata.name,
            version: metadata.version,
            inputs: specs(metadata.inputs),
            outputs: specs(metadata.outputs),
        }
    }

    fn labels(&self) -> Vec<String> {
        wit::labels()
    }

    fn infer(&self, inputs: Vec<Tensor>, outputs: &[&str]) -> Result<Vec<Tensor>, ModelError> {
        let inputs: Vec<wit::Tensor> = inputs
            .into_iter()
            .map(|tensor| wit::Tensor {
                name: tensor.name,
                datatype: tensor.datatype.into(),
                shape: tensor.shape,
                data: tensor.data,
            })
            .collect();
        let outputs: Vec<String> = outputs.iter().map(|&name| name.to_owned()).collect();
        match wit::infer(&inputs, &outputs) {
            Ok(results) => Ok(results
                .into_iter()
                .map(|tensor| Tensor {
                    name: tensor.name,
                    datatype: tensor.datatype.into(),
                    shape: tensor.shape,
                    data: tensor.data,
                })
                .collect()),
            Err(wit::Error::InvalidArgument(message)) => Err(ModelError::InvalidArgument(message)),
            Err(wit::Error::Failed(message)) => Err(ModelError::Failed(message)),
        }
    }
}

impl From<wit::TensorSpec> for TensorSpec {
    fn from(spec: wit::TensorSpec) -> Self {
        TensorSpec { name: spec.name, datatype: spec.datatype.into(), shape: spec.shape }
    }
}

/// The same type on both sides, whose variants have the same names.
macro_rules! datatypes {
    ($($variant:ident)*) => {
        impl From<wit::Datatype> for Datatype {
            fn from(datatype: wit::Datatype) -> Self {
                match datatype {
                    $(wit::Datatype::$variant => Datatype::$variant,)*
                }
            }
        }

        impl From<Datatype> for wit::Datatype {
            fn from(datatype: Datatype) -> Self {
                match datatype {
                    $(Datatype::$variant => wit::Datatype::$variant,)*
                }
            }
        }
    };
}

datatypes!(Bool Uint8 Uint16 Uint32 Uint64 Int8 Int16 Int32 Int64 Fp16 Fp32 Fp64 Bytes);
