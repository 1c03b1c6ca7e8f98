"""The protocol over gRPC, through tritonclient.grpc: what HTTP gives, byte by byte."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.http
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_tools import protoc
from tritonclient.grpc import (
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    InferResult,
    model_config_pb2,
    service_pb2,
)
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from cards import BUILDS, CARDS, ROOT, VECTORS, Tensors, Vector
from command import Samara
from serving import REPLY_TIMEOUT, Server
from tensors import assert_all_close, infer

AUTOENCODER = CARDS["anomaly-autoencoder"].vector("benign")
PROTO = ROOT / "host" / "grpc" / "proto"


def connected(server: Server) -> InferenceServerClient:
    """A client over gRPC."""
    return InferenceServerClient(server.ready["grpc_listen"])


@pytest.fixture
def over_grpc(server: Server) -> Iterator[InferenceServerClient]:
    """A client over gRPC of the server that has all the models."""
    with connected(server) as client:
        yield client


@pytest.fixture(params=VECTORS)
def vector(request: pytest.FixtureRequest) -> Vector:
    """Each vector in turn."""
    return VECTORS[request.param]


def to_inputs(tensors: Tensors) -> list[InferInput]:
    """Wrap arrays for a request."""
    inputs = []
    for name, array in tensors.items():
        tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return inputs


def from_result(result: InferResult) -> Tensors:
    """All outputs of a reply."""
    return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


def ask(client: InferenceServerClient, vector: Vector, **options: object) -> InferResult:
    """Run a vector's inputs."""
    return client.infer(vector.build.name, to_inputs(vector.inputs), client_timeout=REPLY_TIMEOUT, **options)


# === Inference ===


def test_outputs_are_those_of_http(
    over_grpc: InferenceServerClient, client: tritonclient.http.InferenceServerClient, vector: Vector
) -> None:
    """Right, and the same bytes."""
    result = from_result(ask(over_grpc, vector))
    assert_all_close(result, vector.expected, vector.tolerance)
    over_http = infer(client, vector.build.name, vector.inputs)
    assert {name: tensor.tobytes() for name, tensor in result.items()} == {
        name: tensor.tobytes() for name, tensor in over_http.items()
    }


def test_a_request_may_name_a_version_an_id_and_outputs(over_grpc: InferenceServerClient) -> None:
    """The reply repeats the id, and has what was asked for in that order."""
    vector = CARDS["breast-random-forest"].vector("batch-3")
    names = list(reversed(vector.expected))
    outputs = [InferRequestedOutput(name) for name in names]
    version = over_grpc.get_model_metadata(vector.build.name).versions[0]
    result = ask(over_grpc, vector, model_version=version, request_id="seven", outputs=outputs, parameters={"x": "y"})
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("seven", vector.build.name, version)
    assert [output.name for output in response.outputs] == names


def test_many_requests_at_once_share_a_connection(over_grpc: InferenceServerClient) -> None:
    """Each call gets its own answer."""
    results: queue.Queue[tuple[int, InferResult | None, InferenceServerException | None]] = queue.Queue()
    wanted = AUTOENCODER.inputs["x"]
    for number in range(50):
        inputs = to_inputs({"x": wanted * np.float32(1 + number)})
        over_grpc.async_infer(
            "anomaly-autoencoder", inputs, partial(lambda n, result, error: results.put((n, result, error)), number)
        )
    found = {}
    for _ in range(50):
        number, result, error = results.get(timeout=REPLY_TIMEOUT)
        assert error is None
        found[number] = from_result(result)
    assert sorted(found) == list(range(50))
    for number in (0, 49):
        again = from_result(over_grpc.infer("anomaly-autoencoder", to_inputs({"x": wanted * np.float32(1 + number)})))
        assert {name: tensor.tobytes() for name, tensor in found[number].items()} == {
            name: tensor.tobytes() for name, tensor in again.items()
        }


def test_a_stream_answers_in_order(over_grpc: InferenceServerClient) -> None:
    """What is wrong with one request is no concern of the next."""
    results: queue.Queue[tuple[InferResult | None, InferenceServerException | None]] = queue.Queue()
    over_grpc.start_stream(lambda result, error: results.put((result, error)))
    inputs = to_inputs(AUTOENCODER.inputs)
    for model, number in (("anomaly-autoencoder", "a"), ("no-such-model", "b"), ("anomaly-autoencoder", "c")):
        over_grpc.async_stream_infer(model, inputs, request_id=number)
    replies = [results.get(timeout=REPLY_TIMEOUT) for _ in range(3)]
    over_grpc.stop_stream()
    assert [error is None for _, error in replies] == [True, False, True]
    assert "no-such-model" in str(replies[1][1])
    for (result, _), name in ((replies[0], "a"), (replies[2], "c")):
        assert result is not None
        assert result.get_response().id == name
        assert_all_close(from_result(result), AUTOENCODER.expected, AUTOENCODER.tolerance)


