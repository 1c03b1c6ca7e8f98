use proptest::prelude::*;

use super::*;
use crate::activation::Bounds;
use crate::activation::tests::activations;
use crate::numbers::numbers;

/// Windows of any size, that may go beyond the image on all sides, and be all outside of it.
fn windows() -> impl Strategy<Value = Window> {
    let square = (1..6_usize).prop_map(|size| [size; 2]);
    let kernels = prop_oneof![2 => prop::array::uniform2(1..6_usize), 1 => square];
    let sizes = (kernels, prop::array::uniform2(1..3_usize), prop::array::uniform2(1..3_usize));
    let image = ([1..20_usize, 1..40], prop::array::uniform2(0..5_usize), prop::array::uniform2(0..20_usize));
    (sizes, image).prop_filter_map(
        "the window is larger than what it goes over",
        |((kernel, stride, dilation), (input, before, after))| {
            let mut output = [0; 2];
            for direction in 0..2 {
                let reach = (kernel[direction] - 1) * dilation[direction] + 1;
                let room = (input[direction] + before[direction] + after[direction]).checked_sub(reach)?;
                output[direction] = room / stride[direction] + 1;
            }
            Some(Window { kernel, stride, dilation, before, input, output })
        },
    )
}

/// The numbers of a channel that are inside of a window at a place, each with its step.
fn inside(
    window: &Window,
    channels: usize,
    image: &[f32],
    [row, place]: [usize; 2],
    channel: usize,
) -> Vec<(usize, f64)> {
    let at = |direction: usize, place: usize, step: usize| {
        (place * window.stride[direction] + step * window.dilation[direction])
            .checked_sub(window.before[direction])
            .filter(|at| *at < window.input[direction])
    };
    let mut numbers = vec![];
    for y in 0..window.kernel[0] {
        for x in 0..window.kernel[1] {
            if let (Some(row), Some(column)) = (at(0, row, y), at(1, place, x)) {
                let number = image[(row * window.input[1] + column) * channels + channel];
                numbers.push((y * window.kernel[1] + x, f64::from(number)));
            }
        }
    }
    numbers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn each_channel_has_its_own_filter(
        window in windows(), channels in 1..22_usize, seed in 0..1000_u32, activation in activations(),
    ) {
        let steps = window.kernel[0] * window.kernel[1];
        let image = numbers(seed, window.input[0] * window.input[1] * channels);
        let (weights, bias) = (numbers(seed + 1, steps * channels), numbers(seed + 2, channels));
        let depthwise =
            Depthwise::pack(steps, channels, |step, channel| weights[step * channels + channel], |channel| bias[channel]);
        for row in 0..window.output[0] {
            let mut to = vec![f32::NAN; window.output[1] * channels];
            // SAFETY: the image and the row are as large as the window says.
            unsafe { depthwise.row(&window, row, image.as_ptr(), to.as_mut_ptr(), activation) };
            for (index, got) in to.into_iter().enumerate() {
                let (place, channel) = (index / channels, index % channels);
                let products = inside(&window, channels, &image, [row, place], channel).into_iter();
                let products = products.map(|(step, x)| x * f64::from(weights[step * channels + channel]));
                let expected = activation.plain(f64::from(bias[channel]) + products.sum::<f64>());
                prop_assert!((f64::from(got) - expected).abs() < 1e-5, "{got} {expected} at {row}, {place} of {window:?}");
            }
        }
    }

    #[test]
    fn few_channels_are_multiplied_as_they_lie(
        (rows, [width, channels]) in (1..4_usize, prop::sample::select(vec![[3, 1], [5, 1], [1, 3], [1, 5]])),
        stride in prop::array::uniform2(1..3_usize),
        dilation in 1..3_usize,
        output in [1..4_usize, 2..9_usize],
        blocks in 1..3_usize,
        seed in 0..1000_u32,
    ) {
        let input = [
            (output[0] - 1) * stride[0] + (rows - 1) * dilation + 1,
            (output[1] - 1) * stride[1] + width + seed as usize % 3,
        ];
        let window = Window { kernel: [rows, width], stride, dilation: [dilation, 1], before: [0, 0], input, output };
        let (steps, columns) = (rows * width * channels, blocks * 16);
        let image = numbers(seed, input[0] * input[1] * channels);
        let (weights, bias) = (numbers(seed + 1, steps * columns), numbers(seed + 2, columns));
        let shallow = Shallow::pack(
            [rows, width * channels],
            columns,
            |step, column| weights[step * columns + column],
            |column| bias[column],
        ).expect("there is a kernel");
        for row in 0..output[0] {
            let mut to = vec![f32::NAN; output[1] * columns];
            let bounds = Bounds { low: -0.5, high: 1.5 };
            // SAFETY: the image and the row are as large as the window says, and the windows are inside of it.
            unsafe { shallow.row(&window, row, channels, image.as_ptr(), to.as_mut_ptr(), bounds) };
            for (index, got) in to.into_iter().enumerate() {
                let (place, column) = (index / columns, index % columns);
                let mut expected = f64::from(bias[column]);
                for step in 0..steps {
                    let (y, x) = (step / (width * channels), step % (width * channels));
                    let at = (row * stride[0] + y * dilation) * input[1] * channels + place * stride[1] * channels + x;
                    expected += f64::from(image[at]) * f64::from(weights[step * columns + column]);
                }
                prop_assert!((f64::from(got) - expected.clamp(-0.5, 1.5)).abs() < 1e-5, "{got} {expected} of {window:?}");
            }
        }
    }

    #[test]
    fn pools_take_what_is_inside(
        window in windows(),
        channels in prop_oneof![1..10_usize, Just(12), Just(16), Just(32)],
        seed in 0..1000_u32,
    ) {
        let image = numbers(seed, window.input[0] * window.input[1] * channels);
        let mut some_nan = image.clone();
        some_nan.iter_mut().step_by(3).for_each(|number| *number = f32::NAN);
        for row in 0..window.output[0] {
            let mut largest_of = vec![f32::NAN; window.output[1] * channels];
            let mut means = largest_of.clone();
            // SAFETY: the image and the rows are as large as the window says.
            unsafe {
                largest(&window, row, channels, some_nan.as_ptr(), largest_of.as_mut_ptr());
                sum(&window, row, channels, image.as_ptr(), means.as_mut_ptr(), |inside| 1.0 / inside as f32);
            }
            for index in 0..means.len() {
                let (place, channel) = (index / channels, index % channels);
                let numbers = inside(&window, channels, &image, [row, place], channel);
                let of_nan = inside(&window, channels, &some_nan, [row, place], channel);
                let expected = of_nan.iter().map(|(_, x)| *x).fold(f64::NEG_INFINITY, f64::max);
                prop_assert_eq!(f64::from(largest_of[index]), expected);
                let mean = numbers.iter().map(|(_, x)| x).sum::<f64>() / numbers.len() as f64;
                prop_assert!(numbers.is_empty() || (f64::from(means[index]) - mean).abs() < 1e-6, "{} {mean}", means[index]);
            }
        }
    }
}
