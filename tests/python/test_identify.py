"""The function `identify`, held against the Python package magika."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from magika import Magika

from asking import answer
from cards import PHOTO_TYPES, PHOTOS, ROOT
from serving import Server

# Where files of many types are: this repository with what it fetches, Python's own, the system's.
DIRECTORIES = (ROOT, Path(sys.prefix), Path(sys.base_prefix) / "lib", Path("/usr/share"), Path("/usr/lib"))
FILES = 400
FILES_OF_ONE_EXTENSION = 6
LARGEST = 4 << 20
WANTED_FILES, WANTED_TYPES = 200, 30


def files() -> Iterator[Path]:
    """Files of this machine, a few of each extension, in the order of their paths."""
    seen: Counter[str] = Counter()
    for directory in DIRECTORIES:
        for folder, folders, names in os.walk(directory):
            # What git and a build write is another each time.
            folders[:] = sorted(set(folders) - {".git", "target", "__pycache__"})
            for name in sorted(names):
                path = Path(folder, name)
                extension = path.suffix.lower()
                if seen[extension] < FILES_OF_ONE_EXTENSION and is_readable(path):
                    seen[extension] += 1
                    yield path


def is_readable(path: Path) -> bool:
    """Whether it is a file of its own that is not too large."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST and os.access(path, os.R_OK)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b'#!/bin/sh\nset -e\nfor file in *.txt; do\n  echo "$file"\ndone\n' * 3, "shell"),
        (b"\xff\xfe\x00", "unknown"),
        (b"ab", "txt"),
    ],
)
def test_identify_tells_what_a_file_is(functions: Server, content: bytes, kind: str) -> None:
    """By its content, whatever the content-type says."""
    for content_type in ("application/octet-stream", None, "image/png"):
        assert answer(functions, "/identify", content, content_type)["type"] == kind


def test_identify_agrees_on_photos(functions: Server) -> None:
    """The sample photos."""
    for path in sorted(PHOTOS.iterdir()):
        reply = answer(functions, "/identify", path.read_bytes(), None)
        assert reply["mime"] == PHOTO_TYPES[path.suffix]
        assert reply["confidence"] > 0.9


def test_identify_agrees_with_magika(functions: Server) -> None:
    """On files of this machine: the same type, with the same confidence."""
    magika = Magika()
    types: Counter[str] = Counter()
    others = []
    for path, _ in zip(files(), range(FILES), strict=False):
        content = path.read_bytes()
        prediction = magika.identify_bytes(content).prediction
        reply = answer(functions, "/identify", content, "application/octet-stream")
        types[str(prediction.output.label)] += 1
        same = reply["type"] == prediction.output.label
        if not same or reply["confidence"] != pytest.approx(prediction.score, abs=1e-3):
            others.append((str(path), reply["type"], reply["confidence"], prediction.output.label, prediction.score))
    assert others == []
    assert types.total() >= WANTED_FILES
    assert len(types) >= WANTED_TYPES, sorted(types)
