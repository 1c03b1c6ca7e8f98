//! The signature of a model, and the one that a function wants.

use std::fmt;
use std::str::FromStr;

use samara_protocol::{Datatype, TensorSpec};
use wasmparser::{Parser, Payload};

/// Name of the custom section, in the core module of a function, that holds the signature of its model as text.
pub const FUNCTION_SECTION: &str = "samara:function";

/// What a model takes and gives, written `a FP32[-1,3], b INT64[1] -> c FP32[-1]`. An extent of -1 is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What it takes.
    pub inputs: Vec<TensorSpec>,
    /// What it gives.
    pub outputs: Vec<TensorSpec>,
}

/// Why there is no signature to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The bytes are no WebAssembly.
    #[error("not WebAssembly: {0}")]
    NotWasm(String),
    /// The text is not one.
    #[error("the signature {text:?} cannot be read: {reason}; expected one like `x FP32[-1,3] -> y FP32[-1]`")]
    Unreadable {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}

// === impl Signature ===

impl Signature {
    /// The signature that a function, a module or a component, says its model must have. None if it says nothing.
    pub fn wanted_by(function: &[u8]) -> Result<Option<Signature>, SignatureError> {
        for payload in Parser::new(0).parse_all(function) {
            let payload = payload.map_err(|error| SignatureError::NotWasm(error.to_string()))?;
            if let Payload::CustomSection(section) = payload
                && section.name() == FUNCTION_SECTION
            {
                let text = String::from_utf8_lossy(section.data());
                return text.parse().map(Some);
            }
        }
        Ok(None)
    }

    /// What keeps a model with the signature `model` from being used by a function that wants this one, if anything does.
    ///
    /// The model takes exactly the inputs that the function gives, and gives at least the outputs that it wants. An
    /// extent that is open on either side fits any.
    pub fn mismatch(&self, model: &Signature) -> Option<String> {
        for wanted in &self.inputs {
            match model.inputs.iter().find(|input| input.name == wanted.name) {
                None => return Some(format!("the model has no input `{}`", wanted.name)),
                Some(input) if !fits(wanted, input) => return Some(format!("input `{}` differs", wanted.name)),
                Some(_) => {}
            }
        }
        if let Some(more) = model.inputs.iter().find(|input| !self.inputs.iter().any(|given| given.name == input.name))
        {
            return Some(format!("the function does not give the model's input `{}`", more.name));
        }
        for wanted in &self.outputs {
            match model.outputs.iter().find(|output| output.name == wanted.name) {
                None => return Some(format!("the model has no output `{}`", wanted.name)),
                Some(output) if !fits(wanted, output) => return Some(format!("output `{}` differs", wanted.name)),
                Some(_) => {}
            }
        }
        None
    }
}

fn fits(a: &TensorSpec, b: &TensorSpec) -> bool {
    a.datatype == b.datatype
        && a.shape.len() == b.shape.len()
        && a.shape.iter().zip(&b.shape).all(|(&a, &b)| a == b || a < 0 || b < 0)
}

impl FromStr for Signature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = |reason: &str| SignatureError::Unreadable { text: text.to_owned(), reason: reason.to_owned() };
        let (inputs, outputs) = text.split_once("->").ok_or_else(|| unreadable("it has no `->`"))?;
        let tensors = |side: &str| side.split_terminator(']').map(tensor).collect::<Result<_, _>>();
        Ok(Signature {
            inputs: tensors(inputs.trim()).map_err(|reason| unreadable(&reason))?,
            outputs: tensors(outputs.trim()).map_err(|reason| unreadable(&reason))?,
        })
    }
}

/// One tensor without its last bracket, and with a comma in front unless it is the first: `, x FP32[-1,3`.
fn tensor(text: &str) -> Result<TensorSpec, String> {
    let text = text.trim_start_matches(',').trim();
    let (head, shape) = text.rsplit_once('[').ok_or_else(|| format!("`{text}` has no shape"))?;
    let (name, datatype) =
        head.trim_end().rsplit_once(' ').ok_or_else(|| format!("`{head}` is no name and datatype"))?;
    let datatype: Datatype = datatype.parse().map_err(|error| format!("{error}"))?;
    let extent = |extent: &str| extent.trim().parse::<i64>().map_err(|_| format!("`{extent}` is no extent"));
    let shape = shape.split(',').filter(|extent| !extent.trim().is_empty()).map(extent).collect::<Result<_, _>>()?;
    Ok(TensorSpec { name: name.trim_end().to_owned(), datatype, shape })
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |f: &mut fmt::Formatter<'_>, tensors: &[TensorSpec]| {
            for (position, tensor) in tensors.iter().enumerate() {
                let comma = if position == 0 { "" } else { ", " };
                let shape: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
                write!(f, "{comma}{} {}[{}]", tensor.name, tensor.datatype, shape.join(","))?;
            }
            Ok(())
        };
        side(f, &self.inputs)?;
        f.write_str(" -> ")?;
        side(f, &self.outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(text: &str) -> Signature {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn text_comes_back() {
        for text in [
            "x FP32[-1,3,224,224] -> y FP32[-1,1000]",
            "input_ids INT64[1,128], attention_mask INT64[1,128] -> embedding FP32[1,384]",
            "a name with spaces, and a comma BYTES[] -> y BOOL[2]",
        ] {
            assert_eq!(signature(text).to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "x FP32[1]", "x -> y", "x FP32 -> y FP32[1]", "x FP99[1] -> y FP32[1]", "x FP32[a] -> y FP32[1]"]
        {
            assert!(text.parse::<Signature>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let model = signature("x FP32[-1,3], z INT64[1] -> y FP32[-1], more BOOL[1]");
        let mismatch = |wanted: &str| signature(wanted).mismatch(&model);
        assert_eq!(mismatch("x FP32[1,3], z INT64[-1] -> y FP32[1]"), None);
        for (wanted, named) in [
            ("w FP32[1,3], z INT64[1] -> y FP32[1]", "no input `w`"),
            ("x FP32[1,4], z INT64[1] -> y FP32[1]", "input `x` differs"),
            ("x FP64[1,3], z INT64[1] -> y FP32[1]", "input `x` differs"),
            ("x FP32[1,3,1], z INT64[1] -> y FP32[1]", "input `x` differs"),
            ("x FP32[1,3] -> y FP32[1]", "input `z`"),
            ("x FP32[1,3], z INT64[1] -> w FP32[1]", "no output `w`"),
            ("x FP32[1,3], z INT64[1] -> y FP32[1,1]", "output `y` differs"),
        ] {
            let reason = mismatch(wanted).unwrap_or_else(|| panic!("{wanted} fits"));
            assert!(reason.contains(named), "{wanted}: {reason}");
        }
    }
}
