//! Padding.

use tract_core::internal::*;
use tract_core::ops::array::PadMode;

/// Numbers around a tensor.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Pad {
    /// How many before and after each axis.
    pub pads: TVec<(usize, usize)>,
    /// Which.
    pub mode: PadMode,
}

/// Where the numbers of an axis come from: before and after those of the input, places in it, or none where they are the mode's
/// constant.
struct Places {
    before: Vec<Option<usize>>,
    inside: usize,
    after: Vec<Option<usize>>,
}

impl Places {
    fn len(&self) -> usize {
        self.before.len() + self.inside + self.after.len()
    }
}

impl Pad {
    /// Where in the input the numbers of an axis of the result are.
    fn places(&self, axis: usize, size: usize) -> TractResult<Places> {
        let (before, after) = self.pads[axis];
        ensure!(size > 0 || before + after == 0 || matches!(self.mode, PadMode::Constant(_)), "nothing to pad with");
        let inside = |place: usize| Some(place).filter(|place| *place < size);
        let place = |at: usize| match self.mode {
            PadMode::Constant(_) => at.checked_sub(before).and_then(inside),
            PadMode::Edge => Some(at.saturating_sub(before).min(size - 1)),
            PadMode::Reflect => {
                let last = size - 1;
                let from_start = at.abs_diff(before);
                inside(if from_start <= last { from_start } else { last.wrapping_sub(from_start - last) })
            }
        };
        let places = Places {
            before: (0..before).map(place).collect(),
            inside: size,
            after: (before + size..before + size + after).map(place).collect(),
        };
        let whole =
            matches!(self.mode, PadMode::Constant(_)) || places.before.iter().chain(&places.after).all(Option::is_some);
        ensure!(whole, "axis {axis} of size {size} cannot be reflected by {before} and {after}");
        Ok(places)
    }

    fn shape<D: DimLike>(&self, input: &[D]) -> TVec<D> {
        let sizes = input.iter().zip(&self.pads);
        sizes.map(|(size, (before, after))| size.clone() + D::from(*before) + D::from(*after)).collect()
    }
}

/// Writes what is padded along the first axis and those after it.
fn pad(axes: &[Places], sizes: &[usize], from: Option<&[f32]>, constant: f32, to: &mut [f32]) {
    let (Some((places, axes)), Some((_, sizes))) = (axes.split_first(), sizes.split_first()) else {
        if let (Some(from), [to]) = (from, to) {
            *to = from[0];
        }
        return;
    };
    let Some(from) = from else { return to.fill(constant) };
    if axes.is_empty() {
        let (before, rest) = to.split_at_mut(places.before.len());
        let (inside, after) = rest.split_at_mut(places.inside);
        inside.copy_from_slice(from);
        let around = before.iter_mut().zip(&places.before).chain(after.iter_mut().zip(&places.after));
        for (to, place) in around {
            *to = place.map_or(constant, |place| from[place]);
        }
        return;
    }
    let length = sizes.iter().product::<usize>();
    let parts = to.chunks_exact_mut((to.len() / places.len().max(1)).max(1));
    let all = places.before.iter().copied().chain((0..places.inside).map(Some)).chain(places.after.iter().copied());
    for (part, place) in parts.zip(all) {
        pad(axes, sizes, place.map(|place| &from[place * length..][..length]), constant, part);
    }
}

impl Op for Pad {
    fn name(&self) -> StaticName {
        "NumbersAround".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Pad {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let shape = inputs[0].shape();
        let axes = shape.iter().enumerate().map(|(axis, &size)| self.places(axis, size));
        let axes = axes.collect::<TractResult<Vec<_>>>()?;
        let constant = match &self.mode {
            PadMode::Constant(constant) => constant.cast_to_scalar::<f32>()?,
            _ => 0.0,
        };
        let mut output = Tensor::zero::<f32>(&self.shape(shape))?;
        let from = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        pad(&axes, shape, Some(from), constant, output.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Pad {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&*self.shape(&inputs[0].shape.to_tvec()))))
    }

    as_op!();
}
