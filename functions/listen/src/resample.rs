//! From a sound's sampling rate to the model's.
//!
//! The ratio of the two rates is a fraction, `up / down` in lowest terms. Seen as a sound of `up` times the rate with
//! zeros in between, of which a low-pass filter leaves what both rates can hold, every `down`th sample is wanted: a
//! polyphase filter (Crochiere and Rabiner, "Multirate Digital Signal Processing", 1983, chapter 3).
//!
//! The filter is the default one of torchaudio's `Resample`, with which the Python package silero-vad reads sounds: a sinc,
//! cut at 0.99 of what the slower rate can hold, under a Hann window of six zero crossings on each side. Another filter
//! can be better and yet be wrong here, as the model notices: with longer ones, speech began or ended in other frames. So
//! the filter is written out, and no library's is taken.

use std::f64::consts::PI;

use samara_function::Problem;

use crate::wav::Recording;

/// The model's sampling rate, in Hz.
pub const MODEL_RATE: u32 = 16_000;

/// How many zero crossings of the sinc the window holds on each side.
const ZERO_CROSSINGS: f64 = 6.0;

/// Where the filter begins to cut, as a part of what the slower rate can hold.
const CUTOFF: f64 = 0.99;

/// How many samples are made at a time.
const BLOCK: u64 = 1024;

/// The filter, sampled as each of the outputs needs it.
struct Filter {
    up: u64,
    down: u64,
    /// How many samples on each side of an output's place it reaches.
    reach: u64,
    /// For output `k`, row `k % up` has the weights of the samples around its place, `2 * reach + 1` of them.
    weights: Vec<f32>,
}

/// The sound at the model's rate, all channels mixed; sample `k` is what the sound is at `k / MODEL_RATE` seconds.
///
/// # Errors
///
/// 422 for a sample that is no finite number.
pub fn to_model_rate(recording: &Recording<'_>) -> Result<Vec<f32>, Problem> {
    let rate = recording.sampling_rate();
    if rate == MODEL_RATE {
        return (0..recording.len()).map(|index| recording.mono(index)).collect();
    }
    let length = recording.len() as u64;
    let filter = Filter::new(rate, length);
    let wanted = filter.output_length(length);
    let mut output = Vec::with_capacity(wanted as usize);
    let mut samples = Vec::new();
    for first in (0..wanted).step_by(BLOCK as usize) {
        let outputs = first..wanted.min(first + BLOCK);
        // Around the sound there is silence; `reach` samples of it are counted in front.
        let begin = filter.place(outputs.start);
        samples.clear();
        for index in begin..=filter.place(outputs.end) + 2 * filter.reach {
            samples.push(match index.checked_sub(filter.reach) {
                Some(index) if index < length => recording.mono(index as usize)?,
                _ => 0.0,
            });
        }
        output.extend(outputs.map(|k| filter.apply(k, samples.get((filter.place(k) - begin) as usize..))));
    }
    Ok(output)
}

// === impl Filter ===

impl Filter {
    /// The filter from a sampling rate to the model's, for so many samples.
    fn new(rate: u32, length: u64) -> Filter {
        let divisor = greatest_common_divisor(rate, MODEL_RATE);
        let (up, down) = (u64::from(MODEL_RATE / divisor), u64::from(rate / divisor));
        // In cycles of the sinc for each sample of the sound.
        let frequency = CUTOFF * up.min(down) as f64 / down as f64;
        let reach = (ZERO_CROSSINGS / frequency).ceil() as u64;
        let mut filter = Filter { up, down, reach, weights: Vec::new() };
        for row in 0..up.min(filter.output_length(length)) {
            let phase = (row * down % up) as f64 / up as f64;
            let distances = (0..=2 * reach).map(|tap| tap as f64 - reach as f64 - phase);
            filter.weights.extend(distances.map(|distance| (frequency * kernel(frequency * distance)) as f32));
        }
        filter
    }

    /// How many samples a sound has afterwards: as many as begin before it ends.
    fn output_length(&self, length: u64) -> u64 {
        (length * self.up).div_ceil(self.down)
    }

    /// The last sample of the sound that is not after output `k`.
    fn place(&self, k: u64) -> u64 {
        k * self.down / self.up
    }

