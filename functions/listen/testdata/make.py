"""Record what the references of `samara-listen` give, in the two JSON files beside this script.

    python functions/listen/testdata/make.py SOUNDS

wants numpy 2.4.6, onnxruntime 1.32.0, packaging 26.3, scipy 1.17.1 and silero-vad 6.2.3. Of the last, only one file is
used, so that `pip install --no-deps silero-vad` does; a few names stand in for PyTorch, which that file imports.

SOUNDS is a folder of spoken prompts, which `scripts/setup.sh test-tools` fetches into tests/.cache/sounds: of 8 kHz, those
in Debian's package asterisk-core-sounds-en-wav 1.6.1-1 (CC-BY-SA 3.0), and of 48 kHz, those in alsa-utils 1.2.8-1
(GPL-2). The sounds are not part of this repository, only what the model says of them. They are brought to 16 kHz as silero-vad's `read_audio` does it, by torchaudio's `Resample`, whose formula
(`_get_sinc_resample_kernel` in torchaudio/functional/functional.py, version 2.9) is written out here: PyTorch is large.

segments.json   for each sound, the probabilities of speech, which ONNX Runtime computed, rounded to four digits, and for
                each of the settings the segments that silero-vad finds given these, in samples at 16 kHz
chirp.json      a chirp at several rates, resampled to 16 kHz by that formula, every few samples
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from scipy.io import wavfile

HERE = Path(__file__).resolve().parent
MODEL = HERE.parents[2] / "models" / ".cache" / "silero-vad.onnx"
RATE = 16_000
FRAME, CONTEXT = 512, 64

# The longest prompts, in which someone pauses, a few short ones, and some of another rate.
SOUNDS = (
    "conf-adminmenu-162",
    "demo-echotest",
    "demo-instruct",
    "demo-nogo",
    "dir-usingkeypad",
    "privacy-prompt",
    "queue-youarenext",
    "tt-monkeys",
    "vm-msginstruct",
    "vm-newuser",
    "cancelled",
    "vm-goodbye",
    "Front_Center",
    "Front_Left",
    "Rear_Center",
    "Side_Right",
)
# The first are the defaults.
SETTINGS = (
    {"threshold": 0.5, "min_speech_ms": 250, "min_silence_ms": 100, "pad_ms": 30},
    {"threshold": 0.5, "min_speech_ms": 0, "min_silence_ms": 0, "pad_ms": 0},
    {"threshold": 0.9, "min_speech_ms": 100, "min_silence_ms": 30, "pad_ms": 200},
    {"threshold": 0.3, "min_speech_ms": 1000, "min_silence_ms": 500, "pad_ms": 77},
    {"threshold": 0.005, "min_speech_ms": 250, "min_silence_ms": 32, "pad_ms": 1000},
    {"threshold": 0.98, "min_speech_ms": 50, "min_silence_ms": 64, "pad_ms": 45},
)
CHIRP = {"seconds": 0.25, "from_hz": 100.0, "to_hz": 3000.0, "stride": 3}
CHIRP_RATES = (8_000, 11_025, 22_050, 44_100, 48_000)


def load_reference() -> types.ModuleType:
    """Import silero_vad/utils_vad.py alone, without its package and without PyTorch."""
    stand_in = types.ModuleType("torch")
    stand_in.no_grad = lambda: lambda function: function
    stand_in.device = lambda name: name
    stand_in.Tensor = np.ndarray
    sys.modules.setdefault("torch", stand_in)
    package = importlib.util.find_spec("silero_vad")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("silero-vad is not installed")
    path = Path(package.submodule_search_locations[0]) / "utils_vad.py"
    spec = importlib.util.spec_from_file_location("utils_vad", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Bring samples to 16 kHz as torchaudio's Resample does by default."""
    if rate == RATE:
        return samples.astype(np.float32)
    zero_crossings, rolloff = 6, 0.99
    divisor = math.gcd(rate, RATE)
    old, new = rate // divisor, RATE // divisor
    frequency = min(old, new) * rolloff
    width = math.ceil(zero_crossings * old / frequency)
    offsets = np.arange(-width, width + old) / old
    times = (-np.arange(new)[:, None] / new + offsets) * frequency
    times = times.clip(-zero_crossings, zero_crossings)
    window = np.cos(times * np.pi / zero_crossings / 2) ** 2
    kernels = (np.sinc(times) * window * (frequency / old)).astype(np.float32)
    padded = np.pad(samples.astype(np.float32), (width, width + old))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernels.shape[1])[::old]
    return (windows @ kernels.T).reshape(-1)[: math.ceil(new * len(samples) / old)]


