"""Health, metadata, configuration, statistics and the index, through tritonclient's own methods."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from tritonclient.http import InferenceServerClient
from tritonclient.utils import InferenceServerException

from cards import BUILDS, CARDS, Card
from command import Samara
from serving import Server
from tensors import infer

SILERO = CARDS["silero-vad"].vector("first-frame")
FOREST = CARDS["breast-random-forest"].vector("batch-3")


def test_the_server_is_live_and_ready(client: InferenceServerClient) -> None:
    """Both health routes."""
    assert client.is_server_live()
    assert client.is_server_ready()


def test_the_server_says_what_it_is(client: InferenceServerClient) -> None:
    """Its name, its version and the protocol's extensions that it has."""
    metadata = client.get_server_metadata()
    assert metadata["name"] == "samara"
    assert metadata["version"].count(".") == 2
    assert {"binary_tensor_data", "model_configuration", "model_repository", "statistics"} <= {*metadata["extensions"]}


def test_each_model_is_ready(client: InferenceServerClient) -> None:
    """Those served are, with and without their version; others are not."""
    for name in BUILDS:
        assert client.is_model_ready(name)
        assert client.is_model_ready(name, client.get_model_metadata(name)["versions"][0])
        assert not client.is_model_ready(name, "no-such-version")
    assert not client.is_model_ready("no-such-model")


def test_metadata_is_what_the_card_says(client: InferenceServerClient, card: Card) -> None:
    """Names, datatypes, and shapes that are those of the card with dimensions fixed."""
    metadata = client.get_model_metadata(card.name)
    assert metadata["name"] == card.name
    assert len(metadata["versions"]) == 1
    assert metadata["platform"] == "samara_wasm"
    for served, described in ((metadata["inputs"], card.inputs), (metadata["outputs"], card.outputs)):
        assert [(tensor["name"], tensor["datatype"]) for tensor in served] == [
            (tensor["name"], tensor["datatype"]) for tensor in described
        ]
        for tensor, wanted in zip(served, described, strict=True):
            pairs = zip(tensor["shape"], wanted["shape"], strict=True)
            assert all(size in (-1, size_wanted) or size_wanted == -1 for size, size_wanted in pairs), tensor


def test_metadata_has_the_shapes_of_the_compilation(client: InferenceServerClient) -> None:
    """A fixed batch is told as a number, a symbolic one as -1."""
    shapes = {name: client.get_model_metadata(name)["inputs"][0]["shape"] for name in BUILDS}
    assert shapes["fashion-cnn"] == [1, 1, 28, 28]
    assert shapes["fashion-cnn-batch-3"] == [-1, 1, 28, 28]
    assert shapes["breast-random-forest"] == [-1, 30]
    assert shapes["ppocrv4-rec"] == [1, 3, 48, 320]


def test_configuration_agrees_with_metadata(client: InferenceServerClient, card: Card) -> None:
    """In Triton's terms: without a batch dimension of the server's own."""
    metadata, config = client.get_model_metadata(card.name), client.get_model_config(card.name)
    assert config["name"] == card.name
    assert config["max_batch_size"] == 0
    for side in ("input", "output"):
        assert [(tensor["name"], tensor["data_type"], tensor["dims"]) for tensor in config[side]] == [
            (tensor["name"], f"TYPE_{tensor['datatype']}", tensor["shape"]) for tensor in metadata[f"{side}s"]
        ]


def test_the_index_lists_all_models(client: InferenceServerClient, server: Server) -> None:
    """Each is ready; the line that said that the server listens named the same ones."""
    index = client.get_model_repository_index()
    assert sorted(row["name"] for row in index) == sorted(BUILDS)
    assert all(row["state"] == "READY" and row["reason"] == "" for row in index)
    assert len(server.ready["models"]) == len(BUILDS)


def _statistics(client: InferenceServerClient, name: str) -> dict:
    (row,) = client.get_inference_statistics(name)["model_stats"]
    return row


