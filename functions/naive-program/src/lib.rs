//! A function as one writes it without Samara, for `make bench-peers`: it loads its ONNX file in every request.
//!
//! It is a core module that imports nothing. A host copies the model and a request into memory from `allocate`, and
//! `infer` answers. Request and reply are bodies of the [Open Inference Protocol v2] in its binary form.
//!
//! [Open Inference Protocol v2]: https://github.com/kserve/open-inference-protocol

#![cfg(target_arch = "wasm32")]

mod entropy;
mod function;
mod message;

/// Memory for a host to write to: so many bytes, for as long as the instance lives.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(bytes: usize) -> *mut u8 {
    Vec::leak(vec![0; bytes]).as_mut_ptr()
}

/// Runs the ONNX model on a request, of which the first `header` bytes are JSON.
///
/// Gives the address of three numbers of 32 bits, little-endian: the address of the reply, its bytes, and how many of them
/// are JSON. Where that is 0, the reply is a text that says what failed.
///
/// # Safety
///
/// `model` and `request` came from [`allocate`], with as many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn infer(
    model: *const u8,
    model_bytes: usize,
    request: *const u8,
    request_bytes: usize,
    header: usize,
) -> *const [usize; 3] {
    // SAFETY: The caller promises that there are as many bytes.
    let (model, request) =
        unsafe { (std::slice::from_raw_parts(model, model_bytes), std::slice::from_raw_parts(request, request_bytes)) };
    let (body, header) =
        function::answer(model, request, header).unwrap_or_else(|error| (format!("{error:#}").into_bytes(), 0));
    let body = Vec::leak(body);
    Box::leak(Box::new([body.as_ptr() as usize, body.len(), header]))
}
