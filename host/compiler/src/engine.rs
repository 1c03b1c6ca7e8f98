//! The engine's two builds: core modules, made by `functions/build.sh`.

use samara_artifact::Simd;

use crate::{CompileError, component};

static RELAXED: &[u8] = include_bytes!(env!("SAMARA_ENGINE_RELAXED"));
static BASELINE: &[u8] = include_bytes!(env!("SAMARA_ENGINE_BASELINE"));

/// The engine that uses these vector instructions, as a core module.
pub fn module(simd: Simd) -> &'static [u8] {
    match simd {
        Simd::Relaxed => RELAXED,
        Simd::Baseline => BASELINE,
    }
}

/// The engine without a model, as a component: what every compiled model holds.
pub fn component(simd: Simd) -> Result<Vec<u8>, CompileError> {
    component::encode(module(simd))
}
