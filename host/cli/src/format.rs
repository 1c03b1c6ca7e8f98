//! Facts in words.

use samara_artifact::{MemoryImage, NnGraph};
use samara_protocol::TensorSpec;
use samara_runtime::DirtyPages;

/// `name FP32[N,3,224,224]`, where `?` is a dynamic dimension.
pub fn spec(spec: &TensorSpec) -> String {
    let shape: Vec<String> =
        spec.shape.iter().map(|&size| if size < 0 { "?".to_owned() } else { size.to_string() }).collect();
    format!("{} {}[{}]", spec.name, spec.datatype, shape.join(","))
}

/// A number of bytes, in MB of a million bytes.
pub fn bytes(bytes: u64) -> String {
    if bytes < 100_000 { format!("{:.1} kB", bytes as f64 / 1e3) } else { format!("{:.2} MB", bytes as f64 / 1e6) }
}

/// A time, in the unit that suits it.
pub fn time(nanoseconds: u64) -> String {
    match nanoseconds {
        0..10_000 => format!("{nanoseconds} ns"),
        10_000..10_000_000 => format!("{:.1} µs", nanoseconds as f64 / 1e3),
        _ => format!("{:.2} ms", nanoseconds as f64 / 1e6),
    }
}

/// A count, in thousands or millions.
pub fn count(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..10_000_000 => format!("{:.1} k", count as f64 / 1e3),
        _ => format!("{:.1} M", count as f64 / 1e6),
    }
}

/// The graph that a host runs: its name, and its file.
pub fn graph(graph: &NnGraph) -> String {
    format!("{} of wasi:nn, in {}, {}", graph.graph, graph.file, bytes(graph.bytes))
}

/// What an instance's memory starts with.
pub fn image(image: &MemoryImage) -> String {
    format!(
        "{} at the start, of which an image of {}, {:.0} % dense",
        bytes(image.memory_bytes),
        bytes(image.image_bytes),
        image.density() * 100.0
    )
}

/// What an inference has in use at once, and where.
pub fn activations(peak_bytes: u64, arena_bytes: u64) -> String {
    format!("{} of activations at the most, in an arena of {}", bytes(peak_bytes), bytes(arena_bytes))
}

/// What a request writes to.
pub fn dirty(dirty: &DirtyPages) -> String {
    format!("{} pages, {}, in {} runs", count(dirty.pages), bytes(dirty.bytes), dirty.runs)
}

#[cfg(test)]
mod tests {
    use samara_protocol::Datatype;

    use super::*;

    #[test]
    fn a_dynamic_dimension_is_shown_as_such() {
        let x = TensorSpec { name: "x".into(), datatype: Datatype::Fp32, shape: vec![-1, 3] };
        assert_eq!(spec(&x), "x FP32[?,3]");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!((bytes(5_584), bytes(6_000_000)), ("5.6 kB".to_owned(), "6.00 MB".to_owned()));
        assert_eq!((count(42), count(385_000_000)), ("42".to_owned(), "385.0 M".to_owned()));
    }
}
