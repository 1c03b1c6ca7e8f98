//! Runs of bytes that lie apart.

use crate::integers::I32x4;

/// Bytes of a vector.
const VECTOR: usize = 16;

/// From how many bytes on a run is copied by the host, which is a call.
const LONG: usize = 512;

/// Copies `count` runs of `length` bytes: from the first place on, and from one run to the next so many bytes, to the second.
///
/// # Panics
///
/// Panics where there are not as many bytes in either.
pub fn copy(count: usize, length: usize, from: (&[u8], usize), to: (&mut [u8], usize)) {
    let ((from, from_stride), (to, to_stride)) = (from, to);
    let Some(last) = count.checked_sub(1) else { return };
    assert!(
        last * from_stride + length <= from.len() && last * to_stride + length <= to.len(),
        "{count} runs of {length}"
    );
    if length >= LONG {
        for run in 0..count {
            to[run * to_stride..][..length].copy_from_slice(&from[run * from_stride..][..length]);
        }
        return;
    }
    let (mut from, mut to) = (from.as_ptr(), to.as_mut_ptr());
    for _ in 0..count {
        // SAFETY: there are as many bytes in both, as has been asserted. The pointers behind the last run are not used.
        unsafe {
            short(length, from, to);
            (from, to) = (from.wrapping_add(from_stride), to.wrapping_add(to_stride));
        }
    }
}

/// Copies bytes without a call.
#[inline(always)]
unsafe fn short(length: usize, from: *const u8, to: *mut u8) {
    // SAFETY: as the caller says.
    unsafe {
        if length >= VECTOR {
            let vector = |at: usize| I32x4::load(from.add(at).cast()).store(to.add(at).cast());
            for at in (0..length - VECTOR).step_by(VECTOR) {
                vector(at);
            }
            // The last may begin within the one before.
            vector(length - VECTOR);
            return;
        }
        let words = length / 4;
        for word in 0..words {
            to.add(4 * word).cast::<u32>().write_unaligned(from.add(4 * word).cast::<u32>().read_unaligned());
        }
        for at in 4 * words..length {
            *to.add(at) = *from.add(at);
        }
    }
}

#[cfg(test)]
mod tests;
