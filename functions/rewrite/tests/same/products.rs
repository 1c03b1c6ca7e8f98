use proptest::prelude::*;
use tract_core::internal::*;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::logic::Iff;
use tract_core::ops::math;
use tract_core::ops::nn::{GeluExact, Softmax, SoftmaxKind};

use crate::{Builder, check, has, numbers};

/// Sizes of the axes of an expression, some of them 1.
fn sizes() -> impl Strategy<Value = [usize; 6]> {
    prop::array::uniform6(prop_oneof![Just(1_usize), 2..14_usize])
}

fn einsum(expression: &str) -> EinSum {
    EinSum::new(expression.parse().unwrap(), f32::datum_type())
}

fn shape(letters: &str, sizes: [usize; 6]) -> Vec<usize> {
    letters.chars().map(|letter| sizes["abkmno".find(letter).unwrap()]).collect()
}

/// Products with weights, as tract writes them: the input's axes and the weights'.
const WITH_WEIGHTS: [&str; 12] = [
    "mk,kn->mn",
    "mk,nk->mn",
    "km,kn->mn",
    "mk,kn->nm",
    "amk,kn->amn",
    "akm,nk->anm",
    "mbak,nbak->mn",
    "mbk,bkn->amn",
    "kn,mk->mn",
    "akbm,ok->aobm",
    "mk,kno->mno",
    "ka,kn->n",
];

/// Products of two tensors of a request.
const OF_TWO: [&str; 7] = [
    "mk,kn->mn",
    "amk,ank->amn",
    "mbk,nbk->abmn",
    "abmk,kbn->mbn",
    "abmk,abkn->abmn",
    "bkm,bkn->bmn",
    "mabk,nbk->abmn",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn products_with_weights_are_the_same(sizes in sizes(), seed in 0..1000_u32) {
        for expression in WITH_WEIGHTS {
            let (inputs, _) = expression.split_once("->").unwrap();
            let (left, right) = inputs.split_once(',').unwrap();
            let weights_are_left = expression == "kn,mk->mn";
            let mut builder = Builder::default();
            let [one, other] = [(left, weights_are_left), (right, !weights_are_left)].map(|(letters, is_weights)| {
                let shape = shape(letters, sizes);
                if is_weights { builder.constant(numbers(seed, &shape)) } else { builder.tensor(&shape) }
            });
            if sizes[0] != 1 && ["mbk,bkn->amn", "ka,kn->n"].contains(&expression) {
                continue;
            }
            let product = builder.node(einsum(expression), &[one, other]);
            let rank = builder.model.outlet_fact(product).unwrap().rank();
            let last = builder.model.outlet_fact(product).unwrap().shape.as_concrete().unwrap()[rank - 1];
            let mut bias = vec![1; rank];
            bias[rank - 1] = last;
            let bias = builder.constant(numbers(seed + 1, &bias));
            let sum = builder.node(math::add(), &[product, bias]);
            let gelu = builder.node(ElementWiseOp(Box::new(GeluExact {}), None), &[sum]);
            let input = shape(if weights_are_left { right } else { left }, sizes);
            let names = check(builder.finish(&[gelu]), &[numbers(seed + 2, &input)]);
            let summed = left.chars().filter(|letter| right.contains(*letter) && !expression.ends_with(*letter));
            let sums_up = summed.into_iter().any(|letter| shape(&letter.to_string(), sizes) != [1]);
            prop_assert!(has(&names, "Product") || !sums_up, "{expression} {names:?}");
        }
    }

    #[test]
    fn products_of_two_tensors_are_the_same(sizes in sizes(), seed in 0..1000_u32) {
        for expression in OF_TWO {
            let (inputs, output) = expression.split_once("->").unwrap();
            let (left, right) = inputs.split_once(',').unwrap();
            let new_axis = output.chars().any(|letter| !inputs.contains(letter));
            if (new_axis || left.contains('a') && !right.contains('a')) && sizes[0] != 1 {
                continue;
            }
            let mut builder = Builder::default();
            let (one, other) = (builder.tensor(&shape(left, sizes)), builder.tensor(&shape(right, sizes)));
            let product = builder.node(einsum(expression), &[one, other]);
            let inputs = [numbers(seed, &shape(left, sizes)), numbers(seed + 1, &shape(right, sizes))];
            let names = check(builder.finish(&[product]), &inputs);
            let [_, _, k, m, n, _] = sizes;
            prop_assert!(has(&names, "BatchProduct") || k == 1 || m == 1 || n == 1, "{expression} {names:?}");
        }
    }

    #[test]
    fn attention_is_the_same(
        sizes in prop::array::uniform6(1..20_usize),
        (scaled, mask, result) in (any::<bool>(), 0..MASKS.len() + 1, 0..3_usize),
        seed in 0..1000_u32,
    ) {
        let [batch, heads, rows, columns, depth, width] = sizes;
        let mask = MASKS.get(mask).copied();
        let names = attention([batch % 4 + 1, heads % 4 + 1, rows, columns, depth, width], scaled, mask, result, seed);
        prop_assert!(sizes[2..].contains(&1) || has(&names, "Attention"), "{names:?}");
    }
}

