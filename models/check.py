#!/usr/bin/env python3
"""Check the cards: their fields, the files they name, and their test vectors against ONNX Runtime.

    python models/check.py [NAME…] [--cache DIR] [--write]

Run `fetch.py` first. With `--write`, the expected outputs are computed anew from the inputs. Needs numpy and
onnxruntime (`recipes/requirements.txt`).
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from fetch import CARDS, DEFAULT_CACHE, MODELS, sha256_of

FIELDS = ("name", "title", "task", "licence", "homepage", "description", "source", "onnx", "compile")
TABLES = ("inputs", "outputs", "vectors")
DATATYPES = {"FP32": "float32", "INT32": "int32", "INT64": "int64"}
ONNX_TYPES = {"tensor(float)": "FP32", "tensor(int32)": "INT32", "tensor(int64)": "INT64"}


def fits(shape: tuple[int, ...], declared: list[int]) -> bool:
    """Whether a shape is one that the card allows; -1 allows any number."""
    return len(shape) == len(declared) and all(want in (-1, got) for got, want in zip(shape, declared, strict=True))


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Load a model to run on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def interface_problems(card: dict[str, Any], session: onnxruntime.InferenceSession) -> list[str]:
    """Compare the tensors that the card describes with those of the ONNX file."""
    problems = []
    for table, actual in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        described = [(tensor["name"], tensor["datatype"]) for tensor in card[table]]
        found = [(tensor.name, ONNX_TYPES.get(tensor.type, tensor.type)) for tensor in actual]
        if described != found:
            problems.append(f"{table}: the card says {described}, the file {found}")
        for tensor, real in zip(card[table], actual, strict=False):
            fixed = [size if isinstance(size, int) else -1 for size in real.shape]
            if not fits(tuple(tensor["shape"]), fixed):
                problems.append(f"{tensor['name']}: the card says {tensor['shape']}, the file {real.shape}")
    return problems


def load_tensors(paths: dict[str, str], tensors: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Load a vector's files; their type and shape have to be what the card says."""
    declared = {tensor["name"]: tensor for tensor in tensors}
    if set(paths) != set(declared):
        raise ValueError(f"holds {sorted(paths)} instead of {sorted(declared)}")
    loaded = {}
    for name, path in paths.items():
        array = np.load(MODELS / path, allow_pickle=False)
        wanted = declared[name]
        if array.dtype != DATATYPES[wanted["datatype"]] or not fits(array.shape, wanted["shape"]):
            raise ValueError(f"{path} is {array.dtype} {array.shape}")
        loaded[name] = array
    return loaded


def vector_problem(
    card: dict[str, Any], vector: dict[str, Any], session: onnxruntime.InferenceSession, *, write: bool
) -> str | None:
    """Run one vector and compare, or write, what comes out."""
    try:
        inputs = load_tensors(vector["inputs"], card["inputs"])
        outputs = dict(zip(vector["expected"], session.run(list(vector["expected"]), inputs), strict=True))
        if write:
            for name, path in vector["expected"].items():
                np.save(MODELS / path, outputs[name], allow_pickle=False)
        expected = load_tensors(vector["expected"], card["outputs"])
    except (OSError, ValueError) as error:
        return str(error)
    tolerance = vector["tolerance"]
    for name, got in outputs.items():
        if not np.allclose(got, expected[name], rtol=tolerance, atol=tolerance):
            return f"{name} is off by {np.abs(got - expected[name]).max():.3g}"
    return None


def label_problems(card: dict[str, Any], cache: Path) -> list[str]:
    """There must be as many labels as the output they belong to has classes."""
    if "labels" not in card:
        return []
    labels = card["labels"]
    if "values" in labels:
        values = labels["values"]
    else:
        values = (cache / labels["file"]).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    classes = {tensor["name"]: tensor["shape"][-1] for tensor in card["outputs"]}[labels["output"]]
    return [] if len(values) == classes else [f"{len(values)} labels for {classes} classes"]


def check(path: Path, cache: Path, *, write: bool) -> list[str]:
    """Check one card and return what is wrong."""
    card = tomllib.loads(path.read_text(encoding="utf-8"))
    missing = [field for field in (*FIELDS, *TABLES) if field not in card]
    if missing:
        return [f"lacks {', '.join(missing)}"]
    if card["name"] != path.stem:
        return [f"is named {card['name']!r}"]
    model = cache / f"{card['name']}.onnx"
    if not model.is_file():
        return [f"{model.name} is not in the cache: run fetch.py first"]
    if sha256_of(model) != card["onnx"]["sha256"]:
        return [f"{model.name} in the cache is not what the card pins"]
    session = open_session(model)
    problems = interface_problems(card, session) + label_problems(card, cache)
    for vector in card["vectors"]:
        problem = vector_problem(card, vector, session, write=write)
        if problem:
            problems.append(f"vector {vector['name']}: {problem}")
    return problems


def main() -> int:
    """Check the cards asked for, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, metavar="DIR")
    parser.add_argument("--write", action="store_true", help="compute the expected outputs anew")
    arguments = parser.parse_args()
    paths = [CARDS / f"{name}.toml" for name in arguments.names] or sorted(CARDS.glob("*.toml"))
    failed = False
    for path in paths:
        problems = check(path, arguments.cache, write=arguments.write) if path.is_file() else ["there is no such card"]
        print(f"{path.stem}: {'ok' if not problems else 'FAILED'}")
        for problem in problems:
            print(f"  {problem}")
        failed = failed or bool(problems)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
