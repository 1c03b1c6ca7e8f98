use proptest::prelude::*;

use super::*;

/// A product: rows, depth, columns, the bytes of the rows, the weights, and zero points.
#[derive(Debug)]
struct Case {
    rows: usize,
    depth: usize,
    columns: usize,
    kind: Kind,
    bytes: Vec<u8>,
    weights: Vec<i32>,
    zero_point: i32,
}

/// Weights within a range, with some outside of it.
fn cases(low: i32, high: i32, outliers: bool) -> impl Strategy<Value = Case> {
    (1..11_usize, 1..70_usize, 1..20_usize, any::<bool>(), any::<u8>()).prop_flat_map(
        move |(rows, depth, columns, signed, zero_point)| {
            let weight =
                (low..=high, 0..100_u8).prop_map(move |(x, luck)| if outliers && luck == 0 { -128 } else { x });
            (prop::collection::vec(any::<u8>(), rows * depth), prop::collection::vec(weight, depth * columns)).prop_map(
                move |(bytes, weights)| Case {
                    rows,
                    depth,
                    columns,
                    kind: if signed { Kind::Signed } else { Kind::Unsigned },
                    bytes,
                    weights,
                    zero_point: if signed { i32::from(zero_point as i8) } else { i32::from(zero_point) },
                },
            )
        },
    )
}

impl Case {
    fn value(&self, byte: u8) -> i32 {
        if self.kind == Kind::Signed { i32::from(byte as i8) } else { i32::from(byte) }
    }

    /// The exact sums.
    fn plain(&self) -> Vec<i32> {
        let sum = |row: usize, column: usize| {
            (0..self.depth)
                .map(|step| {
                    (self.value(self.bytes[row * self.depth + step]) - self.zero_point)
                        * self.weights[step * self.columns + column]
                })
                .sum()
        };
        (0..self.rows)
            .flat_map(|row| (0..self.columns).map(move |column| (row, column)))
            .map(|(r, c)| sum(r, c))
            .collect()
    }

    fn pack(&self) -> Weights {
        Weights::pack(
            self.depth,
            self.columns,
            |step, column| self.weights[step * self.columns + column],
            factor,
            |column| column as f32 - 2.0,
        )
    }

    fn strips(&self, weights: &Weights) -> Strips {
        let mut strips = weights.strips(self.rows);
        for strip in 0..self.rows.div_ceil(STRIP) {
            let rows = std::array::from_fn(|row| {
                self.bytes[(strip * STRIP + row).min(self.rows - 1) * self.depth..][..self.depth].as_ptr()
            });
            // SAFETY: each row is as long.
            unsafe { strips.pack(strip, rows, self.depth, self.kind) };
        }
        strips
    }

    fn check(&self) {
        let weights = self.pack();
        let expected: Vec<f32> = self
            .plain()
            .into_iter()
            .enumerate()
            .map(|(index, sum)| {
                let column = index % self.columns;
                (sum as f32).mul_add(factor(column), column as f32 - 2.0)
            })
            .collect();
        let constants = weights.constants(self.kind, self.zero_point);
        let mut floats = vec![0.0; expected.len()];
        let target = Target::Floats(floats.as_mut_ptr(), self.columns);
        // SAFETY: there is as much room.
        unsafe { weights.multiply(self.rows, &self.strips(&weights), &constants, target, Bounds::NONE) };
        assert_eq!(floats, expected);

        // A scale may be below 0, and so small that there are no multiples of it.
        for scale in [4.0, -4.0, 1e-40] {
            let quantization = Quantization { kind: self.kind, scale, zero_point: 5 };
            for bounds in [Bounds::NONE, Bounds { low: -20.0, high: 30.0 }, Bounds { low: 0.0, high: f32::INFINITY }] {
                let mut bytes = vec![0; expected.len()];
                let target = Target::Bytes(bytes.as_mut_ptr(), self.columns, quantization);
                // SAFETY: there is as much room.
                unsafe { weights.multiply(self.rows, &self.strips(&weights), &constants, target, bounds) };
                let mut quantized = vec![0; expected.len()];
                let clipped: Vec<f32> = expected.iter().map(|x| x.clamp(bounds.low, bounds.high)).collect();
                quantize(quantization, &clipped, &mut quantized);
                assert_eq!(bytes, quantized, "{quantization:?} {bounds:?}");
            }
        }

        let mut one = weights.strips(1);
        let mut row = vec![0.0; self.columns];
        let target = Target::Floats(row.as_mut_ptr(), self.columns);
        // SAFETY: a row is as long, and there is as much room.
        unsafe {
            one.pack_one(self.bytes.as_ptr(), self.depth, self.kind);
            weights.multiply_one(&one, &constants, target, Bounds::NONE);
        }
        assert_eq!(row, expected[..self.columns]);
    }
}

