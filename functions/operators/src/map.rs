//! Arithmetic on tensors, several operations at once.

use samara_kernels::program::{Program, Source, Spread};
use samara_kernels::quantized::{Quantization, dequantize, quantize};
use tract_core::internal::*;

use crate::fused::source;
use crate::quantized::{bytes, datum_type, room};

/// Numbers that go through the program at a time where bytes come or go: as floats they stay in the first cache.
const PART: usize = 1024;

/// A program on tensors: each input is a source. The first axes of the result are its rows, the last is its columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// What is done.
    pub program: Program,
    /// How the numbers of each input are spread.
    pub spreads: Vec<Spread>,
    /// What the bytes of each input stand for, where it has any; only of those that have a number for each of the result.
    pub bytes: Vec<Option<Quantization>>,
    /// The result's shape.
    pub shape: TVec<TDim>,
    /// What bytes are made, if any are.
    pub quantization: Option<Quantization>,
}

impl Eq for Map {}

/// A source of a part of the result.
enum Part<'a> {
    /// Floats, of which it takes some.
    Floats(Source<'a>),
    /// Floats of these bytes, which are made at a place of the room that there is for them.
    Bytes(&'a [u8], Quantization, usize),
}

impl Map {
    /// The program a part of the tensors at a time, where some are bytes.
    fn of_bytes(&self, inputs: &[TValue], shape: &[usize], [rows, columns]: [usize; 2]) -> TractResult<Tensor> {
        let count = rows * columns;
        // Parts are of whole rows, unless no source minds.
        let by_axis = self.spreads.iter().any(|spread| spread.is_by_axis());
        let line = [count, 1];
        let of_sources = if by_axis { shape } else { &line };
        let columns = if by_axis { columns } else { 1 };
        let at_once = (PART / columns.max(1)).max(1) * columns;
        let mut used = 0;
        let mut parts: TVec<Part<'_>> = tvec!();
        for (index, (input, &spread)) in inputs.iter().zip(&self.spreads).enumerate() {
            let part = match self.bytes.get(index).copied().flatten() {
                Some(quantization) => {
                    let (bytes, kind) = bytes(input)?;
                    ensure!(
                        bytes.len() == count && kind == quantization.kind && spread == Spread::FULL,
                        "{} bytes of {kind:?} where {count} of {:?} are wanted",
                        bytes.len(),
                        quantization.kind
                    );
                    used += at_once;
                    Part::Bytes(bytes, quantization, used - at_once)
                }
                None => Part::Floats(source(input, spread, of_sources)?),
            };
            parts.push(part);
        }
        let mut floats = vec![0.0; used + at_once];
        let (floats, result) = floats.split_at_mut(used);
        let mut output = match self.quantization {
            Some(quantization) => room(quantization.kind, shape)?,
            // SAFETY: all of it is written to below.
            None => unsafe { Tensor::uninitialized::<f32>(shape)? },
        };
        let mut plain = output.try_as_plain_ram_mut()?;
        for first in (0..count).step_by(at_once.max(1)) {
            let some = at_once.min(count - first);
            for part in &parts {
                if let Part::Bytes(bytes, quantization, place) = part {
                    dequantize(*quantization, &bytes[first..first + some], &mut floats[*place..place + some]);
                }
            }
            let sources = parts.iter().map(|part| match part {
                Part::Bytes(_, _, place) => Source::result(floats[*place..].as_ptr(), columns),
                Part::Floats(source) => source.skipping(first / columns),
            });
            let sources: TVec<Source<'_>> = sources.collect();
            let to = match self.quantization {
                Some(_) => result.as_mut_ptr(),
                None => plain.as_slice_mut::<f32>()?[first..].as_mut_ptr(),
            };
            // SAFETY: the sources have been held against the result, and the program names no others.
            unsafe { self.program.run(some / columns, columns, &sources, to) };
            if let Some(quantization) = self.quantization {
                quantize(quantization, &result[..some], &mut plain.as_bytes_mut()[first..first + some]);
            }
        }
        Ok(output)
    }
}

impl Op for Map {
    fn name(&self) -> StaticName {
        "Map".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{:?}", self.program)])
    }

    op_as_typed_op!();
}

impl EvalOp for Map {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        ensure!(inputs.len() == self.spreads.len(), "{} tensors for {} sources", inputs.len(), self.spreads.len());
        let full = self.spreads.iter().position(|spread| *spread == Spread::FULL);
        let shape: TVec<usize> = match full {
            Some(full) => inputs[full].shape().into(),
            None => self.shape.iter().map(|size| Ok(size.to_usize()?)).collect::<TractResult<_>>()?,
        };
        let columns = shape.last().copied().unwrap_or(1);
        let rows: usize = shape.iter().take(shape.len().saturating_sub(1)).product();
        if self.quantization.is_some() || self.bytes.iter().any(Option::is_some) {
            return Ok(tvec!(self.of_bytes(&inputs, &shape, [rows, columns])?.into_tvalue()));
        }
        for (input, spread) in inputs.iter().zip(&self.spreads) {
            source(input, *spread, &shape)?;
        }
        // The result takes the place of an input that nobody else has.
        let (mut output, own) = match full {
            Some(full) if inputs[full].is_exclusive() => {
                let nothing = Tensor::zero::<f32>(&[0])?.into_tvalue();
                (std::mem::replace(&mut inputs[full], nothing).into_tensor(), Some(full))
            }
            // SAFETY: all of it is written to below.
            _ => (unsafe { Tensor::uninitialized::<f32>(&shape)? }, None),
        };
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?.as_mut_ptr();
        let sources = inputs.iter().zip(&self.spreads).enumerate().map(|(index, (input, &spread))| {
            if own == Some(index) { Ok(Source::result(to, columns)) } else { source(input, spread, &shape) }
        });
        let sources = sources.collect::<TractResult<TVec<_>>>()?;
        // SAFETY: the sources have been held against the result, and the program names no others.
        unsafe { self.program.run(rows, columns, &sources, to) };
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Map {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let made = self.quantization.map_or(f32::datum_type(), |quantization| datum_type(quantization.kind));
        Ok(tvec!(made.fact(&*self.shape)))
    }

    as_op!();
}
