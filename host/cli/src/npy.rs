//! Tensors in NumPy's file format.
//!
//! Source: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use half::f16;
use npyz::{DType, Deserialize, NpyFile, Order, TypeChar, WriterBuilder};
use samara_protocol::{Datatype, OutputTensor};

/// A tensor out of a file.
pub struct Tensor {
    pub datatype: Datatype,
    pub shape: Vec<u64>,
    /// As the protocol has it: little-endian, row-major.
    pub data: Vec<u8>,
}

/// Reads the tensor in the file at `path`.
pub fn read(path: &Path) -> Result<Tensor> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    read_from(BufReader::new(file)).with_context(|| format!("{} is not a usable .npy file", path.display()))
}

fn read_from(reader: impl std::io::Read) -> Result<Tensor> {
    let npy = NpyFile::new(reader)?;
    if npy.order() == Order::Fortran && npy.shape().iter().filter(|&&size| size > 1).count() > 1 {
        bail!("it is in column-major (Fortran) order; save numpy.ascontiguousarray(a) instead");
    }
    let shape = npy.shape().to_vec();
    let DType::Plain(element) = npy.dtype() else { bail!("its elements have fields; plain numbers were expected") };
    let (datatype, data) = match (element.type_char(), element.size_field()) {
        (TypeChar::Bool, _) => (Datatype::Bool, npy.into_vec::<bool>()?.into_iter().map(u8::from).collect()),
        (TypeChar::Uint, 1) => (Datatype::Uint8, npy.into_vec::<u8>()?),
        (TypeChar::Uint, 2) => (Datatype::Uint16, numbers(npy, u16::to_le_bytes)?),
        (TypeChar::Uint, 4) => (Datatype::Uint32, numbers(npy, u32::to_le_bytes)?),
        (TypeChar::Uint, 8) => (Datatype::Uint64, numbers(npy, u64::to_le_bytes)?),
        (TypeChar::Int, 1) => (Datatype::Int8, numbers(npy, i8::to_le_bytes)?),
        (TypeChar::Int, 2) => (Datatype::Int16, numbers(npy, i16::to_le_bytes)?),
        (TypeChar::Int, 4) => (Datatype::Int32, numbers(npy, i32::to_le_bytes)?),
        (TypeChar::Int, 8) => (Datatype::Int64, numbers(npy, i64::to_le_bytes)?),
        (TypeChar::Float, 2) => (Datatype::Fp16, numbers(npy, f16::to_le_bytes)?),
        (TypeChar::Float, 4) => (Datatype::Fp32, numbers(npy, f32::to_le_bytes)?),
        (TypeChar::Float, 8) => (Datatype::Fp64, numbers(npy, f64::to_le_bytes)?),
        (TypeChar::ByteStr, _) => (Datatype::Bytes, strings(npy.into_vec::<Vec<u8>>()?)),
        (TypeChar::UnicodeStr, _) => (Datatype::Bytes, strings(npy.into_vec::<String>()?)),
        _ => bail!("its elements have the type {}, which the inference protocol does not have", element),
    };
    Ok(Tensor { datatype, shape, data })
}

fn numbers<T: Deserialize, const N: usize>(
    npy: NpyFile<impl std::io::Read>,
    to_bytes: impl Fn(T) -> [u8; N],
) -> Result<Vec<u8>> {
    Ok(npy.into_vec::<T>()?.into_iter().flat_map(to_bytes).collect())
}

/// Strings as the protocol has them, without the zeros that NumPy fills them up with.
fn strings<T: AsRef<[u8]>>(elements: Vec<T>) -> Vec<u8> {
    let mut data = Vec::new();
    for element in &elements {
        let bytes = element.as_ref();
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        samara_protocol::push_bytes_element(&mut data, &bytes[..end]);
    }
    data
}

