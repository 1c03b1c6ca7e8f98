//! What the bodies of admin calls say.

use std::collections::BTreeMap;

use samara_protocol::Error;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::repository::Split;

/// The body of a call: what it may have, and nothing else.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Call {
    parameters: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetSplit {
    split: BTreeMap<String, Value>,
}

/// The version that a call is about, if it is about one alone.
pub fn version(name: &str, body: &[u8], ignored: &[&str]) -> Result<Option<String>, Error> {
    let call: Call = match body.trim_ascii() {
        [] => Call::default(),
        body => object(body).map_err(|error| {
            Error::BadRequest(format!(
                "invalid call, expected an object like {{\"parameters\": {{\"version\": \"2\"}}}}: {error}"
            ))
        })?,
    };
    let mut version = None;
    for (key, value) in call.parameters {
        match (&*key, value) {
            ("version", Value::String(text)) => version = Some(text),
            ("version", other) => {
                return Err(Error::BadRequest(format!("the parameter version is {other}, expected a string")));
            }
            (key, Value::Bool(_)) if ignored.contains(&key) => {}
            (key, _) => {
                let message = format!("the parameter {key:?} for model {name:?} is not known here, expected version");
                return Err(Error::BadRequest(message));
            }
        }
    }
    Ok(version)
}

/// The split that a call sets.
pub fn split(body: &[u8]) -> Result<Split, Error> {
    let SetSplit { split } = object(body).map_err(|error| {
        Error::BadRequest(format!(
            "invalid split, expected an object like {{\"split\": {{\"1\": 90, \"2\": 10}}}}: {error}"
        ))
    })?;
    let percentages = split.into_iter().map(|(version, percentage)| match percentage.as_u64() {
        Some(number) => Ok((version, number)),
        None => {
            let expected = "expected a whole number from 0 to 100, in percent";
            Err(Error::BadRequest(format!("version {version:?} has {percentage}: {expected}")))
        }
    });
    let percentages = percentages.collect::<Result<_, _>>()?;
    Split::new(percentages).map_err(|error| Error::BadRequest(error.to_string()))
}

/// An object: serde takes a list for a structure too.
fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    T::deserialize(Value::Object(serde_json::from_slice(body)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_about_a_model_or_a_version() {
        let of = |body: &str| version("m", body.as_bytes(), &["unload_dependents"]);
        for body in ["", " ", "{}", r#"{"parameters": {}}"#, r#"{"parameters": {"unload_dependents": false}}"#] {
            assert_eq!(of(body).unwrap(), None, "{body}");
        }
        assert_eq!(of(r#"{"parameters": {"version": "2"}}"#).unwrap().as_deref(), Some("2"));
        for body in [
            "[]",
            "{",
            r#"{"version": "2"}"#,
            r#"{"parameters": {"version": 2}}"#,
            r#"{"parameters": {"config": "{}"}}"#,
        ] {
            assert!(matches!(of(body), Err(Error::BadRequest(_))), "{body}");
        }
    }

    #[test]
    fn a_split_is_told_what_is_wrong_with_it() {
        assert_eq!(split(br#"{"split": {"1": 90, "2": 10}}"#).unwrap().percentage("1"), 90);
        for (body, told) in [
            (r#"{"split": {"1": 90}}"#, "sums to 90"),
            (r#"{"split": {"1": -10, "2": 110}}"#, "has -10"),
            (r#"{"split": {"1": 50.5, "2": 49.5}}"#, "has 50.5"),
            (r#"{"split": {"1": 101}}"#, "has 101"),
            (r#"{"1": 100}"#, "expected an object like"),
            ("", "expected an object like"),
        ] {
            let message = split(body.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(told), "{body}: {message}");
        }
    }
}
