//! From a sound's sampling rate to the model's.
//!
//! The ratio of the two rates is a fraction, `up / down` in lowest terms. Seen as a sound of `up` times the rate with
//! zeros in between, of which a low-pass filter leaves what both rates can hold, every `down`th sample is wanted: a
//! polyphase filter (Crochiere and Rabiner, "Multirate Digital Signal Processing", 1983, chapter 3). Its taps are a sinc
//! under a Hann window, 16 of the slower rate's samples long. Where `up` is large, as only odd rates have it, values between
//! a fixed number of phases are interpolated, which moves the sound by less than a microsecond.
//!
//! A longer filter would let less through of what should not be there, but the model notices: the Python package reads
//! sounds through torchaudio's `Resample`, whose default filter (a sinc under a Hann window too, cut at 0.99) has 12. Of
//! twelve spoken prompts of 8 kHz, ten had the very same segments with its formula, computed in numpy, and with this
//! filter; with one of 64 under a Blackman window, five.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType, WindowFunction};
use samara_function::Problem;

use crate::wav::Recording;

/// The model's sampling rate, in Hz.
pub const MODEL_RATE: u32 = 16_000;

/// The filter's length, in samples of the slower of the two rates.
const FILTER_LENGTH: u32 = 16;

/// Where the filter begins to cut, as a part of what the slower rate can hold.
const CUTOFF: f32 = 0.99;

/// For more phases than these there is interpolation between as many. It is enough for 11,025 Hz and its multiples.
const MAX_PHASES: u32 = 640;

/// How many samples go into the resampler at a time.
const BLOCK: usize = 1024;

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
    let divisor = greatest_common_divisor(rate, MODEL_RATE);
    let (up, down) = (MODEL_RATE / divisor, rate / divisor);
    let parameters = SincInterpolationParameters::new(filter_length(rate), WindowFunction::Hann)
        .f_cutoff(CUTOFF)
        .oversampling_factor(up.min(MAX_PHASES) as usize)
        .interpolation(if up > MAX_PHASES { SincInterpolationType::Cubic } else { SincInterpolationType::Nearest });
    let mut resampler =
        Async::<f32>::new_sinc(f64::from(up) / f64::from(down), 1.0, &parameters, BLOCK, 1, FixedAsync::Input)
            .map_err(failed)?;

    // The resampler's output `k` is the sound at `(k + 1) * down / up + 1 / phases - delay` of its samples, counting the
    // silence that is put in front. So much silence, and so many outputs dropped, leave output `k` at `k * down / up`.
    let delay = filter_length(rate) / 2;
    let phase = if up > MAX_PHASES { 0 } else { 1 };
    let (silence, dropped) = (0..)
        .map(|dropped| (dropped, (dropped + 1) * down as usize + phase))
        .find(|(_, position)| position % up as usize == 0 && position / up as usize >= delay)
        .map_or((0, 0), |(dropped, position)| (position / up as usize - delay, dropped));
    let wanted = output_length(recording.len(), up, down);

    let mut output = Vec::with_capacity(dropped + wanted + BLOCK);
    let mut block_in = vec![0.0_f32; BLOCK];
    let mut block_out = vec![0.0_f32; resampler.output_frames_max()];
    let capacity = block_out.len();
    let mut position = 0_usize;
    while output.len() < dropped + wanted {
        for sample in &mut block_in {
            *sample = match position.checked_sub(silence) {
                Some(index) if index < recording.len() => recording.mono(index)?,
                _ => 0.0,
            };
            position += 1;
        }
        let from = InterleavedSlice::new(&block_in, 1, BLOCK).map_err(failed)?;
        let mut to = InterleavedSlice::new_mut(&mut block_out, 1, capacity).map_err(failed)?;
        let (_, made) = resampler.process_into_buffer(&from, &mut to, None).map_err(failed)?;
        output.extend(block_out.iter().take(made));
    }
    output.drain(..dropped);
    output.truncate(wanted);
    Ok(output)
}

/// How many samples a sound has afterwards: as many as begin before it ends.
fn output_length(length: usize, up: u32, down: u32) -> usize {
    let length = (length as u64 * u64::from(up)).div_ceil(u64::from(down));
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// The filter's length in samples of the sound, a multiple of 8 as the resampler wants it.
fn filter_length(rate: u32) -> usize {
    let length = u64::from(FILTER_LENGTH) * u64::from(rate.max(MODEL_RATE)) / u64::from(MODEL_RATE);
    (length as usize).next_multiple_of(8)
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn failed(error: impl std::fmt::Display) -> Problem {
    Problem::internal(format!("resampling: {error}"))
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

    /// The two filters differ most near what 8 kHz can hold, by 5e-3; elsewhere by 2e-3.
    #[test]
    fn a_chirp_is_what_scipy_makes_of_it() {
        let recorded: Value = serde_json::from_str(include_str!("../testdata/chirp.json")).unwrap();
        let number = |name: &str| recorded[name].as_f64().unwrap();
        let (seconds, from, to) = (number("seconds"), number("from_hz"), number("to_hz"));
        let stride = recorded["stride"].as_u64().unwrap() as usize;
        let chirp = |time: f64| 0.8 * (TAU * (from * time + (to - from) * time * time / (2.0 * seconds))).sin();
        for (rate, wanted) in recorded["resampled"].as_object().unwrap() {
            let output = resampled(rate.parse().unwrap(), seconds, chirp);
            let wanted: Vec<f64> = wanted.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
            assert_eq!(wanted.len(), output.len().div_ceil(stride), "{rate}");
            let inner = 200..output.len() - 200;
            let differences = wanted.iter().enumerate().filter(|(index, _)| inner.contains(&(index * stride)));
            let greatest = differences.map(|(index, value)| (f64::from(output[index * stride]) - value).abs());
            let greatest = greatest.fold(0.0, f64::max);
            assert!(greatest < 1e-2, "{rate} Hz: {greatest}");
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
