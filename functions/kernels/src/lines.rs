//! What is computed over all numbers of a row, or of a column, of a matrix: sums, softmax, normalization.

use crate::functions;
use crate::vector::F32x4;

/// What a reduction gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The sum.
    Sum,
    /// The largest number: NaN where there is one.
    Max,
    /// The smallest number: NaN where there is one.
    Min,
    /// The sum of the squares.
    SumOfSquares,
}

impl Reduction {
    /// What nothing gives.
    fn start(self) -> f32 {
        match self {
            Reduction::Sum | Reduction::SumOfSquares => 0.0,
            Reduction::Max => f32::NEG_INFINITY,
            Reduction::Min => f32::INFINITY,
        }
    }

    #[inline(always)]
    fn add(self, result: F32x4, x: F32x4) -> F32x4 {
        match self {
            Reduction::Sum => result + x,
            Reduction::Max => result.max(x),
            Reduction::Min => result.min(x),
            Reduction::SumOfSquares => x.mul_add(x, result),
        }
    }

    #[inline(always)]
    fn join(self, one: F32x4, other: F32x4) -> F32x4 {
        match self {
            Reduction::SumOfSquares => one + other,
            _ => self.add(one, other),
        }
    }

    /// Of all numbers of a slice.
    fn of(self, numbers: &[f32]) -> f32 {
        match self {
            Reduction::Sum => of::<0>(self, numbers),
            Reduction::Max => of::<1>(self, numbers),
            Reduction::Min => of::<2>(self, numbers),
            Reduction::SumOfSquares => of::<3>(self, numbers),
        }
    }

    /// Of each row of `columns` numbers.
    ///
    /// # Panics
    ///
    /// Panics where there are not as many rows as results.
    pub fn rows(self, columns: usize, from: &[f32], to: &mut [f32]) {
        assert_eq!(from.len(), columns * to.len(), "a result for each row");
        if columns == 0 {
            to.fill(self.start());
            return;
        }
        for (row, to) in from.chunks_exact(columns).zip(to) {
            *to = self.of(row);
        }
    }

    /// Of each column of a matrix that has as many as there are results.
    ///
    /// # Panics
    ///
    /// Panics where the last row is not whole.
    pub fn columns(self, from: &[f32], to: &mut [f32]) {
        to.fill(self.start());
        if to.is_empty() {
            return;
        }
        assert_eq!(from.len() % to.len(), 0, "rows are whole");
        for row in from.chunks_exact(to.len()) {
            let mut results = to.chunks_exact_mut(4);
            let mut numbers = row.chunks_exact(4);
            for (result, x) in (&mut results).zip(&mut numbers) {
                // SAFETY: there are four numbers in both.
                unsafe {
                    let at = result.as_mut_ptr();
                    self.add(F32x4::load(at), F32x4::load(x.as_ptr())).store(at);
                }
            }
            for (result, x) in results.into_remainder().iter_mut().zip(numbers.remainder()) {
                *result = self.add(F32x4::splat(*result), F32x4::splat(*x)).to_array()[0];
            }
        }
    }
}

/// [`Reduction::of`], compiled for each reduction: its number is there to make it so.
#[inline(always)]
fn of<const NUMBER: u8>(reduction: Reduction, numbers: &[f32]) -> f32 {
    let mut results = [F32x4::splat(reduction.start()); 4];
    let mut blocks = numbers.chunks_exact(16);
    for block in &mut blocks {
        for (index, result) in results.iter_mut().enumerate() {
            // SAFETY: a block has four vectors.
            *result = reduction.add(*result, unsafe { F32x4::load(block.as_ptr().add(4 * index)) });
        }
    }
    let [a, b, c, d] = results;
    let mut result = reduction.join(reduction.join(a, b), reduction.join(c, d)).to_array().map(F32x4::splat);
    for x in blocks.remainder() {
        result[0] = reduction.add(result[0], F32x4::splat(*x));
    }
    let [a, b, c, d] = result;
    reduction.join(reduction.join(a, b), reduction.join(c, d)).to_array()[0]
}

/// Softmax of each row: e to the power of each number, of all that of the row. 0 where that is below 2^-126, as for tokens that
/// are masked: what is multiplied by subnormal numbers takes a hundred times as long on many processors.
///
/// # Panics
///
/// Panics where the last row is not whole.
pub fn softmax(columns: usize, numbers: &mut [f32]) {
    if columns == 0 {
        return;
    }
    assert_eq!(numbers.len() % columns, 0, "rows are whole");
    for row in numbers.chunks_exact_mut(columns) {
        let largest = F32x4::splat(largest(row));
        let mut sums = [F32x4::ZERO; 4];
        let mut blocks = row.chunks_exact_mut(16);
        for block in &mut blocks {
            for (index, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a block has four vectors.
                unsafe {
                    let at = block.as_mut_ptr().add(4 * index);
                    let x = functions::exp(F32x4::load(at) - largest);
                    x.store(at);
                    *sum = *sum + x;
                }
            }
        }
        let [a, b, c, d] = sums;
        let mut sum: f32 = ((a + b) + (c + d)).to_array().iter().sum();
        for x in blocks.into_remainder() {
            *x = functions::exp(F32x4::splat(*x) - largest).to_array()[0];
            sum += *x;
        }
        let share = F32x4::splat(1.0 / sum);
        // A little more, as the share is rounded.
        let least = F32x4::splat(sum * (f32::MIN_POSITIVE * (1.0 + 4.0 * f32::EPSILON)));
        map(row, |x| x.unless_below(x, least) * share);
    }
}

