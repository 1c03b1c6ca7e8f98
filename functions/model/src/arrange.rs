//! Inputs and outputs by name, in the order of the model.

use samara_protocol::{Datatype, TensorSpec};

use crate::{Input, RunError};

/// An input as it comes.
#[derive(Clone, Copy, Debug)]
pub struct NamedInput<'a> {
    /// The name that it is given under.
    pub name: &'a str,
    /// The datatype of the elements.
    pub datatype: Datatype,
    /// The size of each dimension, outermost first.
    pub shape: &'a [u64],
    /// The elements, little-endian and row-major.
    pub data: &'a [u8],
}

/// Puts inputs into the order of `specs`.
///
/// # Errors
///
/// [`RunError::InvalidArgument`], naming the input, where one is unknown, given twice or missing, or does not fit what
/// is declared: its datatype, its shape, the length of its data.
pub fn arrange<'a>(
    specs: &[TensorSpec],
    inputs: impl IntoIterator<Item = NamedInput<'a>>,
) -> Result<Vec<Input<'a>>, RunError> {
    let mut found: Vec<Option<Input<'a>>> = vec![None; specs.len()];
    for input in inputs {
        let place = specs.iter().zip(&mut found).find(|(spec, _)| spec.name == input.name);
        let (spec, found) = place.ok_or_else(|| {
            let known = names(specs);
            RunError::InvalidArgument(format!("unknown input {:?}: the model takes {known}", input.name))
        })?;
        if found.is_some() {
            return Err(RunError::InvalidArgument(format!("input {:?} is given twice", input.name)));
        }
        check(spec, &input).map_err(RunError::InvalidArgument)?;
        *found = Some(Input { datatype: input.datatype, shape: input.shape, data: input.data });
    }
    let missing = |spec: &TensorSpec| RunError::InvalidArgument(format!("input {:?} is missing", spec.name));
    specs.iter().zip(found).map(|(spec, input)| input.ok_or_else(|| missing(spec))).collect()
}

/// The positions of the outputs with these names; of all outputs, if there are no names.
///
/// # Errors
///
/// [`RunError::InvalidArgument`] where the model has no output of a name.
pub fn wanted(specs: &[TensorSpec], outputs: &[String]) -> Result<Vec<usize>, RunError> {
    if outputs.is_empty() {
        return Ok((0..specs.len()).collect());
    }
    outputs
        .iter()
        .map(|name| {
            specs.iter().position(|spec| spec.name == *name).ok_or_else(|| {
                let known = names(specs);
                RunError::InvalidArgument(format!("unknown output {name:?}: the model gives {known}"))
            })
        })
        .collect()
}

/// Checks that an input is what its declaration says.
fn check(spec: &TensorSpec, input: &NamedInput<'_>) -> Result<(), String> {
    if input.datatype != spec.datatype {
        return Err(format!("input {:?} is {}, but the model takes {}", spec.name, input.datatype, spec.datatype));
    }
    let fits = input.shape.len() == spec.shape.len()
        && input.shape.iter().zip(&spec.shape).all(|(&size, &wanted)| wanted < 0 || size == wanted.unsigned_abs());
    if !fits {
        return Err(format!(
            "input {:?} has the shape {:?}, but the model takes {:?}, where -1 is any size",
            spec.name, input.shape, spec.shape
        ));
    }
    samara_protocol::check_data(input.datatype, input.shape, input.data)
        .map_err(|error| format!("input {:?}: {error}", spec.name))
}

/// The names of `specs`, for a message.
fn names(specs: &[TensorSpec]) -> String {
    specs.iter().map(|spec| format!("{:?}", spec.name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
        TensorSpec { name: name.to_owned(), datatype, shape: shape.to_vec() }
    }

    fn specs() -> [TensorSpec; 2] {
        [spec("a", Datatype::Fp32, &[-1, 2]), spec("b", Datatype::Bool, &[])]
    }

    const A: NamedInput<'_> = NamedInput { name: "a", datatype: Datatype::Fp32, shape: &[1, 2], data: &[0; 8] };
    const B: NamedInput<'_> = NamedInput { name: "b", datatype: Datatype::Bool, shape: &[], data: &[1] };

    #[track_caller]
    fn refused(inputs: &[NamedInput<'_>]) -> String {
        match arrange(&specs(), inputs.iter().copied()) {
            Err(RunError::InvalidArgument(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn inputs_come_in_any_order_and_leave_in_the_model_s() {
        let arranged = arrange(&specs(), [B, A]).expect("they fit");
        assert_eq!(arranged.iter().map(|input| input.datatype).collect::<Vec<_>>(), [Datatype::Fp32, Datatype::Bool]);
    }

    #[test]
    fn names_that_do_not_fit_are_told() {
        assert_eq!(refused(&[A, B, NamedInput { name: "c", ..A }]), r#"unknown input "c": the model takes "a", "b""#);
        assert_eq!(refused(&[A, A, B]), r#"input "a" is given twice"#);
        assert_eq!(refused(&[A]), r#"input "b" is missing"#);
    }

    #[test]
    fn datatypes_shapes_and_lengths_are_held_against_the_model() {
        assert_eq!(
            refused(&[NamedInput { datatype: Datatype::Int32, ..A }]),
            r#"input "a" is INT32, but the model takes FP32"#
        );
        for shape in [&[1, 3][..], &[2], &[1, 2, 1]] {
            let message = refused(&[NamedInput { shape, ..A }]);
            assert!(message.contains("but the model takes [-1, 2]"), "{message}");
        }
        assert_eq!(refused(&[NamedInput { data: &[0; 7], ..A }]), r#"input "a": expected 8 bytes of data, got 7"#);
        assert_eq!(refused(&[NamedInput { data: &[2], ..B }]), r#"input "b": BOOL element 0 is neither 0 nor 1"#);
        // 64 bits cannot count these elements.
        refused(&[NamedInput { shape: &[u64::MAX, 2], ..A }]);
    }

    #[test]
    fn outputs_are_those_that_are_named_or_else_all() {
        let named = |names: &[&str]| wanted(&specs(), &names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(named(&[]), Ok(vec![0, 1]));
        assert_eq!(named(&["b", "a", "b"]), Ok(vec![1, 0, 1]));
        let message = r#"unknown output "c": the model gives "a", "b""#;
        assert_eq!(named(&["a", "c"]), Err(RunError::InvalidArgument(message.to_owned())));
    }
}
