"""Models compiled with a symbolic batch take any batch, and answer each row as if it came alone."""

from __future__ import annotations

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient

from cards import CARDS, Tensors
from tensors import assert_all_close, assert_close, infer

DYNAMIC = {
    "fashion-cnn": "fashion-cnn-batch-3",
    "anomaly-autoencoder": "anomaly-autoencoder",
    "breast-random-forest": "breast-random-forest",
}


def _rows(model: str, count: int) -> tuple[Tensors, Tensors]:
    """That many rows of all the model's vectors, over and over, and what they give."""
    vectors = CARDS[model].vectors

    def repeat(parts: list[Tensors]) -> Tensors:
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return {name: rows[np.arange(count) % len(rows)] for name, rows in joined.items()}

    return repeat([vector.inputs for vector in vectors]), repeat([vector.expected for vector in vectors])


@pytest.mark.parametrize("count", [1, 3, 7])
@pytest.mark.parametrize("model", DYNAMIC)
def test_any_batch(client: InferenceServerClient, model: str, count: int) -> None:
    """The outputs have as many rows as the inputs."""
    inputs, expected = _rows(model, count)
    assert_all_close(infer(client, DYNAMIC[model], inputs), expected)


@pytest.mark.parametrize("model", DYNAMIC)
def test_batches_of_different_size_after_each_other(client: InferenceServerClient, model: str) -> None:
    """The graph is optimised for the shapes given; those of before do not matter."""
    for count in (7, 1, 64, 3, 1):
        inputs, expected = _rows(model, count)
        assert_all_close(infer(client, DYNAMIC[model], inputs), expected)


def test_a_batch_without_rows(client: InferenceServerClient) -> None:
    """No rows in, no rows out; or a refusal that says what is wrong, but never a broken server."""
    rows = np.empty((0, 30), np.float32)
    answer = infer(client, "anomaly-autoencoder", {"x": rows})
    assert_close(answer["score"], np.empty(0, np.float32))
