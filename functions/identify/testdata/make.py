#!/usr/bin/env python3
"""Record what the Python package magika makes of bytes, in answers.json; with --types, write src/types.rs.

    pip install magika==1.0.3
    python functions/identify/testdata/make.py [--types]

`cases` are contents with the features that magika takes of them (none where it does not ask its model), what the model
says, and what magika answers. Contents and features are written as runs: [value, count, value, count, ...]. `rules`
says for each of the model's labels what magika answers at scores around its thresholds: [label, score, answer].
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import numpy as np
from magika import Magika
from magika.types import ContentTypeLabel, Seekable

HERE = Path(__file__).resolve().parent

PYTHON = b"""#!/usr/bin/env python3
import sys


def main() -> None:
    print(sys.argv)


if __name__ == '__main__':
    main()
"""
RUST = b"""use std::io;

fn main() -> io::Result<()> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    println!("{line}");
    Ok(())
}
"""
JSON = b'{"name": "samara", "version": 1, "list": [1, 2, 3, null, true], "nested": {"a": "b"}}'
HTML = b"<!DOCTYPE html>\n<html><head><title>Hello</title></head><body><p>Hello, <b>world</b>!</p></body></html>\n"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
GZIP = bytes.fromhex("1f8b0800000000000003cb48cdc9c95728cf2fca49e102002d3b08af0c000000")
WASM = bytes.fromhex("0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b")
WAV = bytes.fromhex("524946462400000057415645666d74201000000001000100401f0000803e00000200100064617461") + bytes(40)
SHELL = b"#!/bin/sh\nset -eu\nfor f in *.txt; do\n    echo \"$f\"\n    wc -l \"$f\"\ndone\n"
CSV = b"name,age,city\nAnn,31,Paris\nBob,27,Rome\nCid,44,Oslo\nDee,52,Bern\n"
INI = b"[server]\nhost = localhost\nport = 8080\n\n[client]\nretries = 3\n"
TEXT = b"It was a bright cold day in April, and the clocks were striking all of the hours at once.\n"


def contents() -> list[tuple[str, bytes]]:
    noise = random.Random(7).randbytes
    return [
        ("nothing", b""),
        ("a letter", b"a"),
        ("seven letters", b"abcdefg"),
        ("eight letters", b"abcdefgh"),
        ("seven bytes that are no UTF-8", b"\xff\xfe\x00abcd"),
        ("a cut character", "äö".encode()[:3]),
        ("a surrogate", b"\xed\xa0\x80"),
        ("an overlong character", b"\xc0\xaf"),
        ("seven zeros", bytes(7)),
        ("eight zeros", bytes(8)),
        ("white space", b" \t\n\r\x0b\x0c" * 10),
        ("white space that is none to magika", b"\x85\xa0\x1c\x1d\x1e\x1f" * 4),
        ("eight spaces", b" " * 8),
        ("5000 spaces", b" " * 5000),
        ("seven letters in white space", b" " * 20 + b"abcdefg" + b"\n" * 20),
        ("eight letters in white space", b" " * 20 + b"abcdefgh" + b"\n" * 20),
        ("seven letters without UTF-8 in white space", b" " * 20 + b"abcdef\xff" + b"\n" * 20),
        ("seven letters far behind white space", b" " * 4090 + b"abcdefg" + b" " * 4000),
        ("a program behind a block of white space", b"\n" * 4096 + PYTHON),
        ("white space with a character on the block's end", b" " * 4095 + "é".encode() + b" " * 10),
        ("a program before a block of white space", PYTHON + b"\n" * 4096),
        ("python", PYTHON),
        ("python in white space", b"\n \t" + PYTHON + b"\x0c\x0b\r\n "),
        ("rust", RUST),
        ("json", JSON),
        ("html", HTML),
        ("png", PNG),
        ("gif", GIF),
        ("gzip", GZIP),
        ("wasm", WASM),
        ("shell", SHELL),
        ("csv", CSV),
        ("ini", INI),
        ("text", TEXT),
        ("empty pdf", b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"),
        ("zip without files", b"PK\x05\x06" + bytes(18)),
        ("elf header", b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00\x01\x00\x00\x00" + bytes(40)),
        ("wav header", WAV),
        ("noise, 64", noise(64)),
        ("noise, 1023", noise(1023)),
        ("noise, 1024", noise(1024)),
        ("noise, 1025", noise(1025)),
        ("noise in a block", noise(100) + bytes(3896) + noise(100)),
        ("noise in a block and a byte", noise(100) + bytes(3897) + noise(100)),
        ("noise in two blocks", noise(100) + bytes(8000) + noise(100)),
        ("repeated text", TEXT * 12),
        ("half a block of letters", b"x" * 2048),
        ("a tar's zeros", b"readme" + bytes(94) + b"0000644\0" + bytes(10138)),
    ]


def runs(values) -> list[int]:
    return [number for value, group in itertools.groupby(values) for number in (value, len(list(group)))]


def record() -> None:
    magika = Magika()
    config = magika._model_config
    cases = []
    for name, content in contents():
        _, features = magika._get_result_or_features_from_seekable(Seekable(BytesIO(content)))
        prediction = magika.identify_bytes(content).prediction
        output = prediction.output
        cases.append(
            {
                "name": name,
                "content": runs(content),
                "features": None if features is None else runs(features.beg + features.end),
                "label": str(prediction.dl.label),
                "score": prediction.score,
                "answer": {
                    "type": str(output.label),
                    "description": output.description,
                    "mime": output.mime_type,
                    "group": output.group,
                    "extensions": output.extensions,
                    "is_text": output.is_text,
                },
            }
        )
    rules = []
    for label in config.target_labels_space:
        threshold = config.thresholds.get(label, config.medium_confidence_threshold)
        # The score is a 32-bit number, compared with 64 bits.
        near = np.float32(threshold)
        scores = {0.01, 0.49, 0.5, 0.999, *(float(np.nextafter(near, np.float32(to))) for to in (0, 1)), float(near)}
        for score in sorted(float(np.float32(score)) for score in scores):
            answer, _ = magika._get_output_label_from_dl_label_and_score(label, score)
            rules.append([str(label), score, str(answer)])

    def lines(items: list) -> str:
        return ",\n".join(json.dumps(item, separators=(",", ":")) for item in items)

    labels = json.dumps([str(label) for label in config.target_labels_space])
    (HERE / "answers.json").write_text(
        f'{{"magika":"{version("magika")}",\n"labels":{labels},\n'
        f'"cases":[\n{lines(cases)}\n],\n"rules":[\n{lines(rules)}\n]}}\n'
    )
    asked = sum(case["features"] is not None for case in cases)
    print(f"{len(cases)} cases, {asked} of them for the model; {len(rules)} rules")


HEAD = '''\
//! What is known of each type.
//!
//! Written by `testdata/make.py --types` from the knowledge base of Magika {version} (`content_types_kb.min.json`;
//! copyright Google LLC, Apache-2.0), reduced to the types that Magika's model standard v3.3 can lead to.

use crate::content_type::{{ContentType, binary, text}};

/// The labels of the model's {count} classes, in their order, each with what is known of the type. Then those that only
/// a rule gives.
#[rustfmt::skip]
pub const TYPES: &[ContentType] = &[
'''


def write_types() -> None:
    magika = Magika()
    labels = magika._model_config.target_labels_space
    rows = []
    for label in [*labels, ContentTypeLabel.EMPTY, ContentTypeLabel.UNKNOWN]:
        info = magika._get_ct_info(label)
        kind = "text" if info.is_text else "binary"
        strings = [str(label), info.description, info.mime_type, info.group]
        strings = [json.dumps(text, ensure_ascii=False) for text in strings]
        extensions = ", ".join(json.dumps(extension) for extension in info.extensions)
        rows.append(f"    {kind}({', '.join(strings)}, &[{extensions}]),\n")
    head = HEAD.format(version=version("magika"), count=len(labels))
    (HERE.parent / "src/types.rs").write_text(head + "".join(rows) + "];\n", encoding="utf-8")
    print(f"{len(rows)} types")


if __name__ == "__main__":
    write_types() if "--types" in sys.argv[1:] else record()
