"""What does not fit is refused: with the right status, and a message that says what was wrong and what was right."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from cards import CARDS
from tensors import assert_all_close, infer, to_inputs, to_outputs

SILERO = CARDS["silero-vad"].vector("first-frame")
AUTOENCODER = CARDS["anomaly-autoencoder"].vector("benign")
ROW = AUTOENCODER.inputs["x"]

# === Through tritonclient ===


def changed(name: str, shape: list[int], datatype: str, data: np.ndarray) -> InferInput:
    """An input that says one thing and holds another: tritonclient itself would refuse to build it."""
    tensor = InferInput(name, list(data.shape), datatype)
    tensor.set_data_from_numpy(data)
    tensor.set_shape(shape)
    return tensor


def _unknown_input() -> list[InferInput]:
    return to_inputs({"y": ROW}, binary=True)


def _missing_input() -> list[InferInput]:
    return []


def _repeated_input() -> list[InferInput]:
    return to_inputs({"x": ROW}, binary=True) * 2


def _another_datatype() -> list[InferInput]:
    return to_inputs({"x": ROW.astype(np.float64)}, binary=True)


def _another_rank() -> list[InferInput]:
    return to_inputs({"x": ROW[0]}, binary=True)


def _another_size() -> list[InferInput]:
    return to_inputs({"x": np.zeros((1, 31), np.float32)}, binary=True)


def _too_few_bytes() -> list[InferInput]:
    return [changed("x", [2, 30], "FP32", ROW)]


def _too_many_bytes() -> list[InferInput]:
    return [changed("x", [1, 30], "FP32", np.zeros((2, 30), np.float32))]


def _shared_memory() -> list[InferInput]:
    tensor = InferInput("x", [1, 30], "FP32")
    tensor.set_shared_memory("region", 120)
    return [tensor]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_unknown_input, ["input `y`", "unknown", "`x`"]),
        (_missing_input, ["input `x`", "missing", "FP32", "[-1,30]"]),
        (_repeated_input, ["input `x`", "more than once"]),
        (_another_datatype, ["input `x`", "FP32", "FP64"]),
        (_another_rank, ["input `x`", "[-1,30]", "[30]"]),
        (_another_size, ["input `x`", "[-1,30]", "[1,31]"]),
        (_too_few_bytes, ["input `x`", "240 bytes", "120"]),
        (_too_many_bytes, ["input `x`", "120 bytes", "240"]),
        (_shared_memory, ["input `x`", "shared memory"]),
    ],
)
def test_inputs(client: InferenceServerClient, make: Callable[[], list[InferInput]], words: list[str]) -> None:
    """Inputs that the model does not take."""
    with pytest.raises(InferenceServerException) as caught:
        client.infer("anomaly-autoencoder", make())
    assert caught.value.status() == "400"
    assert all(word in caught.value.message() for word in words), caught.value.message()


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (to_outputs(["y"], binary=True), ["output `y`", "unknown", "`score`"]),
        (to_outputs(["score", "score"], binary=True), ["output `score`", "more than once"]),
        ([InferRequestedOutput("score", class_count=3)], ["output `score`", "classification"]),
    ],
    ids=["unknown", "repeated", "classification"],
)
def test_outputs(client: InferenceServerClient, outputs: list[InferRequestedOutput], words: list[str]) -> None:
    """Outputs that the model does not give."""
    with pytest.raises(InferenceServerException) as caught:
        client.infer("anomaly-autoencoder", to_inputs({"x": ROW}, binary=True), outputs=outputs)
    assert caught.value.status() == "400"
    assert all(word in caught.value.message() for word in words), caught.value.message()


def test_one_of_two_inputs_is_missing(client: InferenceServerClient) -> None:
    """The message names that one."""
    with pytest.raises(InferenceServerException, match=r"input `state`: missing, expected FP32") as caught:
        infer(client, "silero-vad", {"input": SILERO.inputs["input"]})
    assert "`input`" not in caught.value.message()


def test_a_fixed_batch_is_fixed(client: InferenceServerClient) -> None:
    """A model compiled for one picture takes no three."""
    three = CARDS["fashion-cnn"].vector("batch-3").inputs
    with pytest.raises(InferenceServerException, match=r"expected shape \[1,1,28,28\].*got \[3,1,28,28\]") as caught:
        infer(client, "fashion-cnn", three)
    assert caught.value.status() == "400"


@pytest.mark.parametrize("model", ["no-such-model", "anomaly-autoencode", "ANOMALY-AUTOENCODER", "a b/c", "ü"])
def test_unknown_models(client: InferenceServerClient, model: str) -> None:
    """404."""
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, to_inputs({"x": ROW}, binary=True))
    assert caught.value.status() == "404"


def test_unknown_version(client: InferenceServerClient) -> None:
    """404, with the version in the message."""
    with pytest.raises(InferenceServerException, match="99") as caught:
        client.infer("anomaly-autoencoder", to_inputs({"x": ROW}, binary=True), model_version="99")
    assert caught.value.status() == "404"


# === As bytes that tritonclient would not send ===

INPUT: dict[str, Any] = {"name": "x", "shape": [1, 30], "datatype": "FP32", "data": [0.5] * 30}


def with_input(**changes: Any) -> bytes:  # noqa: ANN401
    """A JSON request whose input has other fields; None leaves one out."""
    fields = {name: value for name, value in {**INPUT, **changes}.items() if value is not None}
    return json.dumps({"inputs": [fields]}).encode()


BAD_BODIES: dict[str, tuple[bytes, list[str]]] = {
    "empty": (b"", ["invalid JSON"]),
    "no-json": (b"hello", ["invalid JSON"]),
    "cut-off": (with_input()[:-7], ["invalid JSON"]),
    "array": (b"[]", ["invalid JSON", "an object"]),
    "inputs-are-no-list": (b'{"inputs":{}}', ["invalid JSON"]),
    "input-is-no-object": (b'{"inputs":[3]}', ["invalid JSON", "an object"]),
    "nothing": (b"{}", ["input `x`", "missing"]),
    "no-name": (with_input(name=None), ["no `name`", "`x`"]),
    "no-shape": (with_input(shape=None), ["input `x`", "no `shape`", "[-1,30]"]),
    "no-datatype": (with_input(datatype=None), ["input `x`", "no `datatype`", "FP32"]),
    "no-data": (with_input(data=None), ["input `x`", "no data"]),
    "another-datatype": (with_input(datatype="INT32"), ["input `x`", "FP32", "INT32"]),
    "no-datatype-at-all": (with_input(datatype="FLOAT"), ["input `x`", "FP32", "FLOAT"]),
    "negative-shape": (with_input(shape=[-1, 30]), ["input `x`", "not negative"]),
    "fractional-shape": (with_input(shape=[1.5, 30]), ["input `x`", "shape"]),
    "overflowing-shape": (with_input(shape=[2**63, 30]), ["input `x`", "64 bits"]),
    "shape-beyond-64-bits": (with_input(shape=[2**70, 30]), ["input `x`", "shape"]),
    "too-few-elements": (with_input(data=[0.5] * 29), ["input `x`", "29 elements", "30"]),
    "too-many-elements": (with_input(data=[0.5] * 31), ["input `x`", "more elements than the 30"]),
    "ragged": (with_input(shape=[2, 30], data=[[0.5] * 30, [0.5] * 29]), ["input `x`", "ragged", "[2,30]"]),
    "too-deep": (with_input(data=[[[0.5] * 30]]), ["input `x`", "nested too deep"]),
    "string": (with_input(data=["0.5"] * 30), ["input `x`", "element 0", "FP32"]),
    "null": (with_input(data=[0.5] * 7 + [None] + [0.5] * 22), ["input `x`", "element 7", "null"]),
    "too-large-a-number": (with_input(data=[1e39] * 30), ["input `x`", "element 0", "32 bits"]),
    "nan": (with_input().replace(b"0.5", b"NaN", 1), ["invalid JSON"]),
    "infinity": (with_input().replace(b"0.5", b"Infinity", 1), ["invalid JSON"]),
    "bytes-behind": (with_input() + b"\x00\x00", ["Inference-Header-Content-Length"]),
    "binary-size-without-header": (
        with_input(data=None, parameters={"binary_data_size": 120}),
        ["input `x`", "Inference-Header-Content-Length"],
    ),
}


def refusal(
    connection: HTTPConnection, body: bytes, headers: dict[str, str] | None = None, model: str = "anomaly-autoencoder"
) -> tuple[int, str]:
    """Post a body, and return the status and the message of the reply."""
    connection.request("POST", f"/v2/models/{model}/infer", body, headers or {})
    reply = connection.getresponse()
    content = reply.read()
    assert reply.getheader("Content-Type") == "application/json"
    assert reply.getheader("Content-Length") == str(len(content))
    answer = json.loads(content)
    assert list(answer) == ["error"]
    return reply.status, answer["error"]


@pytest.mark.parametrize("name", BAD_BODIES)
def test_json_bodies(connection: HTTPConnection, client: InferenceServerClient, name: str) -> None:
    """400, an object with the key `error` alone, and the server is as good as before."""
    body, words = BAD_BODIES[name]
    status, message = refusal(connection, body, {"Content-Type": "application/json"})
    assert status == 400
    assert all(word in message for word in words), message
    assert_all_close(infer(client, "anomaly-autoencoder", AUTOENCODER.inputs), AUTOENCODER.expected)


BINARY_JSON = with_input(data=None, parameters={"binary_data_size": 120})


@pytest.mark.parametrize(
    ("length", "body", "words"),
    [
        (str(len(BINARY_JSON)), BINARY_JSON + b"\0" * 119, ["input `x`", "120", "119"]),
        (str(len(BINARY_JSON)), BINARY_JSON + b"\0" * 121, ["1 bytes of binary data follow"]),
        (str(len(BINARY_JSON) - 1), BINARY_JSON + b"\0" * 120, ["invalid JSON"]),
        (str(len(BINARY_JSON) + 1), BINARY_JSON + b"\0" * 120, ["ends before Inference-Header-Content-Length"]),
        ("100000", BINARY_JSON, ["Inference-Header-Content-Length is 100000", str(len(BINARY_JSON))]),
        ("99999999999999999999999", BINARY_JSON, ["Inference-Header-Content-Length", "a number of bytes"]),
        ("-1", BINARY_JSON, ["Inference-Header-Content-Length", "a number of bytes"]),
        ("abc", BINARY_JSON, ["Inference-Header-Content-Length", "a number of bytes"]),
        ("0", b"\0" * 119, ["input `x`", "119"]),
    ],
    ids=[
        "too-short",
        "too-long",
        "json-cut-off",
        "json-too-short",
        "beyond-the-body",
        "too-large-a-number",
        "negative",
        "no-number",
        "raw-too-short",
    ],
)
def test_binary_bodies(connection: HTTPConnection, length: str, body: bytes, words: list[str]) -> None:
    """Lengths that disagree with the body."""
    status, message = refusal(connection, body, {"Inference-Header-Content-Length": length})
    assert status == 400
    assert all(word in message for word in words), message


def test_a_raw_body_needs_a_model_with_one_input(connection: HTTPConnection) -> None:
    """Which of two would it be."""
    status, message = refusal(connection, b"\0" * 2304, {"Inference-Header-Content-Length": "0"}, "silero-vad")
    assert status == 400
    assert "2 inputs" in message


@pytest.mark.parametrize(
    ("headers", "body", "status", "words"),
    [
        ({"Content-Type": "text/plain"}, with_input(), 415, ["text/plain", "application/json"]),
        ({"Content-Type": "application/x-www-form-urlencoded"}, with_input(), 415, ["application/json"]),
        ({"Content-Encoding": "br"}, with_input(), 415, ["`br`", "gzip"]),
        ({"Content-Encoding": "gzip"}, with_input(), 400, ["gzip"]),
        ({"Content-Encoding": "gzip"}, gzip.compress(with_input())[:-9], 400, ["gzip"]),
        ({"Content-Encoding": "deflate"}, with_input(), 400, ["deflate"]),
    ],
    ids=["text", "form", "brotli", "no-gzip", "cut-off-gzip", "no-deflate"],
)
def test_types_and_codings(
    connection: HTTPConnection, headers: dict[str, str], body: bytes, status: int, words: list[str]
) -> None:
    """What the headers promise and the body does not keep."""
    answer, message = refusal(connection, body, headers)
    assert answer == status
    assert all(word in message for word in words), message


def test_an_answer_that_json_cannot_hold(client: InferenceServerClient) -> None:
    """Infinity in, infinity or NaN out: as binary data it comes, as JSON it is refused with that advice."""
    inputs = to_inputs({"x": np.full((1, 30), np.inf, np.float32)}, binary=True)
    score = client.infer("anomaly-autoencoder", inputs).as_numpy("score")
    assert not np.isfinite(score).any()
    with pytest.raises(InferenceServerException, match=r"output `score` holds NaN.*binary_data") as caught:
        client.infer("anomaly-autoencoder", inputs, outputs=to_outputs(["score"], binary=False))
    assert caught.value.status() == "400"
