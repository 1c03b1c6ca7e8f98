"""Train a small convolutional network on Fashion-MNIST with JAX and export it to ONNX.

The data is Debian's package `dataset-fashion-mnist` (MIT). Four epochs of Adam take a few minutes on two cores. With
the pinned versions the result came out the same, byte for byte, when it was trained again on the same kind of machine.
On another processor its last bits may differ, and with them the hash.

    python -m recipes.fashion_cnn OUTPUT [--data FOLDER] [--epochs N]        (from the folder models/)
"""

from __future__ import annotations

import argparse
import gzip
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime

from recipes.onnx_graph import FLOAT, GraphBuilder

DATA = Path("/usr/share/datasets/fashion-mnist")
IMAGE_HEADER = 16
LABEL_HEADER = 8

SEED = 0
EPOCHS = 4
BATCH = 128
LEARNING_RATE = 2e-3
FINAL_LEARNING_RATE = 1e-5
BETA_MEAN = 0.9
BETA_SQUARE = 0.999
ADAM_EPSILON = 1e-8

Parameters = dict[str, jax.Array]


def read_images(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of images as uint8 [N, 1, 28, 28]."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=IMAGE_HEADER).reshape(-1, 1, 28, 28)


def read_labels(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of labels as uint8 [N]."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=LABEL_HEADER)


def initial_parameters() -> Parameters:
    """He-initialised weights, and biases of zero."""
    keys = jax.random.split(jax.random.PRNGKey(SEED), 4)

    def weights(key: jax.Array, shape: tuple[int, ...], fan_in: int) -> jax.Array:
        return jax.random.normal(key, shape) * np.sqrt(2 / fan_in)

    return {
        "w1": weights(keys[0], (16, 1, 3, 3), 9),
        "b1": jnp.zeros(16),
        "w2": weights(keys[1], (32, 16, 3, 3), 144),
        "b2": jnp.zeros(32),
        "w3": weights(keys[2], (64, 1568), 1568),
        "b3": jnp.zeros(64),
        "w4": weights(keys[3], (10, 64), 64),
        "b4": jnp.zeros(10),
    }


def convolve(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """A 3x3 convolution that keeps the side, then ReLU, then 2x2 max pooling."""
    layout = ("NCHW", "OIHW", "NCHW")
    x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)
    x = jax.nn.relu(x + bias[None, :, None, None])
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")


def forward(p: Parameters, x: jax.Array) -> jax.Array:
    """The network's logits."""
    x = convolve(x, p["w1"], p["b1"])
    x = convolve(x, p["w2"], p["b2"])
    x = x.reshape(x.shape[0], -1)
    x = jax.nn.relu(x @ p["w3"].T + p["b3"])
    return x @ p["w4"].T + p["b4"]


def loss(p: Parameters, x: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean cross-entropy."""
    return -jnp.take_along_axis(jax.nn.log_softmax(forward(p, x)), labels[:, None], 1).mean()


@jax.jit
def adam_step(
    p: Parameters, mean: Parameters, square: Parameters, step: float, x: jax.Array, labels: jax.Array, rate: float
) -> tuple[Parameters, Parameters, Parameters]:
    """One step of Adam; returns the new parameters and the two running averages of the gradient."""
    gradient = jax.grad(loss)(p, x, labels)
    mean = jax.tree.map(lambda m, g: BETA_MEAN * m + (1 - BETA_MEAN) * g, mean, gradient)
    square = jax.tree.map(lambda s, g: BETA_SQUARE * s + (1 - BETA_SQUARE) * g * g, square, gradient)

    def update(value: jax.Array, m: jax.Array, s: jax.Array) -> jax.Array:
        unbiased_mean = m / (1 - BETA_MEAN**step)
        unbiased_square = s / (1 - BETA_SQUARE**step)
        return value - rate * unbiased_mean / (jnp.sqrt(unbiased_square) + ADAM_EPSILON)

    return jax.tree.map(update, p, mean, square), mean, square


def train(images: np.ndarray, labels: np.ndarray, epochs: int) -> dict[str, np.ndarray]:
    """Train with a learning rate that falls linearly, and return the parameters as float32 arrays."""
    p = initial_parameters()
    mean = square = jax.tree.map(jnp.zeros_like, p)
    shuffler = np.random.RandomState(SEED)
    batches = len(images) // BATCH
    total, step, started = epochs * batches, 0, time.perf_counter()
    for epoch in range(epochs):
        order = shuffler.permutation(len(images))
        for batch in range(batches):
            chosen = order[batch * BATCH : (batch + 1) * BATCH]
            step += 1
            rate = LEARNING_RATE * (1 - step / total) + FINAL_LEARNING_RATE
            x, y = images[chosen].astype(np.float32) / 255, labels[chosen].astype(np.int32)
            p, mean, square = adam_step(p, mean, square, float(step), x, y, rate)
        print(f"epoch {epoch + 1} of {epochs}, {time.perf_counter() - started:.0f} s", flush=True)
    return {name: np.asarray(value, np.float32) for name, value in p.items()}


def export(parameters: dict[str, np.ndarray], output: Path) -> None:
    """Write the network as ONNX."""
    graph = GraphBuilder()
    for name, value in parameters.items():
        graph.constant(name, value)
    x = "image"
    for index in (1, 2):
        inputs = [x, f"w{index}", f"b{index}"]
        x = graph.node("Conv", inputs, f"c{index}", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        x = graph.node("Relu", [x], f"r{index}")
        x = graph.node("MaxPool", [x], f"p{index}", kernel_shape=[2, 2], strides=[2, 2])
    x = graph.node("Flatten", [x], "f")
    x = graph.node("Gemm", [x, "w3", "b3"], "g1", transB=1)
    x = graph.node("Relu", [x], "r3")
    graph.node("Gemm", [x, "w4", "b4"], "logits", transB=1)
    graph.save(
        output,
        graph_name="fashion_cnn",
        inputs={"image": (FLOAT, ["N", 1, 28, 28])},
        outputs={"logits": (FLOAT, ["N", 10])},
    )


def accuracy(model: Path, images: np.ndarray, labels: np.ndarray) -> float:
    """The exported model's accuracy, measured with ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    correct = 0
    for begin in range(0, len(images), 1000):
        chosen = slice(begin, begin + 1000)
        (logits,) = session.run(None, {"image": images[chosen].astype(np.float32) / 255})
        correct += int((logits.argmax(1) == labels[chosen]).sum())
    return correct / len(images)


def main() -> None:
    """Train, export and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the four gzipped IDX files")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    arguments = parser.parse_args()
    train_images = read_images(arguments.data / "train-images-idx3-ubyte.gz")
    train_labels = read_labels(arguments.data / "train-labels-idx1-ubyte.gz")
    test_images = read_images(arguments.data / "t10k-images-idx3-ubyte.gz")
    test_labels = read_labels(arguments.data / "t10k-labels-idx1-ubyte.gz")
    export(train(train_images, train_labels, arguments.epochs), arguments.output)
    print(f"accuracy on {len(test_images)} test images: {accuracy(arguments.output, test_images, test_labels):.4f}")


if __name__ == "__main__":
    main()
