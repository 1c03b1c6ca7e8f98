"""Tensors to and from tritonclient, and when two of them count as equal."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import np_to_triton_dtype

from cards import Tensors


def to_inputs(tensors: Tensors, *, binary: bool) -> list[InferInput]:
    """Wrap arrays for a request."""
    inputs = []
    for name, array in tensors.items():
        tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    return inputs


def to_outputs(names: Iterable[str], *, binary: bool) -> list[InferRequestedOutput]:
    """Ask for outputs."""
    return [InferRequestedOutput(name, binary_data=binary) for name in names]


def from_result(result: InferResult) -> Tensors:
    """All outputs of a reply."""
    names = [output["name"] for output in result.get_response()["outputs"]]
    return {name: result.as_numpy(name) for name in names}


def infer(client: InferenceServerClient, model: str, tensors: Tensors, outputs: Iterable[str] | None = None) -> Tensors:
    """Send a request and return the outputs asked for, or all of them; everything is binary."""
    wanted = None if outputs is None else to_outputs(outputs, binary=True)
    return from_result(client.infer(model, to_inputs(tensors, binary=True), outputs=wanted))


def assert_close(actual: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> None:
    """Compare: off by at most `tolerance`, times the expected value where that is above 1; integers are exact."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    if np.issubdtype(expected.dtype, np.integer):
        np.testing.assert_array_equal(actual, expected)
        return
    wide = expected.astype(np.float64)
    error = np.abs(actual.astype(np.float64) - wide) / np.maximum(1.0, np.abs(wide))
    assert np.all(error <= tolerance), f"off by {np.max(error):.3g}, allowed is {tolerance:.3g}"


def assert_all_close(actual: Tensors, expected: Tensors, tolerance: float = 1e-4) -> None:
    """Compare the tensors of a reply, which must be just those expected."""
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert_close(actual[name], tensor, tolerance)
