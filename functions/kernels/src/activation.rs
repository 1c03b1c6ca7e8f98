//! What becomes of a sum before it is stored.

use crate::vector::F32x4;

/// The least and the largest that a result may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The least.
    pub low: f32,
    /// The largest.
    pub high: f32,
}

impl Bounds {
    /// All numbers.
    pub const NONE: Bounds = Bounds { low: f32::NEG_INFINITY, high: f32::INFINITY };
}

/// `x * clamp(x + summand, low, high) * factor + offset`: hard swish, and what scales and moves it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// Added to the number.
    pub summand: f32,
    /// The least that the sum counts as.
    pub low: f32,
    /// The most.
    pub high: f32,
    /// What the product is multiplied by.
    pub factor: f32,
    /// What is added then; -0 where nothing is, as that leaves -0 as it is.
    pub offset: f32,
}

impl Gate {
    /// Of each of four numbers.
    #[inline(always)]
    pub fn of(self, x: F32x4) -> F32x4 {
        let [summand, low, high] = [self.summand, self.low, self.high].map(F32x4::splat);
        let [factor, offset] = [self.factor, self.offset].map(F32x4::splat);
        (x * (x + summand).at_least(low).at_most(high)).mul_add(factor, offset)
    }
}

/// Bounds, or a gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// What is outside of bounds becomes the nearest that is inside.
    Clip(Bounds),
    /// A gate.
    Gate(Gate),
}

impl Activation {
    /// Sums as they are.
    pub const NONE: Activation = Activation::Clip(Bounds::NONE);

    /// What a kernel that knows nothing else is to clip its sums to; [`finish`](Self::finish) does the rest.
    pub fn bounds(self) -> Bounds {
        match self {
            Activation::Clip(bounds) => bounds,
            Activation::Gate(_) => Bounds::NONE,
        }
    }

    /// Does to numbers that have been clipped to [`bounds`](Self::bounds) what is left to do.
    pub fn finish(self, numbers: &mut [f32]) {
        if let Activation::Gate(gate) = self {
            for part in numbers.chunks_mut(4) {
                let (at, count) = (part.as_mut_ptr(), part.len());
                // SAFETY: there are as many.
                unsafe { gate.of(F32x4::load_some(at, count)).store_some(at, count) };
            }
        }
    }
}

/// An activation as kernels want it: vectors in memory, from where instructions take them without a register.
#[derive(Clone, Copy)]
pub(crate) struct Vectors {
    /// Whether it is a gate.
    pub gated: bool,
    low: F32x4,
    high: F32x4,
    summand: F32x4,
    factor: F32x4,
    offset: F32x4,
}

impl Vectors {
    pub fn of(activation: Activation) -> Vectors {
        let (gated, [low, high, summand, factor, offset]) = match activation {
            Activation::Clip(Bounds { low, high }) => (false, [low, high, 0.0, 0.0, 0.0]),
            Activation::Gate(Gate { summand, low, high, factor, offset }) => {
                (true, [low, high, summand, factor, offset])
            }
        };
        let [low, high, summand, factor, offset] = [low, high, summand, factor, offset].map(F32x4::splat);
        Vectors { gated, low, high, summand, factor, offset }
    }

    /// Clips four sums. They are held against infinity where there are no bounds: what is only copied becomes a call of the host.
    ///
    /// # Safety
    ///
    /// There are vectors at `this`: what is read through a reference would be kept in registers.
    #[inline(always)]
    pub unsafe fn clip(this: *const Vectors, x: F32x4) -> F32x4 {
        // SAFETY: as the caller says.
        unsafe { x.at_least((*this).low).at_most((*this).high) }
    }

    /// What [`clip`](Self::clip) reads, for sums that are clipped one after the other: an instruction less for each of the two.
    ///
    /// # Safety
    ///
    /// As for [`clip`](Self::clip).
    #[inline(always)]
    pub unsafe fn bounds(this: *const Vectors) -> [F32x4; 2] {
        // SAFETY: as the caller says.
        unsafe { [(*this).low, (*this).high] }
    }

    /// The gate of four sums.
    ///
    /// # Safety
    ///
    /// As for [`clip`](Self::clip).
    #[inline(always)]
    pub unsafe fn gate(this: *const Vectors, x: F32x4) -> F32x4 {
        // SAFETY: as the caller says.
        unsafe {
            let gate = (x + (*this).summand).at_least((*this).low).at_most((*this).high);
            (x * gate).mul_add((*this).factor, (*this).offset)
        }
    }

    /// Writes what becomes of the first of four sums, at most four.
    ///
    /// # Safety
    ///
    /// There is room for as many at `to`.
    #[inline(always)]
    pub unsafe fn write(&self, x: F32x4, to: *mut f32, count: usize) {
        // SAFETY: as the caller says.
        unsafe {
            let x = if self.gated { Vectors::gate(self, x) } else { Vectors::clip(self, x) };
            x.store_some(to, count);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Activation {
        /// Of a number of 64 bits.
        pub fn plain(self, x: f64) -> f64 {
            match self {
                Activation::Clip(Bounds { low, high }) => x.clamp(low.into(), high.into()),
                Activation::Gate(Gate { summand, low, high, factor, offset }) => {
                    let gate = (x + f64::from(summand)).clamp(low.into(), high.into());
                    x * gate * f64::from(factor) + f64::from(offset)
                }
            }
        }
    }

    /// Bounds, and a hard swish that is scaled and moved.
    pub fn activations() -> impl Strategy<Value = Activation> {
        let gate = Gate { summand: 0.5, low: 0.0, high: 1.0, factor: 0.75, offset: -0.25 };
        prop::sample::select(vec![
            Activation::NONE,
            Activation::Clip(Bounds { low: -0.5, high: 1.25 }),
            Activation::Gate(gate),
        ])
    }

    proptest! {
        #[test]
        fn a_gate_is_what_it_says(numbers in prop::collection::vec(-3.0_f32..3.0, 0..9), activation in activations()) {
            let bounds = activation.bounds();
            let mut done: Vec<f32> = numbers.iter().map(|x| x.clamp(bounds.low, bounds.high)).collect();
            activation.finish(&mut done);
            for (x, got) in numbers.iter().zip(done) {
                prop_assert!((f64::from(got) - activation.plain((*x).into())).abs() < 1e-5, "{got} of {x}");
            }
        }
    }
}
