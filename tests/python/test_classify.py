"""The demo client, end to end: a photo goes in, its name comes out."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cards import MODELS, PHOTOS
from serving import Server


def classify(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the client against the server."""
    words = [sys.executable, str(MODELS / "classify.py"), *arguments, "--url", f"http://{server.address}"]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("photo", "label", "probability"),
    [
        ("chelsea.png", "tiger cat", 0.385),
        ("coffee.png", "espresso", 0.951),
        ("rocket.jpg", "missile", 0.286),
        ("astronaut.png", "football helmet", 0.162),
    ],
)
def test_the_likeliest_class(server: Server, photo: str, label: str, probability: float) -> None:
    """As ONNX Runtime sees it."""
    done = classify(server, str(PHOTOS / photo), "--json")
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    best = answer["top"][0]
    assert best["label"] == label
    assert best["probability"] == pytest.approx(probability, abs=0.001)


def test_the_answer_for_people(server: Server) -> None:
    """Several photos in one run, the best guess first under each."""
    done = classify(server, str(PHOTOS / "chelsea.png"), str(PHOTOS / "coffee.png"), "--top", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split("%  ")[1] for line in lines if "%" in line] == ["tiger cat", "espresso"]


def test_another_model_is_refused_with_a_reason(server: Server) -> None:
    """A model that takes no photos, and one that is not there."""
    refused = classify(server, str(PHOTOS / "coffee.png"), "--model", "silero-vad")
    assert refused.returncode == 1
    assert "silero-vad" in refused.stderr
    unknown = classify(server, str(PHOTOS / "coffee.png"), "--model", "no-such-model")
    assert unknown.returncode == 1
    assert "404" in unknown.stderr
