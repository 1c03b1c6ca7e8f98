//! Products with matrices that do not change: dense layers, convolutions of one place.

use samara_kernels::activation::Activation;
use samara_kernels::rows::{PART, Part, Weights};
use tract_core::internal::*;

use crate::fused::{Bound, Fused};
use crate::strips::{Rows, multiply};

/// The product of a tensor's rows with weights, a bias, an activation, and arithmetic.
///
/// The first `rows` axes of the input tell the row, the others, together, are what is summed over. The result has the same
/// rows, and `columns` as its last axes.
#[derive(Clone)]
pub struct Product {
    /// The weights.
    pub weights: Arc<Weights>,
    /// Axes of the input that tell the row.
    pub rows: usize,
    /// The last axes of the result.
    pub columns: TVec<usize>,
    /// What becomes of a result.
    pub activation: Activation,
    /// What is done then.
    pub fused: Option<Fused>,
}

impl std::fmt::Debug for Product {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Product {} x {}", self.weights.depth(), self.weights.columns())
    }
}

impl PartialEq for Product {
    fn eq(&self, other: &Product) -> bool {
        Arc::ptr_eq(&self.weights, &other.weights)
            && (self.rows, &self.columns, self.activation) == (other.rows, &other.columns, other.activation)
            && self.fused == other.fused
    }
}

impl Eq for Product {}

impl Product {
    /// The result's shape.
    pub fn shape<D: DimLike>(&self, input: &[D]) -> TVec<D> {
        input[..self.rows].iter().cloned().chain(self.columns.iter().map(|&size| size.into())).collect()
    }
}

/// Rows one after the other.
pub struct Matrix<'a> {
    /// All numbers.
    pub numbers: &'a [f32],
    /// Those of a row.
    pub depth: usize,
}

// SAFETY: `pack` writes each row's numbers, of which there are as many as a strip has steps.
unsafe impl Rows for Matrix<'_> {
    unsafe fn pack(&self, first: usize, last: usize, to: Part) {
        let rows = std::array::from_fn::<_, PART, _>(|index| {
            self.numbers[(first + index).min(last) * self.depth..][..self.depth].as_ptr()
        });
        // SAFETY: each row has as many numbers, and there is room for them as the caller says.
        unsafe { to.pack(0, rows, self.depth) };
    }

    fn lying(&self) -> Option<&[f32]> {
        Some(self.numbers)
    }
}

impl Op for Product {
    fn name(&self) -> StaticName {
        "Product".into()
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for Product {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let shape = self.shape(inputs[0].shape());
        let (depth, columns) = (self.weights.depth(), self.weights.columns());
        let rows: usize = shape[..self.rows].iter().product();
        let from = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        ensure!(from.len() == rows * depth, "{} numbers are not {rows} rows of {depth}", from.len());
        let bound = Bound::of(self.fused.as_ref(), &inputs[1..], rows, columns)?;
        // SAFETY: each row is written to below.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&shape)? };
        let mut plain = output.try_as_plain_ram_mut()?;
        let matrix = Matrix { numbers: from, depth };
        multiply(&matrix, &self.weights, self.activation, &bound, 0, plain.as_slice_mut::<f32>()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Product {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&*self.shape(&inputs[0].shape.to_tvec()))))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let rows: TDim = inputs[0].shape[..self.rows].iter().product();
        let (steps, packed) = (rows * self.weights.depth() * self.weights.columns(), self.weights.volume().into());
        Ok(tvec!((Cost::FMA(f32::datum_type()), steps), (Cost::Params(f32::datum_type()), packed)))
    }

    as_op!();
}
