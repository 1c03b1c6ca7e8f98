"""The functions, linked with their models: what they answer, held against what others compute."""

from __future__ import annotations

import base64
import io
import json
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image, ImageDraw, ImageFont

from asking import answer, ask, problem
from cards import CACHE, CARDS, PHOTO_TYPES, PHOTOS, ROOT
from command import Samara
from conftest import FUNCTIONS
from serving import Server


def run_model(name: str, **inputs: np.ndarray) -> list[np.ndarray]:
    """What ONNX Runtime computes, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(CARDS[name].build.onnx, options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


# === classify ===


def reference_probabilities(photo: Image.Image) -> np.ndarray:
    """What ONNX Runtime thinks of a photo that Pillow prepared."""
    photo = photo.convert("RGB")
    side = round(min(photo.size) * 224 / 256)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    photo = photo.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    pixels = (np.asarray(photo, np.float32) - 127) / 128
    (logits,) = run_model("efficientnet-lite0", input=pixels.transpose(2, 0, 1)[None])
    scores = np.exp(logits[0] - logits[0].max())
    return scores / scores.sum()


@pytest.mark.parametrize(
    ("photo", "label"),
    [
        ("chelsea.png", "tiger cat"),
        ("coffee.png", "espresso"),
        ("rocket.jpg", "missile"),
        ("astronaut.png", "football helmet"),
    ],
)
def test_classify_sees_what_onnx_runtime_sees(functions: Server, photo: str, label: str) -> None:
    """The right label first, and the probabilities within 0.02."""
    path = PHOTOS / photo
    expected = reference_probabilities(Image.open(path))
    reply = answer(functions, "/classify?top=10", path.read_bytes(), PHOTO_TYPES[path.suffix])
    assert reply["model"] == {"name": "efficientnet-lite0", "version": "1"}
    predictions = reply["predictions"]
    assert len(predictions) == 10
    assert predictions[0]["label"] == label
    for prediction in predictions:
        assert prediction["probability"] == pytest.approx(expected[prediction["index"]], abs=0.02)


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_classify_takes_other_formats(functions: Server, form: str) -> None:
    """As Pillow writes them."""
    buffer = io.BytesIO()
    Image.open(PHOTOS / "coffee.png").convert("RGB").save(buffer, form, quality=95)
    reply = answer(functions, "/classify?top=1", buffer.getvalue(), f"image/{form.lower()}")
    assert [prediction["label"] for prediction in reply["predictions"]] == ["espresso"]


def test_classify_takes_base64(functions: Server) -> None:
    """A photo in JSON is the photo."""
    photo = (PHOTOS / "coffee.png").read_bytes()
    body = json.dumps({"image": base64.b64encode(photo).decode()}).encode()
    assert answer(functions, "/classify", body, "application/json") == answer(
        functions, "/classify", photo, "image/png"
    )


def bomb() -> bytes:
    """The head of a PNG that says it is 30,000 by 30,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("function", ["classify", "read"])
