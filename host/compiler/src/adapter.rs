//! The adapter: the guest that has its host run the model, a core module made by `functions/build.sh`.

static ADAPTER: &[u8] = include_bytes!(env!("SAMARA_NN_ADAPTER"));

/// The adapter, as a core module. It needs no relaxed SIMD.
pub fn module() -> &'static [u8] {
    ADAPTER
}
