//! Convolutions in which each channel of the result is made of all channels of the image.

use samara_kernels::F32x4;
use samara_kernels::activation::Activation;
use samara_kernels::places::{Shallow, Window};
use samara_kernels::rows::{PART, Part, Weights};
use tract_core::internal::*;

use crate::fused::{Bound, Fused};
use crate::geometry::Geometry;
use crate::strips::{Rows, multiply};

/// A convolution with weights, a bias, an activation, and arithmetic. A step of the product with the weights is a number of the
/// window: its channels lie together, those of a row beside each other.
#[derive(Clone)]
pub struct Convolution {
    /// Where what is.
    pub geometry: Geometry,
    /// The weights.
    pub weights: Arc<Weights>,
    /// The same for windows of few numbers, where there is a kernel for these.
    pub shallow: Option<Arc<Shallow>>,
    /// What becomes of a result.
    pub activation: Activation,
    /// What is done then.
    pub fused: Option<Fused>,
}

impl std::fmt::Debug for Convolution {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Convolution {:?}", self.geometry)
    }
}

impl PartialEq for Convolution {
    fn eq(&self, other: &Convolution) -> bool {
        Arc::ptr_eq(&self.weights, &other.weights)
            && (&self.geometry, self.activation, &self.fused) == (&other.geometry, other.activation, &other.fused)
    }
}

impl Eq for Convolution {}

/// What the windows of a convolution are read from.
pub(crate) struct Images<'a> {
    pub window: Window,
    /// The channels of a place that are read.
    pub channels: usize,
    /// From one place to the next, in numbers: all channels.
    pub pitch: usize,
    /// From the first channel that is read on.
    pub numbers: &'a [f32],
    /// As many as a row of a window has: what is outside of an image.
    pub zeros: &'a [f32],
}

// SAFETY: each way to pack writes all steps of a window, for each of the four.
unsafe impl Rows for Images<'_> {
    /// The windows of four places.
    unsafe fn pack(&self, first: usize, last: usize, to: Part) {
        let Window { kernel, stride, dilation, before, input, output } = self.window;
        let (channels, pitch, size) = (self.channels, self.pitch, output[0] * output[1]);
        // Whether the steps of a row of a window lie together.
        let together = (dilation[1] == 1 && pitch == channels) || kernel[1] == 1;
        let (mut item, place) = (first / size, first % size);
        let (mut y, mut x) = (place / output[1], place % output[1]);
        let reach = [0, 1].map(|axis| (kernel[axis] - 1) * dilation[axis]);
        // Four windows beside each other in one row of the result, all of which are inside of the image.
        let (top, left) = ((y * stride[0]).wrapping_sub(before[0]), (x * stride[1]).wrapping_sub(before[1]));
        if first + PART <= last + 1
            && x + PART <= output[1]
            && top < input[0].saturating_sub(reach[0])
            && left < input[1].saturating_sub(reach[1] + (PART - 1) * stride[1])
            && (together || pitch > channels)
            && (channels > 1 || stride[1] > 1)
        {
            let at = ((item * input[0] + top) * input[1] + left) * pitch;
            let (steps, length) = if together { (1, kernel[1] * channels) } else { (kernel[1], channels) };
            for row in 0..kernel[0] {
                for step in 0..steps {
                    let at = at + (row * dilation[0] * input[1] + step * dilation[1]) * pitch;
                    // SAFETY: all four windows are inside of the image, and there is room for this part of them.
                    unsafe {
                        let from = self.numbers.as_ptr().add(at);
                        let rows = std::array::from_fn(|index| from.add(index * stride[1] * pitch));
                        to.pack((row * kernel[1] + step) * channels, rows, length);
                    }
                }
            }
            return;
        }
        let places: [_; PART] = std::array::from_fn(|index| {
            let place = (item * input[0] * input[1] * pitch, y * stride[0], x * stride[1]);
            if first + index < last {
                x += 1;
                if x == output[1] {
                    (x, y) = (0, y + 1);
                }
                if y == output[0] {
                    (y, item) = (0, item + 1);
                }
            }
            place
        });
        let interior = places.iter().all(|(_, _, x)| *x >= before[1] && x + reach[1] < input[1] + before[1]);
        let [one, .., other] = places;
        let in_one_row = first + PART <= last + 1 && one.1 == other.1 && one.0 == other.0;
        if pitch == 1 && stride[1] == 1 && interior && in_one_row {
            // The same step of four windows is four numbers beside each other.
            for row in 0..kernel[0] {
                let y = (one.1 + row * dilation[0]).checked_sub(before[0]).filter(|y| *y < input[0]);
                for step in 0..kernel[1] {
                    // SAFETY: the numbers are inside of the image, as all windows are that begin in a row of it.
                    unsafe {
                        let x = y.map_or(F32x4::ZERO, |y| {
                            let at = one.0 + y * input[1] + one.2 + step * dilation[1] - before[1];
                            F32x4::load(self.numbers.as_ptr().add(at))
                        });
                        to.put(row * kernel[1] + step, x);
                    }
                }
            }
            return;
        }
        let beside = interior && together;
        let (steps, length) = if beside { (1, kernel[1] * channels) } else { (kernel[1], channels) };
        for row in 0..kernel[0] {
            for step in 0..steps {
                let rows = places.map(|(item, y, x)| {
                    let (y, x) = (y + row * dilation[0], x + step * dilation[1]);
                    let outside =
                        y < before[0] || y - before[0] >= input[0] || x < before[1] || x - before[1] >= input[1];
                    if outside {
                        return self.zeros.as_ptr();
                    }
                    let at = item + ((y - before[0]) * input[1] + x - before[1]) * pitch;
                    // SAFETY: the place is inside of the image, and so is the rest of the row.
                    unsafe { self.numbers.as_ptr().add(at) }
                });
                // SAFETY: each of the rows is as long, and there is room for this part of the windows.
                unsafe { to.pack((row * kernel[1] + step) * channels, rows, length) };
            }
        }
    }
}

