//! Tensors of the protocol as tract's, and back.

use samara_protocol::Datatype;
use tract_nnef::internal::*;

/// The datum type that stands for `datatype`.
fn datum_type(datatype: Datatype) -> DatumType {
    match datatype {
        Datatype::Bool => DatumType::Bool,
        Datatype::Uint8 => DatumType::U8,
        Datatype::Uint16 => DatumType::U16,
        Datatype::Uint32 => DatumType::U32,
        Datatype::Uint64 => DatumType::U64,
        Datatype::Int8 => DatumType::I8,
        Datatype::Int16 => DatumType::I16,
        Datatype::Int32 => DatumType::I32,
        Datatype::Int64 => DatumType::I64,
        Datatype::Fp16 => DatumType::F16,
        Datatype::Fp32 => DatumType::F32,
        Datatype::Fp64 => DatumType::F64,
        Datatype::Bytes => DatumType::String,
    }
}

/// The type in which a value of `datum_type` crosses the component's boundary: dimensions are 64-bit integers there, and
/// quantized numbers what they are stored as.
pub fn wire_type(datum_type: DatumType) -> DatumType {
    if datum_type.is_tdim() { DatumType::I64 } else { datum_type.unquantized() }
}

/// The datatype of a value of `datum_type`, where the protocol has one.
pub fn datatype(datum_type: DatumType) -> Option<Datatype> {
    let wire = wire_type(datum_type);
    Datatype::ALL.into_iter().find(|&datatype| self::datum_type(datatype) == wire)
}

/// A tensor with these elements. The caller has checked that the data fits the shape.
pub fn from_bytes(datatype: Datatype, shape: &[u64], data: &[u8]) -> TractResult<Tensor> {
    let shape: TVec<usize> = shape.iter().map(|&extent| usize::try_from(extent)).collect::<Result<_, _>>()?;
    if datatype == Datatype::Bytes {
        let elements = samara_protocol::bytes_elements(data)
            .map(|element| Ok(String::from_utf8(element?.to_vec())?))
            .collect::<TractResult<Vec<String>>>()?;
        return tensor1(&elements).into_shape(&shape);
    }
    let datum_type = datum_type(datatype);
    // SAFETY: the elements are no pointers, and the caller has checked that booleans are 0 or 1.
    unsafe { Tensor::from_raw_dt(datum_type, &shape, data) }
}

/// The bytes of each item of a batch, which lie one after the other. There is at least one.
pub fn items<'a>(datatype: Datatype, shape: &[u64], data: &'a [u8]) -> TractResult<Vec<&'a [u8]>> {
    let items = shape[0] as usize;
    if datatype != Datatype::Bytes {
        let size = data.len() / items;
        return Ok((0..items).map(|item| &data[item * size..(item + 1) * size]).collect());
    }
    let elements = shape[1..].iter().product::<u64>() as usize;
    let mut all = samara_protocol::bytes_elements(data);
    let mut rest = data;
    (0..items)
        .map(|_| {
            let mut size = 0;
            for element in all.by_ref().take(elements) {
                size += 4 + element?.len();
            }
            let (item, others) = rest.split_at_checked(size).context("a string is cut off")?;
            rest = others;
            Ok(item)
        })
        .collect()
}

/// A tensor of zeros, or of empty strings.
pub fn zeros(datum_type: DatumType, shape: &[usize]) -> TractResult<Tensor> {
    if datum_type == DatumType::String {
        let elements = vec![String::new(); shape.iter().product()];
        tensor1(&elements).into_shape(shape)
    } else {
        Tensor::zero_dt(datum_type, shape)
    }
}

/// The extents and bytes of `tensor`, in its wire type.
pub fn into_bytes(tensor: &Tensor) -> TractResult<(Datatype, Vec<u64>, Vec<u8>)> {
    let datatype = datatype(tensor.datum_type())
        .with_context(|| format!("the protocol has no datatype for {:?}", tensor.datum_type()))?;
    let shape = tensor.shape().iter().map(|&extent| extent as u64).collect();
    if datatype == Datatype::Bytes {
        let plain = tensor.try_as_plain_ram()?;
        let mut data = Vec::new();
        for element in plain.as_slice::<String>()? {
            samara_protocol::push_bytes_element(&mut data, element.as_bytes());
        }
        return Ok((datatype, shape, data));
    }
    let wire = tensor.cast_to_dt(wire_type(tensor.datum_type()))?;
    Ok((datatype, shape, wire.try_as_plain_ram()?.as_bytes().to_vec()))
}
