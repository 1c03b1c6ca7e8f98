#!/usr/bin/env python3
"""Makes the photos beside it, and what the reference makes of them.

    python -m pip install pillow==13.0.0 numpy onnxruntime==1.32.0
    python make.py PHOTO MODEL.onnx LABELS.txt

PHOTO is the zoo's `coffee.png`, MODEL and LABELS those of its `efficientnet-lite0`. The reference is models/classify.py,
with ONNX Runtime in the server's place. `NAME.centre.png` holds the square before its values are scaled.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "models"))
import classify  # noqa: E402


def main(photo: Path, model: Path, labels: Path) -> None:
    """Write everything."""
    rgb = classify.load_photo(photo)
    shrunk = rgb.resize((301, 200), Image.Resampling.LANCZOS)
    tiny = rgb.resize((40, 61), Image.Resampling.LANCZOS)
    exif = Image.Exif()
    exif[0x0112] = 8
    rgb.save(HERE / "turned.webp", quality=60, exif=exif)
    shrunk.save(HERE / "coffee.jpg", quality=90, subsampling=0)
    tiny.save(HERE / "tiny.png", optimize=True)

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    expected = {}
    for name in ("coffee.jpg", "tiny.png", "turned.webp"):
        tensor = classify.preprocess(classify.load_photo(HERE / name))
        square = (tensor[0].transpose(1, 2, 0) * classify.SCALE + classify.MEAN).round().astype(np.uint8)
        Image.fromarray(square, "RGB").save(HERE / f"{name}.centre.png", optimize=True)
        (logits,) = session.run(["logits"], {"input": tensor})
        best = classify.best_guesses(logits[0], classify.read_labels(labels), 5)
        expected[name] = {
            "logits": [round(float(value), 6) for value in logits[0]],
            "best": [{"label": g.label, "index": g.index, "probability": g.probability} for g in best],
        }
        print(name, best[0])
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
