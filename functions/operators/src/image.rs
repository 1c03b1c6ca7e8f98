//! The images that a window goes over, as floats: whole, or a few rows at a time of bytes that stand for them.

use std::ops::Range;

use samara_kernels::places::Window;
use samara_kernels::quantized::{Quantization, dequantize};
use tract_core::internal::*;

use crate::quantized::bytes;

/// Rows of an image that are kept: those that come next, and those before them that are needed still.
pub struct Kept<'a> {
    numbers: &'a mut [f32],
    /// Numbers of a row.
    length: usize,
    /// Which they are.
    rows: Range<usize>,
}

impl<'a> Kept<'a> {
    /// Nothing yet, and room for rows of so many numbers.
    pub fn new(numbers: &'a mut [f32], length: usize) -> Kept<'a> {
        Kept { numbers, length, rows: 0..0 }
    }

    /// Keeps nothing: what comes next is of another image.
    pub fn clear(&mut self) {
        self.rows = 0..0;
    }

    /// Keeps `rows`, of which `make` writes those that are not kept yet, from the row it is told on.
    pub fn keep(&mut self, rows: Range<usize>, make: impl FnOnce(usize, &mut [f32])) {
        let known = rows.start.max(self.rows.start)..rows.end.min(self.rows.end);
        let first = if known.is_empty() {
            rows.start
        } else {
            let from = known.start - self.rows.start;
            self.numbers.copy_within(from * self.length..(from + known.len()) * self.length, 0);
            known.end
        };
        make(first, &mut self.numbers[(first - rows.start) * self.length..(rows.len()) * self.length]);
        self.rows = rows;
    }

    /// Where the image's first row would be.
    pub fn image(&self) -> *const f32 {
        self.numbers.as_ptr().wrapping_sub(self.rows.start * self.length)
    }
}

/// Images one after the other, whose rows are asked for from the first to the last.
pub enum Images<'a> {
    /// As they lie.
    Floats {
        numbers: &'a [f32],
        /// Numbers of an image.
        size: usize,
    },
    /// In bytes, of which floats are made when they are asked for.
    Bytes {
        bytes: &'a [u8],
        quantization: Quantization,
        /// Rows of an image.
        height: usize,
        /// Which image they are of.
        item: usize,
        kept: Kept<'a>,
    },
}

impl<'a> Images<'a> {
    /// The room that [`of`](Self::of) needs.
    pub fn room(is_bytes: bool, window: &Window, channels: usize) -> TractResult<Tensor> {
        let reach = (window.kernel[0] - 1) * window.dilation[0] + 1;
        let numbers = if is_bytes { reach.min(window.input[0]) * window.input[1] * channels } else { 0 };
        // SAFETY: rows are written before they are read.
        unsafe { Tensor::uninitialized::<f32>(&[numbers]) }
    }

    /// Images of a size in a tensor of floats, or of bytes that stand for some.
    pub fn of(
        input: &'a Tensor,
        quantization: Option<Quantization>,
        [items, height, length]: [usize; 3],
        room: &'a mut [f32],
    ) -> TractResult<Images<'a>> {
        let count = items * height * length;
        ensure!(input.len() == count, "{} numbers are not {items} images of {height} rows of {length}", input.len());
        let Some(quantization) = quantization else {
            let numbers = input.try_as_plain_ram()?.as_slice::<f32>()?;
            return Ok(Images::Floats { numbers, size: height * length });
        };
        let (bytes, kind) = bytes(input)?;
        ensure!(kind == quantization.kind, "bytes of {kind:?} where others are wanted");
        Ok(Images::Bytes { bytes, quantization, height, item: 0, kept: Kept::new(room, length) })
    }

    /// Where the first row of an image would be, if all were there: some are, no more than a window reaches over.
    pub fn rows(&mut self, of: usize, rows: Range<usize>) -> *const f32 {
        match self {
            Images::Floats { numbers, size } => numbers[of * *size..].as_ptr(),
            Images::Bytes { bytes, quantization, height, item, kept } => {
                if *item != of {
                    kept.clear();
                    *item = of;
                }
                let length = kept.length;
                kept.keep(rows, |row, part| {
                    let first = (of * *height + row) * length;
                    dequantize(*quantization, &bytes[first..first + part.len()], part);
                });
                kept.image()
            }
        }
    }
}
