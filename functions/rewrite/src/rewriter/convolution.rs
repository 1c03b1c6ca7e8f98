//! Convolutions and pools.

use super::parts::Joined;
use super::*;
use crate::spectrum::window;
use crate::symmetry::even;
use samara_kernels::fourier::Transform;
use samara_kernels::rows::Weights;
use samara_operators::fold::Fold;
use samara_operators::fourier::Fourier;
use samara_operators::parts::Join;
use samara_operators::product::Product;
use samara_operators::quantized::Over;
use tract_core::ops::cnn::{KernelFormat, PaddingSpec};
use tract_core::ops::nn::DataFormat;

/// The fewest numbers of a window that is folded, and the fewest filters that it is folded for: it costs an addition for each of the
/// former, and saves half a multiplication for each of them and each filter.
const LEAST_FOLDED: [usize; 2] = [16, 8];

impl Rewriter<'_> {
    /// Where what is for a window over a value, and the order in which the value is to lie: channels last. None where the
    /// window has more than two directions.
    fn geometry(&mut self, node: &TypedNode, spec: &PoolSpec) -> TractResult<Option<(Geometry, Order, Order)>> {
        let (input, output) = (node.inputs[0], OutletId::new(node.id, 0));
        let rank = spec.kernel_shape.len();
        if rank == 0 || rank > 2 {
            return Ok(None);
        }
        let two = |of: TVec<usize>| if rank == 2 { [of[0], of[1]] } else { [1, of[0]] };
        let two_padded = |of: &TVec<usize>| if rank == 2 { of.clone() } else { tvec!(0, of[0]) };
        let padding = match &spec.padding {
            PaddingSpec::Explicit(before, after) => PaddingSpec::Explicit(two_padded(before), two_padded(after)),
            PaddingSpec::ExplicitOnnxPool(before, after, ceil) => {
                PaddingSpec::ExplicitOnnxPool(two_padded(before), two_padded(after), *ceil)
            }
            same => same.clone(),
        };
        let (items, spatial, channels) = match spec.data_format {
            DataFormat::NCHW => (Some(0), 2, 1),
            DataFormat::CHW => (None, 1, 0),
            DataFormat::NHWC => (Some(0), 1, 1 + rank),
            DataFormat::HWC => (None, 0, rank),
        };
        let height = (rank == 2).then_some(spatial);
        let all = [items, height, Some(spatial + rank - 1), Some(channels)];
        let lies =
            |shape: &[TDim]| -> Order { all.into_iter().flatten().filter(|&axis| !shape[axis].is_one()).collect() };
        let order = lies(&self.fact(input)?.shape.to_tvec());
        let result = lies(&self.fact(output)?.shape.to_tvec());
        let input = all.map(|axis| axis.and_then(|axis| order.iter().position(|other| *other == axis)));
        let output = all.map(|axis| axis.is_some_and(|axis| result.contains(&axis)));
        let geometry = Geometry {
            kernel: two(spec.kernel_shape.clone()),
            stride: two(spec.strides.clone().unwrap_or_else(|| spec.kernel_shape.iter().map(|_| 1).collect())),
            dilation: two(spec.dilations.clone().unwrap_or_else(|| spec.kernel_shape.iter().map(|_| 1).collect())),
            padding,
            input,
            output,
            channels: spec.output_channels,
        };
        Ok(Some((geometry, order, result)))
    }

    pub(super) fn convolution(&mut self, node: &TypedNode, op: &Conv) -> TractResult<bool> {
        let output = OutletId::new(node.id, 0);
        let [input, kernel, bias] = *node.inputs else { return Ok(false) };
        let (Some(kernel), Some(bias)) = (self.constant(kernel), self.constant(bias)) else { return Ok(false) };
        let (Some(weights), Some(bias)) = (numbers(&kernel), numbers(&bias)) else { return Ok(false) };
        let (from, to) = (op.pool_spec.input_channels, op.pool_spec.output_channels);
        let depthwise = op.group > 1 && op.group == from && from == to;
        if op.q_params.is_some() || !self.is_f32(input)? {
            return Ok(false);
        }
        let Some((geometry, order, result)) = self.geometry(node, &op.pool_spec)? else { return Ok(false) };
        let steps = geometry.kernel[0] * geometry.kernel[1];
        let of_group = from / op.group;
        // Where the weight of a step of the window, a channel of the image and one of the result is.
        let place = |step: usize, channel: usize, column: usize| match op.kernel_fmt {
            KernelFormat::OIHW => (column * of_group + channel) * steps + step,
            KernelFormat::HWIO => (step * of_group + channel) * to + column,
            KernelFormat::OHWI => (column * steps + step) * of_group + channel,
        };
        if weights.len() != steps * of_group * to || !matches!(bias.len(), 1) && bias.len() != to || weights.is_empty()
        {
            return Ok(false);
        }
        if op.kernel_fmt != KernelFormat::OIHW && op.group > 1 {
            return Ok(false);
        }
        let mut packed = Vec::with_capacity(weights.len());
        for step in 0..steps {
            for channel in 0..of_group {
                packed.extend((0..to).map(|column| weights[place(step, channel, column)]));
            }
        }
        let summands = if bias.len() == 1 { vec![bias[0]; to] } else { bias.to_vec() };
        if let Some((scale, constant)) = self.both_bytes(input, node.inputs[1]).filter(|_| op.group == 1) {
            let at = |step: usize, column: usize| place(step / from, step % from, column);
            if let Some(weights) = constant.weights(steps * from, to, at)? {
                let over = Over::Windows(geometry);
                let root = self.byte_root([output, input], &order, over, scale, weights, summands)?;
                let shape = self.shape(output, &result)?;
                self.pend(output, Expression::root(result, shape, root))?;
                return Ok(true);
            }
        }
        // What meets nothing but zeros is no part of the product.
        let image = [1, 2].map(|axis| match geometry.input[axis] {
            Some(at) => self.fact(input).ok()?.shape[order[at]].to_usize().ok(),
            None => Some(1),
        });
        let within = match image {
            [Some(height), Some(width)] if op.group == 1 => geometry.within([height, width]),
            _ => None,
        };
        let (geometry, packed) = match within {
            Some((within, first)) => {
                let [rows, columns] = within.kernel;
                let steps = (0..rows * columns).map(|step| [first[0] + step / columns, first[1] + step % columns]);
                let kept = steps.flat_map(|[row, column]| {
                    packed[(row * geometry.kernel[1] + column) * from * to..][..from * to].iter().copied()
                });
                let kept = kept.collect();
                (within, kept)
            }
            None => (geometry, packed),
        };
        if op.group == 1 && from == 1 && self.folded(node, &geometry, &order, &result, &packed, &summands)? {
            return Ok(true);
        }
        let bytes = if depthwise { self.bytes_of_floats(input, &order)? } else { None };
        let (at, bytes) = match bytes {
            Some((at, quantization)) => (at, Some(quantization)),
            None => (self.stored(input, &order)?, None),
        };
        let kind = match op.group {
            1 => RootKind::Convolution(geometry),
            _ if depthwise => RootKind::Depthwise(geometry, bytes),
            groups => RootKind::Grouped(geometry, groups),
        };
        let root = Root {
            outlet: output,
            kind,
            input: at,
            weights: Arc::new(packed),
            columns: to,
            factors: vec![1.0; to],
            summands,
            activation: Activation::NONE,
        };
        let shape = self.shape(output, &result)?;
        self.pend(output, Expression::root(result, shape, root))?;
        Ok(true)
    }

    /// A convolution of a row of numbers with filters that are symmetric, as two products of windows that are folded; or with filters
    /// that make up a Fourier transform, as that.
    fn folded(
        &mut self,
        node: &TypedNode,
        geometry: &Geometry,
        order: &Order,
        result: &Order,
        packed: &[f32],
        summands: &[f32],
    ) -> TractResult<bool> {
        let (steps, columns) = (geometry.kernel[1], geometry.channels);
        let is_inside = match &geometry.padding {
            PaddingSpec::Valid => true,
            PaddingSpec::Explicit(before, after) => before.iter().chain(after).all(|pad| *pad == 0),
            _ => false,
        };
        let is_row = geometry.kernel[0] == 1 && geometry.input[1].is_none() && geometry.dilation[1] == 1;
        let is_few = steps < LEAST_FOLDED[0] || columns < LEAST_FOLDED[1];
        if !is_inside || !is_row || !geometry.output[3] || steps % 2 == 1 || is_few {
            return Ok(false);
        }
        let weight = |step: usize, column: usize| packed[step * columns + column];
        let transform = window(steps, columns, weight).filter(|_| summands.iter().all(|summand| *summand == 0.0));
        let transform = transform.and_then(|(window, is_opposite)| Some((Transform::new(&window)?, is_opposite)));
        if let Some((transform, is_opposite)) = transform {
            let at = self.stored(node.inputs[0], order)?;
            let fourier = Fourier::new(geometry.clone(), transform, is_opposite);
            let real = self.helper("fourier", Box::new(fourier), &[at])?;
            return self.join(node, result, vec![(0, real), (columns / 2, OutletId::new(real.node, 1))]);
        }
        let Some(even) = even(steps, columns, weight) else { return Ok(false) };
        let at = self.stored(node.inputs[0], order)?;
        let mut parts = vec![];
        for (first, end, odd) in [(0, even, false), (even, columns, true)] {
            if first == end {
                continue;
            }
            let fold = Fold::new(geometry.clone(), odd);
            let (half, skipped) = (fold.half(), fold.first());
            let folded = self.helper("folded", Box::new(fold), &[at])?;
            let weights = Weights::pack(
                half,
                end - first,
                |step, column| weight(skipped + step, first + column),
                |column| summands[first + column],
            );
            let product = Product {
                weights: Arc::new(weights),
                rows: result.len() - 1,
                columns: tvec!(end - first),
                activation: Activation::NONE,
                fused: None,
            };
            parts.push((first, self.helper("product", Box::new(product), &[folded])?));
        }
        self.join(node, result, parts)
    }

    /// What a convolution makes, of parts that are channels of it; where each begins is told.
    fn join(&mut self, node: &TypedNode, result: &Order, parts: Vec<(usize, OutletId)>) -> TractResult<bool> {
        let output = OutletId::new(node.id, 0);
        let axis = *result.last().context("a result has channels")?;
        let inputs: Vec<OutletId> = parts.iter().map(|(_, at)| *at).collect();
        let at = if let [at] = *inputs {
            at
        } else {
            let has_axis = inputs.iter().map(|_| true).collect();
            self.wire(&node.name, Box::new(Join { axis: result.len() - 1, has_axis }), &inputs)?
        };
        self.put(output, result.clone(), at);
        self.value(output).joined = Some(Joined { axis, order: result.clone(), parts });
        Ok(true)
    }

    pub(super) fn pool(&mut self, node: &TypedNode, spec: &PoolSpec, kind: Option<Kind>) -> TractResult<bool> {
        let input = node.inputs[0];
        let Some(kind) = kind else { return Ok(false) };
        let is_max = kind == Kind::Max;
        let own = if is_max { self.kind(input)? } else { None };
        if own.is_none() && !self.is_f32(input)? {
            return Ok(false);
        }
        let Some((geometry, order, result)) = self.geometry(node, spec)? else { return Ok(false) };
        // The largest byte stands for the largest float where scales are above 0, unless there is none in the window.
        let is_inside = match &geometry.padding {
            PaddingSpec::Explicit(before, after) => {
                before.iter().chain(after).zip(geometry.kernel.iter().cycle()).all(|(pad, size)| pad < size)
            }
            PaddingSpec::Valid | PaddingSpec::SameUpper | PaddingSpec::SameLower => true,
            PaddingSpec::ExplicitOnnxPool(..) => false,
        };
        let stands_for = if is_max && is_inside { self.bytes_of_floats(input, &order)? } else { None };
        let stands_for = stands_for.filter(|(_, quantization)| quantization.scale > 0.0);
        let stood_for = if stands_for.is_some() { self.value(input).bytes.clone() } else { None };
        let (at, of) = match stands_for {
            Some((at, quantization)) => (at, Some(quantization.kind)),
            None => (self.stored(input, &order)?, own),
        };
        // Bytes make exact floats, and these the same bytes again.
        let bytes = of.map(|kind| Quantization { kind, scale: 1.0, zero_point: 0 });
        let at = self.wire(&node.name, Box::new(Pool { geometry, bytes, kind }), &[at])?;
        self.put_as(node.id.into(), result, at, stood_for);
        Ok(true)
    }
}
