//! From the probability of speech in each frame to the stretches in which someone speaks.
//!
//! Speech begins with the first frame that is at least as likely as the threshold, and goes on until a frame falls below a
//! lower threshold and no frame reaches the upper one for a while (hysteresis). What is then too short is left out, and
//! what is left is lengthened a little at both ends, as speech fades in and out.
//!
//! The rules and their defaults are those of `get_speech_timestamps_from_probs` in silero_vad/utils_vad.py of the Python
//! package silero-vad 6.2.3 (MIT), for speech of any length. Given the same probabilities, the results are the same, to
//! the sample.

use crate::frames::FRAME;
use crate::resample::MODEL_RATE;

/// How far below the threshold a probability has to fall for speech to end.
const HYSTERESIS: f64 = 0.15;

/// The least that the lower threshold can be.
const MIN_LOWER_THRESHOLD: f64 = 0.01;

/// What counts as speech. Lengths are in samples at [`MODEL_RATE`].
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The probability with which speech begins.
    pub threshold: f64,
    /// Speech is longer than this.
    pub min_speech: usize,
    /// A gap that ends speech is at least this long.
    pub min_silence: usize,
    /// By how much speech is lengthened at each end.
    pub pad: usize,
}

/// A stretch of speech, from its first sample to the one after its last, at [`MODEL_RATE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first sample.
    pub start: usize,
    /// The sample after the last.
    pub end: usize,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        let milliseconds = |count: usize| count * MODEL_RATE as usize / 1000;
        Settings {
            threshold: 0.5,
            min_speech: milliseconds(250),
            min_silence: milliseconds(100),
            pad: milliseconds(30),
        }
    }
}

/// Finds speech in a sound of so many samples, of which each [`FRAME`] has its probability.
pub fn find(probabilities: &[f32], samples: usize, settings: &Settings) -> Vec<Segment> {
    let mut segments = without_padding(probabilities, samples, settings);
    pad(&mut segments, samples, settings.pad);
    segments
}

fn without_padding(probabilities: &[f32], samples: usize, settings: &Settings) -> Vec<Segment> {
    let lower_threshold = (settings.threshold - HYSTERESIS).max(MIN_LOWER_THRESHOLD);
    let mut segments = Vec::new();
    let mut keep = |segment: Segment| {
        if segment.end.saturating_sub(segment.start) > settings.min_speech {
            segments.push(segment);
        }
    };
    // Where the speech began that is going on, and where the gap in it began that may be its end.
    let mut speech = None;
    let mut gap = None;
    for (index, &probability) in probabilities.iter().enumerate() {
        let (probability, now) = (f64::from(probability), index * FRAME);
        if probability >= settings.threshold {
            gap = None;
        }
        let Some(start) = speech else {
            if probability >= settings.threshold {
                speech = Some(now);
            }
            continue;
        };
        if probability < lower_threshold {
            let end = *gap.get_or_insert(now);
            if now - end >= settings.min_silence {
                keep(Segment { start, end });
                (speech, gap) = (None, None);
            }
        }
    }
    if let Some(start) = speech {
        keep(Segment { start, end: samples });
    }
    segments
}

/// Lengthens each segment at both ends. Where two would meet they share the gap.
fn pad(segments: &mut [Segment], samples: usize, pad: usize) {
    if let Some(first) = segments.first_mut() {
        first.start = first.start.saturating_sub(pad);
    }
    if let Some(last) = segments.last_mut() {
        last.end = samples.min(last.end + pad);
    }
    for index in 1..segments.len() {
        let Some([before, after]) = segments.get_mut(index - 1..=index) else { break };
        let gap = after.start.saturating_sub(before.end);
        let pad = if gap < 2 * pad { gap / 2 } else { pad };
        before.end = samples.min(before.end + pad);
        after.start -= pad.min(after.start);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn segment(start: usize, end: usize) -> Segment {
        Segment { start, end }
    }

    #[test]
    fn segments_are_those_of_the_reference() {
        let recorded: Value = serde_json::from_str(include_str!("../testdata/segments.json")).unwrap();
        let settings: Vec<Settings> = recorded["settings"].as_array().unwrap().iter().map(settings).collect();
        let (mut sounds, mut found) = (0, 0);
        for sound in recorded["sounds"].as_array().unwrap() {
            let probabilities: Vec<f32> =
                sound["probabilities"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect();
            let samples = sound["samples"].as_u64().unwrap() as usize;
            let wanted = sound["segments"].as_array().unwrap();
            assert_eq!(wanted.len(), settings.len());
            for (settings, wanted) in settings.iter().zip(wanted) {
                let wanted: Vec<Segment> = wanted.as_array().unwrap().iter().map(pair).collect();
                assert_eq!(find(&probabilities, samples, settings), wanted, "{}: {settings:?}", sound["name"]);
                found += wanted.len();
            }
            sounds += 1;
        }
        assert!(sounds >= 10 && found >= 100, "{found} segments in {sounds} sounds");
    }

    fn settings(recorded: &Value) -> Settings {
        let samples = |name: &str| recorded[name].as_u64().unwrap() as usize * 16;
        Settings {
            threshold: recorded["threshold"].as_f64().unwrap(),
            min_speech: samples("min_speech_ms"),
            min_silence: samples("min_silence_ms"),
            pad: samples("pad_ms"),
        }
    }

    fn pair(recorded: &Value) -> Segment {
        segment(recorded[0].as_u64().unwrap() as usize, recorded[1].as_u64().unwrap() as usize)
    }

    #[test]
    fn the_defaults_are_those_of_the_reference() {
        let recorded: Value = serde_json::from_str(include_str!("../testdata/segments.json")).unwrap();
        assert_eq!(Settings::default(), settings(&recorded["settings"][0]));
    }

    #[test]
    fn silence_has_no_segments() {
        assert_eq!(find(&[], 0, &Settings::default()), []);
        assert_eq!(find(&[0.1; 100], 51_200, &Settings::default()), []);
    }

    #[test]
    fn a_sound_can_be_all_speech() {
        assert_eq!(find(&[0.9; 100], 51_000, &Settings::default()), [segment(0, 51_000)]);
    }

    #[test]
    fn a_short_gap_does_not_end_speech_and_a_long_one_does() {
        let sound = |gap: usize| [&[0.9; 10][..], &vec![0.2; gap], &[0.9; 10], &[0.2; 10]].concat();
        let unpadded = Settings { pad: 0, ..Settings::default() };
        let find = |gap| find(&sound(gap), (30 + gap) * FRAME, &unpadded);
        assert_eq!(find(4), [segment(0, 24 * FRAME)], "96 ms from the gap's first frame to its last");
        assert_eq!(find(5), [segment(0, 10 * FRAME), segment(15 * FRAME, 25 * FRAME)]);
    }
}
