#!/usr/bin/env python3
"""Compare a running function with the Python package magika on the files of some directories.

    pip install magika==1.0.3
    python functions/identify/testdata/compare.py http://127.0.0.1:8080/ DIRECTORY...

Posts each file to the URL and compares its type with what `Magika.identify_bytes` says of it. Ends with 0 if all types
are the same and at least as many as --types wants, with 1 if not, and with 2 for a wrong command line. Files are taken
in the order of their paths, at most --per-extension of one extension, so that many types get their turn.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from magika import Magika

MAX_BYTES = 64 << 20


def files(directories: list[Path], limit: int, per_extension: int) -> Iterator[Path]:
    seen: collections.Counter[str] = collections.Counter()
    count = 0
    for directory in directories:
        for folder, folders, names in os.walk(directory):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_BYTES:
                    continue
                if seen[path.suffix.lower()] >= per_extension or not os.access(path, os.R_OK):
                    continue
                seen[path.suffix.lower()] += 1
                yield path
                count += 1
                if count == limit:
                    return


def ask(url: str, content: bytes, timeout: float) -> dict:
    request = urllib.request.Request(url, content, {"content-type": "application/octet-stream"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        return {"type": f"HTTP {error.code}", "confidence": 0.0, "detail": error.read().decode(errors="replace")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="where the function is, as http://127.0.0.1:8080/")
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIRECTORY", help="where files are, at any depth")
    parser.add_argument("--limit", type=int, default=1000, help="at most so many files (default: 1000)")
    parser.add_argument("--per-extension", type=int, default=20, help="at most so many of each (default: 20)")
    parser.add_argument("--types", type=int, default=1, help="fail if fewer types were found (default: 1)")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for each file (default: 30)")
    arguments = parser.parse_args()
    for directory in arguments.directories:
        if not directory.is_dir():
            parser.error(f"{directory} is no directory")

    magika = Magika()
    types: collections.Counter[str] = collections.Counter()
    others = 0
    largest = 0.0
    for path in files(arguments.directories, arguments.limit, arguments.per_extension):
        content = path.read_bytes()
        prediction = magika.identify_bytes(content).prediction
        wanted = str(prediction.output.label)
        found = ask(arguments.url, content, arguments.timeout)
        types[wanted] += 1
        if found["type"] == wanted:
            largest = max(largest, abs(found["confidence"] - prediction.score))
        else:
            others += 1
            detail = found.get("detail", f"{found['confidence']:.4f}")
            print(f"{path}: {found['type']} ({detail}), where magika says {wanted} ({prediction.score:.4f})")

    print(f"{types.total()} files of {len(types)} types, {others} of them answered otherwise than by magika")
    print(f"largest difference of a confidence: {largest:.2e}")
    if not types:
        print("there was nothing to compare: name a directory with files", file=sys.stderr)
    return 1 if others or len(types) < arguments.types else 0


if __name__ == "__main__":
    sys.exit(main())
