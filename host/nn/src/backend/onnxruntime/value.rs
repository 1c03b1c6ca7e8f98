//! Tensors as ONNX Runtime has them: those that go in borrow a guest's data, those that come out lend theirs.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use bytes::Bytes;
use ort::memory::MemoryInfo;
use ort::sys::{ONNXTensorElementDataType as Element, OrtValue};
use ort::value::TensorElementType;
use ort::{AsPointer, ErrorCode};
use samara_protocol::{Datatype, bytes_elements, push_bytes_element};

use super::Graph;
use crate::Tensor;

/// ONNX Runtime's `ONNX_TYPE_TENSOR`.
const TYPE_TENSOR: i32 = 1;

/// A value of ONNX Runtime's, which may borrow its data.
pub struct Value<'a> {
    value: NonNull<OrtValue>,
    _data: PhantomData<&'a [u8]>,
}

/// The elements of an output.
struct Elements {
    data: NonNull<u8>,
    length: usize,
    /// What they belong to.
    _value: Value<'static>,
    /// Whose allocator the value is of.
    _graph: Arc<Graph>,
}

/// Data that starts where its elements may start.
pub enum Aligned<'a> {
    Borrowed(&'a [u8]),
    Copied(Vec<u64>),
}

// === impl Aligned ===

impl<'a> Aligned<'a> {
    pub fn new(data: &'a [u8]) -> Aligned<'a> {
        if data.as_ptr().cast::<u64>().is_aligned() {
            return Aligned::Borrowed(data);
        }
        let word = |chunk: &[u8]| {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            u64::from_ne_bytes(word)
        };
        Aligned::Copied(data.chunks(8).map(word).collect())
    }

    fn as_ptr(&self) -> *const u8 {
        match self {
            Aligned::Borrowed(data) => data.as_ptr(),
            Aligned::Copied(words) => words.as_ptr().cast(),
        }
    }

    /// Whether an address is one of the data's.
    pub fn contains(&self, address: *const u8) -> bool {
        match self {
            Aligned::Borrowed(data) => data.as_ptr_range().contains(&address),
            Aligned::Copied(words) => words.as_ptr_range().contains(&address.cast()),
        }
    }
}

// === impl Value ===

impl<'a> Value<'a> {
    /// A tensor over data that stays where it is. `length` is the data's, and has been checked against the shape.
    pub fn borrowing(
        memory: &MemoryInfo<'_>,
        datatype: Datatype,
        shape: &[u64],
        data: &'a Aligned<'a>,
        length: usize,
    ) -> Result<Value<'a>, ort::Error> {
        let shape = signed(shape)?;
        let mut value = ptr::null_mut();
        // SAFETY: `data` has `length` bytes from an address that suits every datatype, and outlives the value, as `'a`
        // says. ONNX Runtime does not write to the inputs of a run. `shape` has as many entries as is said.
        let status = unsafe {
            (ort::api().CreateTensorWithDataAsOrtValue)(
                memory.ptr(),
                data.as_ptr().cast_mut().cast(),
                length,
                shape.as_ptr(),
                shape.len(),
                element(datatype),
                &mut value,
            )
        };
        check(status)?;
        Value::owning(value).ok_or_else(|| ort::Error::new("no value was made"))
    }

