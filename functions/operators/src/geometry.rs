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
}