/// Writes a tensor into the file at `path`, whole or not at all.
pub fn write(path: &Path, tensor: &OutputTensor<'_>) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".samara-").tempfile_in(directory).with_context(failed)?;
    write_to(BufWriter::new(file.as_file_mut()), tensor).with_context(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).with_context(failed)?;
    }
    file.persist(path).with_context(failed)?;
    Ok(())
}

fn write_to(mut out: impl Write, tensor: &OutputTensor<'_>) -> Result<()> {
    let data = &tensor.data;
    match tensor.datatype {
        Datatype::Bool => items(&mut out, tensor, data.iter().map(|&byte| byte != 0)),
        Datatype::Uint8 => items(&mut out, tensor, data.iter().copied()),
        Datatype::Uint16 => items(&mut out, tensor, chunks(data).map(u16::from_le_bytes)),
        Datatype::Uint32 => items(&mut out, tensor, chunks(data).map(u32::from_le_bytes)),
        Datatype::Uint64 => items(&mut out, tensor, chunks(data).map(u64::from_le_bytes)),
        Datatype::Int8 => items(&mut out, tensor, chunks(data).map(i8::from_le_bytes)),
        Datatype::Int16 => items(&mut out, tensor, chunks(data).map(i16::from_le_bytes)),
        Datatype::Int32 => items(&mut out, tensor, chunks(data).map(i32::from_le_bytes)),
        Datatype::Int64 => items(&mut out, tensor, chunks(data).map(i64::from_le_bytes)),
        Datatype::Fp16 => items(&mut out, tensor, chunks(data).map(f16::from_le_bytes)),
        Datatype::Fp32 => items(&mut out, tensor, chunks(data).map(f32::from_le_bytes)),
        Datatype::Fp64 => items(&mut out, tensor, chunks(data).map(f64::from_le_bytes)),
        Datatype::Bytes => {
            let elements = samara_protocol::bytes_elements(data).collect::<Result<Vec<_>, _>>()?;
            let longest = elements.iter().map(|element| element.len()).max().unwrap_or(0).max(1);
            let element = format!("|S{longest}").parse().map_err(|error| anyhow::anyhow!("{error}"))?;
            let mut writer = npyz::WriteOptions::new()
                .dtype(DType::Plain(element))
                .shape(&tensor.shape)
                .writer(&mut out)
                .begin_nd()?;
            for element in elements {
                writer.push(element)?;
            }
            Ok(writer.finish()?)
        }
    }?;
    out.flush()?;
    Ok(())
}

fn items<T: npyz::AutoSerialize>(
    out: &mut impl Write,
    tensor: &OutputTensor<'_>,
    items: impl Iterator<Item = T>,
) -> Result<()> {
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&tensor.shape).writer(out).begin_nd()?;
    writer.extend(items)?;
    Ok(writer.finish()?)
}

fn chunks<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.as_chunks::<N>().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(datatype: Datatype, shape: Vec<u64>, data: Vec<u8>) {
        let mut file = Vec::new();
        let tensor =
            OutputTensor { name: "t".into(), datatype, shape: shape.clone().into(), data: data.clone().into() };
        write_to(&mut file, &tensor).expect("written");
        let read = read_from(file.as_slice()).expect("read");
        assert_eq!((read.datatype, read.shape, read.data), (datatype, shape, data));
    }

    #[test]
    fn every_datatype_survives_a_file() {
        for datatype in Datatype::ALL {
            let data = match datatype {
                Datatype::Bool => vec![0, 1, 1, 0],
                Datatype::Bytes => strings(vec!["a", "", "ccc", "dd"]),
                _ => (0..4 * datatype.size().unwrap_or(0)).map(|byte| byte as u8).collect(),
            };
            round_trip(datatype, vec![2, 2], data);
        }
        round_trip(Datatype::Fp32, vec![], 1.5_f32.to_le_bytes().to_vec());
        round_trip(Datatype::Fp32, vec![0, 3], vec![]);
    }

    #[test]
    fn what_is_no_npy_file_is_refused() {
        assert!(read_from(&b"no numpy"[..]).is_err());
        assert!(read_from(&b""[..]).is_err());
    }
}