    /// A tensor of strings, copied.
    pub fn of_strings(tensor: &Tensor) -> Result<Value<'a>, ort::Error> {
        let shape = signed(&tensor.shape)?;
        let mut allocator = ptr::null_mut();
        // SAFETY: It writes a pointer to an allocator that is never freed.
        let status = unsafe { (ort::api().GetAllocatorWithDefaultOptions)(&mut allocator) };
        check(status)?;
        let mut value = ptr::null_mut();
        // SAFETY: `shape` has as many entries as is said; the tensor is made with empty strings in it.
        let status = unsafe {
            let strings = Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING;
            (ort::api().CreateTensorAsOrtValue)(allocator, shape.as_ptr(), shape.len(), strings, &mut value)
        };
        check(status)?;
        let value = Value::owning(value).ok_or_else(|| ort::Error::new("no value was made"))?;
        for (index, element) in bytes_elements(&tensor.data).enumerate() {
            let element = element.map_err(|error| ort::Error::new(error.to_string()))?;
            let mut buffer = ptr::null_mut();
            // SAFETY: The value is a tensor of strings, of which no other thread knows; an index that it does not have is
            // an error, not a fault.
            let status = unsafe {
                (ort::api().GetResizedStringTensorElementBuffer)(
                    value.value.as_ptr(),
                    index,
                    element.len(),
                    &mut buffer,
                )
            };
            check(status)?;
            if !element.is_empty() && !buffer.is_null() {
                // SAFETY: The buffer is the string's own, which has just been given this length.
                unsafe { ptr::copy_nonoverlapping(element.as_ptr(), buffer.cast::<u8>(), element.len()) };
            }
        }
        Ok(value)
    }

    /// The value itself, as long as this lives.
    pub fn as_ptr(&self) -> *const OrtValue {
        self.value.as_ptr().cast_const()
    }

    /// A value that is to be released.
    pub fn owning(value: *mut OrtValue) -> Option<Value<'a>> {
        NonNull::new(value).map(|value| Value { value, _data: PhantomData })
    }
}

impl Value<'static> {
    /// Takes a tensor that is in the host's memory.
    pub fn into_tensor(self, graph: &Arc<Graph>) -> Result<Tensor, ort::Error> {
        let mut kind = 0_i32;
        // SAFETY: The value lives. The kind is 32 bits wide, of which any may be written.
        let status = unsafe { (ort::api().GetValueType)(self.value.as_ptr(), ptr::from_mut(&mut kind).cast()) };
        check(status)?;
        if kind != TYPE_TENSOR {
            return Err(ort::Error::new("an output is no tensor"));
        }
        let (datatype, shape) = self.datatype_and_shape()?;
        let count = samara_protocol::element_count(&shape).and_then(|count| usize::try_from(count).ok());
        let too_large = || ort::Error::new("an output is larger than memory");
        let count = count.ok_or_else(too_large)?;
        let data = match datatype.size() {
            Some(size) => self.into_bytes(graph, count.checked_mul(size).ok_or_else(too_large)?)?,
            None => self.read_strings(count)?.into(),
        };
        Ok(Tensor { datatype, shape, data })
    }

    fn datatype_and_shape(&self) -> Result<(Datatype, Vec<u64>), ort::Error> {
        let mut info = ptr::null_mut();
        // SAFETY: The value is a tensor and lives; what is written is released below.
        let status = unsafe { (ort::api().GetTensorTypeAndShape)(self.value.as_ptr(), &mut info) };
        check(status)?;
        let mut element = 0_i32;
        let mut rank = 0;
        let mut shape = Vec::new();
        // SAFETY: `info` lives until it is released, after its last use. The element's type is 32 bits wide, of which any
        // may be written; `shape` has room for as many sizes as is said.
        let result = unsafe {
            let result = check((ort::api().GetTensorElementType)(info, ptr::from_mut(&mut element).cast()))
                .and_then(|()| check((ort::api().GetDimensionsCount)(info, &mut rank)))
                .and_then(|()| {
                    shape = vec![0_i64; rank];
                    check((ort::api().GetDimensions)(info, shape.as_mut_ptr(), rank))
                });
            (ort::api().ReleaseTensorTypeAndShapeInfo)(info);
            result
        };
        result?;
        let datatype = Datatype::ALL
            .into_iter()
            .find(|&datatype| self::element(datatype) as i32 == element)
            .ok_or_else(|| ort::Error::new(format!("an output has elements of ONNX type {element}")))?;
        let shape = shape.into_iter().map(u64::try_from).collect::<Result<_, _>>();
        Ok((datatype, shape.map_err(|_| ort::Error::new("an output has a negative size"))?))
    }

    /// The elements where they are; the value is released with the last of them.
    fn into_bytes(self, graph: &Arc<Graph>, length: usize) -> Result<Bytes, ort::Error> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let mut data = ptr::null_mut();
        // SAFETY: The value is a tensor and lives; what is written points into it.
        let status = unsafe { (ort::api().GetTensorMutableData)(self.value.as_ptr(), &mut data) };
        check(status)?;
        let data = NonNull::new(data.cast::<u8>()).ok_or_else(|| ort::Error::new("an output has no data"))?;
        Ok(Bytes::from_owner(Elements { data, length, _value: self, _graph: Arc::clone(graph) }))
    }

    fn read_strings(&self, count: usize) -> Result<Vec<u8>, ort::Error> {
        let mut length = 0;
        // SAFETY: The value is a tensor of strings and lives.
        let status = unsafe { (ort::api().GetStringTensorDataLength)(self.value.as_ptr(), &mut length) };
        check(status)?;
        let mut content = vec![0_u8; length];
        let mut offsets = vec![0_usize; count];
        // SAFETY: There is room for as many bytes and offsets as is said; other numbers than the tensor's are an error.
        let status = unsafe {
            (ort::api().GetStringTensorContent)(
                self.value.as_ptr(),
                content.as_mut_ptr().cast(),
                length,
                offsets.as_mut_ptr(),
                count,
            )
        };
        check(status)?;
        let ends = offsets.iter().skip(1).copied().chain([length]);
        let mut data = Vec::with_capacity(length + 4 * count);
        for (&start, end) in offsets.iter().zip(ends) {
            let element = content.get(start..end).ok_or_else(|| ort::Error::new("an output has broken strings"))?;
            push_bytes_element(&mut data, element);
        }
        Ok(data)
    }
}

