//! Arithmetic on all elements of a tensor, for tract: with one number, or with a tensor of the same size.

use tract_data::internal::{TensorView, TractResult, ensure};
use tract_linalg::isa::{Arch, IsaReq};
use tract_linalg::routines::{Func, Routine, RoutineFactory};
use tract_linalg::{BinFn, BinOp};

use crate::vector::{F32x4, larger, smaller};

/// Numbers that are done between two turns of a loop.
const BLOCK: usize = 32;

/// Registers an operation in both forms: with one number on the right, and with as many as there are on the left.
macro_rules! register {
    ($($operation:ident, $with_one:literal, $with_as_many:literal, $vectors:expr, $numbers:expr;)*) => {$(
        inventory::submit! {
            Routine {
                func: Func::BinByScalar(BinOp::$operation),
                factory: RoutineFactory::BinF32 {
                    name: || $with_one,
                    make: || Box::new(|left: &mut TensorView, right: &TensorView| {
                        let left = left.as_slice_mut::<f32>()?;
                        let right = right.as_slice::<f32>()?;
                        ensure!(!right.is_empty(), "there is no number on the right");
                        with_one(left, right[0], $vectors, $numbers);
                        TractResult::Ok(())
                    }) as Box<BinFn>,
                },
                ..ROUTINE
            }
        }

        inventory::submit! {
            Routine {
                func: Func::BinUnicast(BinOp::$operation),
                factory: RoutineFactory::BinF32 {
                    name: || $with_as_many,
                    make: || Box::new(|left: &mut TensorView, right: &TensorView| {
                        let left = left.as_slice_mut::<f32>()?;
                        let right = right.as_slice::<f32>()?;
                        ensure!(left.len() == right.len(), "{} numbers with {}", left.len(), right.len());
                        with_as_many(left, right, $vectors, $numbers);
                        TractResult::Ok(())
                    }) as Box<BinFn>,
                },
                ..ROUTINE
            }
        }
    )*};
}

/// What the registrations have in common.
const ROUTINE: Routine = Routine {
    func: Func::BinByScalar(BinOp::Add),
    arch: Some(Arch::Wasm32Simd128),
    isa: IsaReq::ANY,
    // tract's own have none.
    boost: 1,
    round_trip: false,
    factory: RoutineFactory::BinF32 { name: || "", make: || Box::new(|_, _| Ok(())) },
};

register! {
    Min, "samara_min_by_scalar_f32", "samara_unicast_min_f32", |x, y| x.min(y), smaller;
    Max, "samara_max_by_scalar_f32", "samara_unicast_max_f32", |x, y| x.max(y), larger;
    Add, "samara_add_by_scalar_f32", "samara_unicast_add_f32", |x, y| x + y, |x, y| x + y;
    Mul, "samara_mul_by_scalar_f32", "samara_unicast_mul_f32", |x, y| x * y, |x, y| x * y;
    Sub, "samara_sub_by_scalar_f32", "samara_unicast_sub_f32", |x, y| x - y, |x, y| x - y;
    SubF, "samara_subf_by_scalar_f32", "samara_unicast_subf_f32", |x, y| y - x, |x, y| y - x;
}

#[inline(always)]
fn with_one(left: &mut [f32], right: f32, vectors: impl Fn(F32x4, F32x4) -> F32x4, numbers: impl Fn(f32, f32) -> f32) {
    let vector = F32x4::splat(right);
    let mut blocks = left.chunks_exact_mut(BLOCK);
    for block in &mut blocks {
        for at in (0..BLOCK).step_by(4) {
            // SAFETY: a block has four numbers more at `at`.
            unsafe {
                let at = block.as_mut_ptr().add(at);
                vectors(F32x4::load(at), vector).store(at);
            }
        }
    }
    for x in blocks.into_remainder() {
        *x = numbers(*x, right);
    }
}

