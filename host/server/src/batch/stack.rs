//! Tensors of several requests as one, along the first dimension, and back.

use std::borrow::Cow;

use samara_protocol::{
    InferRequest, InputTensor, ModelMetadata, OutputTensor, TensorSpec, bytes_elements, element_count,
};

/// What keeps a model from running in batches: an input or output whose first dimension is not open.
pub fn obstacle(model: &ModelMetadata) -> Option<String> {
    let closed = |spec: &&TensorSpec| spec.shape.first() != Some(&-1);
    let input = model.inputs.iter().find(closed).map(|spec| ("input", spec));
    let (kind, spec) = input.or_else(|| model.outputs.iter().find(closed).map(|spec| ("output", spec)))?;
    let (name, version) = (&spec.name, &model.version);
    Some(format!("{kind} {name:?} of version {version} has the shape {:?}", spec.shape))
}

/// How many items a request holds; `None` where it has to run alone, as its inputs do not have the same number, or none.
pub fn items(request: &InferRequest<'_>) -> Option<u64> {
    let mut sizes = request.inputs.iter().map(|input| input.shape.first().copied());
    let first = sizes.next()?.filter(|items| *items > 0)?;
    sizes.all(|items| items == Some(first)).then_some(first)
}

/// Whether two requests can be stacked: they differ in nothing but data and items, and want the same outputs.
pub fn are_alike(a: &InferRequest<'_>, b: &InferRequest<'_>) -> bool {
    let wanted = |request: &InferRequest<'_>| {
        let mut outputs: Vec<usize> = request.plan.outputs.iter().map(|output| output.index).collect();
        outputs.sort_unstable();
        outputs
    };
    let same = |(a, b): (&InputTensor<'_>, &InputTensor<'_>)| {
        a.name == b.name && a.datatype == b.datatype && a.shape.get(1..) == b.shape.get(1..)
    };
    a.inputs.len() == b.inputs.len() && a.inputs.iter().zip(&b.inputs).all(same) && wanted(a) == wanted(b)
}

/// The most elements that an input would have with so many items like those of a request.
pub fn most_elements(request: &InferRequest<'_>, items: u64) -> u64 {
    let elements = |input: &InputTensor<'_>| {
        let item = input.shape.get(1..).and_then(element_count).unwrap_or(u64::MAX);
        item.saturating_mul(items)
    };
    request.inputs.iter().map(elements).max().unwrap_or(0)
}

/// The inputs of requests that are alike, one after another in one tensor each, and after them as many copies of the last
/// item as are to fill it up; none for strings.
pub fn stack<'a>(requests: &[&InferRequest<'a>], filling: u64) -> Vec<InputTensor<'a>> {
    let Some(first) = requests.first() else { return Vec::new() };
    let stacked = first.inputs.iter().enumerate().map(|(index, model)| {
        let parts = || requests.iter().filter_map(|request| request.inputs.get(index));
        let mut shape = model.shape.clone();
        if let Some(items) = shape.first_mut() {
            *items = parts().filter_map(|part| part.shape.first()).sum::<u64>() + filling;
        }
        let filler = parts().next_back().map_or(&[][..], last_item);
        let copies = usize::try_from(filling).unwrap_or(usize::MAX);
        let length = parts().map(|part| part.data.len()).sum::<usize>();
        let mut data = Vec::with_capacity(length.saturating_add(filler.len().saturating_mul(copies)));
        parts().for_each(|part| data.extend_from_slice(&part.data));
        (0..copies).for_each(|_| data.extend_from_slice(filler));
        InputTensor { name: model.name.clone(), datatype: model.datatype, shape, data: Cow::Owned(data) }
    });
    stacked.collect()
}

/// The bytes of a tensor's last item, which are as many as any other's.
fn last_item<'t>(tensor: &'t InputTensor<'_>) -> &'t [u8] {
    let items = tensor.shape.first().copied().unwrap_or(0).max(1);
    let before = usize::try_from(tensor.data.len() as u64 / items * (items - 1)).unwrap_or(usize::MAX);
    tensor.data.get(before..).unwrap_or(&[])
}

