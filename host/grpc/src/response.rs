//! Inference replies: a `ModelInferResponse`.

use prost::{Message, encode_length_delimiter, length_delimiter_len};
use samara_protocol::{Error, ModelMetadata, OutputTensor, ResponsePlan, select_outputs};

use crate::inference::ModelInferResponse;
use crate::inference::model_infer_response::InferOutputTensor;

/// How `raw_output_contents`, field 6, begins: the number, and that a length follows.
const RAW_OUTPUT_CONTENTS: u8 = 6 << 3 | 2;

/// Writes the outputs that a request asked for. Their data goes into `raw_output_contents`, as Triton sends it, copied once.
///
/// # Errors
///
/// [`Error::Internal`] where the outputs are not what the model declares.
pub fn encode(plan: &ResponsePlan, model: &ModelMetadata, outputs: &[OutputTensor<'_>]) -> Result<Vec<u8>, Error> {
    let chosen = select_outputs(plan, model, outputs)?;
    let head = ModelInferResponse {
        model_name: model.name.clone(),
        model_version: model.version.clone(),
        id: plan.id.clone().unwrap_or_default(),
        outputs: chosen
            .iter()
            .map(|output| InferOutputTensor {
                name: output.name.clone().into_owned(),
                datatype: output.datatype.name().to_owned(),
                // What has more elements than that was never in memory.
                shape: output.shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect(),
                ..InferOutputTensor::default()
            })
            .collect(),
        ..ModelInferResponse::default()
    };
    let data: usize = chosen.iter().map(|output| 1 + length_delimiter_len(output.data.len()) + output.data.len()).sum();
    let mut message = Vec::with_capacity(head.encoded_len() + data);
    let written = head.encode(&mut message).and_then(|()| {
        // A message goes on where another of its kind follows: the data needs no message of its own to be copied from.
        chosen.iter().try_for_each(|output| {
            message.push(RAW_OUTPUT_CONTENTS);
            encode_length_delimiter(output.data.len(), &mut message)?;
            message.extend_from_slice(&output.data);
            Ok(())
        })
    });
    // A vector grows, so that nothing fails.
    written.map_err(|error| Error::Internal(format!("the reply could not be written: {error}")))?;
    Ok(message)
}

/// How a `ModelStreamInferResponse` begins that goes on with a `ModelInferResponse` of so many bytes.
#[must_use]
pub fn streamed(bytes: usize) -> Vec<u8> {
    /// `infer_response`, field 2, and that a length follows.
    const INFER_RESPONSE: u8 = 2 << 3 | 2;
    let mut beginning = vec![INFER_RESPONSE];
    // A vector grows, so that nothing fails.
    let _ = encode_length_delimiter(bytes, &mut beginning);
    beginning
}

#[cfg(test)]
mod tests {
    use samara_protocol::{Datatype, RequestedOutput, TensorSpec};

    use super::*;
    use crate::inference::ModelStreamInferResponse;

    /// What is written piece by piece is what prost reads as the whole.
    #[test]
    fn a_reply_is_a_message() {
        let spec = |name: &str| TensorSpec { name: name.to_owned(), datatype: Datatype::Uint8, shape: vec![-1] };
        let model = ModelMetadata {
            name: "m".to_owned(),
            version: "2".to_owned(),
            platform: "test".to_owned(),
            inputs: Vec::new(),
            outputs: vec![spec("y"), spec("z")],
        };
        let tensor = |name: &'static str, data: &[u8]| OutputTensor {
            name: name.into(),
            datatype: Datatype::Uint8,
            shape: vec![data.len() as u64].into(),
            data: data.to_vec().into(),
        };
        let outputs = [tensor("y", &[1; 300]), tensor("z", &[])];
        let requested = |index| RequestedOutput { index, binary: true };
        let plan = ResponsePlan { id: Some("i".to_owned()), outputs: vec![requested(1), requested(0)], coding: None };
        let written = encode(&plan, &model, &outputs).unwrap();
        let read = ModelInferResponse::decode(&*written).unwrap();
        assert_eq!((&*read.model_name, &*read.model_version, &*read.id), ("m", "2", "i"));
        let names: Vec<_> = read.outputs.iter().map(|output| (&*output.name, &output.shape[..])).collect();
        assert_eq!(names, [("z", &[0][..]), ("y", &[300][..])]);
        assert_eq!(read.raw_output_contents, [vec![], vec![1; 300]]);
        assert_eq!(written.capacity(), written.len(), "memory is taken once");

        let streamed = [streamed(written.len()), written].concat();
        let streamed = ModelStreamInferResponse::decode(&*streamed).unwrap();
        assert_eq!((streamed.infer_response, &*streamed.error_message), (Some(read), ""));
        assert!(encode(&plan, &model, &outputs[..1]).is_err());
    }
}
