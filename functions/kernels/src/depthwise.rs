//! Depthwise convolutions for tract, where the channels of a place lie one after the other.
//!
//! tract has one row of places computed at a time, for which it tells where each tap of the filter finds its input. Four
//! places and eight channels are summed up together, so that what a tap's weights cost is shared by four.

use tract_linalg::isa::{Arch, IsaReq};
use tract_linalg::routines::{Func, Routine, RoutineFactory};

use crate::vector::F32x4;

/// Places that are summed up together.
const PLACES: usize = 4;

/// How many taps are done between two turns of the loop. A filter of 3 × 3 needs no turn.
const TAPS: usize = 9;

inventory::submit! {
    Routine {
        func: Func::DepthwiseC,
        arch: Some(Arch::Wasm32Simd128),
        isa: IsaReq::ANY,
        // tract's own has none.
        boost: 1,
        round_trip: false,
        factory: RoutineFactory::DepthwiseCF32 { name: "samara_depthwise_c_f32", run },
    }
}

/// What is the same for all places and channels.
#[derive(Clone, Copy)]
struct Filter<'a> {
    /// The weights of the first channel; those of a tap are `stride` numbers after those of the tap before.
    weights: *const f32,
    stride: usize,
    /// The taps that count at these places, and where each finds its input.
    taps: &'a [usize],
    offsets: &'a [isize],
    /// From one place to the next.
    in_stride: isize,
    out_stride: isize,
}

/// `length` places of `channels` channels: the bias, and for each tap its weight times its input. In tract's order.
///
/// # Safety
///
/// At `weights`, there are `channels` numbers for each of `taps`, times `stride` numbers after the first. At `input`, there
/// are as many for each place, times `in_stride`, and tap, plus its offset. At `bias` there are as many, and at `output`
/// there is room for as many for each place, times `out_stride`. There are as many `offsets` as `taps`.
#[allow(clippy::too_many_arguments, reason = "tract's signature")]
unsafe fn run(
    input: *const f32,
    output: *mut f32,
    weights: *const f32,
    taps: &[usize],
    offsets: &[isize],
    bias: *const f32,
    channels: usize,
    stride: usize,
    length: usize,
    in_stride: isize,
    out_stride: isize,
) {
    let filter = Filter { weights, stride, taps, offsets, in_stride, out_stride };
    let counted = if taps.is_empty() { 0 } else { channels };
    // SAFETY: as the caller says, of which each block is a part.
    unsafe {
        let mut channel = 0;
        while channel + 8 <= counted {
            row::<2>(input.add(channel), output.add(channel), &filter.at(channel), bias.add(channel), length);
            channel += 8;
        }
        if channel + 4 <= counted {
            row::<1>(input.add(channel), output.add(channel), &filter.at(channel), bias.add(channel), length);
            channel += 4;
        }
        for place in 0..length as isize {
            for channel in channel..channels {
                let mut sum = *bias.add(channel);
                for (&tap, &offset) in taps.iter().zip(offsets) {
                    let x = *input.offset(place * in_stride + offset).add(channel);
                    sum += *weights.add(tap * stride + channel) * x;
                }
                *output.offset(place * out_stride).add(channel) = sum;
            }
        }
    }
}

impl Filter<'_> {
    /// The same from another channel on.
    fn at(&self, channel: usize) -> Self {
        Filter { weights: self.weights.wrapping_add(channel), ..*self }
    }
}

/// `V` vectors of channels at all places of a row.
///
/// # Safety
///
/// As for [`run`], with at least one tap.
unsafe fn row<const V: usize>(
    input: *const f32,
    output: *mut f32,
    filter: &Filter<'_>,
    bias: *const f32,
    length: usize,
) {
    let mut place = 0;
    // SAFETY: as the caller says.
    unsafe {
        while place + PLACES <= length {
            let at = place as isize;
            block::<PLACES, V>(
                input.offset(at * filter.in_stride),
                output.offset(at * filter.out_stride),
                filter,
                bias,
            );
            place += PLACES;
        }
        for place in place..length {
            let at = place as isize;
            block::<1, V>(input.offset(at * filter.in_stride), output.offset(at * filter.out_stride), filter, bias);
        }
    }
}