def _wait_for(client: InferenceServerClient, name: str, count: int) -> dict:
    """Statistics once they show so many successes: they may be written after the reply is sent."""
    deadline = time.monotonic() + 5
    while True:
        row = _statistics(client, name)
        if row["inference_stats"]["success"]["count"] >= count or time.monotonic() > deadline:
            return row
        time.sleep(0.01)


def test_statistics_count_successes(client: InferenceServerClient) -> None:
    """How often, how long, and when last."""
    before = _statistics(client, "silero-vad")
    started = time.time()
    for _ in range(3):
        infer(client, "silero-vad", SILERO.inputs)
    wanted = before["inference_stats"]["success"]["count"] + 3
    after = _wait_for(client, "silero-vad", wanted)
    assert after["inference_stats"]["success"]["count"] == wanted
    assert after["execution_count"] == before["execution_count"] + 3
    assert after["inference_count"] == before["inference_count"] + 3
    for part in ("success", "compute_infer"):
        assert after["inference_stats"][part]["ns"] > before["inference_stats"][part]["ns"]
    assert after["inference_stats"]["fail"] == before["inference_stats"]["fail"]
    assert abs(after["last_inference"] / 1000 - started) < 30


def test_statistics_count_failures(client: InferenceServerClient) -> None:
    """A refused request is no success."""
    before = _statistics(client, "silero-vad")["inference_stats"]
    with pytest.raises(InferenceServerException):
        infer(client, "silero-vad", {"input": SILERO.inputs["input"]})
    after = _statistics(client, "silero-vad")["inference_stats"]
    assert after["fail"]["count"] == before["fail"]["count"] + 1
    assert after["success"]["count"] == before["success"]["count"]


def test_statistics_of_all_models(client: InferenceServerClient) -> None:
    """One row a model, each with counters of its limits."""
    rows = client.get_inference_statistics()["model_stats"]
    assert sorted(row["name"] for row in rows) == sorted(BUILDS)
    for row in rows:
        assert row["limits"], row
        assert all(isinstance(count, int) for count in row["limits"].values())


def test_what_is_unknown_is_said_to_be(client: InferenceServerClient) -> None:
    """404, with the name in the message."""
    calls = (
        client.get_model_metadata,
        client.get_model_config,
        client.get_inference_statistics,
    )
    for call in calls:
        with pytest.raises(InferenceServerException, match="no-such-model") as caught:
            call("no-such-model")
        assert caught.value.status() == "404"
        with pytest.raises(InferenceServerException, match="99") as caught:
            call("silero-vad", "99")
        assert caught.value.status() == "404"


def test_models_are_loaded_and_unloaded_where_admin_calls_are_taken(samara: Samara, tmp_path: Path) -> None:
    """Triton's own methods do it, on a directory in Triton's layout."""
    component = samara.compile(BUILDS["fashion-cnn"])
    for version in ("1", "2"):
        (tmp_path / "shirts" / version).mkdir(parents=True)
        shutil.copy(component, tmp_path / "shirts" / version / "model.wasm")
    with Server(samara, [tmp_path], "--admin-listen", "127.0.0.1:0") as server, server.client() as client:
        admin = InferenceServerClient(server.ready["admin_listen"])
        assert client.get_model_metadata("shirts")["versions"] == ["1", "2"]
        admin.unload_model("shirts")
        assert not client.is_model_ready("shirts")
        states = [(row["version"], row["state"], row["reason"]) for row in admin.get_model_repository_index()]
        assert states == [("1", "UNAVAILABLE", "unloaded"), ("2", "UNAVAILABLE", "unloaded")]
        admin.load_model("shirts")
        assert client.is_model_ready("shirts", "1")
        assert admin.is_model_ready("shirts")
        with pytest.raises(InferenceServerException, match="no-such-model"):
            admin.load_model("no-such-model")
        with pytest.raises(InferenceServerException, match="config"):
            admin.load_model("shirts", config="{}")
        admin.close()


def test_models_are_not_loaded_where_inferences_are_asked_for(client: InferenceServerClient) -> None:
    """Admin calls have a listener of their own."""
    for call in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException) as caught:
            call("silero-vad")
        assert caught.value.status() == "404"
    assert client.is_model_ready("silero-vad")
