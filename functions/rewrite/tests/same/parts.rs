use proptest::prelude::*;
use tract_core::internal::*;
use tract_core::ops::array::{Gather, Slice, TypedConcat};
use tract_core::ops::cnn::{Conv, KernelFormat, PaddingSpec, PoolSpec};
use tract_core::ops::downsample::Downsample;
use tract_core::ops::math;
use tract_core::ops::nn::DataFormat;

use crate::{Builder, check, has, numbers};

fn shapes() -> impl Strategy<Value = [usize; 4]> {
    prop::array::uniform4(prop_oneof![Just(1_usize), 2..7_usize])
}

/// A pointwise convolution, whose result lies with its channels together.
fn convolved(builder: &mut Builder, input: OutletId, channels: usize) -> OutletId {
    let [kernel, bias] =
        [vec![channels, channels, 1, 1], vec![channels]].map(|shape| builder.constant(numbers(7, &shape)));
    let pool_spec = PoolSpec {
        data_format: DataFormat::NCHW,
        kernel_shape: tvec!(1, 1),
        padding: PaddingSpec::Valid,
        dilations: None,
        strides: None,
        input_channels: channels,
        output_channels: channels,
    };
    builder.node(Conv { pool_spec, kernel_fmt: KernelFormat::OIHW, group: 1, q_params: None }, &[input, kernel, bias])
}

/// A node that nothing simplifies, so that what follows is there.
fn squared(builder: &mut Builder, input: OutletId) -> OutletId {
    builder.node(math::square(), &[input])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn parts_are_the_same(
        shape in shapes(), axis in 0..4_usize, (start, end) in (0..7_usize, 0..7_usize), (lies, negative) in any::<(bool, bool)>(),
        rank in 0..3_usize, seed in 0..1000_u32,
    ) {
        let size = shape[axis];
        let start = start % size;
        let end = (start + 1 + end).min(size);
        let mut builder = Builder::default();
        let source = builder.tensor(&shape);
        let input = if lies { convolved(&mut builder, source, shape[1]) } else { squared(&mut builder, source) };
        let slice = builder.node(Slice::new(axis, start, end), &[input]);
        let index = if negative { start as i64 - size as i64 } else { start as i64 };
        let index = builder.constant(Tensor::from_shape(&vec![1; rank], &[index]).unwrap());
        let one = builder.node(Gather::new(axis), &[input, index]);
        let outputs = [slice, one].map(|part| squared(&mut builder, part));
        let names = check(builder.finish(&outputs), &[numbers(seed, &shape)]);
        prop_assert!(!has(&names, "Slice") && !has(&names, "Gather"), "{names:?}");
    }

    #[test]
    fn one_in_so_many_is_the_same(
        shape in shapes(), axis in 0..4_usize, (first, stride) in (0..7_usize, 2..5_usize), (lies, dynamic) in any::<(bool, bool)>(),
        seed in 0..1000_u32,
    ) {
        let first = first % shape[axis];
        let mut builder = Builder::default();
        let mut fact: TVec<TDim> = shape.iter().map(|size| size.to_dim()).collect();
        if dynamic && shape[axis] > 1 && axis != 1 {
            fact[axis] = builder.model.symbols.sym("size").to_dim();
        }
        let source = builder.source(f32::fact(&*fact));
        // Channels last, as after a convolution: tract cannot simplify one that is followed by this.
        let mut input = source;
        if lies {
            input = builder.node(AxisOp::Move(1, 3), &[input]);
        }
        input = squared(&mut builder, input);
        if lies {
            input = builder.node(AxisOp::Move(3, 1), &[input]);
        }
        let some = builder.node(Downsample { axis, stride: stride as isize, modulo: first }, &[input]);
        let output = squared(&mut builder, some);
        check(builder.finish(&[output]), &[numbers(seed, &shape)]);
    }

    #[test]
    fn what_is_put_together_is_the_same(
        shape in shapes(), axis in 0..4_usize, sizes in prop::collection::vec((1..6_usize, any::<bool>()), 2..5), seed in 0..1000_u32,
    ) {
        let mut builder = Builder::default();
        let (mut inputs, mut tensors) = (vec![], vec![]);
        for (size, lies) in sizes {
            let mut shape = shape;
            shape[axis] = size;
            let source = builder.tensor(&shape);
            tensors.push(numbers(seed + tensors.len() as u32, &shape));
            inputs.push(if lies { convolved(&mut builder, source, shape[1]) } else { squared(&mut builder, source) });
        }
        let joined = builder.node(TypedConcat { axis }, &inputs);
        let output = squared(&mut builder, joined);
        let names = check(builder.finish(&[output]), &tensors);
        prop_assert!(has(&names, "Join") && !has(&names, "Concat"), "{names:?}");
    }

    /// As the short-time Fourier transforms of audio models are: filters of which some are even, then others odd.
    #[test]
    fn convolutions_with_symmetric_filters_are_the_same(
        half in 8..20_usize, (even, odd) in (0..17_usize, 0..17_usize), (stride, places) in (1..9_usize, 1..6_usize),
        (items, broken) in (1..3_usize, any::<bool>()), seed in 0..1000_u32,
    ) {
        let (steps, columns) = (2 * half, even + odd);
        prop_assume!(columns >= 8);
        let random = numbers(seed, &[columns, 1, steps]);
        let mut filters = random.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec();
        for (column, filter) in filters.chunks_exact_mut(steps).enumerate() {
            let sign = if column < even { 1.0 } else { -1.0 };
            for step in half + 1..steps {
                filter[step] = sign * filter[steps - step];
            }
            if column >= even {
                (filter[0], filter[half]) = (0.0, 0.0);
            }
        }
        if broken {
            filters[half + 1] += 0.5;
        }
        let mut builder = Builder::default();
        let length = (places - 1) * stride + steps + stride / 2;
        let source = builder.tensor(&[items, 1, length]);
        let transform = filtered(&mut builder, source, filters, steps, stride, numbers(seed + 1, &[columns]));
        let mut outputs = vec![squared(&mut builder, transform)];
        // The magnitude, as far as there are both parts of it.
        let pairs = even.min(odd);
        if pairs > 0 {
            let [real, imaginary] = [0, even].map(|first| builder.node(Slice::new(1, first, first + pairs), &[transform]));
            let squares = [real, imaginary].map(|part| squared(&mut builder, part));
            let sum = builder.node(math::add(), &squares);
            outputs.push(builder.node(math::sqrt(), &[sum]));
        }
        let names = check(builder.finish(&outputs), &[numbers(seed + 2, &[items, 1, length])]);
        prop_assert!(has(&names, "Fold") || broken, "{names:?}");
        prop_assert!(!has(&names, "Fold") || !broken, "{names:?}");
        let parts = names.iter().filter(|name| *name == "Part").count();
        prop_assert!(broken || even != odd || even == 1 || parts == 0, "{names:?}");
    }

    /// The same where the filters are all of a transform, with a window that need not be symmetric.
    #[test]
    fn convolutions_that_are_fourier_transforms_are_the_same(
        power in 4..9_u32, (sign, broken) in (prop::sample::select(vec![1.0, -1.0]), 0..4_usize),
        (stride, places, items) in (1..40_usize, 1..11_usize, 1..3_usize), seed in 0..1000_u32,
    ) {
        let steps = 1_usize << power;
        let bins = steps / 2 + 1;
        let window = numbers(seed, &[steps]);
        let window = window.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap();
        let mut filters = vec![];
        for column in 0..2 * bins {
            for (step, weight) in window.iter().enumerate() {
                let turn = std::f32::consts::TAU * (column % bins * step % steps) as f32 / steps as f32;
                filters.push(weight * if column < bins { turn.cos() } else { sign * turn.sin() });
            }
        }
        let mut bias = vec![0.0_f32; 2 * bins];
        match broken {
            0 => filters[2 * steps + 3] += 0.01,
            1 => bias[bins] = 0.5,
            _ => {}
        }
        let mut builder = Builder::default();
        let length = (places - 1) * stride + steps + stride / 2;
        let source = builder.tensor(&[items, 1, length]);
        let transform = filtered(&mut builder, source, filters, steps, stride, tensor1(&bias));
        let parts = [0, bins].map(|first| builder.node(Slice::new(1, first, first + bins), &[transform]));
        let squares = parts.map(|part| squared(&mut builder, part));
        let sum = builder.node(math::add(), &squares);
        let mut outputs = vec![builder.node(math::sqrt(), &[sum])];
        // With its signs.
        if seed % 2 == 0 {
            outputs.push(builder.node(math::add(), &[transform, transform]));
        }
        let names = check(builder.finish(&outputs), &[numbers(seed + 2, &[items, 1, length])]);
        prop_assert_eq!(has(&names, "Fourier"), broken > 1, "{:?}", names);
        prop_assert!(broken < 2 || !has(&names, "Part"), "{names:?}");
    }
}

