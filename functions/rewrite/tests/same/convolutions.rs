use proptest::prelude::*;
use tract_core::internal::*;
use tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_core::ops::math;
use tract_core::ops::nn::DataFormat;

use crate::{Builder, check, has, numbers};

#[derive(Debug)]
struct Case {
    rank: usize,
    items: usize,
    channels: [usize; 2],
    group: usize,
    kernel: Vec<usize>,
    stride: Vec<usize>,
    dilation: Vec<usize>,
    before: Vec<usize>,
    after: Vec<usize>,
    image: Vec<usize>,
    format: DataFormat,
    seed: u32,
}

fn cases() -> impl Strategy<Value = Case> {
    let directions = |sizes: std::ops::Range<usize>| prop::collection::vec(sizes, 2);
    let window =
        (directions(1..6), directions(1..3), directions(1..3), directions(0..3), directions(0..3), directions(6..15));
    let rest =
        (1..3_usize, 1..3_usize, prop::array::uniform2(1..20_usize), (0..3_usize, 2..6_usize), 0..4_usize, 0..1000_u32);
    (window, rest).prop_map(
        |((kernel, stride, dilation, before, after, image), (rank, items, channels, (kind, groups), format, seed))| {
            // Of all channels; depthwise; in groups.
            let (channels, group) = match kind {
                0 => (channels, 1),
                1 => ([channels[0]; 2], channels[0]),
                _ => (channels.map(|channels| channels.div_ceil(3) * groups), groups),
            };
            let format = [DataFormat::NCHW, DataFormat::NHWC, DataFormat::CHW, DataFormat::HWC][format];
            let cut = |sizes: Vec<usize>| sizes[..rank].to_vec();
            // The window is never larger than what it goes over.
            let dilation = cut(dilation)
                .iter()
                .zip(&kernel)
                .map(|(dilation, size)| if *size > 3 { 1 } else { *dilation })
                .collect();
            Case {
                rank,
                items: if format.has_n() { items } else { 1 },
                channels,
                group,
                kernel: cut(kernel),
                stride: cut(stride),
                dilation,
                before: cut(before),
                after: cut(after),
                image: cut(image),
                format,
                seed,
            }
        },
    )
}

impl Case {
    fn spec(&self) -> PoolSpec {
        let sizes = |sizes: &[usize]| sizes.iter().copied().collect::<TVec<usize>>();
        PoolSpec {
            data_format: self.format,
            kernel_shape: sizes(&self.kernel),
            padding: PaddingSpec::Explicit(sizes(&self.before), sizes(&self.after)),
            dilations: Some(sizes(&self.dilation)),
            strides: Some(sizes(&self.stride)),
            input_channels: self.channels[0],
            output_channels: self.channels[1],
        }
    }

    fn input(&self) -> Vec<usize> {
        self.format.from_n_c_hw(self.items, self.channels[0], &*self.image).unwrap().shape.to_vec()
    }

    fn convolution(&self, builder: &mut Builder, input: OutletId) -> OutletId {
        let group = self.group;
        let kernel: Vec<usize> =
            [self.channels[1], self.channels[0] / group].into_iter().chain(self.kernel.iter().copied()).collect();
        let kernel = builder.constant(numbers(self.seed, &kernel));
        let bias = builder.constant(numbers(self.seed + 1, &[self.channels[1]]));
        let op = Conv { pool_spec: self.spec(), kernel_fmt: KernelFormat::OIHW, group, q_params: None };
        builder.node(op, &[input, kernel, bias])
    }
}

