use proptest::prelude::*;
use samara_graph::quantization::{Dequantize, DynamicQuantize, Quantize};
use tract_core::internal::*;
use tract_core::ops::array::{Slice, TypedConcat};
use tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PaddingSpec, PoolSpec};
use tract_core::ops::einsum::EinSum;
use tract_core::ops::math;
use tract_core::ops::nn::DataFormat;

use crate::{Builder, has, numbers};

/// As `QLinearConv` is followed by one: bytes are compared with bytes.
#[test]
fn the_largest_of_bytes_is_the_same() {
    let shape = [2, 5, 9, 8];
    for signed in [false, true] {
        let datum_type = if signed { i8::datum_type() } else { u8::datum_type() };
        let mut builder = Builder::default();
        let source = builder.source(datum_type.fact(shape));
        let pool_spec = PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: tvec!(3, 2),
            padding: PaddingSpec::Explicit(tvec!(1, 0), tvec!(1, 1)),
            dilations: None,
            strides: Some(tvec!(2, 2)),
            input_channels: 5,
            output_channels: 5,
        };
        let output = builder.node(MaxPool { pool_spec, with_index_outputs: None }, &[source]);
        let model = builder.finish(&[output]);
        let bytes: Vec<u8> = (0..shape.iter().product::<usize>()).map(|index| (index * 89 % 256) as u8).collect();
        // SAFETY: there is a byte for each place.
        let input = unsafe { Tensor::from_raw_dt(datum_type, &shape, &bytes) }.unwrap();
        let names = crate::check(model, &[input]);
        assert!(has(&names, "Pool<Max>") && !has(&names, "MaxPool") && !has(&names, "ToFloats"), "{names:?}");
    }
}

/// How bytes are made: their type, scale and zero point.
#[derive(Clone, Copy, Debug)]
struct Bytes {
    signed: bool,
    scale: f32,
    zero_point: i32,
}

fn bytes() -> impl Strategy<Value = Bytes> {
    (any::<bool>(), 0.01_f32..0.03, 0..256_i32).prop_map(|(signed, scale, zero_point)| Bytes {
        signed,
        scale,
        zero_point: if signed { zero_point - 128 } else { zero_point },
    })
}

impl Bytes {
    fn parameters(self, builder: &mut Builder) -> [OutletId; 2] {
        [builder.constant(tensor0(self.scale)), builder.constant(tensor0(self.zero_point))]
    }

    fn quantize(self, builder: &mut Builder, input: OutletId) -> OutletId {
        let [scale, zero_point] = self.parameters(builder);
        let to = if self.signed { i8::datum_type() } else { u8::datum_type() };
        builder.node(Quantize { axis: None, to }, &[input, scale, zero_point])
    }

    fn dequantize(self, builder: &mut Builder, input: OutletId) -> OutletId {
        let [scale, zero_point] = self.parameters(builder);
        builder.node(Dequantize { axis: None }, &[input, scale, zero_point])
    }

    /// To bytes and back.
    fn there_and_back(self, builder: &mut Builder, input: OutletId) -> OutletId {
        let bytes = self.quantize(builder, input);
        self.dequantize(builder, bytes)
    }
}

/// Weights in bytes, of seven bits or of eight, with a scale for each index of an axis or one for all.
fn weights(
    builder: &mut Builder,
    seed: u32,
    shape: &[usize],
    axis: Option<usize>,
    bits: u32,
    signed: bool,
) -> OutletId {
    let whole = numbers(seed, shape).cast_to::<f32>().unwrap().into_owned();
    let factor = (1 << (bits - 1)) as f32;
    let values: Vec<f32> =
        whole.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().iter().map(|x| x * factor).collect();
    let (tensor, zero_point) = if signed {
        (Tensor::from_shape(shape, &values.iter().map(|x| *x as i8).collect::<Vec<_>>()).unwrap(), 0)
    } else {
        (Tensor::from_shape(shape, &values.iter().map(|x| (*x + 121.0) as u8).collect::<Vec<_>>()).unwrap(), 121)
    };
    let tensor = builder.constant(tensor);
    let count = axis.map_or(1, |axis| shape[axis]);
    let scales: Vec<f32> = (0..count).map(|index| 0.01 + 0.001 * (index % 7) as f32).collect();
    let scales = builder.constant(tensor1(&scales));
    let zero_point = builder.constant(tensor0(zero_point));
    builder.node(Dequantize { axis: axis.filter(|_| count > 1) }, &[tensor, scales, zero_point])
}

