use proptest::prelude::*;
use tract_core::internal::*;
use tract_core::ops::array::{Pad, PadMode};
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::cast;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::logic::{Iff, comp_eq};
use tract_core::ops::lstm_cell::LstmEpilogue;
use tract_core::ops::math;
use tract_core::ops::nn::resize::{CoordTransformer, Interpolator, Nearest, Resize};
use tract_core::ops::nn::{Reduce, Reducer, RmsNorm, Softmax, SoftmaxKind};
use tract_core::ops::scan::{InputMapping, OutputMapping, Scan, ScanInfo};
use tract_onnx_opl::ml::tree::{Aggregate, TreeEnsemble, TreeEnsembleData};
use tract_onnx_opl::ml::tree_ensemble_classifier::TreeEnsembleClassifier;

use crate::{Builder, check, has, numbers};

fn shapes() -> impl Strategy<Value = [usize; 3]> {
    prop::array::uniform3(prop_oneof![Just(1_usize), 2..12_usize])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn reductions_are_the_same(shape in shapes(), axes in 1..8_usize, seed in 0..1000_u32) {
        for reducer in [Reducer::Sum, Reducer::Max, Reducer::Min, Reducer::MeanOfSquares] {
            let mut builder = Builder::default();
            let input = builder.tensor(&shape);
            let over = (0..3).filter(|axis| axes >> axis & 1 == 1).collect();
            let output = builder.node(Reduce { axes: over, reducer }, &[input]);
            let names = check(builder.finish(&[output]), &[numbers(seed, &shape)]);
            let follow_one_another = axes != 0b101 || shape[1] == 1;
            prop_assert!(!has(&names, "Reduce") || !follow_one_another || shape.contains(&1), "{names:?}");
        }
    }

    #[test]
    fn softmax_is_the_same(shape in shapes(), axis in 0..3_usize, seed in 0..1000_u32) {
        let mut builder = Builder::default();
        let input = builder.tensor(&shape);
        let op = Softmax { axes: tvec!(axis), quant_output_dt: None, kind: SoftmaxKind::Softmax };
        let output = builder.node(op, &[input]);
        check(builder.finish(&[output]), &[numbers(seed, &shape)]);
    }

    /// Rows of nothing but what is masked, and rows with what is not a number.
    #[test]
    fn softmax_without_nan_is_the_same(
        shape in shapes(), axis in 0..3_usize, odd in prop::collection::vec((0..2000_usize, 0..4_usize), 0..20), swapped in any::<bool>(),
    ) {
        let mut builder = Builder::default();
        let input = builder.tensor(&shape);
        let op = Softmax { axes: tvec!(axis), quant_output_dt: None, kind: SoftmaxKind::Softmax };
        let shares = builder.node(op, &[input]);
        let is_nan = builder.node(math::is_nan(), &[shares]);
        let zero = builder.constant(Tensor::zero::<f32>(&[1, 1, 1]).unwrap());
        let operands = if swapped { [is_nan, shares, zero] } else { [is_nan, zero, shares] };
        let output = builder.node(Iff, &operands);
        let mut numbers = numbers(3, &shape);
        let mut plain = numbers.try_as_plain_ram_mut().unwrap();
        let slice = plain.as_slice_mut::<f32>().unwrap();
        let count = slice.len();
        for (index, kind) in odd {
            slice[index % count] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -3e38][kind];
        }
        slice[..shape[2]].fill(f32::NEG_INFINITY);
        drop(plain);
        let names = check(builder.finish(&[output]), &[numbers]);
        prop_assert!(has(&names, "RowSoftmax") && !has(&names, "IsNan") || swapped || shape[axis] == 1, "{names:?}");
    }

    #[test]
    fn normalizations_are_the_same(shape in shapes(), axis in 0..3_usize, centered in any::<bool>(), seed in 0..1000_u32) {
        let mut builder = Builder::default();
        let input = builder.tensor(&shape);
        let mut x = input;
        if centered {
            let sum = builder.node(Reduce { axes: tvec!(axis), reducer: Reducer::Sum }, &[x]);
            let share = builder.constant(Tensor::from_shape(&[1, 1, 1], &[1.0 / shape[axis] as f32]).unwrap());
            let mean = builder.node(math::mul(), &[sum, share]);
            x = builder.node(math::sub(), &[x, mean]);
        }
        let eps = Arc::new(Tensor::from(1e-3_f32));
        let norm = builder.node(RmsNorm { axis, eps }, &[x]);
        let mut of_axis = [1; 3];
        of_axis[axis] = shape[axis];
        let factors = builder.constant(numbers(seed + 1, &of_axis));
        let summands = builder.constant(numbers(seed + 2, &of_axis));
        let scaled = builder.node(math::mul(), &[norm, factors]);
        let output = builder.node(math::add(), &[scaled, summands]);
        let names = check(builder.finish(&[output]), &[numbers(seed, &shape)]);
        let name = if centered { "LayerNormalization" } else { "RmsNormalization" };
        prop_assert!(has(&names, name) || shape[axis] == 1, "{names:?}");
    }

    #[test]
    fn padding_is_the_same(shape in shapes(), pads in prop::array::uniform3((0..4_usize, 0..4_usize)), seed in 0..1000_u32) {
        let constant = Arc::new(Tensor::from(0.25_f32));
        for mode in [PadMode::Constant(constant), PadMode::Edge, PadMode::Reflect] {
            if mode == PadMode::Reflect && pads.iter().zip(shape).any(|((before, after), size)| *before.max(after) >= size) {
                continue;
            }
            let mut builder = Builder::default();
            let input = builder.tensor(&shape);
            let output = builder.node(Pad { pads: pads.to_vec(), mode }, &[input]);
            check(builder.finish(&[output]), &[numbers(seed, &shape)]);
        }
    }

    #[test]
    fn other_sizes_are_the_same(
        shape in prop::array::uniform4(1..7_usize),
        becomes in prop::array::uniform4((any::<bool>(), 1..15_usize)),
        (by_scale, moved, batched) in any::<(bool, bool, bool)>(),
        (transformer, interpolator, nearest) in (0..6_usize, 0..3_usize, any::<bool>()),
        seed in 0..1000_u32,
    ) {
        let transformer = ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "half_pixel_symmetric", "tf_half_pixel_for_nn"][transformer];
        let how = Resize {
            coord_transformer: CoordTransformer::parse(transformer).unwrap(),
            interpolator: [Interpolator::Linear, Interpolator::Nearest, Interpolator::Cubic][interpolator].clone(),
            nearest: if nearest { Nearest::Floor } else { Nearest::RoundPreferCeil },
            optional_scales_input: by_scale.then_some(1),
            optional_sizes_input: (!by_scale).then_some(1),
        };
        let mut builder = Builder::default();
        let mut fact: TVec<TDim> = shape.iter().map(|size| size.to_dim()).collect();
        let becomes: Vec<usize> = becomes.into_iter().zip(shape).map(|((is, other), was)| if is { other } else { was }).collect();
        let batched = batched && becomes[0] == shape[0];
        if batched {
            fact[0] = builder.model.symbols.sym("batch").to_dim();
        }
        let mut input = builder.source(f32::fact(&*fact));
        if moved {
            // Convolutions leave channels last.
            input = builder.node(AxisOp::Move(1, 3), &[input]);
            input = builder.node(math::mul(), &[input, input]);
            input = builder.node(AxisOp::Move(3, 1), &[input]);
        }
        let given = if by_scale {
            tensor1(&becomes.iter().zip(shape).map(|(becomes, was)| *becomes as f32 / was as f32).collect::<Vec<_>>())
        } else {
            let sizes: Vec<TDim> = (0..4).map(|axis| if axis == 0 && batched { fact[0].clone() } else { becomes[axis].to_dim() }).collect();
            tensor1(&sizes)
        };
        let given = builder.constant(given);
        let output = builder.node(how, &[input, given]);
        let model = builder.finish(&[output]);
        if batched && !by_scale {
            // tract does not know the batch's size when it runs.
            let rewritten = samara_rewrite::rewrite(model).unwrap().into_optimized().unwrap().into_runnable().unwrap();
            let got = rewritten.run(tvec!(numbers(seed, &shape).into_tvalue())).unwrap();
            prop_assert_eq!(got[0].shape(), &*becomes);
        } else {
            let names = check(model, &[numbers(seed, &shape)]);
            prop_assert!(!has(&names, "Resize"), "{names:?}");
        }
    }

    #[test]
    fn lookups_are_the_same(names in prop::collection::vec(-2_i64..9, 1..20), columns in 2..9_usize) {
        let mut builder = Builder::default();
        let count = names.len();
        let input = builder.source(i64::fact([1, count, 1]));
        let rows = builder.constant(Tensor::from_shape(&[1, 1, 7], &[0_i64, 1, 2, 3, 4, 5, 6]).unwrap());
        let hot = builder.node(TypedBinOp(comp_eq(), None), &[input, rows]);
        let hot = builder.node(cast(f32::datum_type()), &[hot]);
        let table = builder.constant(numbers(1, &[7, columns]));
        let op = EinSum::new("amk,kn->amn".parse().unwrap(), f32::datum_type());
        let output = builder.node(op, &[hot, table]);
        let names = check(builder.finish(&[output]), &[Tensor::from_shape(&[1, count, 1], &names).unwrap()]);
        prop_assert!(has(&names, "Lookup") || count == 1, "{names:?}");
    }

    #[test]
    fn forests_are_the_same(
        branches in prop::collection::vec((0..3_u32, -1.0_f32..1.0, 1..5_u32, any::<bool>()), 6),
        features in prop::collection::vec(prop_oneof![9 => -1.0_f32..1.0, 1 => Just(f32::NAN)], 12),
        weights in prop::collection::vec(-1.0_f32..1.0, 8),
    ) {
        // Two trees of three branches, each with four leaves.
        let (mut nodes, mut leaves) = (vec![], vec![]);
        for tree in 0..2_u32 {
            let first = tree * 7;
            for branch in 0..3_u32 {
                let (feature, value, comparison, is_true_for_nan) = branches[(tree * 3 + branch) as usize];
                let flags = comparison | if is_true_for_nan { 0x100 } else { 0 };
                nodes.push([feature, first + 2 * branch + 1, first + 2 * branch + 2, value.to_bits(), flags]);
            }
            for leaf in 0..4_u32 {
                nodes.push([tree * 4 + leaf, tree * 4 + leaf + 1, 0, 0, 0]);
                leaves.push([leaf % 3, weights[(tree * 4 + leaf) as usize].to_bits()]);
            }
        }
        let tensor = |rows: Vec<u32>, columns: usize| Arc::new(Tensor::from_shape(&[rows.len() / columns, columns], &rows).unwrap());
        let data = TreeEnsembleData {
            trees: Arc::new(Tensor::from_shape(&[2], &[0_u32, 7]).unwrap()),
            nodes: tensor(nodes.concat(), 5),
            leaves: tensor(leaves.concat(), 2),
        };
        for aggregate in [Aggregate::Sum, Aggregate::Avg, Aggregate::Max, Aggregate::Min] {
            let ensemble = TreeEnsemble::build(data.clone(), 2, 3, aggregate).unwrap();
            let mut builder = Builder::default();
            let input = builder.tensor(&[4, 3]);
            let output = builder.node(TreeEnsembleClassifier { ensemble }, &[input]);
            let names = check(builder.finish(&[output]), &[Tensor::from_shape(&[4, 3], &features).unwrap()]);
            prop_assert!(has(&names, "Forest"), "{names:?}");
        }
    }
}

