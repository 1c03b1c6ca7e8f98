//! Makes a finite-state transducer of `vocab.txt`: from a token's bytes to its number, which is its line.
//!
//! A guest's instance lives for one request. Looking tokens up in a transducer that lies ready in its memory takes no
//! time to set up, where a hash map of 30,522 tokens would be filled for every request.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=vocab.txt");
    let text = fs::read_to_string("vocab.txt")?;
    let mut tokens: Vec<(&str, u64)> = text.lines().zip(0..).collect();
    tokens.sort_unstable();
    let transducer = fst::Map::from_iter(tokens)?;
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&out).join("vocabulary.fst"), transducer.as_fst().as_bytes())?;
    Ok(())
}
