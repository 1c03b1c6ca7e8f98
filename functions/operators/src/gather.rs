//! Lookups.

use tract_core::internal::*;
use tract_core::ops::array;

/// tract's lookup, of indices that are there. Of others it takes a number of the next row, where there is one, or panics.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Gather {
    /// What looks them up.
    pub lookup: array::Gather,
}

impl Op for Gather {
    fn name(&self) -> StaticName {
        self.lookup.name()
    }

    fn validation(&self) -> Validation {
        self.lookup.validation()
    }

    op_as_typed_op!();
}

impl EvalOp for Gather {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let size = inputs[0].shape()[self.lookup.axis] as i64;
        for index in inputs[1].try_as_plain_ram()?.as_slice::<i64>()? {
            ensure!((-size..size).contains(index), "index {index} of an axis of {size}");
        }
        self.lookup.eval(context, inputs)
    }
}

impl TypedOp for Gather {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.lookup.output_facts(inputs)
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_looked_up() {
        let from = tensor2(&[[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]]).into_tvalue();
        let found = |axis: usize, indices: &[i64]| {
            let op = Gather { lookup: array::Gather::new(axis) };
            let inputs = tvec!(from.clone(), tensor1(indices).into_tvalue());
            let found = op.eval(&EvalContext::out_of_plan(), inputs)?;
            TractResult::Ok(found[0].try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
        };
        assert_eq!(found(1, &[2, -3]).unwrap(), [3.0, 1.0, 6.0, 4.0]);
        assert_eq!(found(0, &[-1]).unwrap(), [4.0, 5.0, 6.0]);
        for (axis, index) in [(1, 3), (1, -4), (0, 2), (0, -3), (0, i64::MIN), (1, i64::MAX)] {
            let error = found(axis, &[0, index]).unwrap_err().to_string();
            assert!(error.contains(&format!("index {index} of an axis of ")), "{error}");
        }
    }
}
