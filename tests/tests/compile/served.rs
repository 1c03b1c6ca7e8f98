//! What a host compiles that calls the model itself: the component without its HTTP export, and what that asks for. That it answers as
//! the whole does is seen wherever a model is served.

use std::borrow::Cow;
use std::fs;

use samara_artifact::{Inspection, Manifest, core_module, served};
use samara_tests::{guests, models};
use tempfile::tempdir;
use wasmparser::Validator;

use super::compile;
use super::imports::interfaces;

const MODEL: &str = "samara:inference/model@0.1.0";

#[test]
fn of_a_compiled_model_the_model_is_left() {
    let whole = fs::read(models::card("fashion-cnn").compiled()).unwrap();
    let model = served(&whole).unwrap();
    Validator::new().validate_all(&model).unwrap();
    assert_eq!(interfaces(&model), (vec![], vec![MODEL.to_owned()]));
    assert_eq!(Manifest::read_from(&model).unwrap(), Manifest::read_from(&whole).unwrap());
    let [of_model, of_whole] = [&*model, &*whole].map(|component| Inspection::of(component).unwrap());
    assert_eq!(of_model.memory, of_whole.memory);
    assert!(served(&model).unwrap() == model, "there was more to leave out");
}

#[test]
fn a_model_that_its_host_runs_keeps_what_it_asks_for() {
    let directory = tempdir().unwrap();
    compile(directory.path(), &models::card("fashion-cnn").onnx(), &["--target", "nn"]).succeeds();
    let whole = fs::read(directory.path().join("model.wasm")).unwrap();
    let model = served(&whole).unwrap();
    Validator::new().validate_all(&model).unwrap();
    let (imports, exports) = interfaces(&model);
    let (of_whole, _) = interfaces(&whole);
    let wanted: Vec<String> = of_whole.into_iter().filter(|import| import.starts_with("wasi:nn/")).collect();
    assert_eq!(imports, wanted);
    assert_eq!(wanted.len(), 4);
    assert_eq!(exports, [MODEL]);
}

/// What somebody has changed, by accident or not, is refused, left as it is, or taken for what it then is.
#[test]
fn whatever_a_component_holds_nothing_worse_comes_of_it() {
    let directory = tempdir().unwrap();
    compile(directory.path(), &models::card("fashion-cnn").onnx(), &["--target", "nn"]).succeeds();
    let whole = fs::read(directory.path().join("model.wasm")).unwrap();
    let module = core_module(&whole, "samara:inference/model@0.1.0#infer").unwrap().unwrap();
    let module = whole.element_offset(&module[0]).unwrap()..whole.element_offset(&module[0]).unwrap() + module.len();
    // Types, imports and exports: before the code, and behind the module.
    let places: Vec<usize> = (0..module.start + 4000).chain(module.end..whole.len()).collect();
    let mut state = 12345_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut failed = 0;
    for _ in 0..600 {
        let mut changed = whole.clone();
        for _ in 0..3 {
            changed[places[random(places.len())]] = whole[places[random(places.len())]];
        }
        failed += usize::from(served(&changed).is_err());
    }
    assert!((1..600).contains(&failed), "{failed} of 600 are refused");
}

/// Of two parts with a memory each, neither is the whole model; without a manifest, Samara has not written it; and a core module is
/// no component.
#[test]
fn other_components_are_left_as_they_are() {
    let is_left = |component: &[u8]| matches!(served(component), Ok(Cow::Borrowed(left)) if left == component);
    let two = "(component (core module (memory 1)) (core module (memory 1) (func (export \"f\"))))";
    assert!(is_left(&wat::parse_str(two).unwrap()));
    let inside = "(component (component (core module (memory 1))))";
    assert!(is_left(&wat::parse_str(inside).unwrap()));
    let no_model = "(component (core module (memory 1) (func (export \"f\"))))";
    assert!(is_left(&wat::parse_str(no_model).unwrap()));
    assert!(is_left(&guests::component("echoes", "echoes")));
    assert!(served(b"no component").is_err());
}
