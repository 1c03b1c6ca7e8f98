//! A signature, as the code of a function has it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use samara_artifact::Signature;
use samara_protocol::{Datatype, TensorSpec};
use serde::Serialize;

/// Names that the generated code uses itself.
const TAKEN: &[&str] =
    &["body", "check_shape", "data", "inputs", "model", "outputs", "request", "shape", "shape_of", "wanted"];

/// Rust's keywords, those that are only reserved, and words that are keywords in some places.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "union", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// An input or an output.
#[derive(Debug, Serialize)]
pub struct Tensor {
    /// Its name, as the model has it.
    name: String,
    /// The same, as a literal in Rust and in JSON.
    literal: String,
    /// The same, as an identifier.
    ident: String,
    datatype: &'static str,
    /// The type of a number in Rust, and a zero and a one of it.
    element: &'static str,
    zero: &'static str,
    one: &'static str,
    /// The function of the SDK that makes such a tensor.
    make: &'static str,
    /// Its extents as the signature has them, and as a literal.
    shape: String,
    shape_literal: String,
    /// Whether a list of numbers is enough to know the shape: at most one extent is open.
    is_flat: bool,
    /// In words, what a request has for it.
    content: &'static str,
    /// A shape that it may have.
    sample_literal: String,
    /// How many numbers that is.
    elements: u64,
}

/// Whether a word cannot be the name of a crate or a variable.
pub fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word)
}

/// The inputs and the outputs of a signature. `samples` are shapes that the inputs may have, in their order.
pub fn tensors(signature: &Signature, samples: &[Vec<u64>]) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
    let text = signature.to_string();
    ensure!(
        text.parse().is_ok_and(|read: Signature| read == *signature) && !text.contains(char::is_control),
        "the signature {text:?} has a name that cannot be written into one"
    );
    ensure!(!signature.inputs.is_empty() && !signature.outputs.is_empty(), "`{text}`: there is nothing to ask for");
    let mut used = BTreeSet::new();
    let inputs = signature.inputs.iter().enumerate().map(|(index, spec)| {
        let sample = samples.get(index).filter(|sample| sample.len() == spec.shape.len());
        Tensor::new("input", spec, sample.map(Vec::as_slice), &mut used)
    });
    let inputs = inputs.collect::<Result<_>>()?;
    let mut used = BTreeSet::new();
    let outputs = signature.outputs.iter().map(|spec| Tensor::new("output", spec, None, &mut used));
    Ok((inputs, outputs.collect::<Result<_>>()?))
}

// === impl Tensor ===

impl Tensor {
    fn new(kind: &str, spec: &TensorSpec, sample: Option<&[u64]>, used: &mut BTreeSet<String>) -> Result<Tensor> {
        let (element, zero, one, make) = match spec.datatype {
            Datatype::Fp32 => ("f32", "0.0", "1.0", "fp32"),
            Datatype::Int32 => ("i32", "0", "1", "int32"),
            Datatype::Int64 => ("i64", "0", "1", "int64"),
            Datatype::Uint8 => ("u8", "0", "1", "uint8"),
            other => bail!(
                "the model's {kind} `{}` is {other}: a function can be written for FP32, INT64, INT32 and UINT8 only",
                spec.name
            ),
        };
        let open = |extent: i64| u64::try_from(extent).unwrap_or(1);
        let sample: Vec<u64> = spec
            .shape
            .iter()
            .enumerate()
            .map(|(index, &extent)| match sample {
                Some(sample) if extent < 0 => sample[index],
                _ => open(extent),
            })
            .collect();
        let elements = sample.iter().try_fold(1_u64, |product, &extent| product.checked_mul(extent));
        let elements = elements.filter(|&elements| elements > 0);
        let elements = elements.with_context(|| format!("the model's {kind} `{}` has no numbers", spec.name))?;
        let is_flat = spec.shape.iter().filter(|&&extent| extent < 0).count() <= 1;
        let extents: Vec<String> = spec.shape.iter().map(ToString::to_string).collect();
        Ok(Tensor {
            name: spec.name.clone(),
            literal: literal(&spec.name),
            ident: ident(kind, &spec.name, used),
            datatype: spec.datatype.name(),
            element,
            zero,
            one,
            make,
            shape: format!("[{}]", extents.join(",")),
            shape_literal: format!("[{}]", extents.join(", ")),
            is_flat,
            content: if is_flat {
                "a list of the numbers, row by row,"
            } else {
                "`{\"shape\": […], \"data\": […]}`, the numbers row by row,"
            },
            sample_literal: format!("{sample:?}"),
            elements,
        })
    }

