//! Products and convolutions of bytes, and what makes bytes of floats.

use std::sync::Arc;

use samara_kernels::activation::Bounds;
use samara_kernels::places::Window;
use samara_kernels::quantized::{self, Kind, Quantization, STRIP, Strips, Target, Weights, dequantize, quantize};
use tract_core::internal::*;

use crate::fused::{Bound, Fused};
use crate::geometry::Geometry;

/// The bytes of a tensor of `u8` or `i8`.
pub fn bytes(tensor: &Tensor) -> TractResult<(&[u8], Kind)> {
    let kind = kind(tensor.datum_type()).with_context(|| format!("bytes, not {:?}", tensor.datum_type()))?;
    Ok((tensor.try_as_plain_ram()?.as_bytes(), kind))
}

/// The number that a tensor holds.
fn one<T: Datum + Copy>(tensor: &Tensor) -> TractResult<T> {
    ensure!(tensor.len() == 1, "{} numbers where one is wanted", tensor.len());
    let cast = tensor.cast_to::<T>()?;
    Ok(cast.try_as_plain_ram()?.as_slice::<T>()?[0])
}

/// The type of bytes.
pub fn datum_type(kind: Kind) -> DatumType {
    if kind == Kind::Signed { i8::datum_type() } else { u8::datum_type() }
}

/// Which bytes a type is of, if it is one of bytes.
pub fn kind(datum_type: DatumType) -> Option<Kind> {
    match datum_type {
        DatumType::U8 => Some(Kind::Unsigned),
        DatumType::I8 => Some(Kind::Signed),
        _ => None,
    }
}

/// A tensor of bytes with room for what comes.
pub fn room(kind: Kind, shape: &[usize]) -> TractResult<Tensor> {
    // SAFETY: every bit pattern is a byte, and those who ask for it write all of it.
    unsafe { Tensor::uninitialized_dt(datum_type(kind), shape) }
}

/// A tensor whose rows are written one after the other, each by its number: as floats, or as bytes of these.
pub fn by_rows(
    quantization: Option<Quantization>,
    shape: &[usize],
    length: usize,
    write: &mut dyn FnMut(usize, &mut [f32]),
) -> TractResult<Tensor> {
    let length = length.max(1);
    if let Some(quantization) = quantization {
        let mut output = room(quantization.kind, shape)?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let mut floats = vec![0.0; length];
        for (row, bytes) in plain.as_bytes_mut().chunks_exact_mut(length).enumerate() {
            write(row, &mut floats);
            quantize(quantization, &floats, bytes);
        }
        return Ok(output);
    }
    // SAFETY: each row is written to below.
    let mut output = unsafe { Tensor::uninitialized::<f32>(shape)? };
    let mut plain = output.try_as_plain_ram_mut()?;
    for (row, part) in plain.as_slice_mut::<f32>()?.chunks_exact_mut(length).enumerate() {
        write(row, part);
    }
    Ok(output)
}

/// What a product of bytes is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// The first axes of the input tell the row, the others are summed over; the result's last axes.
    Rows(usize, TVec<usize>),
    /// Windows.
    Windows(Geometry),
}

/// A product or a convolution of bytes with weights, exact, then in floats a factor for each column, a bias, bounds, arithmetic, and
/// where it is asked for bytes again.
///
/// Its inputs are the bytes, their zero point, and what the arithmetic reads.
#[derive(Clone)]
pub struct QuantizedProduct {
    /// What it goes over.
    pub over: Over,
    /// The weights.
    pub weights: Arc<Weights>,
    /// The least and the largest result.
    pub bounds: Bounds,
    /// What is done then.
    pub fused: Option<Fused>,
    /// What bytes are made, if any are.
    pub quantization: Option<Quantization>,
}

impl std::fmt::Debug for QuantizedProduct {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "QuantizedProduct {} x {}", self.weights.depth(), self.weights.columns())
    }
}