fn number(builder: &mut Builder, x: f32, rank: usize) -> OutletId {
    builder.constant(Tensor::from_shape(&vec![1; rank], &[x]).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn convolutions_are_the_same(case in cases()) {
        let mut builder = Builder::default();
        let input = builder.tensor(&case.input());
        let output = case.convolution(&mut builder, input);
        let names = check(builder.finish(&[output]), &[numbers(7, &case.input())]);
        prop_assert!(!has(&names, "Conv") || has(&names, "Convolution"), "{names:?}");
        let is_grouped = case.group > 1 && case.channels != [case.group; 2];
        prop_assert_eq!(has(&names, "GroupedConvolution"), is_grouped, "{:?}", names);
    }

    /// Of such windows, rows and columns meet nothing but padding.
    #[test]
    fn convolutions_of_small_images_are_the_same(mut case in cases(), image in prop::array::uniform2(1..4_usize)) {
        case.image = image[..case.rank].to_vec();
        let field = |axis: usize| (case.kernel[axis] - 1) * case.dilation[axis] + 1;
        prop_assume!((0..case.rank).all(|axis| case.image[axis] + case.before[axis] + case.after[axis] >= field(axis)));
        let mut builder = Builder::default();
        let input = builder.tensor(&case.input());
        let output = case.convolution(&mut builder, input);
        check(builder.finish(&[output]), &[numbers(7, &case.input())]);
    }

    #[test]
    fn what_follows_a_convolution_is_fused(case in cases()) {
        let mut builder = Builder::default();
        let input = builder.tensor(&case.input());
        let convolved = case.convolution(&mut builder, input);
        let rank = case.input().len();
        // Hard swish, as frameworks write it, with factors and summands before and after it; and a residual.
        let [three, zero, six, factor, summand] = [3.0, 0.0, 6.0, 0.75, 0.125].map(|x| number(&mut builder, x, rank));
        let scaled = builder.node(math::mul(), &[convolved, factor]);
        let scaled = builder.node(math::add(), &[scaled, summand]);
        let gate = builder.node(math::add(), &[scaled, three]);
        let gate = builder.node(math::max(), &[gate, zero]);
        let gate = builder.node(math::min(), &[gate, six]);
        let swish = builder.node(math::mul(), &[scaled, gate]);
        let swish = builder.node(math::mul(), &[swish, factor]);
        let shape = builder.model.outlet_fact(swish).unwrap().shape.as_concrete().unwrap().to_vec();
        let residual = builder.tensor(&shape);
        let sum = builder.node(math::add(), &[swish, residual]);
        let sum = builder.node(math::max(), &[zero, sum]);
        let names = check(builder.finish(&[sum]), &[numbers(7, &case.input()), numbers(8, &shape)]);
        prop_assert!(!has(&names, "Map"), "{names:?}");
    }

    #[test]
    fn pools_are_the_same(case in cases(), kind in 0..3_usize) {
        let mut builder = Builder::default();
        let input = builder.tensor(&case.input());
        let mut spec = case.spec();
        spec.output_channels = spec.input_channels;
        let output = match kind {
            0 => builder.node(MaxPool { pool_spec: spec, with_index_outputs: None }, &[input]),
            1 => builder.node(SumPool { pool_spec: spec, count_include_pad: false, normalize: true }, &[input]),
            _ => builder.node(SumPool { pool_spec: spec, count_include_pad: true, normalize: false }, &[input]),
        };
        // Windows that are all padding have no mean and no largest number.
        prop_assume!(case.before.iter().chain(&case.after).zip(case.kernel.iter().cycle()).all(|(pad, size)| pad < size));
        check(builder.finish(&[output]), &[numbers(7, &case.input())]);
    }

    #[test]
    fn convolutions_with_many_channels_are_the_same(
        length in 3..6_usize, width in 8..40_usize, height in 1..4_usize, pad in 0..3_usize, seed in 0..1000_u32,
        [step, apart] in [1..3_usize, 1..3_usize],
    ) {
        let case = Case {
            rank: 2,
            items: 1,
            channels: [64, 72],
            group: 1,
            kernel: vec![height, length],
            stride: vec![step, 1],
            dilation: vec![apart, 1],
            before: vec![0, pad],
            after: vec![1, pad],
            image: vec![height * apart + 3, width],
            format: DataFormat::NCHW,
            seed,
        };
        let mut builder = Builder::default();
        let input = builder.tensor(&case.input());
        let convolved = case.convolution(&mut builder, input);
        let zero = number(&mut builder, 0.0, 4);
        let output = builder.node(math::max(), &[convolved, zero]);
        let names = check(builder.finish(&[output]), &[numbers(7, &case.input())]);
        prop_assert!(has(&names, "Winograd") || width < 32, "{names:?}");
        prop_assert_eq!(case.rank, 2);
    }
}

#[test]
fn a_convolution_that_is_used_twice_is_computed_once() {
    let mut builder = Builder::default();
    let input = builder.tensor(&[1, 4, 8, 8]);
    let kernel = builder.constant(numbers(1, &[4, 4, 3, 3]));
    let bias = builder.constant(numbers(2, &[4]));
    let spec = PoolSpec {
        data_format: DataFormat::NCHW,
        kernel_shape: tvec!(3, 3),
        padding: PaddingSpec::SameUpper,
        dilations: None,
        strides: None,
        input_channels: 4,
        output_channels: 4,
    };
    let op = Conv { pool_spec: spec, kernel_fmt: KernelFormat::OIHW, group: 1, q_params: None };
    let convolved = builder.node(op, &[input, kernel, bias]);
    let zero = number(&mut builder, 0.0, 4);
    let one = builder.node(math::max(), &[convolved, zero]);
    let other = builder.node(math::min(), &[convolved, zero]);
    let names = check(builder.finish(&[one, other]), &[numbers(3, &[1, 4, 8, 8])]);
    assert_eq!(names.iter().filter(|name| *name == "Convolution").count(), 1, "{names:?}");
}

/// What is done with the images of [`widened`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Use {
    /// Each by the next operator alone.
    Chained,
    /// The wide image is an output too.
    WideIsOutput,
    /// The result of the depthwise convolution is read twice.
    ReadTwice,
    /// The result of the depthwise convolution is what is added, not what is multiplied.
    Added,
}

