//! Where random numbers would come from: nowhere.

/// Called by the crate `getrandom`, which this symbol's name is fixed by.
///
/// # Safety
///
/// None is needed: neither argument is used.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(_destination: *mut u8, _length: usize) -> Result<(), getrandom::Error> {
    Err(getrandom::Error::UNSUPPORTED)
}