/// The largest number that is one: what others are taken off of, where NaN makes all NaN anyway.
fn largest(numbers: &[f32]) -> f32 {
    let mut results = [F32x4::splat(f32::NEG_INFINITY); 4];
    let mut blocks = numbers.chunks_exact(16);
    for block in &mut blocks {
        for (index, result) in results.iter_mut().enumerate() {
            // SAFETY: a block has four vectors.
            *result = result.at_least(unsafe { F32x4::load(block.as_ptr().add(4 * index)) });
        }
    }
    let [a, b, c, d] = results;
    let largest =
        a.at_least(b).at_least(c.at_least(d)).to_array().into_iter().chain(blocks.remainder().iter().copied());
    largest.fold(f32::NEG_INFINITY, |largest, x| if largest < x { x } else { largest })
}

/// How rows are normalized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Whether the mean is taken off first.
    pub centered: bool,
    /// What is added to the mean of squares.
    pub epsilon: f32,
}

/// Gives each row a mean of squares of 1, and then each column its factor and its summand.
///
/// # Panics
///
/// Panics where there are not as many factors and summands as columns, or where the last row is not whole.
pub fn normalize(normalization: Normalization, factors: &[f32], summands: &[f32], numbers: &mut [f32]) {
    let columns = factors.len();
    assert_eq!(columns, summands.len(), "a factor and a summand for each column");
    if columns == 0 {
        return;
    }
    assert_eq!(numbers.len() % columns, 0, "rows are whole");
    for row in numbers.chunks_exact_mut(columns) {
        if normalization.centered {
            let mean = F32x4::splat(Reduction::Sum.of(row) / columns as f32);
            map(row, |x| x - mean);
        }
        let mean = Reduction::SumOfSquares.of(row) / columns as f32;
        let factor = F32x4::splat(1.0 / (mean + normalization.epsilon).sqrt());
        let whole = columns / 4 * 4;
        for first in (0..whole).step_by(4) {
            // SAFETY: there are four numbers more in all three.
            unsafe {
                let at = row.as_mut_ptr().add(first);
                let of_column = F32x4::load(factors.as_ptr().add(first));
                let summand = F32x4::load(summands.as_ptr().add(first));
                (F32x4::load(at) * factor).mul_add(of_column, summand).store(at);
            }
        }
        let factor = factor.to_array()[0];
        for ((x, of_column), summand) in row[whole..].iter_mut().zip(&factors[whole..]).zip(&summands[whole..]) {
            *x = *x * factor * of_column + summand;
        }
    }
}

/// Puts a function of each number in its place.
#[inline(always)]
fn map(numbers: &mut [f32], function: impl Fn(F32x4) -> F32x4) {
    let mut blocks = numbers.chunks_exact_mut(16);
    for block in &mut blocks {
        for first in (0..16).step_by(4) {
            // SAFETY: a block has four vectors.
            unsafe {
                let at = block.as_mut_ptr().add(first);
                function(F32x4::load(at)).store(at);
            }
        }
    }
    for x in blocks.into_remainder() {
        *x = function(F32x4::splat(*x)).to_array()[0];
    }
}

/// [`transpose`] of fewer rows than make a vector: the channels of a picture.
#[inline(always)]
unsafe fn transpose_few<const ROWS: usize>(
    columns: usize,
    from: *const f32,
    from_stride: usize,
    mut to: *mut f32,
    to_stride: usize,
) {
    // SAFETY: as the caller of `transpose` says.
    unsafe {
        let rows: [*const f32; ROWS] = std::array::from_fn(|row| from.add(row * from_stride));
        for column in 0..columns {
            for (row, from) in rows.iter().enumerate() {
                *to.add(row) = *from.add(column);
            }
            to = to.wrapping_add(to_stride);
        }
    }
}

/// Writes the columns of a matrix as rows.
///
/// # Safety
///
/// There are `rows` rows of `columns` numbers at `from`, `from_stride` apart, and there is room for `columns` rows of `rows`
/// numbers at `to`, `to_stride` apart.
pub unsafe fn transpose(
    rows: usize,
    columns: usize,
    from: *const f32,
    from_stride: usize,
    to: *mut f32,
    to_stride: usize,
) {
    let (whole_rows, whole_columns) = (rows / 4 * 4, columns / 4 * 4);
    // SAFETY: as the caller says.
    unsafe {
        for row in (0..whole_rows).step_by(4) {
            let from = from.add(row * from_stride);
            for column in (0..whole_columns).step_by(4) {
                let block: [F32x4; 4] =
                    std::array::from_fn(|index| F32x4::load(from.add(index * from_stride + column)));
                for (index, x) in F32x4::transpose(block).into_iter().enumerate() {
                    x.store(to.add((column + index) * to_stride + row));
                }
            }
            for column in whole_columns..columns {
                for index in 0..4 {
                    *to.add(column * to_stride + row + index) = *from.add(index * from_stride + column);
                }
            }
        }
        let (from, to) = (from.add(whole_rows * from_stride), to.add(whole_rows));
        match rows - whole_rows {
            1 => transpose_few::<1>(columns, from, from_stride, to, to_stride),
            2 => transpose_few::<2>(columns, from, from_stride, to, to_stride),
            3 => transpose_few::<3>(columns, from, from_stride, to, to_stride),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
