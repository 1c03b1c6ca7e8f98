//! How Wasmtime is set up for handlers.

use samara_runtime::Config;
use wasmtime::{Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Memories of a component: one for the function, one for each model that is linked in, and some for what a language's
/// own tools bring.
const MEMORIES: u32 = 8;
/// Core instances of a component: the modules that are linked together, and small ones that link them.
const CORE_INSTANCES: u32 = 32;
const TABLES: u32 = 32;
const TABLE_ELEMENTS: usize = 64 << 10;

pub fn wasmtime(config: &Config) -> wasmtime::Config {
    let instances = config.limits.instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .total_memories(instances.saturating_mul(2))
        .max_memories_per_component(MEMORIES)
        .total_tables(instances.saturating_mul(4))
        .max_tables_per_component(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .total_stacks(instances.saturating_mul(2))
        .max_memory_size(1 << 32)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(4 << 20)
        .linear_memory_keep_resident(config.keep_resident_bytes)
        .pagemap_scan(Enabled::Auto);
    let mut wasmtime = Config::code_generation();
    wasmtime.wasm_component_model_async(true).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    wasmtime
}
