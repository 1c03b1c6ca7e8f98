"""The programs that `make bench-peers` compares with, and its chart."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "benches" / "peers"
REPORT = ROOT / "benches" / "src" / "peers" / "markdown" / "report.json"
MODEL = "anomaly-autoencoder"


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    """A request with a test vector, as peers read it."""
    x = np.load(ROOT / "models" / "vectors" / MODEL / "x.npy")
    tensor = {"name": "x", "datatype": "FP32", "shape": x.shape, "data": x.ravel().tolist()}
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"inputs": [tensor]}), encoding="utf-8")
    return path


def ask(model: Path, request: Path, lines: str) -> list:
    """What ONNX Runtime's program answers to these lines, after what it says first."""
    command = [sys.executable, PEERS / "onnxruntime_python.py", model, request]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_peer_tells_its_outputs_and_then_times(request_file: Path) -> None:
    """First version and outputs, then a time for each run that is asked for."""
    hello, two, three = ask(ROOT / "models" / "onnx" / f"{MODEL}.onnx", request_file, "2\n3\n")
    assert hello["version"].startswith("onnxruntime ")
    (score,) = hello["outputs"]
    expected = np.load(ROOT / "models" / "vectors" / MODEL / "score.npy")
    tolerance = tomllib.loads((ROOT / "models" / "cards" / f"{MODEL}.toml").read_text())["vectors"][0]["tolerance"]
    assert (score["name"], score["datatype"], score["shape"]) == ("score", "FP32", [1])
    np.testing.assert_allclose(score["data"], expected, rtol=tolerance, atol=tolerance)
    assert (len(two), len(three)) == (2, 3)
    assert all(nanoseconds > 0 for nanoseconds in two + three)


def test_a_peer_that_cannot_run_a_model_says_why(request_file: Path, tmp_path: Path) -> None:
    """It ends well, with a reason for the table."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    (hello,) = ask(broken, request_file, "1\n")
    assert "outputs" not in hello
    assert str(broken) in hello["error"]


def test_the_chart_shows_every_model_and_is_the_same_each_time(tmp_path: Path) -> None:
    """Names and times are text in it; nothing in it depends on when it was drawn."""
    pytest.importorskip("matplotlib", reason="scripts/setup.sh peer-tools brings matplotlib")
    charts = [tmp_path / "first.svg", tmp_path / "second.svg"]
    for chart in charts:
        subprocess.run([sys.executable, PEERS / "chart.py", REPORT, chart], check=True, timeout=120)
    first, second = (chart.read_text(encoding="utf-8") for chart in charts)
    assert first == second
    for text in ("efficientnet-lite0", "breast-random-forest", "rten, native", "20.0 ms", "60.0 ms", ">cannot<", ">wrong<"):
        assert text in first
