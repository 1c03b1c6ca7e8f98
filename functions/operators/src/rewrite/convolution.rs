//! Convolutions and pools.

use super::*;
use crate::quantized::Convert;
use crate::quantized::Over;
use tract_core::ops::cnn::{KernelFormat, PaddingSpec};
use tract_core::ops::nn::DataFormat;

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
        if op.q_params.is_some() || !self.is_f32(input)? || !(depthwise || op.group == 1) {
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
        if let Some((scale, constant)) = self.both_bytes(input, node.inputs[1]).filter(|_| !depthwise) {
            let at = |step: usize, column: usize| place(step / from, step % from, column);
            if let Some(weights) = constant.weights(steps * from, to, at)? {
                let over = Over::Windows(geometry);
                let root = self.byte_root([output, input], &order, over, scale, weights, summands)?;
                let shape = self.shape(output, &result)?;
                self.pend(output, Expression::root(result, shape, root))?;
                return Ok(true);
            }
        }
        let at = self.stored(input, &order)?;
        let kind = if depthwise { RootKind::Depthwise(geometry) } else { RootKind::Convolution(geometry) };
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

    pub(super) fn pool(&mut self, node: &TypedNode, spec: &PoolSpec, kind: Option<Kind>) -> TractResult<bool> {
        let input = node.inputs[0];
        let Some(kind) = kind else { return Ok(false) };
        // The largest byte is that of the largest float: bytes make exact floats, and these the same bytes again.
        let bytes = if kind == Kind::Max { self.bytes_of(input)? } else { None };
        if bytes.is_none() && !self.is_f32(input)? {
            return Ok(false);
        }
        let Some((geometry, order, result)) = self.geometry(node, spec)? else { return Ok(false) };
        let mut at = self.stored(input, &order)?;
        let pool = Box::new(Pool { geometry, kind });
        if let Some(to) = bytes {
            let [one, zero] = [tensor0(1_f32), tensor0(0_i32)].map(|number| {
                self.helpers += 1;
                self.target.add_const(format!("samara.number.{}", self.helpers), number)
            });
            let (one, zero) = (one?, zero?);
            at = self.helper("floats", Box::new(Convert { to: None }), &[at, one, zero])?;
            at = self.helper("pool", pool, &[at])?;
            at = self.wire(&node.name, Box::new(Convert { to: Some(to) }), &[at, one, zero])?;
        } else {
            at = self.wire(&node.name, pool, &[at])?;
        }
        self.put(node.id.into(), result, at);
        Ok(true)
    }

    /// The type of a value, if it is one of bytes.
    fn bytes_of(&self, outlet: OutletId) -> TractResult<Option<DatumType>> {
        let fact = self.fact(outlet)?;
        let of_bytes = [u8::datum_type(), i8::datum_type()].contains(&fact.datum_type) && !fact.is_exotic();
        Ok(of_bytes.then_some(fact.datum_type))
    }
}