impl PartialEq for QuantizedProduct {
    fn eq(&self, other: &QuantizedProduct) -> bool {
        Arc::ptr_eq(&self.weights, &other.weights)
            && (&self.over, self.bounds, &self.fused) == (&other.over, other.bounds, &other.fused)
            && self.quantization == other.quantization
    }
}

impl Eq for QuantizedProduct {}

/// What may be written behind what is asked for: a vector, as copies of fewer bytes are calls of the host.
const SLACK: usize = 16;

/// Copies the first `length` bytes, and may write more.
fn copy(from: &[u8], length: usize, to: &mut [u8]) {
    if let (true, Some(from), Some(to)) = (length <= SLACK, from.first_chunk(), to.first_chunk_mut::<SLACK>()) {
        *to = *from;
    } else {
        to[..length].copy_from_slice(&from[..length]);
    }
}

/// Writes a byte `length` times, and maybe more often.
fn fill(byte: u8, length: usize, to: &mut [u8]) {
    if let (true, Some(to)) = (length <= SLACK, to.first_chunk_mut()) {
        *to = [byte; SLACK];
    } else {
        to[..length].fill(byte);
    }
}

/// Where the rows of a product come from.
struct Rows<'a> {
    bytes: &'a [u8],
    depth: usize,
    /// A window, the channels, and what is outside of the image.
    windows: Option<(Window, usize, u8)>,
}

impl Rows<'_> {
    /// The windows of some places of the result, counted over all images, one after the other, each row by row. There is room for
    /// [`SLACK`] bytes behind them.
    fn windows(&self, first: usize, last: usize, to: &mut [u8]) {
        let Some((window, channels, outside)) = self.windows else { return };
        let output = window.output;
        let (mut item, place) = (first / (output[0] * output[1]), first % (output[0] * output[1]));
        let (mut y, mut x) = (place / output[1], place % output[1]);
        for index in 0..=last - first {
            self.window(&window, channels, outside, [item, y, x], &mut to[index * self.depth..]);
            x += 1;
            if x == output[1] {
                (x, y) = (0, y + 1);
            }
            if y == output[0] {
                (y, item) = (0, item + 1);
            }
        }
    }

    fn window(&self, window: &Window, channels: usize, outside: u8, [item, y, x]: [usize; 3], to: &mut [u8]) {
        let &Window { kernel, stride, dilation, before, input, .. } = window;
        let (y, x) = (y * stride[0], x * stride[1]);
        let length = kernel[1] * channels;
        let reach = (kernel[1] - 1) * dilation[1];
        let interior = dilation[1] == 1 && x >= before[1] && x - before[1] + reach < input[1];
        for row in 0..kernel[0] {
            let to = &mut to[row * length..];
            let y = (y + row * dilation[0]).wrapping_sub(before[0]);
            if y >= input[0] {
                fill(outside, length, to);
            } else if interior {
                let at = ((item * input[0] + y) * input[1] + x - before[1]) * channels;
                copy(&self.bytes[at..], length, to);
            } else {
                for column in 0..kernel[1] {
                    let to = &mut to[column * channels..];
                    let x = (x + column * dilation[1]).wrapping_sub(before[1]);
                    if x < input[1] {
                        let at = ((item * input[0] + y) * input[1] + x) * channels;
                        copy(&self.bytes[at..], channels, to);
                    } else {
                        fill(outside, channels, to);
                    }
                }
            }
        }
    }

    /// Packs rows from `first` on as the strips from 0 on.
    fn pack(&self, first: usize, count: usize, kind: Kind, windows: &mut [u8], strips: &mut Strips) {
        for strip in 0..count.div_ceil(STRIP) {
            // The last row again where there are fewer: what is made of it is left out.
            let place = first + strip * STRIP;
            let last = (count - 1).min(strip * STRIP + STRIP - 1) - strip * STRIP;
            let rows: [usize; STRIP] = std::array::from_fn(|row| row.min(last));
            let rows = if self.windows.is_some() {
                self.windows(place, place + last, windows);
                rows.map(|row| windows[row * self.depth..][..self.depth].as_ptr())
            } else {
                rows.map(|row| self.bytes[(place + row) * self.depth..][..self.depth].as_ptr())
            };
            // SAFETY: each row is as long.
            unsafe { strips.pack(strip, rows, self.depth, kind) };
        }
    }
}

