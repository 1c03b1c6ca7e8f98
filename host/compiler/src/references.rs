//! References to the functions that an inference calls through the table, made when an instance is.
//!
//! Wasmtime makes an entry of a function table when it is first used, which takes about 60 ns
//! (<https://docs.wasmtime.dev/api/wasmtime/struct.Config.html#method.table_lazy_init>). The engine has some thousands of them,
//! of which an inference uses a few dozen: these are found out by running the model once while every entry is watched. A
//! start function that reads them has them made with the instance, and so before there is a request.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use wasm_encoder::{CodeSection, Function, FunctionSection, Module, RawSection, StartSection};
use wasmparser::{Parser, Payload, TypeRef};
use wasmtime::{Func, Instance, Ref, Store};

/// The function table's export.
const TABLE: &str = "__indirect_function_table";

/// The entries of an instance's function table that are called while `run` runs, and what that gives. They are watched ever
/// after.
pub fn called<R>(
    store: &mut Store<()>,
    instance: &Instance,
    run: impl FnOnce(&mut Store<()>) -> R,
) -> wasmtime::Result<(R, Vec<u32>)> {
    let called = Arc::new(Mutex::new(BTreeSet::new()));
    watch(store, instance, &called)?;
    let result = run(store);
    let called = called.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((result, called.iter().copied().collect()))
}

/// Replaces each entry by a function that notes its number and calls what was there.
fn watch(store: &mut Store<()>, instance: &Instance, called: &Arc<Mutex<BTreeSet<u32>>>) -> wasmtime::Result<()> {
    let Some(table) = instance.get_table(&mut *store, TABLE) else { return Ok(()) };
    for entry in 0..table.size(&*store) {
        let Some(Ref::Func(Some(function))) = table.get(&mut *store, entry) else { continue };
        let (ty, called) = (function.ty(&*store), Arc::clone(called));
        let number = u32::try_from(entry)?;
        let watched = Func::new(&mut *store, ty, move |mut caller, parameters, results| {
            called.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
            function.call(&mut caller, parameters, results)
        });
        table.set(&mut *store, entry, Ref::Func(Some(watched)))?;
    }
    Ok(())
}

/// Adds a start function to a module that reads these entries of its only table. A module that has one already, or no table
/// of its own, stays as it is.
pub fn made_at_start(module: Vec<u8>, entries: &[u32]) -> wasmparser::Result<Vec<u8>> {
    let changed = if entries.is_empty() { None } else { add_start(&module, entries)? };
    Ok(changed.unwrap_or(module))
}

