"""Train the random forest on scikit-learn's breast-cancer data and export it as a `TreeEnsembleClassifier`.

The split, the training and the export hold no other randomness than the seeds below: with the pinned versions the
result is the committed file, byte for byte.

    python -m recipes.random_forest OUTPUT        (from the folder models/)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

TREES = 60
TEST_SHARE = 0.3
SEED = 0
OPSETS = {"": 13, "ai.onnx.ml": 1}


def load_split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training rows, test rows, training labels and test labels (0 malignant, 1 benign)."""
    data = load_breast_cancer()
    return train_test_split(data.data, data.target, test_size=TEST_SHARE, random_state=SEED, stratify=data.target)


def train(rows: np.ndarray, labels: np.ndarray) -> RandomForestClassifier:
    """Fit the forest."""
    return RandomForestClassifier(n_estimators=TREES, random_state=SEED).fit(rows, labels)


def export(forest: RandomForestClassifier, sample: np.ndarray, output: Path) -> None:
    """Write the forest as ONNX. Without ZipMap, so that the probabilities are a tensor, not a list of maps."""
    model = to_onnx(forest, sample.astype(np.float32), target_opset=OPSETS, options={"zipmap": False})
    onnx.save(model, str(output))


def accuracy(model: Path, rows: np.ndarray, labels: np.ndarray) -> float:
    """The exported model's accuracy, measured with ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    predicted, _probabilities = session.run(None, {"X": rows.astype(np.float32)})
    return float((predicted == labels).mean())


def main() -> None:
    """Train, export and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    train_rows, test_rows, train_labels, test_labels = load_split()
    export(train(train_rows, train_labels), train_rows[:1], output)
    print(f"accuracy on {len(test_rows)} held-out rows: {accuracy(output, test_rows, test_labels):.4f}")


if __name__ == "__main__":
    main()
