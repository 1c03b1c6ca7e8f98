"""All models of the zoo give what ONNX Runtime gives, whichever way the tensors travel."""

from __future__ import annotations

from http.client import HTTPConnection
from pathlib import Path

import pytest
from tritonclient.http import InferenceServerClient

from cards import BUILDS, CARDS, VECTORS, Vector
from command import CommandError
from tensors import assert_all_close, assert_close, from_result, infer, to_inputs, to_outputs


@pytest.fixture(params=VECTORS)
def vector(request: pytest.FixtureRequest) -> Vector:
    """Each vector in turn."""
    return VECTORS[request.param]


def test_the_zoo_has_eight_models() -> None:
    """None has gone missing, and none is without a vector."""
    assert len(CARDS) == 8
    assert all(card.vectors for card in CARDS.values())


@pytest.mark.parametrize("name", sorted(BUILDS))
def test_every_model_is_compiled(compilations: dict[str, Path | CommandError], name: str) -> None:
    """The way its card says, and the ways that its vectors want."""
    result = compilations[name]
    if isinstance(result, CommandError):
        pytest.fail(str(result), pytrace=False)


@pytest.mark.parametrize("binary_in", [False, True], ids=["json-in", "binary-in"])
@pytest.mark.parametrize("binary_out", [False, True], ids=["json-out", "binary-out"])
def test_outputs_are_right(client: InferenceServerClient, vector: Vector, binary_in: bool, binary_out: bool) -> None:
    """Each vector, JSON and binary, in and out."""
    inputs = to_inputs(vector.inputs, binary=binary_in)
    outputs = to_outputs(vector.expected, binary=binary_out)
    result = client.infer(vector.build.name, inputs, outputs=outputs)
    assert_all_close(from_result(result), vector.expected, vector.tolerance)
    for output in result.get_response()["outputs"]:
        assert ("data" in output) is not binary_out


def test_a_request_changes_nothing_for_the_next(client: InferenceServerClient, vector: Vector) -> None:
    """The same request gives the same bytes again."""
    first = infer(client, vector.build.name, vector.inputs)
    second = infer(client, vector.build.name, vector.inputs)
    assert {name: tensor.tobytes() for name, tensor in first.items()} == {
        name: tensor.tobytes() for name, tensor in second.items()
    }


def test_a_memory_is_handed_on(client: InferenceServerClient) -> None:
    """Silero's state that comes out with one frame goes in with the next."""
    first = CARDS["silero-vad"].vector("first-frame")
    second = CARDS["silero-vad"].vector("second-frame")
    state = infer(client, "silero-vad", first.inputs)["stateN"]
    again = infer(client, "silero-vad", {"input": second.inputs["input"], "state": state})
    assert_all_close(again, second.expected, second.tolerance)


@pytest.mark.parametrize("name", ["magika", "fashion-cnn"])
def test_a_raw_body_is_the_only_input(connection: HTTPConnection, name: str) -> None:
    """With a header length of 0, the body is one tensor, and the reply is binary."""
    vector = CARDS[name].vectors[0]
    (array,) = vector.inputs.values()
    headers = {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"}
    connection.request("POST", f"/v2/models/{name}/infer", array.tobytes(), headers)
    reply = connection.getresponse()
    body = reply.read()
    assert reply.status == 200, body
    length = reply.getheader("Inference-Header-Content-Length")
    assert length is not None
    result = InferenceServerClient.parse_response_body(body, header_length=int(length))
    ((output, expected),) = vector.expected.items()
    assert_close(result.as_numpy(output), expected, vector.tolerance)