impl QuantizedProduct {
    fn shape<D: DimLike>(&self, input: &[D]) -> TVec<D> {
        match &self.over {
            Over::Rows(rows, columns) => {
                input[..*rows].iter().cloned().chain(columns.iter().map(|&size| size.into())).collect()
            }
            Over::Windows(geometry) => geometry.shape(input),
        }
    }
}

impl Op for QuantizedProduct {
    fn name(&self) -> StaticName {
        match self.over {
            Over::Rows(..) => "QuantizedProduct".into(),
            Over::Windows(_) => "QuantizedConvolution".into(),
        }
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let (all, narrow) = (self.weights.columns().div_ceil(8), self.weights.narrow_blocks());
        Ok(vec![format!("{:?}, {narrow} of {all} blocks of seven bits", self.over)])
    }

    op_as_typed_op!();
}

impl EvalOp for QuantizedProduct {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (depth, columns) = (self.weights.depth(), self.weights.columns());
        let (from, kind) = bytes(&inputs[0])?;
        let zero_point = one::<i32>(&inputs[1])?;
        let shape = self.shape(inputs[0].shape());
        let rows = shape.iter().product::<usize>() / columns.max(1);
        let windows = match &self.over {
            Over::Rows(..) => {
                ensure!(from.len() == rows * depth, "{} bytes are not {rows} rows of {depth}", from.len());
                None
            }
            Over::Windows(geometry) => {
                let (items, channels, window) = geometry.window(inputs[0].shape());
                let steps = window.kernel[0] * window.kernel[1];
                ensure!(steps * channels == depth, "{channels} channels where there are weights for {}", depth / steps);
                ensure!(rows == items * window.output[0] * window.output[1], "{rows} windows");
                Some((window, channels, zero_point as u8))
            }
        };
        let source = Rows { bytes: from, depth, windows };
        let constants = self.weights.constants(kind, zero_point);
        let bound = Bound::of(self.fused.as_ref(), &inputs[2..], rows, columns)?;
        let mut output = match self.quantization {
            Some(quantization) => room(quantization.kind, &shape)?,
            // SAFETY: each row is written to below.
            None => unsafe { Tensor::uninitialized::<f32>(&shape)? },
        };
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_bytes_mut();
        ensure!(
            to.len() == rows * columns * if self.quantization.is_some() { 1 } else { 4 },
            "as many results as rows"
        );
        let at_once = self.weights.rows_at_a_time().min(rows.max(1));
        let mut strips = self.weights.strips(at_once);
        let mut window = vec![0; if source.windows.is_some() { STRIP * depth + SLACK } else { 0 }];
        // Floats that arithmetic is done on before they become bytes.
        let mut floats =
            vec![0.0; if self.fused.is_some() && self.quantization.is_some() { at_once * columns } else { 0 }];
        for first in (0..rows).step_by(at_once) {
            let some = at_once.min(rows - first);
            let target = match self.quantization {
                Some(quantization) if self.fused.is_none() => {
                    Target::Bytes(to[first * columns..].as_mut_ptr(), columns, quantization)
                }
                Some(_) => Target::Floats(floats.as_mut_ptr(), columns),
                // SAFETY: there are as many floats, which the tensor has been made for.
                None => Target::Floats(unsafe { to.as_mut_ptr().cast::<f32>().add(first * columns) }, columns),
            };
            if some == 1 {
                let row = if source.windows.is_some() {
                    source.windows(first, first, &mut window);
                    window.as_ptr()
                } else {
                    from[first * depth..][..depth].as_ptr()
                };
                // SAFETY: the row is as long, and there is room for as many results.
                unsafe {
                    strips.pack_one(row, depth, kind);
                    self.weights.multiply_one(&strips, &constants, target, self.bounds);
                }
            } else {
                source.pack(first, some, kind, &mut window, &mut strips);
                // SAFETY: there is room for as many results.
                unsafe { self.weights.multiply(some, &strips, &constants, target, self.bounds) };
            }
            match self.quantization {
                Some(quantization) if self.fused.is_some() => {
                    let part = &mut floats[..some * columns];
                    bound.run(first, part);
                    quantize(quantization, part, &mut to[first * columns..][..some * columns]);
                }
                Some(_) => {}
                None => {
                    // SAFETY: as above; they have been written.
                    let part = unsafe {
                        std::slice::from_raw_parts_mut(
                            to.as_mut_ptr().cast::<f32>().add(first * columns),
                            some * columns,
                        )
                    };
                    bound.run(first, part);
                }
            }
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for QuantizedProduct {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let made = self.quantization.map_or(f32::datum_type(), |quantization| datum_type(quantization.kind));
        Ok(tvec!(made.fact(&*self.shape(&inputs[0].shape.to_tvec()))))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let results: TDim = self.shape(&inputs[0].shape.to_tvec()).iter().product();
        let (steps, packed) = (results * self.weights.depth(), self.weights.volume().into());
        Ok(tvec!((Cost::FMA(i8::datum_type()), steps), (Cost::Params(i8::datum_type()), packed)))
    }

    as_op!();
}

/// Bytes of floats, or floats of bytes, with one scale and one zero point, which are inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Convert {
    /// What bytes are made; floats where none are.
    pub to: Option<Kind>,
}

