"""The function `listen`: on prompts that people spoke, held against the Python package silero-vad; and on other sounds.

The prompts and the music are Debian's, which `scripts/setup.sh test-tools` fetches. What silero-vad says of the prompts
is recorded in functions/listen/testdata/segments.json, by the script beside that file.
"""

from __future__ import annotations

import io
import json
import os
import wave
from pathlib import Path

import numpy as np
import pytest

from asking import answer, ask, problem
from cards import ROOT
from serving import Server

SOUNDS = ROOT / "tests" / ".cache" / "sounds"
RECORDED = json.loads((ROOT / "functions" / "listen" / "testdata" / "segments.json").read_text(encoding="utf-8"))
# A frame of the model, in seconds.
FRAME = 512 / 16_000
MUSIC = (
    "macroform-cold_day",
    "macroform-robot_dity",
    "macroform-the_simplicity",
    "manolo_camp-morning_coffee",
    "reno_project-system",
)
SECONDS_OF_MUSIC = 60


def fetched(name: str) -> Path:
    """A sound of Debian's."""
    path = SOUNDS / f"{name}.wav"
    if not path.is_file() and "CI" not in os.environ:
        pytest.skip(f"there is no {path}: scripts/setup.sh test-tools fetches it on Debian")
    return path


@pytest.mark.parametrize("prompt", RECORDED["sounds"], ids=lambda prompt: prompt["name"])
def test_listen_hears_what_silero_vad_hears(functions: Server, prompt: dict) -> None:
    """As many stretches of speech, each within a frame."""
    reply = answer(functions, "/listen", fetched(prompt["name"]).read_bytes(), "audio/wav")
    found = [(stretch["start"], stretch["end"]) for stretch in reply["speech"]]
    # The first of the settings are the defaults; what is recorded is in samples at 16 kHz.
    expected = [(start / 16_000, end / 16_000) for start, end in prompt["segments"][0]]
    assert len(found) == len(expected), (found, expected)
    assert np.abs(np.array(found) - np.array(expected)).max() <= FRAME, (found, expected)


@pytest.mark.parametrize("name", [*MUSIC, "Noise"])
def test_listen_hears_no_speech_in_music_and_noise(functions: Server, name: str) -> None:
    """The first minute of each."""
    with wave.open(str(fetched(name))) as file:
        rate, count = file.getframerate(), min(file.getnframes(), SECONDS_OF_MUSIC * file.getframerate())
        samples = np.frombuffer(file.readframes(count), "<i2") / 32768
    assert answer(functions, "/listen", sound(samples, rate), "audio/wav")["speech"] == []


def sound(samples: np.ndarray, rate: int, channels: int = 1) -> bytes:
    """Samples from -1 to 1 as a WAV file of 16 bits."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").repeat(channels).tobytes())
    return buffer.getvalue()


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_listen_hears_no_speech_in_silence_and_tones(functions: Server, rate: int, channels: int) -> None:
    """Neither in nothing nor in a chord."""
    time = np.arange(2 * rate) / rate
    chord = sum(0.2 * np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.2, 329.6))
    for samples in (np.zeros(2 * rate), chord):
        reply = answer(functions, "/listen", sound(samples, rate, channels), "audio/wav")
        assert reply["speech"] == []
        assert reply["duration"] == pytest.approx(2)
        assert reply["sampling_rate"] == rate


def test_listen_refuses_what_is_no_wav(functions: Server) -> None:
    """Each with the reason."""
    good = sound(np.zeros(16000), 16000)
    problem(functions, "/listen", b"", "audio/wav", 400)
    problem(functions, "/listen", good, "audio/mpeg", 415)
    status, _, _ = ask(functions, "/listen", b"RIFF no wav at all", "audio/wav")
    assert status in (400, 422)
    # A-law is format 6.
    status, _, _ = ask(functions, "/listen", good[:20] + b"\x06\x00" + good[22:], "audio/wav")
    assert status in (400, 422)