/// What each of some requests gets of the outputs of all, by how many items each has; what belongs to the filling, nobody.
///
/// # Errors
///
/// An output has not one row for each item: the model's first dimension is no batch, though it is open.
pub fn split<'o>(
    outputs: &'o [OutputTensor<'_>],
    items: &[u64],
    filling: u64,
) -> Result<Vec<Vec<OutputTensor<'o>>>, String> {
    let mut parts: Vec<Vec<OutputTensor<'o>>> = items.iter().map(|_| Vec::with_capacity(outputs.len())).collect();
    let total = items.iter().sum::<u64>() + filling;
    for output in outputs {
        let Some((rows, item)) = output.shape.split_first().filter(|(rows, _)| **rows == total) else {
            let (name, shape) = (&output.name, &output.shape);
            return Err(format!("output {name:?} has the shape {shape:?} for {total} items: no row for each"));
        };
        let mut rest = &output.data[..];
        for (part, items) in parts.iter_mut().zip(items) {
            let length = match output.datatype.size() {
                Some(_) => usize::try_from(output.data.len() as u64 / rows * items).unwrap_or(usize::MAX),
                None => bytes_length(rest, element_count(item).unwrap_or(0).saturating_mul(*items)),
            };
            let (data, others) = rest
                .split_at_checked(length)
                .ok_or_else(|| format!("output {:?} ends before its last item", output.name))?;
            rest = others;
            let shape = std::iter::once(items).chain(item).copied().collect();
            let (name, datatype) = (Cow::Borrowed(&*output.name), output.datatype);
            part.push(OutputTensor { name, datatype, shape, data: Cow::Borrowed(data) });
        }
    }
    Ok(parts)
}

/// How many bytes the first elements of a `BYTES` tensor take.
fn bytes_length(data: &[u8], elements: u64) -> usize {
    let elements = usize::try_from(elements).unwrap_or(usize::MAX);
    bytes_elements(data).take(elements).map_while(Result::ok).map(|element| size_of::<u32>() + element.len()).sum()
}

#[cfg(test)]
mod tests {
    use samara_protocol::{Datatype, RequestedOutput, ResponsePlan, push_bytes_element};

    use super::*;

    fn spec(name: &str, shape: &[i64]) -> TensorSpec {
        TensorSpec { name: name.to_owned(), datatype: Datatype::Fp32, shape: shape.to_vec() }
    }