/// Runs a graph before and after the rewrite: its outputs are bytes that differ by one at the most, or floats that hardly do.
fn check(model: TypedModel, inputs: &[Tensor]) -> Vec<String> {
    let rewritten = samara_rewrite::rewrite(model.clone()).unwrap();
    let names = rewritten.nodes().iter().map(|node| node.op.name().to_string()).collect();
    let inputs: TVec<TValue> = inputs.iter().map(|input| input.clone().into_tvalue()).collect();
    let expected = model.into_optimized().unwrap().into_runnable().unwrap().run(inputs.clone()).unwrap();
    let plan = rewritten.into_optimized().unwrap().into_runnable().unwrap();
    plan.run(inputs.clone()).unwrap();
    for (got, expected) in plan.run(inputs).unwrap().iter().zip(expected.iter()) {
        assert_eq!((got.datum_type(), got.shape()), (expected.datum_type(), expected.shape()));
        if got.datum_type() == f32::datum_type() {
            got.close_enough(expected, Approximation::Approximate).unwrap();
            continue;
        }
        let whole = |tensor: &Tensor| {
            tensor.cast_to::<i32>().unwrap().try_as_plain_ram().unwrap().as_slice::<i32>().unwrap().to_vec()
        };
        for (got, expected) in whole(got).into_iter().zip(whole(expected)) {
            assert!((got - expected).abs() <= 1, "{got} {expected}");
        }
    }
    names
}

