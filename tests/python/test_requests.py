"""What a request may ask for besides an inference: some outputs, an id, a version, parameters."""

from __future__ import annotations

from tritonclient.http import InferenceServerClient

from cards import CARDS
from tensors import assert_all_close, assert_close, from_result, infer, to_inputs, to_outputs

FOREST = CARDS["breast-random-forest"].vector("batch-3")
SILERO = CARDS["silero-vad"].vector("first-frame")
MINILM = CARDS["minilm-l6"].vector("sentence")


def test_all_outputs_come_where_none_is_requested(client: InferenceServerClient) -> None:
    """In the model's order, binary, as tritonclient asks for them."""
    result = client.infer(FOREST.build.name, to_inputs(FOREST.inputs, binary=True))
    outputs = result.get_response()["outputs"]
    assert [output["name"] for output in outputs] == ["label", "probabilities"]
    assert all(output["parameters"]["binary_data_size"] > 0 for output in outputs)
    assert_all_close(from_result(result), FOREST.expected)


def test_only_requested_outputs_come(client: InferenceServerClient) -> None:
    """One of two."""
    for name, expected in FOREST.expected.items():
        answer = infer(client, FOREST.build.name, FOREST.inputs, [name])
        assert_all_close(answer, {name: expected})


def test_outputs_come_in_the_order_of_the_request(client: InferenceServerClient) -> None:
    """Both, the other way round."""
    answer = infer(client, SILERO.build.name, SILERO.inputs, ["stateN", "output"])
    assert list(answer) == ["stateN", "output"]
    assert_all_close(answer, SILERO.expected)


def test_one_reply_may_hold_json_and_binary_data(client: InferenceServerClient) -> None:
    """Each output in the form it was asked for."""
    outputs = to_outputs(["label"], binary=False) + to_outputs(["probabilities"], binary=True)
    result = client.infer(FOREST.build.name, to_inputs(FOREST.inputs, binary=True), outputs=outputs)
    label, probabilities = result.get_response()["outputs"]
    assert label["data"] == [1, 0, 1]
    assert "data" not in probabilities
    assert_all_close(from_result(result), FOREST.expected)


def test_one_request_may_hold_json_and_binary_data(client: InferenceServerClient) -> None:
    """Each input in the form it is sent in."""
    tensors = SILERO.inputs
    for first, second in (("input", "state"), ("state", "input")):
        inputs = to_inputs({first: tensors[first]}, binary=False) + to_inputs({second: tensors[second]}, binary=True)
        assert_all_close(from_result(client.infer("silero-vad", inputs)), SILERO.expected)


def test_inputs_may_come_in_any_order(client: InferenceServerClient) -> None:
    """Names count, not positions."""
    swapped = dict(reversed(MINILM.inputs.items()))
    assert list(swapped) != list(MINILM.inputs)
    assert_all_close(infer(client, MINILM.build.name, swapped), MINILM.expected)


def test_the_id_is_repeated(client: InferenceServerClient) -> None:
    """Whatever characters it has; and there is none where none was given."""
    inputs = to_inputs(FOREST.inputs, binary=True)
    for name in ("7", 'a "quoted" id', "\N{GREEK SMALL LETTER MU}\N{GRINNING FACE}\n"):
        assert client.infer(FOREST.build.name, inputs, request_id=name).get_response()["id"] == name
    assert "id" not in client.infer(FOREST.build.name, inputs).get_response()


def test_the_reply_names_the_model(client: InferenceServerClient) -> None:
    """Name and version, which a request may ask for too."""
    version = client.get_model_metadata("silero-vad")["versions"][0]
    inputs = to_inputs(SILERO.inputs, binary=True)
    result = client.infer("silero-vad", inputs, model_version=version)
    assert result.get_response()["model_name"] == "silero-vad"
    assert result.get_response()["model_version"] == version
    assert_all_close(from_result(result), SILERO.expected)


def test_parameters_that_mean_nothing_here_are_passed_over(client: InferenceServerClient) -> None:
    """Triton's scheduling parameters, and a client's own."""
    inputs = to_inputs(SILERO.inputs, binary=True)
    result = client.infer(
        "silero-vad",
        inputs,
        priority=1,
        timeout=5_000_000,
        parameters={"tenant": "a", "weight": 2, "flag": True},
        headers={"X-Something": "else"},
        query_params={"trace": "1"},
    )
    assert_all_close(from_result(result), SILERO.expected)


def test_asynchronous_requests(client: InferenceServerClient) -> None:
    """The other way to send that tritonclient has."""
    inputs = to_inputs(SILERO.inputs, binary=True)
    handles = [client.async_infer("silero-vad", inputs, request_id=str(number)) for number in range(1, 9)]
    for number, handle in enumerate(handles, start=1):
        result = handle.get_result(timeout=30)
        assert result.get_response()["id"] == str(number)
        assert_close(result.as_numpy("output"), SILERO.expected["output"])
