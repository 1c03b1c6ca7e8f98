//! Finds out which rten this is built with.

fn main() {
    println!("cargo::rerun-if-changed=Cargo.lock");
    let lock = std::fs::read_to_string("Cargo.lock").unwrap_or_default();
    let version = lock.split_once("name = \"rten\"\nversion = \"").and_then(|(_, rest)| rest.split_once('"'));
    println!("cargo::rustc-env=RTEN_VERSION={}", version.map_or("of unknown version", |(version, _)| version));
}