fn convolution(channels: [usize; 2], kernel: [usize; 2], stride: [usize; 2], pad: [usize; 2], group: usize) -> Conv {
    let pool_spec = PoolSpec {
        data_format: DataFormat::NCHW,
        kernel_shape: kernel.to_vec().into(),
        padding: PaddingSpec::Explicit(pad.to_vec().into(), pad.to_vec().into()),
        dilations: None,
        strides: Some(stride.to_vec().into()),
        input_channels: channels[0],
        output_channels: channels[1],
    };
    Conv { pool_spec, kernel_fmt: KernelFormat::OIHW, group, q_params: None }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn products_of_bytes_are_the_same(
        (rows, depth, columns) in (1..10_usize, 2..40_usize, 2..20_usize), input in bytes(), output in bytes(),
        bits in 7..9_u32, signed in any::<bool>(), per_column in any::<bool>(), seed in 0..1000_u32,
    ) {
        for expression in ["mk,kn->mn", "mk,nk->mn"] {
            let mut builder = Builder::default();
            let source = builder.tensor(&[rows, depth]);
            let floats = input.there_and_back(&mut builder, source);
            let (shape, axis) = if expression.contains("kn") { ([depth, columns], 1) } else { ([columns, depth], 0) };
            let weights = weights(&mut builder, seed, &shape, per_column.then_some(axis), bits, signed);
            let op = EinSum::new(expression.parse().unwrap(), f32::datum_type());
            let product = builder.node(op, &[floats, weights]);
            let bias = builder.constant(numbers(seed + 1, &[1, columns]));
            let sum = builder.node(math::add(), &[product, bias]);
            let bytes = output.quantize(&mut builder, sum);
            let names = check(builder.finish(&[bytes]), &[numbers(seed + 2, &[rows, depth])]);
            prop_assert!(has(&names, "QuantizedProduct"), "{names:?}");
            prop_assert!(names.iter().filter(|name| *name == "ToBytes").count() == 1, "{names:?}");
        }
    }

    #[test]
    fn convolutions_of_bytes_are_the_same(
        channels in prop::array::uniform2(2..20_usize), kernel in prop::array::uniform2(1..4_usize),
        stride in prop::array::uniform2(1..3_usize), pad in prop::array::uniform2(0..2_usize), input in bytes(), output in bytes(),
        (items, bits, signed, depthwise) in (1..3_usize, 7..9_u32, any::<bool>(), any::<bool>()), seed in 0..1000_u32,
    ) {
        let channels = if depthwise { [channels[0]; 2] } else { channels };
        let group = if depthwise { channels[0] } else { 1 };
        let shape = [items, channels[0], 7, 9];
        let mut builder = Builder::default();
        let source = builder.tensor(&shape);
        let floats = input.there_and_back(&mut builder, source);
        let kernel_shape = [channels[1], channels[0] / group, kernel[0], kernel[1]];
        let weights = weights(&mut builder, seed, &kernel_shape, Some(0), bits, signed);
        let bias = builder.constant(numbers(seed + 1, &[channels[1]]));
        let op = convolution(channels, kernel, stride, pad, group);
        let convolved = builder.node(op, &[floats, weights, bias]);
        let zero = builder.constant(Tensor::from_shape(&[1, 1, 1, 1], &[0.0_f32]).unwrap());
        let clipped = builder.node(math::max(), &[convolved, zero]);
        let bytes = output.quantize(&mut builder, clipped);
        let names = check(builder.finish(&[bytes]), &[numbers(seed + 2, &shape)]);
        // tract takes the places out of the image first where windows one place wide are not beside each other.
        let is_apart = kernel.iter().zip(stride).any(|(size, stride)| *size == 1 && stride > 1);
        let done = has(&names, "QuantizedConvolution") || has(&names, "QuantizedProduct");
        let bytes_made = names.iter().filter(|name| *name == "ToBytes").count();
        let by_rows = has(&names, "Depthwise") && !has(&names, "ToFloats") && bytes_made == 1;
        prop_assert!(done || is_apart || depthwise && by_rows, "{names:?}");
    }
}

/// A residual block as ONNX Runtime quantizes it, with arithmetic in the middle and a pool at the end.
#[test]
fn what_comes_between_convolutions_of_bytes_is_the_same() {
    let (one, other) =
        (Bytes { signed: false, scale: 0.02, zero_point: 100 }, Bytes { signed: true, scale: 0.03, zero_point: -3 });
    let mut builder = Builder::default();
    let source = builder.tensor(&[1, 6, 9, 11]);
    let input = one.there_and_back(&mut builder, source);
    let kernel = weights(&mut builder, 1, &[6, 6, 3, 3], Some(0), 7, true);
    let bias = builder.constant(numbers(2, &[6]));
    let convolved = builder.node(convolution([6, 6], [3, 3], [1, 1], [1, 1], 1), &[input, kernel, bias]);
    let [three, zero, six] =
        [3.0_f32, 0.0, 6.0].map(|x| builder.constant(Tensor::from_shape(&[1, 1, 1, 1], &[x]).unwrap()));
    let gate = builder.node(math::add(), &[convolved, three]);
    let gate = builder.node(math::max(), &[gate, zero]);
    let gate = builder.node(math::min(), &[gate, six]);
    let swish = builder.node(math::mul(), &[convolved, gate]);
    let swish = other.there_and_back(&mut builder, swish);
    let sum = builder.node(math::add(), &[swish, input]);
    let sum = other.there_and_back(&mut builder, sum);
    let spec = PoolSpec {
        data_format: DataFormat::NCHW,
        kernel_shape: tvec!(2, 2),
        padding: PaddingSpec::Valid,
        dilations: None,
        strides: Some(tvec!(2, 2)),
        input_channels: 6,
        output_channels: 6,
    };
    let pooled = builder.node(MaxPool { pool_spec: spec, with_index_outputs: None }, &[sum]);
    let bytes = other.quantize(&mut builder, pooled);
    let names = check(builder.finish(&[bytes]), &[numbers(3, &[1, 6, 9, 11])]);
    assert!(has(&names, "QuantizedConvolution") && has(&names, "Pool"), "{names:?}");
    // Hard swish is done on the convolution's result before it becomes bytes, the sum takes bytes and makes them, and so does the
    // pool, whose result is made bytes in the same way as its input has been.
    let count = |name: &str| names.iter().filter(|other| *other == name).count();
    assert_eq!((count("Map"), count("ToFloats"), count("ToBytes")), (1, 0, 1), "{names:?}");
}