def test_bad_pictures_are_refused(functions: Server, function: str) -> None:
    """Each with the reason."""
    photo = (PHOTOS / "coffee.png").read_bytes()
    path = f"/{function}"
    problem(functions, path, b"GIF89a nonsense", "image/gif", 415)
    problem(functions, path, photo, None, 415)
    problem(functions, path, b"", "image/png", 400)
    assert "30000" in problem(functions, path, bomb(), "image/png", 413).replace(",", "")
    assert problem(functions, path, photo[: len(photo) // 2], "image/png", 422)
    assert problem(functions, path, b"no picture", "image/png", 422)
    assert "base64" in problem(functions, path, b'{"image": "%%%"}', "application/json", 400)


# === embed ===

SENTENCES = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "",
    "   ",
    "naïve café — résumé",
    "Ünïcödé, ÄÖÜ, ß",
    "你好，世界",
    "こんにちは世界",
    "안녕하세요 세계",
    "Привет, мир!",
    "مرحبا بالعالم",
    "שלום עולם",
    "नमस्ते दुनिया",
    "😀 emoji 🚀 in text",
    "tabs\tand\nnew lines\r\n",
    "control\u0000\u0007 characters",
    "UPPER lower MiXeD",
    "numbers 1234567890, 3.14159, -42",
    "https://example.org/path?query=1#fragment",
    "an-hyphenated-word and_an_underscored_one",
    "\"quotes\" 'single' `backticks`",
    "supercalifragilisticexpialidocious",
    "x" * 300,
    "word " * 500,
    *(f"This is sentence number {number}, about subject {number * 7 % 13}." for number in range(30)),
]


def embed(server: Server, texts: str | list[str], **more: object) -> dict[str, Any]:
    """The reply of the function."""
    return answer(server, "/embed", json.dumps({"input": texts, **more}).encode(), "application/json")


def test_embed_gives_what_onnx_runtime_gives(functions: Server) -> None:
    """With the tokenizer that the model was made with."""
    from tokenizers import Tokenizer

    (path,) = (CACHE / "tokenizers" / "minilm-l6").rglob("tokenizer.json")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding(length=128)
    items = []
    # A request has ten seconds by default, and a text takes about 60 ms of them, many times that on a slow machine.
    for start in range(0, len(SENTENCES), 4):
        batch = SENTENCES[start : start + 4]
        reply = embed(functions, batch)
        assert [item["index"] for item in reply["data"]] == list(range(len(batch)))
        items += reply["data"]
    worst = 1.0
    for text, item in zip(SENTENCES, items, strict=True):
        encoding = tokenizer.encode(text)
        ids, mask = (np.array([values], np.int64) for values in (encoding.ids, encoding.attention_mask))
        (expected,) = run_model("minilm-l6", input_ids=ids, attention_mask=mask)
        found = np.array(item["embedding"])
        assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
        worst = min(worst, float(found @ expected[0]))
        assert item.get("truncated", False) == bool(encoding.overflowing), text[:40]
    assert worst >= 0.9999


def test_embed_speaks_openais_protocol(functions: Server) -> None:
    """What its clients read is there; base64 is the same numbers."""
    reply = embed(functions, "Hello", model="text-embedding-3-small")
    assert (reply["object"], reply["model"]) == ("list", "minilm-l6")
    assert reply["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    encoded = embed(functions, "Hello", encoding_format="base64")["data"][0]["embedding"]
    numbers = np.frombuffer(base64.b64decode(encoded), "<f4")
    assert numbers == pytest.approx(np.array(reply["data"][0]["embedding"]), abs=1e-6)


@pytest.mark.parametrize(
    "request_",
    [
        {"input": []},
        {"input": [[1, 2]]},
        {"input": 7},
        {},
        {"input": "x", "dimensions": 3},
        {"input": "x", "encoding_format": "x"},
    ],
)
def test_embed_refuses_what_it_cannot_do(functions: Server, request_: dict[str, Any]) -> None:
    """Each with the reason."""
    assert problem(functions, "/embed", json.dumps(request_).encode(), "application/json", 400)


# === read ===


def drawn(text: str) -> bytes:
    """A line of text as a picture, black on white."""
    font = ImageFont.load_default(size=36)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("RGB", (round(right - left) + 20, round(bottom - top) + 20), "white")
    ImageDraw.Draw(picture).text((10 - left, 10 - top), text, "black", font)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("text", ["Hello World", "Samara 2026"])
def test_read_reads_a_line(functions: Server, text: str) -> None:
    """One drawn here."""
    reply = answer(functions, "/read", drawn(text), "image/png")
    assert reply["text"].strip() == text
    assert reply["confidence"] > 0.8


def test_read_reads_a_long_line_as_it_is(functions: Server, samara: Samara, components: dict[str, Path]) -> None:
    """Where the model is one for any width; one for 320 columns gets the line squeezed."""
    text = "A long line of text, which has more letters than there is room for"
    assert answer(functions, "/read", drawn(text), "image/png")["squeezed"]
    component = CARDS["ppocrv4-rec"].vector("crops").build.name
    options = ["--function", str(ROOT / "target/functions/read.wasm"), "--model", str(components[component])]
    with Server(samara, [], *options, "--route", "/read") as server:
        reply = answer(server, "/read", drawn(text), "image/png")
    assert not reply["squeezed"]
    assert reply["input_width"] >= reply["width"] - 1 > 320
    assert reply["text"].replace(" ", "") == text.replace(" ", "")


# === score ===


def test_score_gives_what_onnx_runtime_gives(functions: Server) -> None:
    """In JSON and CSV, within 1e-5."""
    rows = np.concatenate([vector.inputs["x"] for vector in CARDS["anomaly-autoencoder"].vectors])
    (expected,) = run_model("anomaly-autoencoder", x=rows)
    reply = answer(functions, "/score?threshold=0.5", json.dumps({"rows": rows.tolist()}).encode(), "application/json")
    assert [result["row"] for result in reply["results"]] == list(range(1, len(rows) + 1))
    found = [result["score"] for result in reply["results"]]
    assert found == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-5)
    assert [result["anomalous"] for result in reply["results"]] == [bool(score > 0.5) for score in expected]
    table = "\n".join(",".join(map(repr, row)) for row in rows.tolist())
    status, headers, content = ask(functions, "/score?threshold=0.5", table.encode(), "text/csv", accept="text/csv")
    assert status == 200
    assert headers["content-type"].startswith("text/csv")
    lines = content.decode().split()
    assert lines[0] == "row,score,anomalous"
    assert [float(line.split(",")[1]) for line in lines[1:]] == pytest.approx(found)


def test_score_names_the_bad_cell(functions: Server) -> None:
    """Row and column."""
    row = ",".join(["1"] * 30)
    bad = ",".join(["1"] * 6 + ["x"] + ["1"] * 23)
    detail = problem(functions, "/score?header=absent", f"{row}\n{bad}\n".encode(), "text/csv", 400)
    assert "2" in detail
    assert "7" in detail
    assert problem(functions, "/score", b"[[1,2]]", "application/json", 400)


# === all ===

CURL_LINES = [
    line.strip()
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("    curl ") and any(f"localhost:8080/{name}" in line for name in FUNCTIONS)
]


def test_the_readme_asks_every_function() -> None:
    """One line each."""
    assert len(CURL_LINES) == len(FUNCTIONS)


@pytest.mark.parametrize("line", CURL_LINES)
def test_the_lines_of_the_readme_work(functions: Server, line: str) -> None:
    """As they are there, but for the port."""
    words = ["bash", "-c", line.replace("localhost:8080", functions.address).replace("curl ", "curl -sSf ", 1)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    reply = json.loads(done.stdout)
    if "/listen" in line:
        assert len(reply["speech"]) == 1
    if "/score" in line:
        assert [result["anomalous"] for result in reply["results"]] == [False, True]
    if "/read" in line:
        assert reply["text"].strip()


@pytest.mark.parametrize("function", ["classify", "embed", "identify", "listen", "read", "score"])
def test_other_methods_are_refused(functions: Server, function: str) -> None:
    """And what is answered is said."""
    with functions.connection() as connection:
        connection.request("PUT", f"/{function}", b"x")
        reply = connection.getresponse()
        assert (reply.status, reply.getheader("allow")) == (405, "POST")
        assert json.loads(reply.read())["status"] == 405


def test_routes_are_exact(functions: Server) -> None:
    """What is below a function's route is not the function's."""
    with functions.connection() as connection:
        connection.request("POST", "/embed/more", b"{}")
        assert connection.getresponse().status == 404
