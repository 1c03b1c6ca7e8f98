//! Every datatype goes to the host's graph and comes back.

use samara_tests::onnx::Type;
use samara_tests::tensor::{Tensor, binary_request, json_request, outputs};
use tempfile::tempdir;

use crate::{backends, compile, same, serve};

#[test]
fn every_datatype_goes_there_and_comes_back() {
    let directory = tempdir().unwrap();
    let raw = |datatype: &str, data: &[u8]| Tensor::new("x", datatype, &[4], data.to_vec());
    let cases = [
        ("bool", Type::Bool, raw("BOOL", &[1, 0, 1, 1])),
        ("uint8", Type::Uint8, raw("UINT8", &[0, 1, 128, 255])),
        ("int32", Type::Int32, raw("INT32", &[[1, 0, 0, 0], [255; 4], [0, 0, 0, 128], [7, 0, 0, 0]].concat())),
        ("int64", Type::Int64, Tensor::int64("x", &[4], &[i64::MIN, -1, 0, i64::MAX])),
        ("uint64", Type::Uint64, raw("UINT64", &[[255; 8], [0; 8], [1; 8], [9; 8]].concat())),
        ("fp16", Type::Float16, raw("FP16", &[0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00, 0xff, 0x7b])),
        ("fp32", Type::Float, Tensor::fp32("x", &[4], &[0.0, -1.5, f32::MIN_POSITIVE, f32::MAX])),
        ("fp64", Type::Double, raw("FP64", &[1.5_f64, -0.0, f64::MIN, 1e-300].map(f64::to_le_bytes).concat())),
        ("bytes", Type::String, Tensor::bytes("x", &[4], &["", "a", "naïve", "日本"])),
    ];
    let components: Vec<_> = cases
        .iter()
        .map(|(name, element, _)| {
            let onnx = same(*element).write(directory.path(), &format!("{name}.onnx"));
            compile(directory.path(), name, &onnx, &[])
        })
        .collect();
    let paths: Vec<_> = components.iter().map(std::path::PathBuf::as_path).collect();
    // The settings of one; the others run on tract, or all of them on ONNX Runtime.
    for backend in backends("NAME") {
        let options: Vec<String> = cases.iter().map(|(name, ..)| backend.replace("NAME", name)).collect();
        // The library is named once.
        let mut words: Vec<&str> = Vec::new();
        for option in &options {
            let (nn, library) =
                option.split_once(" --ort-dylib ").map_or((&**option, None), |(nn, path)| (nn, Some(path)));
            words.extend(nn.split(' '));
            if let Some(path) = library
                && !words.contains(&"--ort-dylib")
            {
                words.extend(["--ort-dylib", path]);
            }
        }
        let server = serve(&paths, &words.join(" ")).start();
        for (name, _, x) in &cases {
            let mut y = x.clone();
            y.name = "y".to_owned();
            for request in [json_request, binary_request].map(|request| request(name, std::slice::from_ref(x))) {
                assert_eq!(outputs(&server.send(&request)), [y.clone()], "{name} {backend}");
            }
        }
        server.stop();
    }
}
