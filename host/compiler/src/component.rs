//! A frozen guest as a component.

use wit_component::ComponentEncoder;

use crate::CompileError;

/// Lifts a core module to a component with the exports of its world, `samara:inference/engine` or `…/adapter`, which the
/// module's own sections describe. Its other exports, those that loaded the model, stay inside.
pub fn encode(module: &[u8]) -> Result<Vec<u8>, CompileError> {
    let failed = |error| CompileError::Encode(format!("{error:#}"));
    ComponentEncoder::default().module(module).map_err(failed)?.validate(true).encode().map_err(failed)
}