impl AsRef<[u8]> for Elements {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: A tensor of this shape and datatype, which is not strings, has that many bytes. As no place was given for
        // the outputs of the run, they are in the host's memory, where they stay until the value is released, which is with
        // `self`. Nothing writes to the output of a run that is over.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.length) }
    }
}

// SAFETY: A value may be read and released by any thread: it shares nothing but its allocator, which takes a lock.
unsafe impl Send for Elements {}

impl Drop for Value<'_> {
    fn drop(&mut self) {
        // SAFETY: The value is released once, here, and nothing else has its pointer.
        unsafe { (ort::api().ReleaseValue)(self.value.as_ptr()) };
    }
}

/// What a status says. It is the one that a call has just given, and is used up.
pub fn check(status: ort::sys::OrtStatusPtr) -> Result<(), ort::Error> {
    // SAFETY: As is said above, it is null or a status of which nobody else has the pointer.
    unsafe { ort::Error::result_from_status(status) }
}

fn signed(shape: &[u64]) -> Result<Vec<i64>, ort::Error> {
    let shape = shape.iter().map(|&size| i64::try_from(size)).collect::<Result<_, _>>();
    shape.map_err(|_| ort::Error::new_with_code(ErrorCode::InvalidArgument, "a dimension is too large"))
}

fn element(datatype: Datatype) -> Element {
    match datatype {
        Datatype::Bool => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
        Datatype::Uint8 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        Datatype::Uint16 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16,
        Datatype::Uint32 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32,
        Datatype::Uint64 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64,
        Datatype::Int8 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
        Datatype::Int16 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16,
        Datatype::Int32 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        Datatype::Int64 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
        Datatype::Fp16 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        Datatype::Fp32 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        Datatype::Fp64 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
        Datatype::Bytes => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
    }
}

pub fn datatype(element: TensorElementType) -> Option<Datatype> {
    Some(match element {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Float16 => Datatype::Fp16,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        TensorElementType::String => Datatype::Bytes,
        _ => return None,
    })
}