/// Of more scores than are kept at a time.
#[test]
fn attention_in_bands_is_the_same() {
    for (mask, seed) in MASKS.into_iter().zip(1..) {
        let names = attention([2, 2, 101, 600, 8, 9], true, Some(mask), 0, seed);
        assert!(has(&names, "Attention"), "{names:?}");
    }
}

/// Which axes of the scores masks have: batch, heads, rows, columns.
const MASKS: [[bool; 4]; 6] = [
    [false, false, false, true],
    [true, false, false, true],
    [false, false, true, true],
    [false, true, true, true],
    [true, false, true, true],
    [true, true, false, false],
];

/// What a transformer's layer does between its projections, in a batch, of some heads, with as many rows and columns of scores, in so
/// many numbers, and so many numbers of each value. The result is one of three orders of its axes.
fn attention(
    [batch, heads, rows, columns, depth, width]: [usize; 6],
    scaled: bool,
    mask: Option<[bool; 4]>,
    result: usize,
    seed: u32,
) -> Vec<String> {
    let mut builder = Builder::default();
    let shapes = [[batch, rows, heads, depth], [batch, columns, heads, depth], [batch, columns, heads, width]];
    let [queries, keys, values] = shapes.map(|shape| builder.tensor(&shape));
    let of_scores = [batch, heads, rows, columns];
    let of_mask = mask.map_or([1; 4], |has| std::array::from_fn(|axis| if has[axis] { of_scores[axis] } else { 1 }));
    let summand = builder.tensor(&of_mask);
    let mut scores = builder.node(einsum("bmhd,bnhd->bhmn"), &[queries, keys]);
    if scaled {
        let scale = builder.constant(Tensor::from_shape(&[1, 1, 1, 1], &[0.25_f32]).unwrap());
        scores = builder.node(math::mul(), &[scores, scale]);
    }
    if mask.is_some() {
        scores = builder.node(math::add(), &[scores, summand]);
    }
    let softmax = Softmax { axes: tvec!(3), quant_output_dt: None, kind: SoftmaxKind::Softmax };
    let mut shares = builder.node(softmax, &[scores]);
    // As PyTorch has it: where all is masked there is nothing, and not what is no number.
    let guarded = seed % 2 == 1;
    if guarded {
        let is_nan = builder.node(math::is_nan(), &[shares]);
        let zero = builder.constant(Tensor::zero::<f32>(&[1; 4]).unwrap());
        shares = builder.node(Iff, &[is_nan, zero, shares]);
    }
    let expression = ["bhmn,bnhw->bmhw", "bhmn,bnhw->bhmw", "bhmn,bnhw->hbmw"][result];
    let sum = builder.node(einsum(expression), &[shares, values]);
    let mut inputs: Vec<Tensor> = shapes.iter().zip(seed..).map(|(shape, seed)| numbers(seed, shape)).collect();
    let mut mask = numbers(seed + 3, &of_mask);
    if guarded && of_mask[3] == columns {
        mask.try_as_plain_ram_mut().unwrap().as_slice_mut::<f32>().unwrap()[..columns].fill(f32::NEG_INFINITY);
    }
    inputs.push(mask);
    check(builder.finish(&[sum]), &inputs)
}
