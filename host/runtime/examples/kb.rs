//! x
#![allow(clippy::all, unsafe_code, missing_docs)]
use wasmtime::*;
fn main() {
    let mut c = samara_runtime::Config::code_generation();
    let engine = Engine::new(&c).unwrap();
    let path = std::env::args().nth(1).unwrap();
    let only = std::env::args().nth(2).unwrap_or_default();
    let bytes = std::fs::read(&path).unwrap();
    let code = engine.precompile_module(&bytes).unwrap();
    std::fs::write(format!("{path}.cwasm"), &code).unwrap();
    let module = unsafe { Module::deserialize(&engine, &code).unwrap() };
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(1000000);
    let inst = Instance::new(&mut store, &module, &[]).unwrap();
    inst.get_typed_func::<(), ()>(&mut store, "setup").unwrap().call(&mut store, ()).unwrap();
    let mut names: Vec<String> = module
        .exports()
        .map(|e| e.name().to_string())
        .filter(|n| n.starts_with("run_") && (n.contains(&only) || n.contains("_0peak")))
        .collect();
    names.sort();
    let mut best = vec![f64::INFINITY; names.len()];
    let mut ratios: Vec<Vec<f64>> = vec![vec![]; names.len()];
    for _ in 0..std::env::args().nth(3).map_or(300, |x| x.parse().unwrap()) {
        let mut peak = 0.0;
        for (i, n) in names.iter().enumerate() {
            let f = inst.get_typed_func::<i32, f64>(&mut store, n).unwrap();
            let t = std::time::Instant::now();
            let flops = f.call(&mut store, 300).unwrap();
            let ns = t.elapsed().as_secs_f64() * 1e9 / flops;
            if i == 0 {
                peak = ns;
            }
            best[i] = best[i].min(ns);
            ratios[i].push(peak / ns);
        }
    }
    for (i, n) in names.iter().enumerate() {
        ratios[i].sort_by(f64::total_cmp);
        println!(
            "{n:24} best {:.2} GFLOP/s  of peak {:.2}  median {:.2} of 16",
            1.0 / best[i],
            best[0] / best[i] * 16.0,
            ratios[i][ratios[i].len() / 2] * 16.0
        );
    }
}