    /// Output `k`, of the sound from `reach` samples before its place on.
    fn apply(&self, k: u64, samples: Option<&[f32]>) -> f32 {
        let taps = 2 * self.reach as usize + 1;
        let row = (k % self.up) as usize * taps;
        let weights = self.weights.iter().skip(row).take(taps);
        weights.zip(samples.unwrap_or_default()).map(|(weight, sample)| weight * sample).sum()
    }
}

/// A sinc under its window, of a distance in zero crossings.
fn kernel(distance: f64) -> f64 {
    let within = distance.clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS);
    let window = (within * PI / ZERO_CROSSINGS / 2.0).cos().powi(2);
    let angle = within * PI;
    if angle == 0.0 { window } else { window * angle.sin() / angle }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use serde_json::Value;

    use super::*;
    use crate::wav::tests::wav_float;

    fn resampled(rate: u32, seconds: f64, sound: impl Fn(f64) -> f64) -> Vec<f32> {
        let samples =
            (0..(seconds * f64::from(rate)) as usize).map(|index| sound(index as f64 / f64::from(rate)) as f32);
        let file = wav_float(rate, samples);
        to_model_rate(&Recording::open(&file, 600).unwrap()).unwrap()
    }

    /// The greatest difference from what the sound is at the model's rate, away from the ends, where sounds begin that
    /// no rate can hold.
    fn error(output: &[f32], sound: impl Fn(f64) -> f64) -> f64 {
        let inner = 200..output.len() - 200;
        inner.map(|k| (f64::from(output[k]) - sound(k as f64 / f64::from(MODEL_RATE))).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn a_sine_stays_a_sine_at_every_rate() {
        let usual = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 192_000];
        for rate in usual.into_iter().chain([8001, 44099, 191_999]) {
            for frequency in [100.0, 1000.0, 2000.0] {
                let sine = |time: f64| 0.8 * (TAU * frequency * time).sin();
                let output = resampled(rate, 0.25, sine);
                let wanted = (f64::from(rate) * 0.25).floor() / f64::from(rate) * f64::from(MODEL_RATE);
                assert_eq!(output.len(), wanted.ceil() as usize, "{rate}");
                let error = error(&output, sine);
                assert!(error < 3e-3, "{frequency} Hz at {rate} Hz: {error}");
            }
        }
    }

    #[test]
    fn what_the_models_rate_cannot_hold_is_taken_out() {
        for rate in [22050, 44100, 48000, 96000, 44099] {
            let output = resampled(rate, 0.25, |time| 0.8 * (TAU * 10_000.0 * time).sin());
            let error = error(&output, |_| 0.0);
            assert!(error < 1e-2, "{rate} Hz: {error}");
        }
    }

    #[test]
    fn a_chirp_is_what_the_reference_makes_of_it() {
        let recorded: Value = serde_json::from_str(include_str!("../testdata/chirp.json")).unwrap();
        let number = |name: &str| recorded[name].as_f64().unwrap();
        let (seconds, from, to) = (number("seconds"), number("from_hz"), number("to_hz"));
        let stride = recorded["stride"].as_u64().unwrap() as usize;
        let chirp = |time: f64| 0.8 * (TAU * (from * time + (to - from) * time * time / (2.0 * seconds))).sin();
        for (rate, wanted) in recorded["resampled"].as_object().unwrap() {
            let output = resampled(rate.parse().unwrap(), seconds, chirp);
            let wanted: Vec<f64> = wanted.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
            assert_eq!(wanted.len(), output.len().div_ceil(stride), "{rate}");
            let differences = wanted.iter().enumerate();
            let greatest = differences.map(|(index, value)| (f64::from(output[index * stride]) - value).abs());
            let greatest = greatest.fold(0.0, f64::max);
            assert!(greatest < 1.5e-5, "{rate} Hz: {greatest}");
        }
    }

    #[test]
    fn short_sounds_keep_their_length() {
        for rate in [8000, 44100, 191_999] {
            for length in [0, 1, 2, 100] {
                let file = wav_float(rate, (0..length).map(|_| 0.0));
                let output = to_model_rate(&Recording::open(&file, 600).unwrap()).unwrap();
                assert_eq!(output.len(), (length * MODEL_RATE as usize).div_ceil(rate as usize));
            }
        }
    }
}
