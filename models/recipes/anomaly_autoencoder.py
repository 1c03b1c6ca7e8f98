"""Train an autoencoder on benign rows of scikit-learn's breast-cancer data and export an anomaly score.

The network squeezes the 30 standardised measurements through 6 numbers and restores them. It has only seen benign
rows, so what it restores badly is unlike them: the score is the mean squared error of the restoration. Standardising
and scoring are part of the ONNX graph. With the pinned versions the result came out the same, byte for byte, when it
was trained again on the same kind of machine. On another processor its last bits may differ, and with them the hash.

    python -m recipes.anomaly_autoencoder OUTPUT        (from the folder models/)
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPRegressor

from recipes.onnx_graph import FLOAT, GraphBuilder

BENIGN = 1
TRAINING_ROWS = 250
HIDDEN_LAYERS = (16, 6, 16)
SEED = 0


@dataclass(frozen=True)
class Autoencoder:
    """The statistics that standardise a row, and each layer's weight and bias."""

    mean: np.ndarray
    deviation: np.ndarray
    layers: list[tuple[np.ndarray, np.ndarray]]


def load_split() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return benign training rows, then test rows with their truth (1 = malignant, the anomaly)."""
    data = load_breast_cancer()
    benign, malignant = data.data[data.target == BENIGN], data.data[data.target != BENIGN]
    held_out = benign[TRAINING_ROWS:]
    truth = np.concatenate([np.zeros(len(held_out)), np.ones(len(malignant))])
    return benign[:TRAINING_ROWS], np.concatenate([held_out, malignant]), truth


def train(rows: np.ndarray) -> Autoencoder:
    """Standardise the rows and fit the network to restore them."""
    mean, deviation = rows.mean(0), rows.std(0)
    standardised = (rows - mean) / deviation
    network = MLPRegressor(hidden_layer_sizes=HIDDEN_LAYERS, max_iter=1500, random_state=SEED, alpha=1e-3)
    network.fit(standardised, standardised)
    return Autoencoder(mean, deviation, list(zip(network.coefs_, network.intercepts_, strict=True)))


def export(model: Autoencoder, output: Path) -> None:
    """Write standardisation, network and score as one ONNX graph."""
    graph = GraphBuilder()

    def constant(name: str, value: np.ndarray) -> str:
        return graph.constant(name, value.astype(np.float32))

    centred = graph.node("Sub", ["x", constant("mu", model.mean)], "d")
    standardised = graph.node("Div", [centred, constant("sd", model.deviation)], "z")
    restored = standardised
    for index, (weight, bias) in enumerate(model.layers):
        inputs = [restored, constant(f"w{index}", weight), constant(f"b{index}", bias)]
        restored = graph.node("Gemm", inputs, f"g{index}")
        if index < len(model.layers) - 1:
            restored = graph.node("Relu", [restored], f"r{index}")
    error = graph.node("Sub", [restored, standardised], "e")
    squared = graph.node("Mul", [error, error], "e2")
    graph.node("ReduceMean", [squared], "score", axes=[1], keepdims=0)
    graph.save(
        output,
        graph_name="ae",
        inputs={"x": (FLOAT, ["N", len(model.mean)])},
        outputs={"score": (FLOAT, ["N"])},
    )


def area_under_curve(model: Path, rows: np.ndarray, truth: np.ndarray) -> float:
    """The area under the ROC curve of the exported score, measured with ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"x": rows.astype(np.float32)})
    return float(roc_auc_score(truth, scores))


def main() -> None:
    """Train, export and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    train_rows, test_rows, truth = load_split()
    export(train(train_rows), output)
    print(f"area under the ROC curve on {len(test_rows)} rows: {area_under_curve(output, test_rows, truth):.4f}")


if __name__ == "__main__":
    main()