/// The images, each within as many zeros as windows reach outside of it, and the windows on them; none where they do not.
fn pad(window: &Window, channels: usize, items: usize, numbers: &[f32]) -> Option<(Window, Vec<f32>)> {
    let ends = |axis: usize| {
        let (last, reach) = (window.output[axis].checked_sub(1)?, (window.kernel[axis] - 1) * window.dilation[axis]);
        Some((last * window.stride[axis] + reach + 1).max(window.before[axis] + window.input[axis]))
    };
    let [before_y, before_x] = window.before;
    let [height, width] = [ends(0)?, ends(1)?];
    let (image, row) = (window.input[0] * window.input[1] * channels, window.input[1] * channels);
    if [height, width] == window.input {
        return None;
    }
    let mut padded = vec![0.0; items * height * width * channels];
    for (from, to) in numbers.chunks_exact(image.max(1)).zip(padded.chunks_exact_mut(height * width * channels)) {
        for (y, from) in from.chunks_exact(row).enumerate() {
            to[((before_y + y) * width + before_x) * channels..][..row].copy_from_slice(from);
        }
    }
    Some((Window { before: [0, 0], input: [height, width], ..*window }, padded))
}

impl Op for Convolution {
    fn name(&self) -> StaticName {
        "Convolution".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{:?}", self.geometry)])
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for Convolution {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (items, channels, window) = self.geometry.window(inputs[0].shape());
        let (depth, columns) = (self.weights.depth(), self.weights.columns());
        let steps = window.kernel[0] * window.kernel[1];
        ensure!(steps * channels == depth, "{channels} channels where there are weights for {}", depth / steps);
        let rows = items * window.output[0] * window.output[1];
        let numbers = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        let bound = Bound::of(self.fused.as_ref(), &inputs[1..], rows, columns)?;
        // SAFETY: each row is written to below.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&self.geometry.shape_over(items, &window))? };
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?;
        ensure!(
            to.len() == rows * columns,
            "{} channels where there are weights for {columns}",
            self.geometry.channels
        );
        if let Some(shallow) = self.shallow.as_deref().filter(|_| window.output[1] > 1) {
            let padded = pad(&window, channels, items, numbers);
            let (window, numbers) =
                padded.as_ref().map_or((window, numbers), |(window, numbers)| (*window, &numbers[..]));
            let image_size = window.input[0] * window.input[1] * channels;
            for (row, part) in to.chunks_exact_mut(window.output[1] * columns).enumerate() {
                let image = numbers[row / window.output[0] * image_size..][..image_size].as_ptr();
                let bounds = self.activation.bounds();
                let to = part.as_mut_ptr();
                // SAFETY: the windows are inside of the padded image, whose row of the result this is.
                unsafe { shallow.row(&window, row % window.output[0], channels, image, to, bounds) };
                self.activation.finish(part);
                bound.run(row * window.output[1], part);
            }
            return Ok(tvec!(output.into_tvalue()));
        }
        let zeros = vec![0.0; window.kernel[1] * channels];
        // Of one channel, numbers of windows side by side lie side by side where no window ends outside.
        let padded = (channels == 1 && window.stride[1] == 1).then(|| pad(&window, channels, items, numbers)).flatten();
        let images = match &padded {
            Some((window, numbers)) => Images { window: *window, channels, pitch: channels, numbers, zeros: &zeros },
            None => Images { window, channels, pitch: channels, numbers, zeros: &zeros },
        };
        multiply(&images, &self.weights, self.activation, &bound, 0, to);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Convolution {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&*self.geometry.shape(&inputs[0].shape.to_tvec()))))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let results: TDim = self.geometry.shape(&inputs[0].shape.to_tvec()).iter().product();
        let (steps, packed) = (results * self.weights.depth(), self.weights.volume().into());
        Ok(tvec!((Cost::FMA(f32::datum_type()), steps), (Cost::Params(f32::datum_type()), packed)))
    }

    as_op!();
}
