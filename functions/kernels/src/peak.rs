//! The rate of this CPU's multiply-adds in WebAssembly.

use std::hint::black_box;

use crate::vector::F32x4;

/// As many chains of multiply-adds as keep the units of CPUs of today busy, and leave registers free.
const CHAINS: usize = 13;

/// Does `rounds` rounds of multiply-adds on registers, and gives how many operations on numbers that was: two for each
/// multiply-add.
///
/// The loop may be left after each round, as in the tiles of a product, so that all chains go on side by side.
pub fn peak(rounds: usize) -> u64 {
    let factor = F32x4::splat(black_box(0.999));
    let summand = F32x4::splat(black_box(0.001));
    let mut chains = [F32x4::splat(black_box(1.0)); CHAINS];
    let mut remaining = rounds.max(1);
    macro_rules! rounds {
        ($($round:literal)*) => {$(
            let _ = $round;
            for chain in &mut chains {
                *chain = chain.mul_add(factor, summand);
            }
            remaining -= 1;
            if remaining == 0 {
                break;
            }
        )*};
    }
    loop {
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    }
    black_box(chains.map(|chain| chain.to_array()));
    rounds.max(1) as u64 * CHAINS as u64 * 4 * 2
}
