"""The model cards as the tests see them: what to compile, and which outputs are right for which inputs."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
CACHE = MODELS / ".cache"
PHOTOS = CACHE / "photos"
PHOTO_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}

Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Build:
    """One way in which a model is compiled, and the name under which the result is served."""

    name: str
    onnx: Path
    inputs: tuple[str, ...]
    labels: Path | None


@dataclass(frozen=True)
class Vector:
    """Inputs of a model, and what ONNX Runtime computes of them."""

    name: str
    build: Build
    tolerance: float
    input_files: dict[str, str]
    expected_files: dict[str, str]

    @property
    def inputs(self) -> Tensors:
        """The tensors to send."""
        return {name: np.load(MODELS / file, allow_pickle=False) for name, file in self.input_files.items()}

    @property
    def expected(self) -> Tensors:
        """The tensors that have to come back."""
        return {name: np.load(MODELS / file, allow_pickle=False) for name, file in self.expected_files.items()}


@dataclass(frozen=True)
class Card:
    """A model with its vectors."""

    name: str
    build: Build
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    vectors: tuple[Vector, ...]

    def vector(self, name: str) -> Vector:
        """The vector of this name."""
        return next(vector for vector in self.vectors if vector.name == name)

    @property
    def builds(self) -> set[Build]:
        """The card's own build, and those that some vectors want instead."""
        return {self.build, *(vector.build for vector in self.vectors)}


def _read_vector(card: dict[str, Any], vector: dict[str, Any], build: Build) -> Vector:
    """Read one vector, which may want a build of its own."""
    if "compile_inputs" in vector:
        build = Build(f"{card['name']}-{vector['name']}", build.onnx, tuple(vector["compile_inputs"]), build.labels)
    return Vector(vector["name"], build, vector["tolerance"], vector["inputs"], vector["expected"])


def _read_card(path: Path) -> Card:
    """Read one card."""
    card = tomllib.loads(path.read_text(encoding="utf-8"))
    labels = CACHE / card["labels"]["file"] if "file" in card.get("labels", {}) else None
    build = Build(card["name"], CACHE / f"{card['name']}.onnx", tuple(card["compile"]["inputs"]), labels)
    vectors = tuple(_read_vector(card, vector, build) for vector in card["vectors"])
    return Card(card["name"], build, card["inputs"], card["outputs"], vectors)


CARDS: dict[str, Card] = {path.stem: _read_card(path) for path in sorted((MODELS / "cards").glob("*.toml"))}
BUILDS: dict[str, Build] = {build.name: build for card in CARDS.values() for build in card.builds}
VECTORS: dict[str, Vector] = {
    f"{card.name}/{vector.name}": vector for card in CARDS.values() for vector in card.vectors
}
