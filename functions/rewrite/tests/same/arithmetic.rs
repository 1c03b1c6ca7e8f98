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
    let op: Box<dyn tract_core::ops::element_wise::ElementWiseMiniOp> = match index % 8 {
        0 => Box::new(nn::Sigmoid {}),
        1 => Box::new(nn::Silu {}),
        2 => Box::new(math::Tanh {}),
        3 => Box::new(math::Erf {}),
        4 => Box::new(math::Square {}),
        5 => Box::new(nn::HardSwish {}),
        6 => Box::new(math::PowConst { exponent: 3.0 }),
        _ => Box::new(math::Neg {}),
    };
    ElementWiseOp(op, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any graph of operations, whose operands are earlier results, or tensors of which some axes are 1, or numbers. Sizes may not be
    /// known before it runs.
    #[test]
    fn any_arithmetic_is_the_same(
        sizes in prop::array::uniform4(prop_oneof![Just(1_usize), 2..9_usize]),
        known in prop::array::uniform4(any::<bool>()),
        steps in prop::collection::vec((0..20_usize, 0..30_usize, 0..30_usize), 1..20),
        seed in 0..1000_u32,
    ) {
        let mut builder = Builder::default();
        let symbols = builder.model.symbols.clone();
        let dims: Vec<TDim> = ["a", "b", "c", "d"].iter().zip(sizes).zip(known).map(|((name, size), known)| {
            if known { size.to_dim() } else { symbols.sym(name).to_dim() }
        }).collect();
        let mut inputs = vec![];
        let mut values = vec![];
        for ones in 0..15_usize {
            let is_one = |axis: &usize| ones & (1 << axis) != 0;
            let fact: Vec<TDim> = (0..4).map(|axis| if is_one(&axis) { 1.to_dim() } else { dims[axis].clone() }).collect();
            let shape: Vec<usize> = (0..4).map(|axis| if is_one(&axis) { 1 } else { sizes[axis] }).collect();
            values.push(builder.source(f32::fact(&*fact)));
            inputs.push(numbers(seed + ones as u32, &shape));
        }
        let mut constant = |axes: [usize; 4], value| {
            let fits = (0..4).all(|axis| axes[axis] == 1 || known[axis]);
            values.extend(fits.then(|| builder.constant(numbers(value, &axes))));
        };
        constant([1, 1, 1, sizes[3]], seed + 19);
        constant([sizes[0], 1, 1, 1], seed + 20);
        constant([1, sizes[1], sizes[2], sizes[3]], seed + 21);
        constant([1; 4], seed + 22);
        constant(sizes, seed + 23);
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

/// GELU by the hyperbolic tangent, as frameworks write it: the cube is two products, or a power.
#[test]
fn arithmetic_that_comes_together_is_one_operator() {
    for by_power in [false, true] {
        let mut builder = Builder::default();
        let x = builder.tensor(&[3, 40]);
        let [third, half, one, factor] = [0.044_715_f32, 0.5, 1.0, 0.797_884_6]
            .map(|x| builder.constant(Tensor::from_shape(&[1, 1], &[x]).unwrap()));
        let cube = if by_power {
            builder.node(math::pow_const(3.0), &[x])
        } else {
            let square = builder.node(math::mul(), &[x, x]);
            builder.node(math::mul(), &[x, square])
        };
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
