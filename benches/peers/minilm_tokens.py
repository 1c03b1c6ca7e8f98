"""Make MiniLM for another number of tokens, to see how its cost grows with them.

    python benches/peers/minilm_tokens.py MODEL.onnx TOKENS OUT.onnx

The file fixes 128 tokens: in its inputs, in the shapes of its reshapes, and in the table of positions. Beyond 128 the
positions begin again, as the file has no more of them: what the model then says means nothing, but it costs the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

TOKENS = 128
POSITIONS = "pos"
RESHAPES = ("m4", "heads", "flat")


def resize(model: onnx.ModelProto, tokens: int) -> None:
    """Change the number of tokens of a model in place."""
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[1].dim_value = tokens
    changed = set()
    for constant in model.graph.initializer:
        if constant.name == POSITIONS:
            table = np.resize(numpy_helper.to_array(constant), (1, tokens, *constant.dims[2:]))
        elif constant.name in RESHAPES:
            table = numpy_helper.to_array(constant)
            table = np.where(table == TOKENS, tokens, table)
        else:
            continue
        changed.add(constant.name)
        constant.CopyFrom(numpy_helper.from_array(table, constant.name))
    if changed != {POSITIONS, *RESHAPES}:
        sys.exit(f"this is not MiniLM as models/recipes/minilm_l6.py writes it: of its constants there are {changed}")


def main() -> None:
    """Read, resize, write."""
    source, tokens, output = sys.argv[1:]
    model = onnx.load(source)
    resize(model, int(tokens))
    partial = Path(f"{output}.partial")
    onnx.save(model, partial)
    partial.rename(output)


if __name__ == "__main__":
    main()
