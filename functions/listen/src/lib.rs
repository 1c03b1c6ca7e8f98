//! Finds where someone speaks in a sound.
//!
//! `POST` a WAV file (`audio/wav`, `audio/x-wav`, `audio/wave` or `audio/vnd.wave`; which ones are taken is said at
//! [`wav`]) and get the stretches of speech, in seconds from the beginning:
//!
//! ```text
//! {"model": "silero-vad", "duration": 2.5, "sampling_rate": 8000, "speech": [{"start": 0.29, "end": 1.182}]}
//! ```
//!
//! `duration` is the sound's length in seconds, `sampling_rate` the file's, in Hz. The parameters are those of
//! `get_speech_timestamps` of the Python package silero-vad:
//!
//! | parameter | default | range | |
//! |---|---|---|---|
//! | `threshold` | 0.5 | 0 to 1 | speech begins with a frame of at least this probability; it ends where the probability falls 0.15 below |
//! | `min_speech_ms` | 250 | 0 to 60000 | shorter stretches are left out |
//! | `min_silence_ms` | 100 | 0 to 60000 | shorter gaps do not end a stretch |
//! | `pad_ms` | 30 | 0 to 60000 | each stretch is lengthened by this at both ends, as far as there is room |
//!
//! The model is Silero VAD for 16 kHz: in the zoo, `silero-vad`.

pub mod frames;
pub mod resample;
pub mod segments;
pub mod wav;

use samara_function::{Function, Model, Problem, Request, Response};
use serde::Serialize;

use resample::MODEL_RATE;
use segments::{Segment, Settings};
use wav::Recording;

/// The longest sound that is taken, in seconds.
pub const MAX_SECONDS: usize = 600;

const WAV: [&str; 4] = ["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"];

/// The function.
pub struct Listen;

samara_function::export!(Listen: "input FP32[1,576], state FP32[2,1,128] -> output FP32[1,1], stateN FP32[2,1,128]");

/// The answer.
#[derive(Debug, Serialize)]
struct Reply<'a> {
    model: &'a str,
    /// In seconds.
    duration: f64,
    /// The file's, in Hz.
    sampling_rate: u32,
    speech: Vec<Stretch>,
}

/// A stretch of speech, in seconds.
#[derive(Debug, Serialize)]
struct Stretch {
    start: f64,
    end: f64,
}

impl Function for Listen {
    const MAX_BODY_BYTES: usize = 64 << 20;

    fn answer(request: &Request, model: &dyn Model) -> Result<Response, Problem> {
        let settings = settings(request)?;
        let recording = Recording::open(request.body_of(&WAV)?, MAX_SECONDS)?;
        let samples = resample::to_model_rate(&recording)?;
        let probabilities = frames::probabilities(model, &samples)?;
        let duration = recording.seconds();
        let stretch = |segment: Segment| Stretch {
            start: seconds(segment.start),
            // The last sample at the model's rate can reach past the last one of the file.
            end: seconds(segment.end).min(duration),
        };
        Response::json(&Reply {
            model: &model.metadata().name,
            duration,
            sampling_rate: recording.sampling_rate(),
            speech: segments::find(&probabilities, samples.len(), &settings).into_iter().map(stretch).collect(),
        })
    }
}

/// The settings that the request asks for.
fn settings(request: &Request) -> Result<Settings, Problem> {
    let default = Settings::default();
    let samples = |name, default: usize| -> Result<usize, Problem> {
        let per_millisecond = MODEL_RATE as usize / 1000;
        Ok(request.query_number(name, 0..=60_000, default / per_millisecond)? * per_millisecond)
    };
    Ok(Settings {
        threshold: request.query_number("threshold", 0.0..=1.0, default.threshold)?,
        min_speech: samples("min_speech_ms", default.min_speech)?,
        min_silence: samples("min_silence_ms", default.min_silence)?,
        pad: samples("pad_ms", default.pad)?,
    })
}

/// The time of a sample at the model's rate.
fn seconds(sample: usize) -> f64 {
    sample as f64 / f64::from(MODEL_RATE)
}

#[cfg(test)]
mod tests {
    use samara_function::Tensor;
    use samara_function::testing::FakeModel;

    use super::*;
    use crate::wav::tests::{HEADER, wav16};

    /// Takes a frame whose loudest sample is at least 0.25 for speech.
    fn loud() -> FakeModel {
        FakeModel::new(|inputs| {
            let input = inputs[0].to_fp32().unwrap();
            let speech = input[64..].iter().any(|sample| sample.abs() >= 0.25);
            let output = Tensor::fp32("output", &[1, 1], &[if speech { 0.9 } else { 0.1 }]).unwrap();
            Ok(vec![output, Tensor { name: "stateN".to_owned(), ..inputs[1].clone() }])
        })
    }

