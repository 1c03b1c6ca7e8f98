//! Tensors in NumPy's files.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use ndarray_npy::npy::header::{Header, Layout};

use crate::tensor::Tensor;

/// The protocol's datatypes with NumPy's descriptors.
const DESCRIPTORS: [(&str, &str); 12] = [
    ("BOOL", "'|b1'"),
    ("UINT8", "'|u1'"),
    ("UINT16", "'<u2'"),
    ("UINT32", "'<u4'"),
    ("UINT64", "'<u8'"),
    ("INT8", "'|i1'"),
    ("INT16", "'<i2'"),
    ("INT32", "'<i4'"),
    ("INT64", "'<i8'"),
    ("FP16", "'<f2'"),
    ("FP32", "'<f4'"),
    ("FP64", "'<f8'"),
];

/// Reads a file as a tensor of that name.
#[must_use]
#[track_caller]
pub fn read(path: &Path, name: &str) -> Tensor {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader = BufReader::new(file);
    let header = Header::from_reader(&mut reader).unwrap();
    assert_eq!(header.layout, Layout::Standard, "{}", path.display());
    let descriptor = header.type_descriptor.to_string();
    let (datatype, _) = DESCRIPTORS
        .into_iter()
        .find(|(_, known)| *known == descriptor)
        .unwrap_or_else(|| panic!("{}: elements {descriptor}", path.display()));
    let mut data = Vec::new();
    reader.read_to_end(&mut data).unwrap();
    let shape: Vec<u64> = header.shape.iter().map(|&size| size as u64).collect();
    Tensor::new(name, datatype, &shape, data)
}

/// Writes a tensor's elements.
pub fn write(path: &Path, tensor: &Tensor) {
    let (_, descriptor) = DESCRIPTORS.into_iter().find(|(datatype, _)| *datatype == tensor.datatype).unwrap();
    let header = Header {
        type_descriptor: descriptor.parse().unwrap(),
        layout: Layout::Standard,
        shape: tensor.shape.iter().map(|&size| usize::try_from(size).unwrap()).collect(),
    };
    let mut file = File::create(path).unwrap();
    header.write(&mut file).unwrap();
    file.write_all(&tensor.data).unwrap();
}