# === Refusals ===


@pytest.mark.parametrize(
    ("model", "inputs", "code", "texts"),
    [
        ("no-such-model", {"x": np.zeros((1, 30), np.float32)}, "NOT_FOUND", ("no-such-model",)),
        ("anomaly-autoencoder", {"y": np.zeros((1, 30), np.float32)}, "INVALID_ARGUMENT", ("input `y`: unknown", "`x`")),
        ("anomaly-autoencoder", {"x": np.zeros((1, 30), np.int64)}, "INVALID_ARGUMENT", ("FP32", "INT64")),
        ("anomaly-autoencoder", {"x": np.zeros((1, 31), np.float32)}, "INVALID_ARGUMENT", ("shape", "[1,31]")),
    ],
)
def test_what_is_wrong_is_told(
    over_grpc: InferenceServerClient, model: str, inputs: Tensors, code: str, texts: tuple[str, ...]
) -> None:
    """The code that fits, and the words that HTTP has."""
    with pytest.raises(InferenceServerException) as refusal:
        over_grpc.infer(model, to_inputs(inputs))
    assert refusal.value.status() == f"StatusCode.{code}"
    for text in texts:
        assert text in refusal.value.message()


def test_classes_and_shared_memory_are_refused(over_grpc: InferenceServerClient) -> None:
    """As over HTTP."""
    (name,) = AUTOENCODER.expected
    classes = InferRequestedOutput(name, class_count=3)
    region = InferRequestedOutput(name)
    region.set_shared_memory("region", 4)
    for output, text in ((classes, "classification"), (region, "shared memory")):
        with pytest.raises(InferenceServerException, match=text) as refusal:
            ask(over_grpc, AUTOENCODER, outputs=[output])
        assert refusal.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_a_message_over_the_limit_is_refused(samara: Samara, components: dict[str, Path]) -> None:
    """And the connection goes on."""
    options = ("--grpc-listen", "127.0.0.1:0", "--max-body-mib", "1")
    with Server(samara, [components["anomaly-autoencoder"]], *options) as server, connected(server) as client:
        with pytest.raises(InferenceServerException, match="larger than the 1048576 bytes") as refusal:
            client.infer("anomaly-autoencoder", to_inputs({"x": np.zeros((10_000, 30), np.float32)}))
        assert refusal.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
        assert_all_close(from_result(ask(client, AUTOENCODER)), AUTOENCODER.expected, AUTOENCODER.tolerance)


def test_a_deadline_that_has_passed_is_told(over_grpc: InferenceServerClient) -> None:
    """By the protocol's parameter, in microseconds."""
    for timeout in (1, -1):
        with pytest.raises(InferenceServerException, match="deadline") as refusal:
            ask(over_grpc, AUTOENCODER, timeout=timeout)
        assert refusal.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    ask(over_grpc, AUTOENCODER, timeout=20_000_000)


def test_compressed_messages_are_not_taken(over_grpc: InferenceServerClient) -> None:
    """Which is told as gRPC has it."""
    with pytest.raises(InferenceServerException) as refusal:
        ask(over_grpc, AUTOENCODER, compression_algorithm="gzip")
    assert refusal.value.status() == "StatusCode.UNIMPLEMENTED"


def test_the_repository_is_not_changed_here(over_grpc: InferenceServerClient) -> None:
    """There is another listener for that."""
    for change in (over_grpc.load_model, over_grpc.unload_model):
        with pytest.raises(InferenceServerException, match="admin_listen") as refusal:
            change("anomaly-autoencoder")
        assert refusal.value.status() == "StatusCode.PERMISSION_DENIED"
    assert over_grpc.is_model_ready("anomaly-autoencoder")


# === Facts ===


def test_facts_are_those_of_http(
    over_grpc: InferenceServerClient, client: tritonclient.http.InferenceServerClient
) -> None:
    """Health, metadata and configuration, of the server and of each model."""
    assert over_grpc.is_server_live() and over_grpc.is_server_ready()
    server, server_over_http = over_grpc.get_server_metadata(as_json=True), client.get_server_metadata()
    assert server == server_over_http
    for name in BUILDS:
        assert over_grpc.is_model_ready(name)
        metadata, metadata_over_http = over_grpc.get_model_metadata(name), client.get_model_metadata(name)
        assert [metadata.name, [*metadata.versions], metadata.platform] == [
            metadata_over_http[key] for key in ("name", "versions", "platform")
        ]
        for side in ("inputs", "outputs"):
            tensors = [
                {"name": tensor.name, "datatype": tensor.datatype, "shape": [*tensor.shape]}
                for tensor in getattr(metadata, side)
            ]
            assert tensors == metadata_over_http[side]
        config, config_over_http = over_grpc.get_model_config(name).config, client.get_model_config(name)
        for side in ("input", "output"):
            tensors = [
                {"name": it.name, "data_type": model_config_pb2.DataType.Name(it.data_type), "dims": [*it.dims]}
                for it in getattr(config, side)
            ]
            assert tensors == config_over_http[side]
    assert not over_grpc.is_model_ready("no-such-model")


