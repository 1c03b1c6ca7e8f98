//! Where the places of an image are in a tensor whose channels lie together.

use samara_kernels::places::Window;
use tract_core::internal::*;
use tract_core::ops::cnn::PaddingSpec;

/// How a window goes over the images in a tensor. Axes of size 1 are left out of the tensors, so what is what is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// The window's size: its height and its width.
    pub kernel: [usize; 2],
    /// From one place of the result to the next.
    pub stride: [usize; 2],
    /// From one number in the window to the next.
    pub dilation: [usize; 2],
    /// How far it goes beyond the image.
    pub padding: PaddingSpec,
    /// The input's axes that are items, height, width and channels; none where the size is 1.
    pub input: [Option<usize>; 4],
    /// Whether the result has an axis for each of the same.
    pub output: [bool; 4],
    /// Channels of the result.
    pub channels: usize,
}

impl Geometry {
    fn sizes<D: DimLike>(&self, input: &[D]) -> [D; 4] {
        self.input.map(|axis| axis.map_or(D::one(), |axis| input[axis].clone()))
    }

    /// The result's shape.
    pub fn shape<D: DimLike>(&self, input: &[D]) -> TVec<D> {
        let [items, height, width, _] = self.sizes(input);
        let spatial = self.padding.compute(&[height, width], &self.kernel, &self.dilation, &self.stride);
        let [height, width] = [spatial[0].convoluted.clone(), spatial[1].convoluted.clone()];
        self.made([items, height, width, self.channels.into()])
    }

    /// The shape of the result that so many items give where this window goes over each.
    pub fn shape_over(&self, items: usize, window: &Window) -> TVec<usize> {
        let [height, width] = window.output;
        self.made([items, height, width, self.channels])
    }

    fn made<D: DimLike>(&self, sizes: [D; 4]) -> TVec<D> {
        sizes.into_iter().zip(self.output).filter(|(_, stays)| *stays).map(|(size, _)| size).collect()
    }

    /// How many items there are, the channels of each, and the window that goes over each.
    pub fn window(&self, input: &[usize]) -> (usize, usize, Window) {
        let [items, height, width, channels] = self.sizes(input);
        let spatial = self.padding.compute(&[height, width], &self.kernel, &self.dilation, &self.stride);
        let window = Window {
            kernel: self.kernel,
            stride: self.stride,
            dilation: self.dilation,
            before: [spatial[0].pad_before, spatial[1].pad_before],
            input: [height, width],
            output: [spatial[0].convoluted, spatial[1].convoluted],
        };
        (items, channels, window)
    }
    /// The same window without the first and last of its rows and columns, as far as these lie outside of images of this height and
    /// width wherever it goes; and how many of the first that are. None where there are none.
    pub fn within(&self, image: [usize; 2]) -> Option<(Geometry, [usize; 2])> {
        let spatial = self.padding.compute(&image, &self.kernel, &self.dilation, &self.stride);
        let mut within = self.clone();
        let (mut before, mut after): (TVec<usize>, TVec<usize>) = (tvec!(), tvec!());
        let mut left_out = [0; 2];
        for (axis, padded) in spatial.iter().enumerate() {
            let (kernel, stride, dilation) = (self.kernel[axis], self.stride[axis], self.dilation[axis]);
            let is_inside = |at: usize| {
                let mut places = (0..padded.convoluted).map(|place| place * stride + at * dilation);
                places.any(|at| at.checked_sub(padded.pad_before).is_some_and(|at| at < image[axis]))
            };
            let inside = (0..kernel).find(|at| is_inside(*at))?..=(0..kernel).rfind(|at| is_inside(*at))?;
            let first = (*inside.start()).min(padded.pad_before.checked_div(dilation)?);
            let last = (kernel - 1 - inside.end()).min(padded.pad_after.checked_div(dilation)?);
            before.push(padded.pad_before - first * dilation);
            after.push(padded.pad_after - last * dilation);
            within.kernel[axis] -= first + last;
            left_out[axis] = first;
        }
        if within.kernel == self.kernel {
            return None;
        }
        within.padding = PaddingSpec::Explicit(before, after);
        let made = within.padding.compute(&image, &within.kernel, &within.dilation, &within.stride);
        spatial.iter().zip(&made).all(|(one, other)| one.convoluted == other.convoluted).then_some((within, left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2], padding: [[usize; 2]; 2]) -> Geometry {
        let [before, after] = padding.map(|pad| pad.iter().copied().collect());
        let padding = PaddingSpec::Explicit(before, after);
        Geometry { kernel, stride, dilation, padding, input: [None; 4], output: [false; 4], channels: 1 }
    }

    #[test]
    fn what_lies_outside_wherever_a_window_goes_is_left_out() {
        let row = |image: usize, stride: usize, dilation: usize, padding: [usize; 2]| {
            let of = geometry([1, 3], [1, stride], [1, dilation], padding.map(|pad| [0, pad]));
            of.within([1, image]).map(|(within, first)| (within.kernel[1], first[1], within.padding))
        };
        let padding = |before: usize, after: usize| PaddingSpec::Explicit(tvec!(0, before), tvec!(0, after));
        // One number: of three, that in the middle is all that meets it.
        assert_eq!(row(1, 1, 1, [1, 1]), Some((1, 1, padding(0, 0))));
        // Two, and one place of the window: the first of three is outside.
        assert_eq!(row(2, 2, 1, [1, 1]), Some((2, 1, padding(0, 1))));
        assert_eq!(row(2, 3, 2, [2, 2]), Some((1, 1, padding(0, 0))));
        assert_eq!(row(1, 1, 1, [0, 2]), Some((1, 0, padding(0, 0))));
        // The second of two places has the first number inside.
        assert_eq!(row(4, 2, 1, [1, 1]), None);
        assert_eq!(row(2, 1, 1, [1, 1]), None);
        assert_eq!(row(3, 1, 1, [0, 0]), None);
    }

    #[test]
    fn rows_are_left_out_as_columns_are() {
        let (within, first) =
            geometry([5, 3], [1, 1], [1, 1], [[2, 1], [2, 1]]).within([2, 8]).expect("rows are outside");
        assert_eq!((within.kernel, first), ([3, 3], [1, 0]));
        assert_eq!(within.padding, PaddingSpec::Explicit(tvec!(1, 1), tvec!(1, 1)));
    }
}
