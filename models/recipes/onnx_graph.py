"""A small builder for ONNX graphs, shared by the recipes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
IR_VERSION = 8

FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64

Shape = Iterable[int | str]


class GraphBuilder:
    """Collects nodes and constants in the order in which they are added.

    That order, and every name, ends up in the serialised file. The cards pin the files by their hash, so a recipe whose
    output is converted on each machine has to add things in a fixed order.
    """

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: np.ndarray | np.generic) -> str:
        """Add a constant tensor unless one of that name is there already, and return its name."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def node(self, op: str, inputs: list[str], output: str, *, name: str | None = None, **attributes: object) -> str:
        """Add a node with a single output and return that output's name."""
        self._nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    @property
    def node_count(self) -> int:
        """How many nodes were added so far."""
        return len(self._nodes)

    def save(
        self,
        path: Path,
        *,
        graph_name: str,
        inputs: dict[str, tuple[int, Shape]],
        outputs: dict[str, tuple[int, Shape]],
        producer: str | None = None,
    ) -> None:
        """Check the whole graph, shapes included, and write it to `path`.

        `inputs` and `outputs` map a tensor's name to its element type and shape.
        """
        graph = helper.make_graph(
            self._nodes,
            graph_name,
            [helper.make_tensor_value_info(name, kind, list(shape)) for name, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(name, kind, list(shape)) for name, (kind, shape) in outputs.items()],
            list(self._constants.values()),
        )
        extra = {"producer_name": producer} if producer else {}
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, **extra)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(path))