/// An image that is widened by a product, taken a depthwise convolution of, and narrowed by another product; with clips, and
/// something added to each.
fn widened(image: [usize; 2], stride: usize, of: Use) -> (TypedModel, Vec<Tensor>) {
    let (narrow, wide) = (5, 12);
    let case = |channels: [usize; 2], size: usize, image: &[usize], stride: usize| Case {
        rank: 2,
        items: 2,
        channels,
        group: if size > 1 { channels[0] } else { 1 },
        kernel: vec![size; 2],
        stride: vec![stride; 2],
        dilation: vec![1; 2],
        before: vec![size / 2; 2],
        after: vec![size / 2; 2],
        image: image.to_vec(),
        format: DataFormat::NCHW,
        seed: size as u32,
    };
    let mut builder = Builder::default();
    let mut inputs = vec![];
    let mut input = |builder: &mut Builder, shape: &[usize]| {
        inputs.push(numbers(shape.len() as u32 + inputs.len() as u32, shape));
        builder.tensor(shape)
    };
    let added = |builder: &mut Builder, to: OutletId, input: &mut dyn FnMut(&mut Builder, &[usize]) -> OutletId| {
        let shape = builder.model.outlet_fact(to).unwrap().shape.as_concrete().unwrap().to_vec();
        let other = input(builder, &shape);
        let sum = builder.node(math::add(), &[to, other]);
        let (zero, six) = (number(builder, 0.0, 4), number(builder, 6.0, 4));
        let sum = builder.node(math::max(), &[zero, sum]);
        builder.node(math::min(), &[six, sum])
    };
    let expand = case([narrow, wide], 1, &image, 1);
    let from = input(&mut builder, &expand.input());
    let at = expand.convolution(&mut builder, from);
    let at = added(&mut builder, at, &mut input);
    let wide_image = at;
    let at = case([wide, wide], 3, &image, stride).convolution(&mut builder, at);
    let at = added(&mut builder, at, &mut input);
    let shape = builder.model.outlet_fact(at).unwrap().shape.as_concrete().unwrap().to_vec();
    let project = case([wide, narrow], 1, &shape[2..], 1);
    let outputs = if of == Use::Added {
        let from = input(&mut builder, &shape);
        let product = case([wide, wide], 1, &shape[2..], 1).convolution(&mut builder, from);
        vec![builder.node(math::add(), &[product, at])]
    } else {
        let product = project.convolution(&mut builder, at);
        let output = added(&mut builder, product, &mut input);
        match of {
            Use::WideIsOutput => vec![output, wide_image],
            Use::ReadTwice => vec![output, Case { seed: 9, ..project }.convolution(&mut builder, at)],
            _ => vec![output],
        }
    };
    (builder.finish(&outputs), inputs)
}

#[test]
fn a_wide_image_that_nobody_else_wants_is_never_whole() {
    for (image, stride) in [([9, 7], 1), ([9, 7], 2), ([1, 6], 1), ([40, 150], 2)] {
        let (model, inputs) = widened(image, stride, Use::Chained);
        let names = check(model, &inputs);
        assert_eq!(names.iter().filter(|name| *name == "Chain").count(), 1, "{names:?}");
    }
}

#[test]
fn what_somebody_else_wants_is_whole() {
    for of in [Use::WideIsOutput, Use::ReadTwice, Use::Added] {
        let (model, inputs) = widened([9, 7], 1, of);
        let chains = rewritten_chains(&model);
        // The rest of it may be.
        let whole = match of {
            Use::WideIsOutput => chains.iter().all(|parts| !parts.contains("Product 5 x 12")),
            Use::ReadTwice => chains.iter().all(|parts| !parts.contains("Product 12 x 5")),
            _ => chains.iter().all(|parts| !parts.contains("Product 12 x 12")),
        };
        assert!(whole, "{of:?}: {chains:?}");
        check(model, &inputs);
    }
}

/// The parts of each chain.
fn rewritten_chains(model: &TypedModel) -> Vec<String> {
    let rewritten = samara_rewrite::rewrite(model.clone()).unwrap();
    let chains = rewritten.nodes().iter().filter(|node| node.op.name() == "Chain");
    chains.map(|node| node.op.info().unwrap().join(", ")).collect()
}