fn add_start(module: &[u8], entries: &[u32]) -> wasmparser::Result<Option<Vec<u8>>> {
    let mut output = Module::new();
    // The type of a function that takes nothing and gives nothing.
    let mut plain = None;
    let mut functions = 0;
    let (mut started, mut tables) = (false, 0);
    let mut code = CodeSection::new();
    let mut bodies = 0;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match &payload {
            Payload::TypeSection(types) => {
                for (index, ty) in types.clone().into_iter_err_on_gc_types().enumerate() {
                    let ty = ty?;
                    if plain.is_none() && ty.params().is_empty() && ty.results().is_empty() {
                        plain = u32::try_from(index).ok();
                    }
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    functions += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::TableSection(section) => tables = section.count(),
            Payload::StartSection { .. } => return Ok(None),
            _ => (),
        }
        let Some(plain) = plain else {
            copy(&mut output, module, &payload);
            continue;
        };
        match payload {
            Payload::FunctionSection(section) => {
                let mut list = FunctionSection::new();
                for ty in section {
                    list.function(ty?);
                    functions += 1;
                }
                list.function(plain);
                output.section(&list);
            }
            Payload::CodeSectionStart { count, .. } => bodies = count,
            Payload::CodeSectionEntry(body) => {
                code.raw(body.as_bytes());
                if code.len() == bodies {
                    let mut start = Function::new([]);
                    for &entry in entries {
                        start.instructions().i32_const(entry.cast_signed()).table_get(0).drop();
                    }
                    start.instructions().end();
                    code.function(&start);
                    output.section(&code);
                }
            }
            payload => {
                // The start section comes before those of elements, data's count and code.
                if !started && matches!(payload, Payload::ElementSection(_)) {
                    output.section(&StartSection { function_index: functions });
                    started = true;
                }
                copy(&mut output, module, &payload);
            }
        }
    }
    Ok((started && tables == 1).then(|| output.finish()))
}

fn copy(output: &mut Module, module: &[u8], payload: &Payload<'_>) {
    if let Some((id, range)) = payload.as_section() {
        output.section(&RawSection { id, data: module.get(range).unwrap_or_default() });
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Module, TypedFunc};

    use super::*;

    /// Calls the entry that it is told, which gives ten times its number.
    const GUEST: &str = r#"(module
        (type $plain (func))
        (type $number (func (result i32)))
        (import "host" "nothing" (func $nothing))
        (table (export "__indirect_function_table") 4 4 funcref)
        (elem (i32.const 1) $ten $twenty $thirty)
        (func $ten (result i32) i32.const 10)
        (func $twenty (result i32) i32.const 20)
        (func $thirty (result i32) i32.const 30)
        (func (export "call") (param i32) (result i32) local.get 0 call_indirect (type $number)))"#;

    fn guest(module: &[u8]) -> (Store<()>, Instance, TypedFunc<u32, u32>) {
        let engine = Engine::default();
        let module = Module::new(&engine, module).unwrap();
        let mut store = Store::new(&engine, ());
        let nothing = Func::wrap(&mut store, || ());
        let instance = Instance::new(&mut store, &module, &[nothing.into()]).unwrap();
        let call = instance.get_typed_func(&mut store, "call").unwrap();
        (store, instance, call)
    }

    #[test]
    fn what_is_called_is_found_out() {
        let (mut store, instance, call) = guest(&wat::parse_str(GUEST).unwrap());
        let (sum, called) = self::called(&mut store, &instance, |store| {
            [3, 1, 3].map(|entry| call.call(&mut *store, entry).unwrap()).iter().sum::<u32>()
        })
        .unwrap();
        assert_eq!((sum, called), (70, vec![1, 3]));
    }

    #[test]
    fn a_start_function_reads_it_and_changes_nothing_else() {
        let module = wat::parse_str(GUEST).unwrap();
        let started = made_at_start(module.clone(), &[1, 3]).unwrap();
        assert!(
            Parser::new(0).parse_all(&started).any(|part| matches!(part, Ok(Payload::StartSection { func: 5, .. })))
        );
        let (mut store, _, call) = guest(&started);
        assert_eq!([1, 2, 3].map(|entry| call.call(&mut store, entry).unwrap()), [10, 20, 30]);
        assert!(call.call(&mut store, 0).is_err(), "there is an entry where there was none");
        // An entry that does not exist would end the instance before it begins.
        let broken = made_at_start(module, &[4]).unwrap();
        let engine = Engine::default();
        let mut store = Store::new(&engine, ());
        let nothing = Func::wrap(&mut store, || ());
        let outcome = Instance::new(&mut store, &Module::new(&engine, broken).unwrap(), &[nothing.into()]);
        assert!(outcome.is_err(), "the start function does not run");
    }

    #[test]
    fn a_module_with_a_start_of_its_own_stays_as_it_is() {
        let text = GUEST.replace("(type $plain (func))", "(type $plain (func)) (start $nothing)");
        let module = wat::parse_str(text).unwrap();
        assert_eq!(made_at_start(module.clone(), &[1]).unwrap(), module);
        let module = wat::parse_str("(module (func (export \"call\")))").unwrap();
        assert_eq!(made_at_start(module.clone(), &[1]).unwrap(), module);
    }
}