    /// Whether a request has a list of numbers for it, and not its shape.
    pub fn is_flat(&self) -> bool {
        self.is_flat
    }

    /// What a request has for it, as an expression in Python.
    pub fn example(&self) -> String {
        let Tensor { literal, sample_literal, zero, elements, .. } = self;
        if self.is_flat {
            format!("{literal}: [{zero}] * {elements}")
        } else {
            format!("{literal}: {{\"shape\": {sample_literal}, \"data\": [{zero}] * {elements}}}")
        }
    }
}

/// A text as a literal, which is the same in Rust, JSON and Python as long as there are no control characters in it.
pub fn literal(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A name as an identifier that nothing else has.
fn ident(kind: &str, name: &str, used: &mut BTreeSet<String>) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let mut ident = words.join("_");
    if !ident.starts_with(|c: char| c.is_ascii_lowercase()) || is_keyword(&ident) || TAKEN.contains(&&*ident) {
        ident = if ident.is_empty() { format!("{kind}_tensor") } else { format!("{kind}_{ident}") };
    }
    let mut unique = ident.clone();
    let mut number = 2;
    while !used.insert(unique.clone()) {
        unique = format!("{ident}_{number}");
        number += 1;
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idents(names: &[&str]) -> Vec<String> {
        let mut used = BTreeSet::new();
        names.iter().map(|name| ident("input", name, &mut used)).collect()
    }

    #[test]
    fn names_become_identifiers() {
        let names = ["input_ids", "X", "x", "input.1", "477", "type", "model", "serving_default:0", "π", ""];
        let wanted = [
            "input_ids",
            "x",
            "x_2",
            "input_1",
            "input_477",
            "input_type",
            "input_model",
            "serving_default_0",
            "input_tensor",
            "input_tensor_2",
        ];
        assert_eq!(idents(&names), wanted);
    }

    #[test]
    fn a_shape_is_asked_for_where_numbers_do_not_tell_it() {
        let signature: Signature = "a FP32[-1,30], b INT64[-1,3,-1], c UINT8[] -> y INT32[2]".parse().unwrap();
        let (inputs, outputs) = tensors(&signature, &[vec![2, 30], vec![1, 3, 5], vec![]]).unwrap();
        assert_eq!(inputs.iter().map(Tensor::is_flat).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(inputs.iter().map(|input| input.elements).collect::<Vec<_>>(), [60, 15, 1]);
        assert_eq!(inputs[1].example(), r#""b": {"shape": [1, 3, 5], "data": [0] * 15}"#);
        assert_eq!((outputs[0].make, outputs[0].elements), ("int32", 2));
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        for (text, said) in [
            ("x BYTES[1] -> y FP32[1]", "the model's input `x` is BYTES: a function can be written for FP32, INT64"),
            ("x FP32[1] -> y FP64[1]", "the model's output `y` is FP64"),
            ("x FP32[0,3] -> y FP32[1]", "the model's input `x` has no numbers"),
            ("x FP32[1] -> ", "nothing to ask for"),
        ] {
            let message = tensors(&text.parse().unwrap(), &[]).unwrap_err().to_string();
            assert!(message.contains(said), "{text}: {message}");
        }
        let spec = |name: &str| TensorSpec { name: name.to_owned(), datatype: Datatype::Fp32, shape: vec![1] };
        for name in ["a -> b", "a] b", "a\nb", " a"] {
            let signature = Signature { inputs: vec![spec(name)], outputs: vec![spec("y")] };
            assert!(tensors(&signature, &[]).is_err(), "{name}");
        }
    }
}