/// What filters of `steps` numbers make of rows of numbers, each filter by itself.
fn filtered(
    builder: &mut Builder,
    source: OutletId,
    filters: Vec<f32>,
    steps: usize,
    stride: usize,
    bias: Tensor,
) -> OutletId {
    let columns = bias.len();
    let kernel = builder.constant(Tensor::from_shape(&[columns, 1, steps], &filters).unwrap());
    let bias = builder.constant(bias);
    let pool_spec = PoolSpec {
        data_format: DataFormat::NCHW,
        kernel_shape: tvec!(steps),
        padding: PaddingSpec::Valid,
        dilations: None,
        strides: Some(tvec!(stride)),
        input_channels: 1,
        output_channels: columns,
    };
    let op = Conv { pool_spec, kernel_fmt: KernelFormat::OIHW, group: 1, q_params: None };
    builder.node(op, &[source, kernel, bias])
}

/// What makes one number of one number is not there.
#[test]
fn reductions_of_one_number_are_left_out() {
    use tract_core::ops::nn::{Reduce, Reducer};
    for reducer in [Reducer::Sum, Reducer::Prod, Reducer::Max, Reducer::Min, Reducer::MeanOfSquares] {
        let mut builder = Builder::default();
        let source = builder.tensor(&[3, 1, 5]);
        let input = squared(&mut builder, source);
        let reduced = builder.node(Reduce { axes: tvec!(1), reducer }, &[input]);
        let output = squared(&mut builder, reduced);
        let names = check(builder.finish(&[output]), &[numbers(1, &[3, 1, 5])]);
        let is_square = reducer == Reducer::MeanOfSquares;
        assert_eq!(has(&names, "Reduce") || has(&names, "Reduction"), is_square, "{reducer:?}: {names:?}");
    }
}