/// Exact, so that nothing rounds.
fn factor(column: usize) -> f32 {
    if column.is_multiple_of(2) { 0.5 } else { -0.25 }
}

proptest! {
    #[test]
    fn weights_of_seven_bits_give_the_plain_product(case in cases(-64, 63, false)) {
        let weights = case.pack();
        prop_assert_eq!(weights.narrow_blocks(), case.columns.div_ceil(BLOCK));
        case.check();
    }

    #[test]
    fn a_few_weights_beyond_seven_bits_are_made_up_for(case in cases(-64, 64, true)) {
        case.check();
    }

    #[test]
    fn weights_of_eight_bits_give_the_plain_product(case in cases(-128, 127, false)) {
        case.check();
    }

    #[test]
    fn weights_whose_zero_point_is_anywhere_give_the_plain_product(case in cases(0, 255, false)) {
        case.check();
    }

    #[test]
    fn bytes_are_the_nearest(
        numbers in prop::collection::vec(-300.0_f32..300.0, 0..70), scale in 0.01_f32..3.0, zero_point in -128..127_i32,
    ) {
        for (kind, low, high, zero_point) in [(Kind::Signed, -128, 127, zero_point), (Kind::Unsigned, 0, 255, zero_point + 128)] {
            let quantization = Quantization { kind, scale, zero_point };
            let mut bytes = vec![0; numbers.len()];
            quantize(quantization, &numbers, &mut bytes);
            let plain = |x: f32| ((x / scale).round_ties_even() as i32 + zero_point).clamp(low, high);
            let expected: Vec<u8> = numbers.iter().map(|x| plain(*x) as u8).collect();
            prop_assert_eq!(&bytes, &expected);
            let mut floats = vec![0.0; bytes.len()];
            dequantize(quantization, &bytes, &mut floats);
            let expected: Vec<f32> = numbers.iter().map(|x| (plain(*x) - zero_point) as f32 * scale).collect();
            prop_assert_eq!(floats, expected);
        }
    }
}

#[test]
fn what_is_no_number_or_too_large_becomes_a_byte() {
    let quantization = Quantization { kind: Kind::Unsigned, scale: 1e-30, zero_point: 7 };
    let mut bytes = [1; 4];
    quantize(quantization, &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30], &mut bytes);
    assert_eq!(bytes, [7, 255, 0, 255]);
}

/// Where the second factors have eight bits, pairs of products are more than 16 bits hold: such weights go the other way.
#[test]
fn weights_of_eight_bits_are_widened() {
    let pack = |low: i32, high: i32| {
        let weight = |step: usize, _: usize| if step.is_multiple_of(2) { low } else { high };
        Weights::pack(64, 8, weight, |_| 1.0, |_| 0.0).narrow_blocks()
    };
    assert_eq!(pack(-64, 63), 1);
    assert_eq!(pack(0, 127), 1);
    assert_eq!(pack(-65, 63), 0);
    assert_eq!(pack(-128, 127), 0);

    let bytes = |byte: i8| I32x4::splat(i32::from_le_bytes([byte as u8; 4]));
    let sum = |weight: i8| I32x4::ZERO.add_products_of_bytes(bytes(-128), bytes(weight)).to_array()[0];
    assert_eq!(sum(127), 4 * -128 * 127, "seven bits are exact");
    assert_ne!(sum(-1), 4 * 128, "eight are not");
}

#[test]
fn a_range_is_the_one_of_the_onnx_documentation() {
    assert_eq!(range(&[0.0, 2.0, -3.0, -2.5, 1.34, 0.5]), (5.0 / 255.0, 153));
    assert_eq!(range(&[-1.0, -2.1, -1.3, -2.5, -3.34, -4.0]), (4.0 / 255.0, 255));
    assert_eq!(range(&[0.0; 3]), (1.0, 0));
    assert_eq!(range(&[]), (1.0, 0));
}

#[test]
fn bytes_are_put_into_another_order() {
    for (rows, columns) in [(3, 50), (4, 16), (9, 33), (7, 5), (16, 100), (2, 17)] {
        let count = rows * columns;
        let bytes: Vec<u8> = (0..count).map(|index| (index * 7 % 251) as u8).collect();
        let mut got = vec![0; count];
        // SAFETY: there are as many bytes, and there is as much room.
        unsafe { transpose(rows, columns, bytes.as_ptr(), columns, got.as_mut_ptr()) };
        let expected: Vec<u8> = (0..count).map(|index| bytes[index % rows * columns + index / rows]).collect();
        assert_eq!(got, expected, "{rows} by {columns}");
    }
}
