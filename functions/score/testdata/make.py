"""Compute the default threshold of `samara-score`, and record it in threshold.json beside this script.

    python functions/score/testdata/make.py

wants numpy 2.4.6, onnxruntime 1.32.0 and scikit-learn 1.9.1. The split is that of
models/recipes/anomaly_autoencoder.py, which trained the model: the first 250 benign rows are the training rows.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
from sklearn.datasets import load_breast_cancer

HERE = Path(__file__).resolve().parent
MODEL = HERE.parents[2] / "models" / "onnx" / "anomaly-autoencoder.onnx"
BENIGN = 1
TRAINING_ROWS = 250
THRESHOLD_DIGITS = 3


def main() -> None:
    """Score all rows and record what the threshold does to those that were not trained on."""
    data = load_breast_cancer()
    session = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    (scores,) = session.run(["score"], {"x": data.data.astype(np.float32)})
    benign, malignant = scores[data.target == BENIGN], scores[data.target != BENIGN]
    percentile = float(np.percentile(benign[:TRAINING_ROWS], 95))
    threshold = round(percentile, THRESHOLD_DIGITS)
    held_out = benign[TRAINING_ROWS:]
    recorded = {
        "percentile_95": round(percentile, 6),
        "threshold": threshold,
        "held_out_benign": {"rows": len(held_out), "anomalous": int((held_out > threshold).sum())},
        "malignant": {"rows": len(malignant), "anomalous": int((malignant > threshold).sum())},
    }
    (HERE / "threshold.json").write_text(json.dumps(recorded, indent=2) + "\n")


if __name__ == "__main__":
    main()
