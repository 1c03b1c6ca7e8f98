#!/usr/bin/env python3
"""Ask a running server what photos show.

    python models/classify.py PHOTO… [--url http://127.0.0.1:8080] [--model efficientnet-lite0] [--top 5] [--json]

Prepares each photo as EfficientNet-Lite0 wants it, sends it with the Open Inference Protocol v2 as a binary tensor,
and prints the likeliest classes. Needs what `requirements-client.txt` lists.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    from tritonclient.http import InferenceServerClient

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_MODEL = "efficientnet-lite0"
DEFAULT_LABELS = Path(__file__).resolve().parent / ".cache" / "labels" / "imagenet-1k.txt"

SIDE = 224
CROP_SHARE = 224 / 256
MEAN = 127.0
SCALE = 128.0


class ClassifyError(Exception):
    """Something the user can do something about; the message says what."""


# --- Before the model --------------------------------------------------------------------------------------------


def load_photo(path: Path) -> Image.Image:
    """Decode a photo as RGB, turned the way its EXIF data says."""
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError as error:
        raise ClassifyError(f"{path}: there is no such file") from error
    except UnidentifiedImageError as error:
        raise ClassifyError(f"{path}: not an image of a known format") from error
    except (OSError, Image.DecompressionBombError) as error:
        raise ClassifyError(f"{path}: cannot be read as an image ({error})") from error


def centred_square(width: int, height: int) -> tuple[float, float, float, float]:
    """The part of the photo that the model sees: left, top, right, bottom."""
    side = min(width, height) * CROP_SHARE
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def preprocess(photo: Image.Image) -> np.ndarray:
    """Turn an RGB photo into the model's input, float32 [1, 3, 224, 224]."""
    box = centred_square(photo.width, photo.height)
    resized = photo.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    values = (np.asarray(resized, np.float32) - MEAN) / SCALE
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


# --- After the model ---------------------------------------------------------------------------------------------


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities from scores, over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def read_labels(path: Path) -> list[str]:
    """Read labels, one a line."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise ClassifyError(f"there is no label file {path}; fetch it with: python models/fetch.py") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ClassifyError(f"the label file {path} cannot be read: {error}") from error


@dataclass(frozen=True)
class Guess:
    """One class with its probability."""

    index: int
    label: str
    probability: float


def best_guesses(logits: np.ndarray, labels: list[str], count: int) -> list[Guess]:
    """The likeliest classes, best first."""
    if len(logits) != len(labels):
        raise ClassifyError(f"the model has {len(logits)} classes, but the label file has {len(labels)} lines")
    probabilities = softmax(logits.astype(np.float64))
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [Guess(int(index), labels[index], float(probabilities[index])) for index in order]


# --- The server --------------------------------------------------------------------------------------------------


class Server:
    """One model on one server."""

    def __init__(self, url: str, model: str) -> None:
        try:
            import tritonclient.http as http
        except ModuleNotFoundError as error:
            hint = "python -m pip install -r models/requirements-client.txt"
            raise ClassifyError(f"the Python package {error.name!r} is missing; install it with: {hint}") from error
        self._http = http
        self._url = url
        self._model = model
        self._client = self._connect()
        metadata = self._ask(lambda: self._client.get_model_metadata(model))
        self._input, self._output = self._single_image_tensors(metadata)

    def _connect(self) -> InferenceServerClient:
        parts = urlsplit(self._url if "://" in self._url else f"http://{self._url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClassifyError(f"not an http or https URL: {self._url}")
        address = f"{parts.netloc}{parts.path}".rstrip("/")
        return self._http.InferenceServerClient(address, ssl=parts.scheme == "https")

    def _ask(self, request: Callable[[], Any]) -> Any:
        """Run a request and explain its failure."""
        from tritonclient.utils import InferenceServerException

        try:
            return request()
        except InferenceServerException as error:
            status = f" ({error.status()})" if error.status() else ""
            message = f"the server at {self._url} refuses, model {self._model!r}: {error.message()}{status}"
            raise ClassifyError(message) from error
        except OSError as error:
            raise ClassifyError(f"the server at {self._url} cannot be reached: {error}") from error
        except ValueError as error:
            raise ClassifyError(f"what answers at {self._url} does not speak the protocol: {error}") from error

    def _single_image_tensors(self, metadata: dict[str, Any]) -> tuple[str, str]:
        """The names of the input and the output, if the model is one for photos of this size."""
        try:
            (tensor_in,), (tensor_out,) = metadata["inputs"], metadata["outputs"]
            names = tensor_in["name"], tensor_out["name"]
            fits = tensor_in["datatype"] == "FP32" and [int(n) for n in tensor_in["shape"]][1:] == [3, SIDE, SIDE]
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            raise ClassifyError(f"{self._model!r} is no model that takes a photo as FP32 [1, 3, {SIDE}, {SIDE}]")
        return names

    def logits(self, tensor: np.ndarray) -> np.ndarray:
        """Send one prepared photo and return the scores of its classes."""
        request = self._http.InferInput(self._input, list(tensor.shape), "FP32")
        request.set_data_from_numpy(tensor, binary_data=True)
        wanted = self._http.InferRequestedOutput(self._output, binary_data=True)
        result = self._ask(lambda: self._client.infer(self._model, [request], outputs=[wanted]))
        return result.as_numpy(self._output)[0]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


# --- The command -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What the server said about one photo, and how long the round trip took."""

    photo: Path
    guesses: list[Guess]
    milliseconds: float

    def as_text(self) -> str:
        """For people."""
        lines = [f"{self.photo}  ({self.milliseconds:.1f} ms)"]
        lines += [f"  {guess.probability:6.1%}  {guess.label}" for guess in self.guesses]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        guesses = [
            {"index": guess.index, "label": guess.label, "probability": round(guess.probability, 6)}
            for guess in self.guesses
        ]
        return {"photo": str(self.photo), "milliseconds": round(self.milliseconds, 3), "top": guesses}


def classify(server: Server, path: Path, labels: list[str], count: int) -> Answer:
    """Prepare one photo, ask the server, and name the likeliest classes."""
    tensor = preprocess(load_photo(path))
    started = time.perf_counter()
    logits = server.logits(tensor)
    milliseconds = (time.perf_counter() - started) * 1e3
    return Answer(path, best_guesses(logits, labels, count), milliseconds)


def positive(text: str) -> int:
    """Parse a number that is at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Ask a running server what photos show.")
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    parser.add_argument("--url", default=DEFAULT_URL, help=f"the server (default: {DEFAULT_URL})")
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"the model's name (default: {DEFAULT_MODEL})")
    parser.add_argument("--labels", type=Path, default=DEFAULT_LABELS, metavar="FILE", help="labels, one a line")
    parser.add_argument("--top", type=positive, default=5, metavar="K", help="how many classes to print (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser.parse_args()


def run(arguments: argparse.Namespace) -> int:
    """Classify all photos; one that cannot be read does not keep the others from being classified."""
    labels = read_labels(arguments.labels)
    server = Server(arguments.url, arguments.model)
    answers, failed = [], False
    for path in arguments.photos:
        try:
            answer = classify(server, path, labels, arguments.top)
        except ClassifyError as error:
            print(f"error: {error}", file=sys.stderr)
            failed = True
            continue
        answers.append(answer)
        if not arguments.json:
            print(answer.as_text(), flush=True)
    if arguments.json:
        print(json.dumps([answer.as_json() for answer in answers], indent=2, ensure_ascii=False))
    server.close()
    return 1 if failed else 0


def main() -> int:
    """Run the command; what the user can mend ends it with a message."""
    try:
        return run(parse_arguments())
    except ClassifyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