#[inline(always)]
fn with_as_many(
    left: &mut [f32],
    right: &[f32],
    vectors: impl Fn(F32x4, F32x4) -> F32x4,
    numbers: impl Fn(f32, f32) -> f32,
) {
    let mut blocks = left.chunks_exact_mut(BLOCK);
    let mut others = right.chunks_exact(BLOCK);
    for (block, other) in (&mut blocks).zip(&mut others) {
        for at in (0..BLOCK).step_by(4) {
            // SAFETY: both blocks have four numbers more at `at`.
            unsafe {
                let to = block.as_mut_ptr().add(at);
                vectors(F32x4::load(to), F32x4::load(other.as_ptr().add(at))).store(to);
            }
        }
    }
    for (x, y) in blocks.into_remainder().iter_mut().zip(others.remainder()) {
        *x = numbers(*x, *y);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tract_data::internal::{DatumType, Tensor, tensor0, tensor1};

    use super::*;

    /// The routine that tract takes on WebAssembly.
    fn best(func: Func) -> Box<BinFn> {
        let routines = inventory::iter::<Routine>().filter(|routine| {
            (routine.func, routine.dt(), routine.arch) == (func, DatumType::F32, Some(Arch::Wasm32Simd128))
        });
        let routines: Vec<_> = routines.collect();
        let best = routines.iter().max_by_key(|routine| routine.boost).expect("it is registered");
        assert!(best.name().starts_with("samara_"), "{}", best.name());
        match best.factory {
            RoutineFactory::BinF32 { make, .. } => make(),
            _ => panic!("{} takes no two tensors", best.name()),
        }
    }

    fn done(func: Func, left: &[f32], right: Tensor) -> Vec<f32> {
        let mut left = tensor1(left);
        best(func)(&mut left.view_mut(), &right.view()).unwrap();
        left.view().as_slice::<f32>().unwrap().to_vec()
    }

    type Operation = (BinOp, fn(f32, f32) -> f32);

    const OPERATIONS: [Operation; 6] = [
        (BinOp::Min, f32::min),
        (BinOp::Max, f32::max),
        (BinOp::Add, |x, y| x + y),
        (BinOp::Mul, |x, y| x * y),
        (BinOp::Sub, |x, y| x - y),
        (BinOp::SubF, |x, y| y - x),
    ];

    proptest! {
        #[test]
        fn every_element_counts(pairs in prop::collection::vec((-8.0_f32..8.0, -8.0_f32..8.0), 1..100)) {
            let (left, right): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            for (operation, f) in OPERATIONS {
                let expected: Vec<f32> = left.iter().zip(&right).map(|(&x, &y)| f(x, y)).collect();
                prop_assert_eq!(done(Func::BinUnicast(operation), &left, tensor1(&right)), expected);
                let expected: Vec<f32> = left.iter().map(|&x| f(x, right[0])).collect();
                prop_assert_eq!(done(Func::BinByScalar(operation), &left, tensor0(right[0])), expected);
            }
        }
    }

    /// Numbers of which any order tells something else.
    const SPECIAL: [f32; 6] = [f32::NAN, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1.0];

    #[test]
    fn special_numbers_are_the_same_in_vectors_and_behind_them() {
        for operation in [BinOp::Min, BinOp::Max] {
            for left in SPECIAL {
                for right in SPECIAL {
                    let numbers = [left; BLOCK + 1];
                    let results = [
                        done(Func::BinByScalar(operation), &numbers, tensor0(right)),
                        done(Func::BinUnicast(operation), &numbers, tensor1(&[right; BLOCK + 1])),
                    ];
                    let expected = match operation {
                        BinOp::Min => smaller(left, right),
                        _ => larger(left, right),
                    };
                    for x in results.iter().flatten() {
                        assert_eq!(x.is_nan(), left.is_nan() || right.is_nan(), "{operation:?} of {left} and {right}");
                        assert!(
                            x.is_nan() || x.to_bits() == expected.to_bits(),
                            "{operation:?} of {left} and {right}: {x}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn sizes_that_differ_are_an_error() {
        let mut left = tensor1(&[1.0_f32, 2.0]);
        let right = tensor1(&[1.0_f32]);
        assert!(best(Func::BinUnicast(BinOp::Add))(&mut left.view_mut(), &right.view()).is_err());
    }
}
