"""The command `samara`: finds the binary, runs it, compiles with it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cards import ROOT, Build

SCRATCH = ROOT / "target" / "python-tests"
CODE_CACHE = SCRATCH / "code"
COMPILE_TIMEOUT = 300.0


class CommandError(Exception):
    """The command cannot be used, or failed; the message says why."""


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Samara:
    """The binary under test."""

    path: Path
    sha256: str

    @classmethod
    def find(cls) -> Samara:
        """Take the binary that `SAMARA_BIN` names, or the one that `make build` leaves."""
        chosen = os.environ.get("SAMARA_BIN")
        path = Path(chosen) if chosen else ROOT / "target" / "release" / "samara"
        if not path.is_file():
            origin = "SAMARA_BIN names" if chosen else "the tests drive"
            raise CommandError(f"{origin} {path}, and there is no such file; build it with: make build")
        return cls(path.resolve(), _sha256_of(path))

    def run(self, *arguments: str | Path, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; it must succeed."""
        words = [str(self.path), *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode != 0:
            raise CommandError(f"`{' '.join(words)}` ended with {done.returncode}:\n{done.stderr}{done.stdout}")
        return done

    def compile(self, build: Build) -> Path:
        """Compile a model, unless this very binary has done so before."""
        if not build.onnx.is_file():
            raise CommandError(f"there is no {build.onnx}; fetch the models with: python models/fetch.py")
        component = SCRATCH / "components" / f"{build.name}.wasm"
        stamp = component.with_suffix(".json")
        labels = ["--labels", str(build.labels)] if build.labels else []
        wanted = json.dumps([self.sha256, _sha256_of(build.onnx), build.inputs, labels])
        if component.is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
            return component
        component.parent.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
        shapes = [word for shape in build.inputs for word in ("--input", shape)]
        where = ["-o", str(component), "--cache-dir", str(CODE_CACHE)]
        self.run("compile", build.onnx, "--name", build.name, *shapes, *labels, *where, timeout=COMPILE_TIMEOUT)
        stamp.write_text(wanted, encoding="utf-8")
        return component