def test_statistics_and_the_index_are_those_of_http(
    over_grpc: InferenceServerClient, client: tritonclient.http.InferenceServerClient
) -> None:
    """One request is one count, whichever way it came."""

    def count() -> int:
        (stats,) = over_grpc.get_inference_statistics("silero-vad").model_stats
        return stats.inference_stats.success.count

    before = count()
    vector = CARDS["silero-vad"].vector("first-frame")
    ask(over_grpc, vector)
    infer(client, "silero-vad", vector.inputs)
    assert count() == before + 2
    (over_http,) = client.get_inference_statistics("silero-vad")["model_stats"]
    assert over_http["inference_stats"]["success"]["count"] == before + 2
    index = [(row.name, row.version, row.state) for row in over_grpc.get_model_repository_index().models]
    assert index == [(row["name"], row["version"], row["state"]) for row in client.get_model_repository_index()]


def test_the_standard_health_service_answers(server: Server) -> None:
    """As orchestrators ask it: SERVING is 1."""
    with grpc.insecure_channel(server.ready["grpc_listen"]) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=REPLY_TIMEOUT) == b"\x08\x01"
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=REPLY_TIMEOUT)
        assert next(watch) == b"\x08\x01"
        watch.cancel()


def test_a_client_that_goes_away_stops_its_call(over_grpc: InferenceServerClient) -> None:
    """It is told as cancelled, and the server goes on."""
    done = threading.Event()
    call = over_grpc.async_infer("anomaly-autoencoder", to_inputs(AUTOENCODER.inputs), lambda result, error: done.set())
    call.cancel()
    assert done.wait(REPLY_TIMEOUT)
    ask(over_grpc, AUTOENCODER)


# === Messages ===

# KServe's, which Triton does not have.
NOT_TRITONS = {"inference.ModelMetadataResponse.properties"}


def assert_same(ours: Descriptor, theirs: Descriptor) -> None:
    """Each field of a message, and the messages within it, by name, number and type."""
    for field in ours.fields:
        if field.full_name in NOT_TRITONS:
            continue
        other = theirs.fields_by_name.get(field.name)
        assert other is not None, f"{field.full_name} is not tritonclient's"
        assert shape(field) == shape(other)
    for message in ours.nested_types:
        if f"{ours.full_name}.properties" not in NOT_TRITONS or message.name != "PropertiesEntry":
            assert_same(message, theirs.nested_types_by_name[message.name])


def shape(field: FieldDescriptor) -> tuple[object, ...]:
    """What of a field the wire depends on, and its place in a choice."""
    kind = field.message_type or field.enum_type
    choice = field.containing_oneof
    return (
        field.full_name,
        field.number,
        field.type,
        field.is_repeated,
        kind.full_name if kind else None,
        choice.name if choice else None,
    )


def test_messages_are_tritonclients(tmp_path: Path) -> None:
    """Every message and method of `inference.proto` has the names, numbers and types of NVIDIA's files."""
    target = tmp_path / "inference.pb"
    words = ["protoc", f"--proto_path={PROTO}", f"--descriptor_set_out={target}", "inference.proto"]
    assert protoc.main(words) == 0
    files = FileDescriptorSet.FromString(target.read_bytes())
    pool = DescriptorPool()
    for file in files.file:
        pool.Add(file)
    ours = pool.FindFileByName("inference.proto")
    theirs = {**service_pb2.DESCRIPTOR.message_types_by_name, **model_config_pb2.DESCRIPTOR.message_types_by_name}
    assert len(ours.message_types_by_name) > 25
    for name, message in ours.message_types_by_name.items():
        assert_same(message, theirs[name])
    for name, enum in ours.enum_types_by_name.items():
        other = model_config_pb2.DESCRIPTOR.enum_types_by_name[name]
        for value in enum.values:
            assert other.values_by_name[value.name].number == value.number
    (service,) = ours.services_by_name.values()
    other = service_pb2.DESCRIPTOR.services_by_name[service.name]
    for method in service.methods:
        (same,) = [it for it in other.methods if it.name == method.name]
        assert method.full_name == same.full_name
        assert method.input_type.full_name == same.input_type.full_name
        assert method.output_type.full_name == same.output_type.full_name
        assert (method.client_streaming, method.server_streaming) == (same.client_streaming, same.server_streaming)
