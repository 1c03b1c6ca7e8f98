//! Core modules, made components.

use std::borrow::Cow;

use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use crate::LinkError;

/// Makes a component of a core module that describes its interfaces, as those do which wit-bindgen was used in. A
/// component is given back as it is.
pub fn lift(wasm: &[u8]) -> Result<Cow<'_, [u8]>, LinkError> {
    if !Parser::is_core_wasm(wasm) {
        return Ok(Cow::Borrowed(wasm));
    }
    if !describes_interfaces(wasm)? {
        return Err(LinkError::NoInterfaces);
    }
    let failed = |error| LinkError::Lift(format!("{error:#}"));
    let component =
        ComponentEncoder::default().module(wasm).map_err(failed)?.validate(true).encode().map_err(failed)?;
    Ok(Cow::Owned(component))
}

/// Whether a core module has a section of the kind that wit-bindgen leaves.
fn describes_interfaces(module: &[u8]) -> Result<bool, LinkError> {
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(|error| LinkError::Lift(error.to_string()))?;
        if let Payload::CustomSection(section) = payload
            && section.name().starts_with("component-type")
        {
            return Ok(true);
        }
    }
    Ok(false)
}
