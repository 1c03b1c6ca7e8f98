//! The guest that remembers, run without Samara: in an instance that is used twice, it does remember. If it did not, that it
//! never does under `samara serve` would say nothing.

use samara_tests::guests;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use self::bindings::Served;
use self::bindings::exports::samara::inference::model::{Datatype, Tensor};

mod bindings {
    wasmtime::component::bindgen!({ path: "../wit", world: "samara:inference/served" });
}

#[test]
fn the_guest_that_remembers_remembers() {
    let engine = Engine::default();
    let component = Component::new(&engine, guests::component("remembers", "memory")).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Served::instantiate(&mut store, &component, &Linker::new(&engine)).unwrap();
    let input = Tensor { name: "x".to_owned(), datatype: Datatype::Fp32, shape: vec![1], data: vec![0; 4] };
    let inputs = [input];
    let mut answer = || {
        let model = instance.samara_inference_model();
        let outputs = model.call_infer(&mut store, &inputs, &[]).unwrap().unwrap();
        let elements = outputs[0].data.as_chunks().0.iter();
        elements.map(|bytes| f32::from_le_bytes(*bytes)).collect::<Vec<_>>()
    };
    assert_eq!(answer(), [0.0; 3]);
    // The memory that it adds is another each time, and so clean; but what it found there before is not.
    assert_eq!(answer()[..2], [1.0; 2]);
}