#[test]
fn trees_that_lead_back_are_left_to_tract() {
    let data = TreeEnsembleData {
        trees: Arc::new(Tensor::from_shape(&[1], &[0_u32]).unwrap()),
        nodes: Arc::new(Tensor::from_shape(&[1, 5], &[0_u32, 0, 0, 0, 3]).unwrap()),
        leaves: Arc::new(Tensor::from_shape(&[1, 2], &[0_u32, 0]).unwrap()),
    };
    let ensemble = TreeEnsemble::build(data, 0, 1, Aggregate::Sum).unwrap();
    let mut builder = Builder::default();
    let input = builder.tensor(&[1, 1]);
    let output = builder.node(TreeEnsembleClassifier { ensemble }, &[input]);
    let model = builder.finish(&[output]);
    let rewritten = samara_rewrite::rewrite(model).unwrap();
    assert!(rewritten.nodes().iter().all(|node| node.op.name() != "Forest"));
}

#[test]
fn sizes_that_are_not_known_are_no_obstacle() {
    let mut builder = Builder::default();
    let symbol = builder.model.symbols.sym("N");
    let input = builder.source(f32::fact([symbol.to_dim(), 6.to_dim()]));
    let weights = builder.constant(numbers(1, &[6, 9]));
    let op = EinSum::new("mk,kn->mn".parse().unwrap(), f32::datum_type());
    let product = builder.node(op, &[input, weights]);
    let zero = builder.constant(Tensor::from_shape(&[1, 1], &[0.0_f32]).unwrap());
    let relu = builder.node(math::max(), &[product, zero]);
    let op = Softmax { axes: tvec!(1), quant_output_dt: None, kind: SoftmaxKind::Softmax };
    let output = builder.node(op, &[relu]);
    let model = builder.finish(&[output]);
    for rows in [1, 2, 5, 64] {
        let names = check(model.clone(), &[numbers(2, &[rows, 6])]);
        assert!(has(&names, "Product") && has(&names, "RowSoftmax"), "{names:?}");
    }
}

