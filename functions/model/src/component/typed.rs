//! The typed export: `samara:inference/model`.

use samara_protocol::{Datatype, TensorSpec};

use super::Component;
use super::bindings::exports::samara::inference::model as wit;
use crate::{EMPTY, NamedInput, RunError, arrange, wanted};

impl wit::Guest for Component {
    fn metadata() -> wit::ModelMetadata {
        crate::with(|model| match model.map(|model| &model.metadata) {
            Some(metadata) => wit::ModelMetadata {
                name: metadata.name.clone(),
                version: metadata.version.clone(),
                inputs: metadata.inputs.iter().map(Into::into).collect(),
                outputs: metadata.outputs.iter().map(Into::into).collect(),
            },
            None => wit::ModelMetadata {
                name: String::new(),
                version: String::new(),
                inputs: Vec::new(),
                outputs: Vec::new(),
            },
        })
    }

    fn labels() -> Vec<String> {
        crate::with(|model| model.map(|model| model.labels.clone()).unwrap_or_default())
    }

    fn infer(inputs: Vec<wit::Tensor>, outputs: Vec<String>) -> Result<Vec<wit::Tensor>, wit::Error> {
        crate::with(|model| {
            let model = model.ok_or_else(|| wit::Error::Failed(EMPTY.to_owned()))?;
            let metadata = &model.metadata;
            let wanted = wanted(&metadata.outputs, &outputs)?;
            let given = inputs.iter().map(|input| NamedInput {
                name: &input.name,
                datatype: input.datatype.into(),
                shape: &input.shape,
                data: &input.data,
            });
            let results = model.backend.run(metadata, &arrange(&metadata.inputs, given)?, &wanted)?;
            let named = wanted.iter().zip(results).filter_map(|(&index, output)| {
                let name = metadata.outputs.get(index)?.name.clone();
                Some(wit::Tensor { name, datatype: output.datatype.into(), shape: output.shape, data: output.data })
            });
            Ok(named.collect())
        })
    }
}

impl From<RunError> for wit::Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::InvalidArgument(message) => wit::Error::InvalidArgument(message),
            RunError::Failed(message) | RunError::Internal(message) => wit::Error::Failed(message),
        }
    }
}

impl From<&TensorSpec> for wit::TensorSpec {
    fn from(spec: &TensorSpec) -> Self {
        wit::TensorSpec { name: spec.name.clone(), datatype: spec.datatype.into(), shape: spec.shape.clone() }
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
