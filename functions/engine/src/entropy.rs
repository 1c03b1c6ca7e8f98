//! Where random numbers would come from: nowhere.
//!
//! tract links `rand` for the operators that draw random numbers. An instance has no source of entropy, so an operator
//! that carries no seed of its own fails, and it does so when the model is compiled, since compiling runs it once.

/// Called by the crate `getrandom`, which this symbol's name is fixed by.
///
/// # Safety
///
/// None is needed: neither argument is used.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(_destination: *mut u8, _length: usize) -> Result<(), getrandom::Error> {
    Err(getrandom::Error::UNSUPPORTED)
}