/// A layer of an LSTM, as the compiler writes it: a loop over the steps, whose body is a graph.
#[test]
fn what_is_done_in_a_loop_is_rewritten() {
    let (steps, length, hidden) = (5, 7, 6);
    let mut body = Builder::default();
    let (input, state, cell) = (body.tensor(&[1, length]), body.tensor(&[1, hidden]), body.tensor(&[1, hidden]));
    let product = |body: &mut Builder, input: OutletId, weights: Tensor| {
        let weights = body.constant(weights);
        body.node(EinSum::new("mk,kn->mn".parse().unwrap(), f32::datum_type()), &[input, weights])
    };
    let of_input = product(&mut body, input, numbers(1, &[length, 4 * hidden]));
    let of_state = product(&mut body, state, numbers(2, &[hidden, 4 * hidden]));
    let sums = body.node(math::add(), &[of_input, of_state]);
    let new = body.model.wire_node("cell", LstmEpilogue { hidden }, &[sums, cell]).unwrap();
    let body = body.finish(&new);
    let info = ScanInfo { axis: 0, chunk: 1 };
    let mut scan = Scan::new(
        body,
        vec![InputMapping::Scan(info), InputMapping::State, InputMapping::State],
        vec![
            OutputMapping { scan: Some((0, info)), full_dim_hint: None, last_value_slot: None, state: true },
            OutputMapping { scan: None, full_dim_hint: None, last_value_slot: Some(1), state: true },
        ],
        0,
    )
    .unwrap();
    scan.reset_every_turn = true;
    let mut builder = Builder::default();
    let inputs = [vec![steps, length], vec![1, hidden], vec![1, hidden]];
    let sources = inputs.each_ref().map(|shape| builder.tensor(shape));
    let outputs = builder.model.wire_node("scan", scan, &sources).unwrap();
    let model = builder.finish(&outputs);
    let rewritten = samara_rewrite::rewrite(model.clone()).unwrap();
    let scan = rewritten.nodes().iter().find_map(|node| node.op_as::<Scan>()).unwrap();
    let names: Vec<String> = scan.body.nodes().iter().map(|node| node.op.name().to_string()).collect();
    assert!(has(&names, "Product") && has(&names, "LstmCell"), "{names:?}");
    check(model, &[3, 4, 5].map(|seed| numbers(seed, &inputs[seed as usize - 3])));
}
