//! How a runtime is set up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use samara_nn::Registry;
use wasmtime::{Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::CodeCache;

/// How a runtime is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// What an inference may use.
    pub limits: Limits,
    /// Where machine code is kept between processes; absent for no cache.
    pub cache_directory: Option<PathBuf>,
    /// Bytes of machine code in the cache. When some is written and there is more, that goes which was loaded least recently.
    pub cache_budget_bytes: u64,
    /// How much of the memory that an inference wrote its slot may keep, in bytes. What is kept is restored by copying
    /// when the instance is dropped and costs the next instance no page fault; the rest is given back to the system.
    pub keep_resident_bytes: usize,
    /// The graphs that the host runs.
    pub graphs: Arc<Registry>,
}

/// What an inference may use.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of linear memory that an instance may grow to, the model in it included. At most 4 GiB.
    pub memory_bytes: usize,
    /// How long an inference may take.
    pub deadline: Duration,
    /// Instances that exist at the same time, over all models.
    pub instances: u32,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Config {
            limits: Limits::default(),
            cache_directory: Config::default_cache_directory(),
            cache_budget_bytes: Config::CACHE_BUDGET_MIB << 20,
            keep_resident_bytes: 32 << 20,
            graphs: Arc::default(),
        }
    }
}

impl Config {
    /// What the cache may take, in MiB, where nothing else is said.
    pub const CACHE_BUDGET_MIB: u64 = 8192;

    /// The cache directory of the user who runs the process: `$SAMARA_CACHE_DIR`, `$XDG_CACHE_HOME/samara` or
    /// `$HOME/.cache/samara`, the first that is set.
    pub fn default_cache_directory() -> Option<PathBuf> {
        let set = |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("SAMARA_CACHE_DIR")
            .or_else(|| Some(set("XDG_CACHE_HOME")?.join("samara")))
            .or_else(|| Some(set("HOME")?.join(".cache").join("samara")))
    }

    /// The code cache in the directory that is set. One that cannot be used costs time and nothing else, and is told in
    /// the log.
    pub fn open_cache(&self) -> Option<CodeCache> {
        match CodeCache::open(self.cache_directory.as_deref()?, self.cache_budget_bytes) {
            Ok(cache) => Some(cache),
            Err(error) => {
                tracing::warn!(%error, "machine code is not cached");
                None
            }
        }
    }

    /// Wasmtime's settings that decide about the machine code; the same wherever Samara compiles.
    pub fn code_generation() -> wasmtime::Config {
        let mut config = wasmtime::Config::new();
        config
            .cranelift_opt_level(OptLevel::Speed)
            // Fused multiply-add must be one instruction, or the relaxed instructions would gain nothing.
            .relaxed_simd_deterministic(false)
            .wasm_relaxed_simd(true)
            .epoch_interruption(true)
            // Traps tell what happened, not where: the guest has no names to show.
            .generate_address_map(false)
            .wasm_backtrace_max_frames(None)
            // An image is mapped copy-on-write however sparse it is. The alternative, copying it into every instance,
            // costs more than its holes do.
            .memory_init_cow(true)
            .memory_guaranteed_dense_image_size(u64::from(u32::MAX));
        config
    }

    pub(crate) fn wasmtime(&self) -> wasmtime::Config {
        let instances = self.limits.instances;
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(instances)
            // A component is the engine and the two small modules that link it to its imports.
            .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
            .max_core_instances_per_component(CORE_INSTANCES)
            .total_memories(instances)
            .max_memories_per_component(1)
            .total_tables(instances.saturating_mul(TABLES))
            .max_tables_per_component(TABLES)
            .table_elements(TABLE_ELEMENTS)
            .max_memory_size(MEMORY_BYTES)
            .max_component_instance_size(1 << 20)
            .max_core_instance_size(4 << 20)
            .linear_memory_keep_resident(self.keep_resident_bytes)
            .table_keep_resident(TABLE_ELEMENTS * size_of::<usize>())
            // Only pages that were written are reset, where the kernel can tell which (Linux 6.7).
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::code_generation();
        config
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
            // A model's calls are synchronous: no store needs what asynchronous ones do.
            .concurrency_support(false);
        config
    }
}

/// What a slot has room for.
pub(crate) const MEMORY_BYTES: usize = 1 << 32;
const CORE_INSTANCES: u32 = 4;
const TABLES: u32 = 2;
const TABLE_ELEMENTS: usize = 32 << 10;

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Limits { memory_bytes: 1 << 30, deadline: Duration::from_secs(10), instances: 64 }
    }
}
