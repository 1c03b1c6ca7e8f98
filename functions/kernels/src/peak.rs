//! The rate of this CPU's multiply-adds in WebAssembly.

use std::hint::black_box;

use crate::vector::F32x4;

/// As many chains of multiply-adds as keep the units of any CPU of today busy, and still fit 16 registers.
const CHAINS: usize = 12;

/// How often each chain goes on in a round.
const UNROLLED: usize = 16;

/// Does `rounds` rounds of multiply-adds on registers, and gives how many operations on numbers that was: two for each
/// multiply-add.
pub fn peak(rounds: usize) -> u64 {
    let factor = F32x4::splat(black_box(0.999));
    let summand = F32x4::splat(black_box(0.001));
    let mut chains = [F32x4::splat(black_box(1.0)); CHAINS];
    for _ in 0..rounds {
        // So many that what a loop costs does not count: a host may look at its clock in each turn.
        for _ in 0..UNROLLED {
            for chain in &mut chains {
                *chain = chain.mul_add(factor, summand);
            }
        }
    }
    black_box(chains.map(|chain| chain.to_array()));
    rounds as u64 * UNROLLED as u64 * CHAINS as u64 * 4 * 2
}
