//! The pages that a request writes to: what a fresh instance costs beside the inference itself.
//!
//! Each of them is the instance's own from the first write on, and is put back to what it was when the instance is dropped.
//! The kernel tells which pages those are: <https://docs.kernel.org/admin-guide/mm/pagemap.html>. A page of the image that
//! was only read is still the file's, and one that was never written holds the page of zeros that all processes share.

use std::io;

use samara_artifact::MODEL_INTERFACE;
use samara_protocol::InputTensor;
use serde::Serialize;
use wasmtime::component::InstancePre;

use crate::abi::Served;
use crate::config::MEMORY_BYTES;
use crate::guest::{self, Guest};
use crate::instance::{explain, parameters};
use crate::slots::{self, Metadata};
use crate::{Cancellation, InferError, Runtime, Watch};

/// The pages of its memory that a request writes to, in an instance of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DirtyPages {
    /// How many.
    #[serde(rename = "dirty_pages")]
    pub pages: u64,
    /// In how many runs of pages that lie side by side. Of up to 32, a slot keeps the pages for the next request.
    #[serde(rename = "dirty_runs")]
    pub runs: u64,
    /// Their size, in bytes.
    #[serde(rename = "dirty_bytes")]
    pub bytes: u64,
}

/// Runs the model once in a slot that nobody has written to. None where the system does not tell pages.
pub(crate) fn measure(
    runtime: &Runtime,
    component: &InstancePre<Guest>,
    inputs: &[InputTensor<'_>],
) -> Result<Option<DirtyPages>, InferError> {
    let shared = &runtime.shared;
    // The next instance finds a slot that keeps nothing.
    slots::give_back(shared, component);
    let mut store = guest::store(&shared.engine, &shared.limits, &shared.graphs);
    store.set_epoch_deadline(1);
    let deadline = shared.limits.deadline;
    store.data_mut().watch = Watch::new(deadline, &Cancellation::default());
    store.data_mut().set_deadline(deadline);
    let mut run = || {
        let _running = shared.ticker.running();
        let instance = component.instantiate(&mut store)?;
        let served = Served::new(&mut store, &instance)?;
        let answer = served.samara_inference_model().call_infer(&mut store, &parameters(inputs), &[])?;
        // The memory that this takes is what the inference has used before.
        let interface = instance.get_export_index(&mut store, None, MODEL_INTERFACE);
        let metadata = instance.get_export_index(&mut store, interface.as_ref(), "metadata");
        let metadata = metadata.ok_or_else(|| wasmtime::format_err!("it tells no metadata"))?;
        let metadata = instance.get_typed_func::<(), (Metadata,)>(&mut store, &metadata)?;
        let (Metadata { name: memory, .. },) = metadata.call(&mut store, ())?;
        wasmtime::Result::Ok((answer, memory))
    };
    let (answer, memory) = run().map_err(|error| explain(&error, &store, runtime, deadline))?;
    answer.map_err(|error| InferError::Failed(format!("{error:?}")))?;
    Ok(count(memory.0, MEMORY_BYTES).ok())
}

/// The pages of this process that are its own and nobody else's, from an address on.
#[cfg(target_os = "linux")]
fn count(address: usize, length: usize) -> io::Result<DirtyPages> {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    /// What the kernel tells of a page: whether it is in memory, a file's, and mapped here alone.
    const PRESENT: u64 = 1 << 63;
    const FILE: u64 = 1 << 61;
    const EXCLUSIVE: u64 = 1 << 56;
    let page = slots::page_bytes();
    let pagemap = File::open("/proc/self/pagemap")?;
    let mut dirty = DirtyPages::default();
    let mut was_dirty = false;
    let mut buffer = vec![0; 8 << 15];
    let (first, last) = (address / page, (address + length) / page);
    let mut at = first;
    while at < last {
        let wanted = (8 * (last - at)).min(buffer.len());
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        pagemap.read_exact_at(part, 8 * at as u64)?;
        for entry in part.as_chunks::<8>().0 {
            let is_dirty = u64::from_ne_bytes(*entry) & (PRESENT | FILE | EXCLUSIVE) == PRESENT | EXCLUSIVE;
            dirty.pages += u64::from(is_dirty);
            dirty.runs += u64::from(is_dirty && !was_dirty);
            was_dirty = is_dirty;
        }
        at += wanted / 8;
    }
    dirty.bytes = dirty.pages * page as u64;
    Ok(dirty)
}

#[cfg(not(target_os = "linux"))]
fn count(_address: usize, _length: usize) -> io::Result<DirtyPages> {
    Err(io::ErrorKind::Unsupported.into())
}
