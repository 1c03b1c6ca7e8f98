//! Bytes of a matrix in the other order.

use crate::integers::I32x4;

/// Rows that are taken together.
const ROWS: usize = 4;

/// Columns that are taken together.
const COLUMNS: usize = 16;

/// Writes the columns of a matrix of bytes as rows, one right after the other.
///
/// # Safety
///
/// There are `rows` rows of `columns` bytes at `from`, `stride` apart, and there is room for as many at `to`.
pub unsafe fn transpose(rows: usize, columns: usize, from: *const u8, stride: usize, to: *mut u8) {
    let (whole_rows, whole_columns) = (rows / ROWS * ROWS, columns / COLUMNS * COLUMNS);
    // SAFETY: as the caller says.
    unsafe {
        for row in (0..whole_rows).step_by(ROWS) {
            let (from, to) = (from.add(row * stride), to.add(row));
            for column in (0..whole_columns).step_by(COLUMNS) {
                let [a, b, c, d] = std::array::from_fn(|row| I32x4::load(from.add(row * stride + column).cast()));
                let [even, odd] = [I32x4::interleave_bytes(a, c), I32x4::interleave_bytes(b, d)];
                let groups = [I32x4::interleave_bytes(even[0], odd[0]), I32x4::interleave_bytes(even[1], odd[1])];
                for (index, group) in groups.as_flattened().iter().enumerate() {
                    let to = to.add((column + 4 * index) * rows);
                    for (place, four) in group.to_array().into_iter().enumerate() {
                        to.add(place * rows).cast::<i32>().write_unaligned(four);
                    }
                }
            }
            few::<ROWS>(columns - whole_columns, from.add(whole_columns), stride, to.add(whole_columns * rows), rows);
        }
        let (from, to) = (from.add(whole_rows * stride), to.add(whole_rows));
        match rows - whole_rows {
            1 => few::<1>(columns, from, stride, to, rows),
            2 => few::<2>(columns, from, stride, to, rows),
            3 => few::<3>(columns, from, stride, to, rows),
            _ => {}
        }
    }
}

/// The same of a few rows, the columns `apart` from each other.
#[inline(always)]
unsafe fn few<const SOME: usize>(columns: usize, from: *const u8, stride: usize, mut to: *mut u8, apart: usize) {
    // SAFETY: as the caller says.
    unsafe {
        let rows: [*const u8; SOME] = std::array::from_fn(|row| from.wrapping_add(row * stride));
        for column in 0..columns {
            for (row, from) in rows.iter().enumerate() {
                *to.add(row) = *from.add(column);
            }
            to = to.wrapping_add(apart);
        }
    }
}
