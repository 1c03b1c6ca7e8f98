//! A compiled model as a file: a WASI component with a manifest in it.
//!
//! [`Manifest`] is what a component tells about its model without being run; [`Signature`] is what a function says that its
//! model must take and give; [`Inspection`] is what can be seen of any
//! component from outside: imports, exports, size by part, and the memory image that an instance starts from. [`served`] is what a
//! host compiles of it that calls the model itself.

#![forbid(unsafe_code)]

mod inspection;
mod manifest;
mod served;
mod signature;
mod tune;

pub use inspection::{InspectError, Inspection, MemoryImage, Part, core_module};
pub use manifest::{Cost, MANIFEST_SECTION, Manifest, ManifestError, NnGraph, Simd, Source};
pub use served::{MODEL_INTERFACE, ServedError, served};
pub use signature::{FUNCTION_SECTION, Signature, SignatureError};
pub use tune::Tune;