    /// A second of silence, one of a tone of 1 kHz, and one of silence.
    fn tone(rate: u32) -> Vec<i16> {
        let sample = |index| {
            let time = f64::from(index) / f64::from(rate);
            if (1.0..2.0).contains(&time) {
                (16384.0 * (std::f64::consts::TAU * 1000.0 * time).sin()) as i16
            } else {
                0
            }
        };
        (0..3 * rate).map(sample).collect()
    }

    fn answer(request: &Request) -> serde_json::Value {
        serde_json::from_slice(Listen::answer(request, &loud()).unwrap().body()).unwrap()
    }

    fn refusal(request: &Request) -> Problem {
        Listen::answer(request, &FakeModel::unasked()).unwrap_err()
    }

    #[test]
    fn speech_is_found_at_every_rate() {
        for rate in [8000, 11025, 16000, 22050, 44100, 48000, 44099] {
            let reply = answer(&Request::post("/", "audio/wav", wav16(1, rate, &tone(rate))));
            assert_eq!(reply["model"], "fake");
            assert_eq!(reply["duration"], 3.0);
            assert_eq!(reply["sampling_rate"], rate);
            let speech = reply["speech"].as_array().unwrap();
            assert_eq!(speech.len(), 1, "{rate}");
            // The frames of 512 samples that hold sound, 31 to 62, with 30 ms more on each side.
            assert_eq!(speech[0]["start"], 31.0 * 0.032 - 0.03, "{rate}");
            assert_eq!(speech[0]["end"], 63.0 * 0.032 + 0.03, "{rate}");
        }
    }

    #[test]
    fn channels_are_mixed() {
        let both: Vec<i16> = tone(16000).iter().flat_map(|&sample| [sample, sample]).collect();
        assert_eq!(
            answer(&Request::post("/", "audio/x-wav", wav16(2, 16000, &both)))["speech"].as_array().unwrap().len(),
            1
        );
        // What one channel adds to the other is taken away again: silence.
        let against: Vec<i16> = tone(16000).iter().flat_map(|&sample| [sample, -sample]).collect();
        let reply = answer(&Request::post("/", "audio/vnd.wave", wav16(2, 16000, &against)));
        assert_eq!(
            (reply["speech"].clone(), reply["duration"].clone()),
            (serde_json::json!([]), serde_json::json!(3.0))
        );
    }

    #[test]
    fn settings_are_taken_from_the_query() {
        let wav = wav16(1, 16000, &tone(16000));
        let speech =
            |query: &str| answer(&Request::post(&format!("/?{query}"), "audio/wave", wav.clone()))["speech"].clone();
        assert_eq!(speech("pad_ms=0"), serde_json::json!([{"start": 0.992, "end": 2.016}]));
        assert_eq!(speech("pad_ms=5000"), serde_json::json!([{"start": 0.0, "end": 3.0}]));
        assert_eq!(speech("threshold=0.91"), serde_json::json!([]));
        assert_eq!(speech("min_speech_ms=1024"), serde_json::json!([]), "a stretch of just that length is too short");
        assert_eq!(speech("min_silence_ms=2000&pad_ms=0"), serde_json::json!([{"start": 0.992, "end": 3.0}]));
    }

    #[test]
    fn settings_have_ranges() {
        for query in
            ["threshold=1.5", "threshold=NaN", "min_speech_ms=-1", "min_silence_ms=x", "pad_ms=60001", "pad_ms="]
        {
            let problem = refusal(&Request::post(&format!("/?{query}"), "audio/wav", wav16(1, 16000, &[0])));
            assert_eq!(problem.status(), 400, "{query}");
            assert!(problem.detail().starts_with(&format!("{query}, where a number from 0 to ")), "{problem}");
        }
    }

    #[test]
    fn without_sound_there_is_no_speech() {
        let reply = answer(&Request::post("/", "audio/wav", wav16(1, 8000, &[])));
        assert_eq!(reply, serde_json::json!({"model": "fake", "duration": 0.0, "sampling_rate": 8000, "speech": []}));
        let reply = answer(&Request::post("/", "audio/wav", wav16(1, 44100, &[0; 44100])));
        assert_eq!(reply["speech"], serde_json::json!([]));
    }

    #[test]
    fn other_types_are_refused() {
        assert_eq!(refusal(&Request::post("/", "audio/mpeg", wav16(1, 8000, &[0]))).status(), 415);
        assert_eq!(refusal(&Request::new("POST", "/").with_body(HEADER)).status(), 415);
        assert_eq!(refusal(&Request::post("/", "audio/wav", "")).status(), 400);
    }

    #[test]
    fn ten_minutes_are_the_most() {
        let problem = refusal(&Request::post("/", "audio/wav", wav16(1, 8000, &vec![0; 8000 * MAX_SECONDS + 1])));
        assert_eq!(
            (problem.status(), problem.detail()),
            (413, "the sound lasts 600.0 seconds, where 600 at most are taken")
        );
    }
}