/// `V` vectors of channels at `P` places. How it is written is for Cranelift, as in the tiles of a product.
///
/// # Safety
///
/// As for [`run`], with at least one tap.
#[inline(never)]
unsafe fn block<const P: usize, const V: usize>(
    input: *const f32,
    output: *mut f32,
    filter: &Filter<'_>,
    bias: *const f32,
) {
    let Filter { weights, stride, taps, offsets, in_stride, out_stride } = *filter;
    let mut remaining = taps.len();
    let (mut taps, mut offsets) = (taps.as_ptr(), offsets.as_ptr());
    // SAFETY: as the caller says.
    unsafe {
        let mut sums = [load::<V>(bias); P];
        macro_rules! steps {
            ($($step:literal)*) => {$(
                let of_tap = weights.add(*taps.add($step) * stride);
                let factors = load::<V>(of_tap);
                let mut at = input.offset(*offsets.add($step));
                for sums in &mut sums {
                    for ((sum, x), factor) in sums.iter_mut().zip(load::<V>(at)).zip(factors) {
                        *sum = x.mul_add(factor, *sum);
                    }
                    at = at.wrapping_offset(in_stride);
                }
                remaining -= 1;
                if remaining == 0 {
                    break;
                }
            )*};
        }
        loop {
            steps!(0 1 2 3 4 5 6 7 8);
            taps = taps.add(TAPS);
            offsets = offsets.add(TAPS);
        }
        let mut to = output;
        for sums in sums {
            for (index, sum) in sums.into_iter().enumerate() {
                sum.store(to.add(4 * index));
            }
            to = to.wrapping_offset(out_stride);
        }
    }
}

/// # Safety
///
/// There are `V` vectors at `from`.
#[inline(always)]
unsafe fn load<const V: usize>(from: *const f32) -> [F32x4; V] {
    // SAFETY: as the caller says.
    std::array::from_fn(|index| unsafe { F32x4::load(from.add(4 * index)) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_channel_has_its_own_filter(
            side in 1..6_usize,
            channels in 1..30_usize,
            length in 1..12_usize,
            step in 1..3_usize,
            // The filter's weights may be of more channels than are computed.
            more in 0..3_usize,
            skipped in 0..3_usize,
            seed in 0..1000_u32,
        ) {
            let mut state = seed;
            let mut number = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            };
            let stride = channels + more;
            let taps: Vec<usize> = (0..side * side).rev().skip(skipped).collect();
            let row = (length * step + side) * channels;
            let offsets: Vec<isize> =
                taps.iter().map(|tap| (tap / side * row + tap % side * channels) as isize).collect();
            let weights: Vec<f32> = (0..side * side * stride).map(|_| number()).collect();
            let bias: Vec<f32> = (0..channels).map(|_| number()).collect();
            let input: Vec<f32> = (0..side * row + channels).map(|_| number()).collect();
            let mut output = vec![f32::NAN; length * stride];
            // SAFETY: the input has as many rows as the filter, and more places in each than `length` steps and the filter.
            unsafe {
                run(
                    input.as_ptr(),
                    output.as_mut_ptr(),
                    weights.as_ptr(),
                    &taps,
                    &offsets,
                    bias.as_ptr(),
                    channels,
                    stride,
                    length,
                    (step * channels) as isize,
                    stride as isize,
                );
            }
            for place in 0..length {
                for channel in 0..stride {
                    let got = output[place * stride + channel];
                    if channel >= channels {
                        prop_assert!(got.is_nan(), "nothing else is written to");
                        continue;
                    }
                    let products = taps.iter().zip(&offsets).map(|(tap, &offset)| {
                        let x = input[place * step * channels + offset as usize + channel];
                        f64::from(weights[tap * stride + channel]) * f64::from(x)
                    });
                    let expected = f64::from(bias[channel]) + products.sum::<f64>();
                    prop_assert!((f64::from(got) - expected).abs() <= 1e-5, "{got} {expected}");
                }
            }
        }
    }

    #[test]
    fn tract_finds_it_first() {
        let routines = inventory::iter::<Routine>()
            .filter(|routine| routine.func == Func::DepthwiseC && routine.arch == Some(Arch::Wasm32Simd128));
        let routines: Vec<_> = routines.collect();
        assert!(routines.len() > 1, "tract has one of its own");
        let best = routines.iter().max_by_key(|routine| routine.boost).expect("it is registered");
        assert_eq!(best.name(), "samara_depthwise_c_f32");
    }
}