/// Arithmetic that several nodes do on bytes, with numbers for each channel, and whose result is used as floats too.
#[test]
fn arithmetic_on_bytes_is_the_same() {
    let (one, other) =
        (Bytes { signed: false, scale: 0.02, zero_point: 100 }, Bytes { signed: true, scale: 0.03, zero_point: -3 });
    for shape in [&[3, 700][..], &[1, 6, 9, 11], &[2, 5], &[7]] {
        let mut builder = Builder::default();
        let source = builder.tensor(shape);
        let [left, right] = [one, other].map(|bytes| bytes.there_and_back(&mut builder, source));
        let of_axis = |axis: usize| -> Vec<usize> {
            shape.iter().enumerate().map(|(other, size)| if other == axis { *size } else { 1 }).collect()
        };
        // One for each row comes with the request, one for each column is a constant.
        let (of_rows, of_columns) = (of_axis(0), of_axis(shape.len() - 1));
        let factors = builder.tensor(&of_rows);
        let product = builder.node(math::mul(), &[left, factors]);
        let factors = builder.constant(numbers(5, &of_columns));
        let product = builder.node(math::mul(), &[product, factors]);
        let sum = builder.node(math::add(), &[product, right]);
        let bytes = other.quantize(&mut builder, sum);
        let floats = other.dequantize(&mut builder, bytes);
        let squares = builder.node(math::square(), &[floats]);
        let names = check(builder.finish(&[bytes, squares]), &[numbers(3, shape), numbers(4, &of_rows)]);
        let count = |name: &str| names.iter().filter(|other| *other == name).count();
        assert_eq!((count("Map"), count("ToBytes"), count("ToFloats")), (2, 2, 0), "{shape:?}: {names:?}");
    }
}

/// An axis of which only the request tells that its size is 1.
#[test]
fn arithmetic_on_bytes_along_an_axis_of_one_is_the_same() {
    let bytes = Bytes { signed: false, scale: 0.02, zero_point: 100 };
    for of in [[5, 1], [1, 0]] {
        let mut builder = Builder::default();
        let size = builder.model.symbols.new_with_prefix("size").to_dim();
        let source = builder.source(f32::fact(&[5.to_dim(), size.clone()]));
        let is_of_rows = of[1] == 1;
        let other = if is_of_rows { [5.to_dim(), 1.to_dim()] } else { [1.to_dim(), size] };
        let other = builder.source(f32::fact(&other));
        let floats = bytes.there_and_back(&mut builder, source);
        let sum = builder.node(math::add(), &[floats, other]);
        let output = bytes.quantize(&mut builder, sum);
        let other = numbers(4, &if is_of_rows { [5, 1] } else { [1, 1] });
        let names = check(builder.finish(&[output]), &[numbers(3, &[5, 1]), other]);
        assert_eq!(names.iter().filter(|name| *name == "Map").count(), 1, "{names:?}");
    }
}

