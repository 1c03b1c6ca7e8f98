//! Machine code by function, so that what components have in common is compiled once.
//!
//! Two models differ in their data, not in their functions: the engine's. A linked function adds its own to those. So
//! whatever Cranelift makes of a function is kept, under the hash that Cranelift makes of the function, its settings
//! and its own version: <https://docs.rs/cranelift-codegen/latest/cranelift_codegen/incremental_cache/>. All of it is
//! one entry of the code cache, read when something has to be compiled, and checked as any other.
//!
//! Not every function is found again, as Cranelift's hash is not of the function alone: up to version 0.137 at least,
//! `DataFlowGraph::clear` leaves the tables of exceptions there, and Wasmtime compiles in contexts that it clears and uses again.
//! So a function is hashed with the tables of all trampolines that were compiled in its context before, and which these are is up
//! to threads. With two or eight of them, 12 % of the engine's functions have another hash each time. Were they a reason to keep
//! all functions anew, each compilation would write and hash the entry, tens of megabytes, and others would wait for that; so a
//! larger part has to be new. In fresh contexts, as Wasmtime has where it inlines, all are found, for eight times the memory.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use wasmtime::{CacheStore, Engine};

use crate::{CodeCache, CodeKey, Config};

/// Above this, what the compilation at hand did not use is forgotten.
const MAX_BYTES: usize = 96 << 20;

/// Of so many functions that were found, one that was not is no reason to write all of them again.
const FOUND_PER_NEW: usize = 4;

/// The machine code of functions that were compiled before.
#[derive(Clone, Debug)]
pub struct FunctionCache {
    store: Arc<Store>,
    cache: CodeCache,
}

/// What Wasmtime asks and tells while it compiles. Empty at all other times.
#[derive(Default)]
struct Store {
    functions: Mutex<HashMap<Vec<u8>, Function>>,
    /// Held while something is compiled, so that nobody empties the store meanwhile.
    compiling: Mutex<()>,
}

struct Function {
    code: Vec<u8>,
    used: bool,
    new: bool,
}

/// A function, as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    #[serde(borrow, with = "serde_bytes")]
    key: Cow<'a, [u8]>,
    #[serde(borrow, with = "serde_bytes")]
    code: Cow<'a, [u8]>,
}

// === impl FunctionCache ===

impl FunctionCache {
    /// Has an engine with this configuration look functions up in `cache`, while [`FunctionCache::during`] runs.
    pub fn enable(cache: &CodeCache, config: &mut wasmtime::Config) -> wasmtime::Result<FunctionCache> {
        let store = Arc::new(Store::default());
        config.enable_incremental_compilation(Arc::<Store>::clone(&store))?;
        Ok(FunctionCache { store, cache: cache.clone() })
    }

    /// Runs a compilation with all functions that are known, and keeps those that it adds.
    pub fn during<R>(&self, compile: impl FnOnce() -> R) -> R {
        let _compiling = self.store.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        // Settings that concern no function, as those of the pool, do not matter here.
        let Ok(engine) = Engine::new(&Config::code_generation()) else { return compile() };
        let key = CodeKey::of_functions(&engine);
        let known = self.cache.functions(&key).unwrap_or_default();
        *self.store.functions() = read(&known);
        drop(known);
        let result = compile();
        let functions = std::mem::take(&mut *self.store.functions());
        let count = |is: fn(&Function) -> bool| functions.values().filter(|&function| is(function)).count();
        let (new, reused) = (count(|function| function.new), count(|function| function.used && !function.new));
        tracing::debug!(reused, new, "functions compiled");
        if new * FOUND_PER_NEW > reused {
            self.cache.put_functions(&key, &write(&functions));
        }
        result
    }
}

fn read(bytes: &[u8]) -> HashMap<Vec<u8>, Function> {
    let kept: Vec<Kept<'_>> = postcard::from_bytes(bytes).unwrap_or_default();
    kept.into_iter()
        .map(|Kept { key, code }| (key.into_owned(), Function { code: code.into_owned(), used: false, new: false }))
        .collect()
}

fn write(functions: &HashMap<Vec<u8>, Function>) -> Vec<u8> {
    let bytes: usize = functions.iter().map(|(key, function)| key.len() + function.code.len()).sum();
    let kept: Vec<Kept<'_>> = functions
        .iter()
        .filter(|(_, function)| function.used || bytes <= MAX_BYTES)
        .map(|(key, function)| Kept { key: key.into(), code: (&function.code).into() })
        .collect();
    postcard::to_allocvec(&kept).unwrap_or_default()
}

// === impl Store ===

impl Store {
    fn functions(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Function>> {
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheStore for Store {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let mut functions = self.functions();
        let function = functions.get_mut(key)?;
        function.used = true;
        Some(Cow::Owned(function.code.clone()))
    }

    fn insert(&self, key: &[u8], code: Vec<u8>) -> bool {
        self.functions().insert(key.to_owned(), Function { code, used: true, new: true });
        true
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("functions", &self.functions().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// A cache in a directory, and what an engine would find functions in.
    fn open(directory: &tempfile::TempDir) -> FunctionCache {
        let cache = CodeCache::open(directory.path(), u64::MAX).expect("it can be written");
        FunctionCache::enable(&cache, &mut Config::code_generation()).expect("it is supported")
    }

    /// Compiles functions of these keys: how many of them were found.
    fn compile(functions: &FunctionCache, keys: std::ops::Range<u8>) -> usize {
        functions.during(|| {
            let (known, new): (Vec<_>, Vec<_>) = keys.partition(|key| functions.store.get(&[*key]).is_some());
            assert!(new.iter().all(|key| functions.store.insert(&[*key], vec![7; 3])));
            known.len()
        })
    }

    #[test]
    fn what_is_compiled_is_found_by_the_next() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(compile(&open(&directory), 0..100), 0);
        assert_eq!(compile(&open(&directory), 50..150), 50);
        assert_eq!(compile(&open(&directory), 0..150), 150);
    }

    #[test]
    fn a_small_part_that_is_new_is_no_reason_to_write() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(compile(&open(&directory), 0..160), 0);
        assert_eq!(compile(&open(&directory), 0..170), 160, "10 of 160 were new");
        assert_eq!(compile(&open(&directory), 0..190), 160, "30 were");
        assert_eq!(compile(&open(&directory), 0..210), 160, "50 were");
        assert_eq!(compile(&open(&directory), 0..210), 210);
    }

    #[test]
    fn who_writes_is_waited_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let functions = open(&directory);
        assert_eq!(compile(&functions, 0..10), 0);
        let engine = Engine::new(&Config::code_generation()).expect("it is supported");
        let lock = functions.cache.functions_lock(&CodeKey::of_functions(&engine)).expect("a file");
        lock.lock().expect("nobody has it");
        thread::scope(|scope| {
            let waits = scope.spawn(|| compile(&functions, 0..10));
            thread::sleep(Duration::from_millis(50));
            drop(lock);
            assert_eq!(waits.join().expect("it ends"), 10);
        });
    }
}
