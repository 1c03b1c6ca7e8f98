//! Images whose numbers of one place lie together, a window at a time: depthwise convolutions, pools, and convolutions of images
//! with few channels.

use std::ops::Range;

mod depthwise;
mod pool;
mod shallow;

pub use depthwise::Depthwise;
pub use pool::{largest, sum};
pub use shallow::Shallow;

/// How a window goes over an image: the first of each pair is vertical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Its size.
    pub kernel: [usize; 2],
    /// From one place of the result to the next.
    pub stride: [usize; 2],
    /// From one number in the window to the next.
    pub dilation: [usize; 2],
    /// How far it begins outside of the image.
    pub before: [usize; 2],
    /// The image.
    pub input: [usize; 2],
    /// The result.
    pub output: [usize; 2],
}

/// What of a window is inside of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The first step of the window that is.
    pub first: usize,
    /// The first after it that is not.
    pub end: usize,
}

impl Window {
    /// What of the window is inside at a place of the result, in one direction.
    pub fn inside(&self, direction: usize, place: usize) -> Inside {
        let (stride, dilation) = (self.stride[direction], self.dilation[direction]);
        let (before, input) = (self.before[direction], self.input[direction]);
        // The window's step `i` is at `begin + i * dilation - before`.
        let begin = place * stride;
        let first = before.saturating_sub(begin).div_ceil(dilation);
        let end = (input + before).saturating_sub(begin).div_ceil(dilation).min(self.kernel[direction]);
        Inside { first: first.min(end), end }
    }

    /// What of the image windows at some places of the result need, in one direction.
    pub fn needed(&self, direction: usize, places: &Range<usize>) -> Range<usize> {
        let (stride, before) = (self.stride[direction], self.before[direction]);
        let reach = (self.kernel[direction] - 1) * self.dilation[direction];
        let end = (places.end * stride + reach + 1).saturating_sub(stride + before).min(self.input[direction]);
        (places.start * stride).saturating_sub(before).min(end)..end
    }

    /// The places of the result at which all of the window is inside, in one direction.
    pub fn interior(&self, direction: usize) -> Range<usize> {
        let (stride, before) = (self.stride[direction], self.before[direction]);
        let reach = (self.kernel[direction] - 1) * self.dilation[direction];
        let first = before.div_ceil(stride);
        let end = match (self.input[direction] + before).checked_sub(reach + 1) {
            Some(last) => last / stride + 1,
            None => 0,
        };
        let end = end.min(self.output[direction]);
        first.min(end)..end
    }
}

#[cfg(test)]
mod tests;
