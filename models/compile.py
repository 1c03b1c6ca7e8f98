#!/usr/bin/env python3
"""Compile a model of the zoo as its card says: its inputs' shapes and its labels.

    python models/compile.py efficientnet-lite0                 into target/models/efficientnet-lite0.wasm
    python models/compile.py magika -o magika.wasm -- --simd baseline

    python models/compile.py ppocrv4-rec -- --input x=1,3,48,W  for lines of any width, and not as the card says

What follows `--` goes to `samara compile`; an `--input` there takes the place of the card's. The model has to be in the cache: see
`fetch.py`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tomllib
from pathlib import Path

MODELS = Path(__file__).resolve().parent
ROOT = MODELS.parent
CACHE = MODELS / ".cache"


def main() -> int:
    """Compile one model; what `samara compile` says and how it ends is passed on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="its card's name", metavar="MODEL")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT.wasm", help="default: target/models/MODEL.wasm")
    parser.add_argument("options", nargs="*", metavar="OPTION", help="further options of `samara compile`, after --")
    arguments = parser.parse_args()
    path = MODELS / "cards" / f"{arguments.model}.toml"
    if not path.is_file():
        known = ", ".join(sorted(card.stem for card in path.parent.glob("*.toml")))
        parser.error(f"there is no model {arguments.model!r}: there are {known}")
    card = tomllib.loads(path.read_text(encoding="utf-8"))
    onnx = CACHE / f"{arguments.model}.onnx"
    if not onnx.is_file():
        parser.error(f"{onnx} is missing: fetch it with models/fetch.py {arguments.model}")
    output = arguments.output or ROOT / "target" / "models" / f"{arguments.model}.wasm"
    output.parent.mkdir(parents=True, exist_ok=True)
    words = [os.environ.get("SAMARA_BIN", str(ROOT / "target" / "release" / "samara")), "compile", str(onnx)]
    words += ["--name", arguments.model, "-o", str(output)]
    if not any(option.partition("=")[0] == "--input" for option in arguments.options):
        words += [word for shape in card["compile"]["inputs"] for word in ("--input", shape)]
    if "file" in card.get("labels", {}):
        words += ["--labels", str(CACHE / card["labels"]["file"])]
    return subprocess.run([*words, *arguments.options], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
