//! A chain gives what its operators give one after the other, whatever is kept at a time.

use std::sync::Arc;

use proptest::prelude::*;
use samara_kernels::activation::{Activation, Bounds};
use samara_kernels::places::Depthwise as DepthwiseWeights;
use samara_kernels::program::{Binary, Instruction, Operand, Operation, Program, Spread};
use samara_kernels::rows::Weights;
use tract_core::ops::cnn::PaddingSpec;

use super::*;
use crate::geometry::Geometry;

/// So few and so small that all sums are exact: in which order they are taken does not matter.
fn number(seed: usize) -> f32 {
    ((seed.wrapping_mul(2_654_435_761) >> 9) & 3) as f32 - 1.0
}

fn numbers(seed: usize, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let numbers: Vec<f32> = (0..count).map(|index| number(seed + index)).collect();
    Tensor::from_shape(shape, &numbers).expect("there are as many")
}

/// Adds a tensor as large as the result.
fn residual() -> Fused {
    let operation = Operation::Binary(Binary::Add, Operand::Source(0), Operand::Source(1));
    let program = Program::new(vec![Instruction { operation, slot: 0 }]).expect("it is a program");
    Fused { program, spreads: vec![Spread::FULL] }
}

fn product(depth: usize, columns: usize, fused: Option<Fused>) -> Product {
    let weights = Weights::pack(depth, columns, |step, column| number(step * columns + column), number);
    let activation = Activation::Clip(Bounds { low: -20.0, high: 20.0 });
    Product { weights: Arc::new(weights), rows: 3, columns: tvec!(columns), activation, fused }
}

fn eval(op: &dyn EvalOp, inputs: &[&Tensor]) -> Tensor {
    let inputs = inputs.iter().map(|&input| input.clone().into_tvalue()).collect();
    op.eval(&EvalContext::out_of_plan(), inputs).expect("it runs").remove(0).into_tensor()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_chain_is_its_operators_one_after_the_other(
        (kernel, stride, dilation, pad) in (1..6_usize, 1..3_usize, 1..3_usize, 0..3_usize),
        (items, height, width) in (1..3_usize, 9..24_usize, 9..14_usize),
        (depth, channels, columns) in (1..9_usize, 1..21_usize, 1..18_usize),
        has in prop::array::uniform2(any::<bool>()),
        fused in prop::array::uniform3(any::<bool>()),
        room in 0..40_000_usize,
    ) {
        let padding = PaddingSpec::Explicit(tvec!(pad, pad), tvec!(pad, pad));
        let geometry = Geometry {
            kernel: [kernel, kernel],
            stride: [stride, stride],
            dilation: [dilation, dilation],
            padding,
            input: [0, 1, 2, 3].map(Some),
            output: [true; 4],
            channels,
        };
        let arithmetic = |index: usize| fused[index].then(residual);
        let weights = DepthwiseWeights::pack(
            kernel * kernel,
            channels,
            |step, channel| number(step * channels + channel),
            number,
        );
        let depthwise = Depthwise {
            geometry,
            bytes: None,
            weights: Arc::new(weights),
            activation: Activation::Clip(Bounds { low: -90.0, high: 90.0 }),
            fused: arithmetic(1),
            quantization: None,
        };
        let before = has[0].then(|| product(depth, channels, arithmetic(0)));
        let after = has[1].then(|| product(channels, columns, arithmetic(2)));

        let input = numbers(1, &[items, height, width, if has[0] { depth } else { channels }]);
        let mut further = vec![];
        let mut expected = input.clone();
        type Part<'a> = (&'a dyn EvalOp, TVec<usize>, bool);
        let parts: [Option<Part<'_>>; 3] = {
            let image = before.as_ref().map_or(input.shape().into(), |before| before.shape(input.shape()));
            let result = depthwise.geometry.shape(&image);
            [
                before.as_ref().map(|op| (op as &dyn EvalOp, image, fused[0])),
                Some((&depthwise, result.clone(), fused[1])),
                after.as_ref().map(|op| (op as &dyn EvalOp, op.shape(&result), fused[2])),
            ]
        };
        for (op, shape, fused) in parts.into_iter().flatten() {
            let own: Vec<Tensor> = fused.then(|| numbers(shape.len() + further.len(), &shape)).into_iter().collect();
            let inputs: Vec<&Tensor> = std::iter::once(&expected).chain(&own).collect();
            expected = eval(op, &inputs);
            further.extend(own);
        }

        let chain = Chain { before: before.clone(), depthwise: depthwise.clone(), after: after.clone(), room };
        let inputs: Vec<&Tensor> = std::iter::once(&input).chain(&further).collect();
        let got = eval(&chain, &inputs);
        got.close_enough(&expected, Approximation::Exact).expect("it is the same");
    }
}
