//! Has the linker export the function table, into which `samara bench --profile` puts a clock.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-cdylib=--export-table");
}