/// Parts of bytes, and bytes put together that all stand for the same floats, are moved as bytes.
#[test]
fn bytes_are_moved_as_they_are() {
    let (one, other) =
        (Bytes { signed: false, scale: 0.02, zero_point: 100 }, Bytes { signed: true, scale: 0.03, zero_point: -3 });
    for (left, right, floats) in [(one, one, 1), (one, other, 2)] {
        let mut builder = Builder::default();
        let source = builder.tensor(&[1, 6, 5, 7]);
        let parts = [(0, 2, left), (2, 6, right)].map(|(start, end, bytes)| {
            let floats = bytes.there_and_back(&mut builder, source);
            builder.node(Slice::new(1, start, end), &[floats])
        });
        let joined = builder.node(TypedConcat { axis: 1 }, &parts);
        let names = check(builder.finish(&[joined]), &[numbers(3, &[1, 6, 5, 7])]);
        let count = |name: &str| names.iter().filter(|other| *other == name).count();
        assert_eq!((count("Part"), count("Join"), count("ToFloats")), (2, 1, floats), "{names:?}");
    }
}

#[test]
fn products_of_bytes_whose_range_comes_with_the_request_are_the_same() {
    let mut builder = Builder::default();
    let source = builder.tensor(&[5, 33]);
    let dynamic = builder.model.wire_node("dynamic", DynamicQuantize, &[source]).unwrap();
    let zero_point = builder.node(tract_core::ops::cast::cast(i32::datum_type()), &[dynamic[2]]);
    let one = builder.constant(tensor0(1_f32));
    let floats = builder.node(Dequantize { axis: None }, &[dynamic[0], one, zero_point]);
    let weights = weights(&mut builder, 1, &[33, 10], None, 8, true);
    let op = EinSum::new("mk,kn->mn".parse().unwrap(), f32::datum_type());
    let product = builder.node(op, &[floats, weights]);
    let scale = builder.node(AxisOp::Add(0), &[dynamic[1]]);
    let scale = builder.node(AxisOp::Add(0), &[scale]);
    let scaled = builder.node(math::mul(), &[product, scale]);
    let names = check(builder.finish(&[scaled]), &[numbers(3, &[5, 33])]);
    assert!(has(&names, "QuantizedProduct") && has(&names, "ToBytesOfRange") && !has(&names, "Map"), "{names:?}");
}

/// As the compiler hands it over: a pointwise convolution as a product whose weights lie as the convolution's, one for each row, its
/// bias along the first axis, clipped by what bytes there are. Between two of them there are no floats.
#[test]
fn pointwise_convolutions_one_after_the_other_stay_bytes() {
    let relu6 = Bytes { signed: false, scale: 6.0 / 255.0, zero_point: 0 };
    let linear = Bytes { signed: false, scale: 0.4, zero_point: 123 };
    let mut builder = Builder::default();
    let source = builder.tensor(&[1, 8, 5, 7]);
    let mut value = relu6.there_and_back(&mut builder, source);
    for (index, bytes) in [linear, relu6, linear].into_iter().enumerate() {
        let weights = weights(&mut builder, 1, &[8, 8], Some(0), 7, true);
        let expression = if index == 0 { "nihw,oi->ohw" } else { "ihw,oi->ohw" };
        let op = EinSum::new(expression.parse().unwrap(), f32::datum_type());
        let product = builder.node(op, &[value, weights]);
        let bias = builder.constant(numbers(2, &[8, 1, 1]));
        let sum = builder.node(math::add(), &[product, bias]);
        value = bytes.there_and_back(&mut builder, sum);
    }
    let names = check(builder.finish(&[value]), &[numbers(3, &[1, 8, 5, 7])]);
    let count = |name: &str| names.iter().filter(|other| *other == name).count();
    assert_eq!((count("QuantizedProduct"), count("ToBytes"), count("ToFloats")), (3, 1, 1), "{names:?}");
}

#[test]
fn weights_in_bytes_that_no_product_of_bytes_takes_are_floats() {
    let mut builder = Builder::default();
    let source = builder.tensor(&[5, 33]);
    let weights = weights(&mut builder, 1, &[33, 10], Some(1), 8, true);
    let op = EinSum::new("mk,kn->mn".parse().unwrap(), f32::datum_type());
    let product = builder.node(op, &[source, weights]);
    let names = check(builder.finish(&[product]), &[numbers(3, &[5, 33])]);
    assert!(has(&names, "Product") && !has(&names, "Dequantize"), "{names:?}");
}