def load_sound(path: Path) -> np.ndarray:
    """Read a sound of 16-bit samples, mix its channels and bring it to 16 kHz."""
    rate, samples = wavfile.read(path)
    samples = samples.astype(np.float32) / 32768
    if samples.ndim > 1:
        samples = samples.mean(1)
    return resample(samples, rate)


def speech_probabilities(session: onnxruntime.InferenceSession, samples: np.ndarray) -> list[float]:
    """Ask the model about each frame; round what it says."""
    samples = np.pad(samples, (CONTEXT, -len(samples) % FRAME))
    state = np.zeros((2, 1, 128), np.float32)
    probabilities = []
    for start in range(0, len(samples) - CONTEXT, FRAME):
        frame = samples[None, start : start + CONTEXT + FRAME]
        output, state = session.run(["output", "stateN"], {"input": frame, "state": state})
        probabilities.append(round(float(output[0, 0]), 4))
    return probabilities


def reference_segments(reference: types.ModuleType, probabilities: list[float], length: int) -> list[Any]:
    """Find the segments for each of the settings."""
    # The function under test holds 32-bit numbers.
    probabilities = [float(np.float32(value)) for value in probabilities]
    found = []
    for settings in SETTINGS:
        segments = reference.get_speech_timestamps_from_probs(
            probabilities,
            sampling_rate=RATE,
            threshold=settings["threshold"],
            min_speech_duration_ms=settings["min_speech_ms"],
            min_silence_duration_ms=settings["min_silence_ms"],
            speech_pad_ms=settings["pad_ms"],
            audio_length_samples=length,
        )
        found.append([[segment["start"], segment["end"]] for segment in segments])
    return found


def record_segments(sounds: Path) -> dict[str, Any]:
    """Put segments.json together."""
    reference = load_reference()
    session = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    recorded = []
    for name in SOUNDS:
        samples = load_sound(sounds / f"{name}.wav")
        probabilities = speech_probabilities(session, samples)
        segments = reference_segments(reference, probabilities, len(samples))
        recorded.append(
            {"name": name, "samples": len(samples), "probabilities": probabilities, "segments": segments}
        )
    return {"settings": SETTINGS, "sounds": recorded}


def record_chirp() -> dict[str, Any]:
    """Put chirp.json together."""
    seconds, start, end = CHIRP["seconds"], CHIRP["from_hz"], CHIRP["to_hz"]
    resampled = {}
    for rate in CHIRP_RATES:
        time = np.arange(int(seconds * rate)) / rate
        chirp = 0.8 * np.sin(2 * np.pi * (start * time + (end - start) * time**2 / (2 * seconds)))
        values = resample(chirp, rate)[:: CHIRP["stride"]]
        resampled[str(rate)] = [round(float(value), 5) for value in values]
    return {**CHIRP, "resampled": resampled}


def write(name: str, content: dict[str, Any]) -> None:
    """Write a file beside this script, without spaces."""
    (HERE / name).write_text(json.dumps(content, separators=(",", ":")) + "\n")


def main() -> None:
    """Record both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sounds", type=Path)
    sounds = parser.parse_args().sounds
    write("segments.json", record_segments(sounds))
    write("chirp.json", record_chirp())


if __name__ == "__main__":
    main()
