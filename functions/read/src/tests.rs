use std::path::Path;

use samara_function::testing::FakeModel;
use samara_function::{Datatype, Tensor};
use serde::Deserialize;
use serde_json::Value;

use super::*;

/// How many classes the model of the reference has.
const CLASSES: usize = 6625;

/// What the reference made of a picture: see testdata/make.py.
#[derive(Clone, Deserialize)]
struct Expected {
    picture: String,
    line: String,
    fixed_width: Option<u32>,
    width: u32,
    input_width: u32,
    path: Vec<(usize, String, f32)>,
    text: String,
    confidence: f64,
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)).unwrap()
}

fn expected() -> Vec<Expected> {
    serde_json::from_slice(&file("expected.json")).unwrap()
}

fn labels(expected: &Expected) -> Vec<String> {
    let mut labels = vec!["?".to_owned(); CLASSES];
    for (class, character, _) in &expected.path {
        labels[*class].clone_from(character);
    }
    labels
}

/// A model that gives what the reference's gave, if it is asked what that was asked.
fn model(expected: &Expected) -> FakeModel {
    let (path, input_width) = (expected.path.clone(), u64::from(expected.input_width));
    let declared = expected.fixed_width.map_or(-1, i64::from);
    FakeModel::new(move |inputs| {
        let [input] = inputs else { panic!("one input is wanted") };
        assert_eq!((&*input.name, &*input.shape), ("x", &[1, 3, 48, input_width][..]));
        let mut values = vec![0.0; path.len() * CLASSES];
        for (step, (class, _, probability)) in values.chunks_mut(CLASSES).zip(&path) {
            step[*class] = *probability;
        }
        Ok(vec![Tensor::fp32("softmax_11.tmp_0", &[1, path.len() as u64, CLASSES as u64], &values).unwrap()])
    })
    .with_input("x", Datatype::Fp32, &[1, 3, 48, declared])
}

fn ask(content_type: &str, body: impl Into<Vec<u8>>, model: &dyn Model) -> Response {
    samara_function::answer::<Read>(&Request::post("/", content_type, body), model)
}

fn reply(response: &Response) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[test]
fn lines_are_what_opencv_gives() {
    for expected in expected() {
        let picture = Picture::decode(&file(&expected.picture)).unwrap();
        let line = Line::of(&picture, expected.fixed_width.map_or(Room::AsNeeded, Room::Fixed)).unwrap();
        assert_eq!((line.width(), line.input_width()), (expected.width, expected.input_width), "{}", expected.line);
        let wanted = Picture::decode(&file(&expected.line)).unwrap();
        let most = line.pixels().iter().zip(wanted.pixels()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(most <= Some(1), "{}: {most:?}", expected.line);
        assert_eq!(line.pixels().len(), wanted.pixels().len());
    }
}

#[test]
fn the_input_is_bgr_and_filled_up() {
    let picture = Picture::decode(&file("short.png")).unwrap();
    let line = Line::of(&picture, Room::Fixed(320)).unwrap();
    let values = line.tensor("x").unwrap().to_fp32().unwrap();
    assert_eq!((line.width(), values.len()), (265, 3 * 48 * 320));
    let value = |channel: usize, row: usize, column: usize| values[(channel * 48 + row) * 320 + column];
    // The paper is (250, 240, 200).
    assert_eq!(
        [value(0, 0, 0), value(1, 0, 0), value(2, 0, 0)].map(|x| ((x + 1.0) * 127.5).round()),
        [200.0, 240.0, 250.0]
    );
    for (channel, row) in [(0, 0), (1, 20), (2, 47)] {
        let wanted = f32::from(line.pixels()[(row * 265 + 264) * 3 + 2 - channel]) / 127.5 - 1.0;
        assert!((value(channel, row, 264) - wanted).abs() < 1e-6);
        assert!((265..320).all(|column| value(channel, row, column) == 0.0));
    }
}

#[test]
fn what_is_read_is_what_the_reference_reads() {
    for expected in expected() {
        let response = ask("image/png", file(&expected.picture), &model(&expected).with_labels(labels(&expected)));
        assert_eq!(response.status(), 200, "{}", String::from_utf8_lossy(response.body()));
        let reply = reply(&response);
        assert_eq!(reply["text"], expected.text.as_str());
        assert!((reply["confidence"].as_f64().unwrap() - expected.confidence).abs() < 1e-6);
        assert_eq!((&reply["width"], &reply["input_width"]), (&expected.width.into(), &expected.input_width.into()));
        assert_eq!(reply["squeezed"], expected.line == "long.png.320.line.png");
        assert_eq!(reply["model"], serde_json::json!({ "name": "fake", "version": "1" }));
    }
}

#[test]
fn a_model_without_characters_or_of_another_shape_is_a_fault() {
    let expected = expected().swap_remove(0);
    let response = ask("image/png", file("short.png"), &model(&expected));
    assert_eq!(response.status(), 500);
    assert!(reply(&response)["detail"].as_str().unwrap().contains("--labels"));

    for shape in [&[1, 3, 48][..], &[1, 3, 48, 0], &[1, 3, 48, 4097], &[1, 3, 48, i64::MAX]] {
        let model = FakeModel::unasked().with_labels(["a"]).with_input("x", Datatype::Fp32, shape);
        assert_eq!(ask("image/png", file("short.png"), &model).status(), 500, "{shape:?}");
    }
    assert_eq!(ask("image/png", file("short.png"), &FakeModel::unasked().with_labels(["a"])).status(), 500);
}

#[test]
fn bad_requests_do_not_reach_the_model() {
    let model = FakeModel::unasked().with_labels(["a"]).with_input("x", Datatype::Fp32, &[-1, 3, 48, -1]);
    let whole = file("short.png");
    for (content_type, body, status) in [
        ("image/gif", b"GIF89a".to_vec(), 415),
        ("image/png", Vec::new(), 400),
        ("image/png", whole[..whole.len() / 2].to_vec(), 422),
        ("application/json", b"{\"image\": \"!\"}".to_vec(), 400),
    ] {
        assert_eq!(ask(content_type, body, &model).status(), status, "{content_type}");
    }
}

#[test]
fn a_line_has_a_greatest_length() {
    let strip = |width: u32| {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, 1);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&vec![0; width as usize]).unwrap();
        Picture::decode(&file).unwrap()
    };
    assert_eq!(Line::of(&strip(85), Room::AsNeeded).unwrap().input_width(), 4080);
    assert_eq!(Line::of(&strip(86), Room::AsNeeded).unwrap_err().status(), 422);
    let line = Line::of(&strip(5000), Room::Fixed(320)).unwrap();
    assert_eq!((line.width(), line.input_width(), line.is_squeezed()), (320, 320, true));
    // A picture that is one column wide still has a column.
    assert_eq!(Line::of(&strip(1), Room::Fixed(320)).unwrap().width(), 48);
}
