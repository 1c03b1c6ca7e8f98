"""`samara infer` reads the arrays that numpy writes, and numpy reads those that it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cards import MODELS, VECTORS
from command import CODE_CACHE, Samara
from tensors import assert_all_close


@pytest.mark.parametrize("name", VECTORS)
def test_outputs_are_right(samara: Samara, components: dict[str, Path], tmp_path: Path, name: str) -> None:
    """Each vector, in process, without a server."""
    vector = VECTORS[name]
    inputs = [word for tensor, file in vector.input_files.items() for word in ("--input", f"{tensor}={MODELS / file}")]
    component = components[vector.build.name]
    samara.run("infer", component, *inputs, "--output", tmp_path, "--cache-dir", CODE_CACHE)
    written = {path.name.removesuffix(".npy"): np.load(path, allow_pickle=False) for path in tmp_path.glob("*.npy")}
    assert_all_close(written, vector.expected, vector.tolerance)
