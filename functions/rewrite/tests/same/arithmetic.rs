use proptest::prelude::*;
use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::math;
use tract_core::ops::nn;

use crate::{Builder, check, has, numbers};

fn binary(index: usize) -> TypedBinOp {
    [math::add, math::sub, math::mul, math::min, math::max, math::subf][index % 6]()
}

fn unary(index: usize) -> ElementWiseOp {
    let op: Box<dyn tract_core::ops::element_wise::ElementWiseMiniOp> = match index % 7 {
        0 => Box::new(nn::Sigmoid {}),
        1 => Box::new(nn::Silu {}),
        2 => Box::new(math::Tanh {}),
        3 => Box::new(math::Erf {}),
        4 => Box::new(math::Square {}),
        5 => Box::new(nn::HardSwish {}),
        _ => Box::new(math::Neg {}),
    };
    ElementWiseOp(op, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any graph of operations, whose operands are earlier results, or tensors of which some axes are 1, or numbers.
    #[test]
    fn any_arithmetic_is_the_same(
        sizes in prop::array::uniform3(prop_oneof![Just(1_usize), 2..9_usize]),
        steps in prop::collection::vec((0..20_usize, 0..20_usize, 0..20_usize), 1..20),
        seed in 0..1000_u32,
    ) {
        let mut builder = Builder::default();
        let mut inputs = vec![];
        let mut values = vec![];
        for mask in 0..4_usize {
            let shape: Vec<usize> = (0..3).map(|axis| if mask > 0 && axis == mask - 1 { 1 } else { sizes[axis] }).collect();
            values.push(builder.tensor(&shape));
            inputs.push(numbers(seed + mask as u32, &shape));
        }
        values.push(builder.constant(numbers(seed + 9, &[1, 1, sizes[2]])));
        values.push(builder.constant(numbers(seed + 10, &[sizes[0], 1, 1])));
        values.push(builder.constant(Tensor::from_shape(&[1, 1, 1], &[0.5_f32]).unwrap()));
        values.push(builder.constant(numbers(seed + 11, &sizes)));
        for (kind, left, right) in steps {
            let (left, right) = (values[left % values.len()], values[right % values.len()]);
            let value = if kind < 14 { builder.node(binary(kind), &[left, right]) } else { builder.node(unary(kind), &[left]) };
            values.push(value);
        }
        let last = values[values.len() - 1];
        let before = values[values.len() - 2];
        check(builder.finish(&[last, before]), &inputs);
    }
}

#[test]
fn arithmetic_that_comes_together_is_one_operator() {
    let mut builder = Builder::default();
    let x = builder.tensor(&[3, 40]);
    let [third, half, one, factor] =
        [0.044_715_f32, 0.5, 1.0, 0.797_884_6].map(|x| builder.constant(Tensor::from_shape(&[1, 1], &[x]).unwrap()));
    // GELU by the hyperbolic tangent, as frameworks write it.
    let cube = builder.node(math::mul(), &[x, x]);
    let cube = builder.node(math::mul(), &[x, cube]);
    let cube = builder.node(math::mul(), &[cube, third]);
    let inner = builder.node(math::add(), &[x, cube]);
    let inner = builder.node(math::mul(), &[inner, factor]);
    let tanh = builder.node(ElementWiseOp(Box::new(math::Tanh {}), None), &[inner]);
    let share = builder.node(math::add(), &[tanh, one]);
    let share = builder.node(math::mul(), &[share, half]);
    let gelu = builder.node(math::mul(), &[x, share]);
    let names = check(builder.finish(&[gelu]), &[numbers(1, &[3, 40])]);
    assert!(has(&names, "Map"), "{names:?}");
    assert_eq!(names.iter().filter(|name| *name != "Const" && *name != "Source").count(), 1, "{names:?}");
}

#[test]
fn a_large_number_that_is_taken_off_again_rounds() {
    let mut builder = Builder::default();
    let x = builder.tensor(&[2, 8]);
    let [large, huge, tiny] =
        [8_388_608.0_f32, 1e30, 1e-30].map(|x| builder.constant(Tensor::from_shape(&[1, 1], &[x]).unwrap()));
    let up = builder.node(math::add(), &[x, large]);
    let rounded = builder.node(math::sub(), &[up, large]);
    // A product of the two factors is no number.
    let up = builder.node(math::mul(), &[x, huge]);
    let up = builder.node(math::mul(), &[up, huge]);
    let infinite = builder.node(math::mul(), &[up, tiny]);
    check(builder.finish(&[rounded, infinite]), &[numbers(1, &[2, 8])]);
}
