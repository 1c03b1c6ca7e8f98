//! How cost grows with the input: pictures in a batch, tokens in a text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::catalogue::{self, FRESH, ONNXRUNTIME_NATIVE};
use super::cell;
use super::child::python;
use super::peer::{Lab, Subject};
use super::report::{Growth, GrowthPoint};
use super::turns::{self, Entry};
use crate::pace::Pace;
use crate::tensor::{Tensor, largest_error};
use crate::zoo::{Build, Card};

/// The model whose batch grows.
const BATCHES: &str = "efficientnet-lite0";
/// The model whose text grows.
const TOKENS: &str = "minilm-l6";

const BATCH_SIZES: [u64; 6] = [1, 2, 4, 8, 16, 32];
const TOKEN_COUNTS: [u64; 6] = [16, 32, 64, 128, 256, 512];

/// Samara, and what its outputs are held against.
const PEERS: [&str; 2] = [FRESH, ONNXRUNTIME_NATIVE];

/// Both.
pub fn measure(lab: &Lab<'_>, pace: &mut Pace) -> Vec<Growth> {
    [
        (format!("{BATCHES}, items of a batch, compiled for any batch"), "items", "item", batches(lab, pace)),
        (format!("{TOKENS}, tokens of a text, compiled for as many"), "tokens", "GFLOP", tokens(lab, pace)),
    ]
    .map(|(what, unit, per, points)| {
        let (points, failed) = match points {
            Ok(points) => (points, None),
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        Growth { what, unit: unit.to_owned(), per: per.to_owned(), points, failed }
    })
    .into()
}

fn batches(lab: &Lab<'_>, pace: &mut Pace) -> Result<Vec<GrowthPoint>> {
    let card = Card::read(BATCHES)?;
    let vector = card.first()?;
    let build = Build { name: format!("{BATCHES}-any-batch"), inputs: Vec::new(), ..card.build.clone() };
    let repeat = |tensors: &[Tensor], size| tensors.iter().map(|tensor| tensor.repeated(size)).collect::<Vec<_>>();
    let subject = |size| Subject {
        build: build.clone(),
        inputs: repeat(&vector.inputs, size),
        expected: repeat(&vector.expected, size),
    };
    measure_points(lab, &BATCH_SIZES.map(|size| (size, size as f64, subject(size))), pace)
}

fn tokens(lab: &Lab<'_>, pace: &mut Pace) -> Result<Vec<GrowthPoint>> {
    let card = Card::read(TOKENS)?;
    let vector = card.first()?;
    let mut points = Vec::new();
    for count in TOKEN_COUNTS {
        let name = format!("{TOKENS}-{count}-tokens");
        let build = Build { onnx: with_tokens(lab, &card, &name, count)?, name, inputs: Vec::new() };
        let inputs = vector.inputs.iter().map(|tensor| match tensor.name.as_str() {
            // All tokens count, so that the work is that of a text as long.
            "attention_mask" => {
                let ones = std::iter::repeat_n(1_i64.to_le_bytes(), count as usize).flatten().collect();
                Tensor { shape: vec![1, count], data: ones, ..tensor.clone() }
            }
            _ => resized(tensor, [1, count]),
        });
        let mut subject = Subject { build, inputs: inputs.collect(), expected: Vec::new() };
        let reference = catalogue::find(ONNXRUNTIME_NATIVE).context("no reference")?;
        subject.expected = (reference.start)(lab, &subject)?.outputs()?;
        points.push((count, minilm_gflop(count), subject));
    }
    measure_points(lab, &points, pace)
}

/// The floating-point operations of MiniLM's matrix products, two for each multiplication and addition, in billions: in each
/// of six layers the four projections of attention (384 × 384), its two products (tokens × tokens × 384), and the two of the
/// feed-forward network (384 × 1536).
fn minilm_gflop(tokens: u64) -> f64 {
    let (layers, hidden, inner, tokens) = (6.0, 384.0, 1536.0, tokens as f64);
    let layer = 4.0 * tokens * hidden * hidden + 2.0 * tokens * tokens * hidden + 2.0 * tokens * hidden * inner;
    layers * 2.0 * layer / 1e9
}

/// MiniLM for so many tokens, made unless it has been.
fn with_tokens(lab: &Lab<'_>, card: &Card, name: &str, count: u64) -> Result<PathBuf> {
    let directory = lab.samara.target().join("bench").join("onnx");
    std::fs::create_dir_all(&directory)?;
    let output = directory.join(format!("{name}.onnx"));
    if output.is_file() && output.metadata()?.modified()? >= card.build.onnx.metadata()?.modified()? {
        return Ok(output);
    }
    let made = python("minilm_tokens.py").arg(&card.build.onnx).arg(count.to_string()).arg(&output).output()?;
    ensure!(made.status.success(), "minilm_tokens.py: {}", String::from_utf8_lossy(&made.stderr).trim());
    Ok(output)
}

/// All sizes on both peers, by turns.
fn measure_points(lab: &Lab<'_>, points: &[(u64, f64, Subject)], pace: &mut Pace) -> Result<Vec<GrowthPoint>> {
    let mut entries = Vec::new();
    let mut errors = Vec::new();
    for (size, _, subject) in points {
        for id in PEERS {
            let start = catalogue::find(id).with_context(|| format!("there is no peer {id}"))?.start;
            let mut peer = start(lab, subject).with_context(|| format!("{} of {size} on {id}", subject.build.name))?;
            errors.push(largest_error(&subject.expected, &peer.outputs()?)?);
            entries.push(Entry::new(peer));
        }
    }
    turns::measure(&mut entries, pace, turns::WAIT);
    let mut results = entries.into_iter().zip(errors).map(|(entry, error)| cell(entry, error));
    Ok(points
        .iter()
        .map(|(size, work, _)| {
            let cells: BTreeMap<_, _> = PEERS.iter().map(|&id| id.to_owned()).zip(results.by_ref()).collect();
            GrowthPoint { size: *size, work: *work, cells }
        })
        .collect())
}

/// The elements again and again, or as many as there is room for.
fn resized(tensor: &Tensor, shape: [u64; 2]) -> Tensor {
    let bytes = (shape[0] * shape[1]) as usize * size_of::<i64>();
    let data = tensor.data.iter().copied().cycle().take(bytes).collect();
    Tensor { shape: shape.to_vec(), data, ..tensor.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_of_a_text_grows_a_little_faster_than_its_tokens() {
        let (short, long) = (minilm_gflop(16), minilm_gflop(512));
        assert!((minilm_gflop(128) - 2.87).abs() < 0.05, "{}", minilm_gflop(128));
        assert!(long / short > 32.0 && long / short < 48.0, "{}", long / short);
    }
}
