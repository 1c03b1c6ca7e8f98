#!/usr/bin/env python3
"""Makes the pictures of lines beside it, and what the reference reads in them.

    python -m pip install pillow==13.0.0 numpy onnxruntime==1.32.0 opencv-python-headless==5.0.0.93 pyyaml
    python -m pip install --no-deps rapidocr-onnxruntime==1.4.4
    python make.py

The reference is RapidOCR, with the PP-OCRv4 model of its own wheel. NAME.line.png holds the line before its values are
scaled; expected.json has for each picture and each kind of room the likeliest class of each step.
"""

import importlib.util
import json
import math
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
WHEEL = Path(importlib.util.find_spec("rapidocr_onnxruntime").origin).parent


def module(path: str):
    """A module of the wheel by itself, as its package wants more than is needed here."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, WHEEL / path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def line(text: str, size: int, colour: tuple[int, int, int], paper: tuple[int, int, int]) -> Image.Image:
    """A picture of a line."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("RGB", (right - left + size // 2, bottom - top + size // 2), paper)
    ImageDraw.Draw(picture).text((size // 4 - left, size // 4 - top), text, colour, font)
    return picture


def resize_norm_img(bgr: np.ndarray, most: int | None) -> tuple[np.ndarray, np.ndarray]:
    """RapidOCR's function of that name, for one line; `most` is a fixed width. Also gives the line before scaling."""
    height, width = bgr.shape[:2]
    ratio = width / height
    img_width = most if most is not None else int(48 * max(320 / 48, ratio))
    resized_width = min(math.ceil(48 * ratio), img_width)
    resized = cv2.resize(bgr, (resized_width, 48))
    padded = np.zeros((1, 3, 48, img_width), np.float32)
    padded[0, :, :, :resized_width] = (resized.astype("float32").transpose(2, 0, 1) / 255 - 0.5) / 0.5
    return padded, resized


def main() -> None:
    """Write everything."""
    line("Hello, World 42", 20, (20, 30, 160), (250, 240, 200)).save(HERE / "short.png", optimize=True)
    line("Hello, World 42", 90, (0, 0, 0), (255, 255, 255)).save(HERE / "large.png", optimize=True)
    text = "The quick brown fox jumps over the lazy dog"
    line(text, 32, (200, 30, 30), (230, 255, 230)).save(HERE / "long.png", optimize=True)

    model = WHEEL / "models" / "ch_PP-OCRv4_rec_infer.onnx"
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    characters = session.get_modelmeta().custom_metadata_map["character"].splitlines()
    decode = module("ch_ppocr_rec/utils.py").CTCLabelDecode(character=characters)
    expected = []
    for name in ("short.png", "large.png", "long.png"):
        for most in (320, None):
            bgr = cv2.cvtColor(np.array(Image.open(HERE / name).convert("RGB")), cv2.COLOR_RGB2BGR)
            tensor, resized = resize_norm_img(bgr, most)
            stem = f"{name}.{most or 'free'}.line.png"
            Image.fromarray(cv2.cvtColor(resized, cv2.COLOR_BGR2RGB)).save(HERE / stem, optimize=True)
            (output,) = session.run(None, {"x": tensor})
            ((text, confidence),) = decode(output)
            path = output[0].argmax(axis=1)
            expected.append({
                "picture": name,
                "line": stem,
                "fixed_width": most,
                "width": resized.shape[1],
                "input_width": tensor.shape[3],
                "path": [[int(c), decode.character[c], float(p)] for c, p in zip(path, output[0].max(axis=1))],
                "text": text,
                "confidence": confidence,
            })
            print(stem, resized.shape, tensor.shape, repr(text), confidence)
    (HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