    fn input(name: &str, datatype: Datatype, shape: &[u64], data: &[u8]) -> InputTensor<'static> {
        InputTensor { name: name.to_owned().into(), datatype, shape: shape.to_vec(), data: data.to_vec().into() }
    }

    fn request(inputs: Vec<InputTensor<'static>>, outputs: &[usize]) -> InferRequest<'static> {
        let outputs = outputs.iter().map(|&index| RequestedOutput { index, binary: index == 0 }).collect();
        InferRequest { inputs, timeout: None, plan: ResponsePlan { outputs, ..ResponsePlan::default() } }
    }

    fn output<'a>(name: &'a str, datatype: Datatype, shape: &'a [u64], data: &'a [u8]) -> OutputTensor<'a> {
        OutputTensor { name: name.into(), datatype, shape: shape.into(), data: data.into() }
    }

    fn texts(texts: &[&str]) -> Vec<u8> {
        let mut data = Vec::new();
        texts.iter().for_each(|text| push_bytes_element(&mut data, text.as_bytes()));
        data
    }

    #[test]
    fn a_model_needs_an_open_first_dimension_everywhere() {
        let model = |inputs: &[&[i64]], outputs: &[&[i64]]| ModelMetadata {
            name: "m".to_owned(),
            version: "3".to_owned(),
            platform: String::new(),
            inputs: inputs.iter().map(|shape| spec("x", shape)).collect(),
            outputs: outputs.iter().map(|shape| spec("y", shape)).collect(),
        };
        assert_eq!(obstacle(&model(&[&[-1, 3], &[-1]], &[&[-1, -1]])), None);
        let reason = obstacle(&model(&[&[-1], &[1, -1]], &[&[-1]])).unwrap();
        assert_eq!(reason, "input \"x\" of version 3 has the shape [1, -1]");
        let reason = obstacle(&model(&[&[-1]], &[&[-1], &[]])).unwrap();
        assert_eq!(reason, "output \"y\" of version 3 has the shape []");
    }

    #[test]
    fn who_has_not_the_same_number_of_items_everywhere_runs_alone() {
        let of = |shapes: &[&[u64]]| {
            items(&request(shapes.iter().map(|shape| input("x", Datatype::Uint8, shape, &[])).collect(), &[0]))
        };
        assert_eq!(of(&[&[3, 2], &[3]]), Some(3));
        assert_eq!(of(&[&[3, 2], &[2]]), None);
        assert_eq!(of(&[&[0, 2]]), None);
        assert_eq!(of(&[&[]]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn requests_are_alike_whose_items_and_outputs_are() {
        let x = |shape: &[u64]| vec![input("x", Datatype::Uint8, shape, &[])];
        let one = request(x(&[1, 2]), &[0, 1]);
        assert!(are_alike(&one, &request(x(&[9, 2]), &[1, 0])), "order and form of outputs do not matter");
        assert!(!are_alike(&one, &request(x(&[1, 3]), &[0, 1])));
        assert!(!are_alike(&one, &request(x(&[1, 2, 1]), &[0, 1])));
        assert!(!are_alike(&one, &request(x(&[1, 2]), &[0])));
        assert!(!are_alike(&one, &request(vec![input("x", Datatype::Int8, &[1, 2], &[])], &[0, 1])));
        assert_eq!(most_elements(&one, 5), 10);
        assert_eq!(most_elements(&request(x(&[1, u64::MAX, 3]), &[0]), 2), u64::MAX);
    }

    #[test]
    fn what_is_stacked_comes_back_to_each() {
        let first = request(
            vec![
                input("a", Datatype::Uint16, &[1, 2], &[1, 0, 2, 0]),
                input("b", Datatype::Bytes, &[1], &texts(&["one"])),
            ],
            &[0],
        );
        let second = request(
            vec![
                input("a", Datatype::Uint16, &[2, 2], &[3, 0, 4, 0, 5, 0, 6, 0]),
                input("b", Datatype::Bytes, &[2], &texts(&["", "three"])),
            ],
            &[0],
        );
        let stacked = stack(&[&first, &second], 0);
        assert_eq!(stacked[0], input("a", Datatype::Uint16, &[3, 2], &[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0]));
        assert_eq!(stacked[1], input("b", Datatype::Bytes, &[3], &texts(&["one", "", "three"])));
        let outputs = [
            output("a", Datatype::Uint16, &[3, 2], &stacked[0].data),
            output("b", Datatype::Bytes, &[3], &stacked[1].data),
            output("c", Datatype::Fp32, &[3, 0], &[]),
        ];
        let parts = split(&outputs, &[1, 2], 0).unwrap();
        for (part, request) in parts.iter().zip([&first, &second]) {
            for (output, input) in part.iter().zip(&request.inputs) {
                assert_eq!((&*output.shape, &*output.data), (&input.shape[..], &*input.data));
            }
        }
        assert_eq!((&*parts[1][2].shape, &*parts[1][2].data), (&[2, 0][..], &[][..]));
    }

    #[test]
    fn what_fills_a_batch_up_are_copies_that_nobody_gets() {
        let of = |items, data: &[u8]| {
            let other = input("b", Datatype::Uint8, &[items], &data[..items as usize]);
            request(vec![input("a", Datatype::Uint16, &[items, 1], data), other], &[0])
        };
        let (first, second) = (of(1, &[1, 0]), of(2, &[3, 7, 4, 0]));
        let stacked = stack(&[&first, &second], 2);
        assert_eq!(stacked[0], input("a", Datatype::Uint16, &[5, 1], &[1, 0, 3, 7, 4, 0, 4, 0, 4, 0]));
        assert_eq!(stacked[1], input("b", Datatype::Uint8, &[5], &[1, 3, 7, 7, 7]));
        let outputs = [
            output("a", Datatype::Uint16, &[5, 1], &stacked[0].data),
            output("b", Datatype::Uint8, &[5], &stacked[1].data),
        ];
        let parts = split(&outputs, &[1, 2], 2).unwrap();
        for (part, request) in parts.iter().zip([&first, &second]) {
            for (output, input) in part.iter().zip(&request.inputs) {
                assert_eq!((&*output.shape, &*output.data), (&input.shape[..], &*input.data));
            }
        }
        assert!(split(&outputs, &[1, 2], 1).is_err(), "a row for each of the filling too");
    }

    #[test]
    fn outputs_without_a_row_for_each_item_belong_to_nobody() {
        for shape in [&[4_u64, 1][..], &[], &[2]] {
            let data = vec![0; usize::try_from(shape.iter().product::<u64>()).unwrap()];
            let reason = split(&[output("y", Datatype::Uint8, shape, &data)], &[1, 2], 0).unwrap_err();
            assert!(reason.contains("output \"y\"") && reason.contains("3 items"), "{reason}");
        }
    }
}