impl Op for Convert {
    fn name(&self) -> StaticName {
        if self.to.is_some() { "ToBytes".into() } else { "ToFloats".into() }
    }

    op_as_typed_op!();
}

impl EvalOp for Convert {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (scale, zero_point) = (one::<f32>(&inputs[1])?, one::<i32>(&inputs[2])?);
        let output = if let Some(kind) = self.to {
            let mut output = room(kind, inputs[0].shape())?;
            let from = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
            quantize(Quantization { kind, scale, zero_point }, from, output.try_as_plain_ram_mut()?.as_bytes_mut());
            output
        } else {
            let (from, kind) = bytes(&inputs[0])?;
            // SAFETY: a float is written for each byte.
            let mut output = unsafe { Tensor::uninitialized::<f32>(inputs[0].shape())? };
            let mut plain = output.try_as_plain_ram_mut()?;
            dequantize(Quantization { kind, scale, zero_point }, from, plain.as_slice_mut::<f32>()?);
            output
        };
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Convert {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.to.map_or(f32::datum_type(), datum_type).fact(inputs[0].shape.clone())))
    }

    as_op!();
}

/// Bytes of floats, with the scale and the zero point that their range asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ToBytesOfRange;

impl Op for ToBytesOfRange {
    fn name(&self) -> StaticName {
        "ToBytesOfRange".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ToBytesOfRange {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let from = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        let (scale, zero_point) = quantized::range(from);
        let mut output = room(Kind::Unsigned, inputs[0].shape())?;
        let quantization = Quantization { kind: Kind::Unsigned, scale, zero_point: zero_point.into() };
        quantize(quantization, from, output.try_as_plain_ram_mut()?.as_bytes_mut());
        Ok(tvec!(output.into_tvalue(), tensor0(scale).into_tvalue(), tensor0(zero_point).into_tvalue()))
    }
}

impl TypedOp for ToBytesOfRange {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let scalar = [0_usize; 0];
        Ok(tvec!(u8::fact(inputs[0].shape.clone()), f32::fact(scalar), u8::fact(scalar)))
    }

    as_op!();
}
