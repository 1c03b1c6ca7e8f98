//! The model's input, held against Hugging Face's tokenizers: see `testdata/make.py`.

use std::cell::RefCell;
use std::rc::Rc;

use samara_function::testing::FakeModel;
use samara_function::{Datatype, Request, Tensor, answer};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Embed;

#[derive(Deserialize)]
struct Record {
    cases: Vec<Case>,
    characters: Vec<Block>,
}

#[derive(Deserialize)]
struct Block {
    first: u32,
    hash: String,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    tokens: Vec<i64>,
    truncated: bool,
}

fn record() -> Record {
    serde_json::from_str(include_str!("../testdata/tokens.json")).unwrap()
}

/// What the model is given for texts, and what is replied.
fn inputs(texts: &[String]) -> (Vec<Vec<Tensor>>, Value) {
    let given = Rc::new(RefCell::new(Vec::new()));
    let keep = Rc::clone(&given);
    let model = FakeModel::new(move |inputs| {
        keep.borrow_mut().push(inputs.to_vec());
        Ok(vec![Tensor::fp32("embedding", &[1, 384], &[0.0; 384]).unwrap()])
    })
    .with_input("input_ids", Datatype::Int64, &[1, 128])
    .with_input("attention_mask", Datatype::Int64, &[1, 128])
    .with_output("embedding", Datatype::Fp32, &[1, 384]);
    let body = serde_json::to_vec(&json!({ "input": texts })).unwrap();
    let response = answer::<Embed>(&Request::post("/", "application/json", body), &model);
    assert_eq!(response.status(), 200);
    (given.take(), serde_json::from_slice(response.body()).unwrap())
}

#[test]
fn tokens_are_those_of_the_reference() {
    let record = record();
    assert!(record.cases.len() > 50);
    let texts: Vec<String> = record.cases.iter().map(|case| case.text.clone()).collect();
    let (given, reply) = inputs(&texts);
    for (index, case) in record.cases.iter().enumerate() {
        let padding = 128 - case.tokens.len();
        let mut tokens = case.tokens.clone();
        tokens.resize(128, 0);
        let mask = [vec![1; case.tokens.len()], vec![0; padding]].concat();
        assert_eq!(given[index][0], Tensor::int64("input_ids", &[1, 128], &tokens).unwrap(), "{:?}", case.text);
        assert_eq!(given[index][1], Tensor::int64("attention_mask", &[1, 128], &mask).unwrap(), "{:?}", case.text);
        let truncated = reply["data"][index]["truncated"].as_bool();
        assert_eq!(truncated, case.truncated.then_some(true), "{:?}", case.text);
    }
    let total: usize = record.cases.iter().map(|case| case.tokens.len()).sum();
    assert_eq!(reply["usage"], json!({ "prompt_tokens": total, "total_tokens": total }));
}

#[test]
fn every_character_is_treated_as_by_the_reference() {
    for Block { first, hash: wanted } in record().characters {
        let characters: Vec<char> = (first..first + 4096).filter_map(char::from_u32).collect();
        let text = |characters: &[char]| {
            let parts: Vec<String> = characters.iter().map(|c| format!("a{c}b {c}{c}1")).collect();
            parts.join(" ")
        };
        let texts: Vec<String> = characters.chunks(16).map(text).collect();
        // FNV-1a over the tokens, each of 16 bits.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for given in inputs(&texts).0 {
            let (numbers, mask) = (given[0].to_int64().unwrap(), given[1].to_int64().unwrap());
            for (number, _) in numbers.iter().zip(mask).filter(|&(_, counts)| counts == 1) {
                for byte in u16::try_from(*number).unwrap().to_le_bytes() {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
                }
            }
        }
        assert_eq!(format!("{hash:016x}"), wanted, "U+{first:X} and the 4095 after it");
    }
}
