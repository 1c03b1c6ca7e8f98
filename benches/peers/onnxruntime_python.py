"""ONNX Runtime in Python as a peer: runs a model as often as asked, and tells how long each run took.

    python benches/peers/onnxruntime_python.py MODEL.onnx REQUEST.json

speaks as benches/README.md says of all peers. One thread, every optimisation, inputs made once.
"""

from __future__ import annotations

import json
import platform
import sys
import time

import numpy as np
import onnxruntime

DTYPES = {"FP32": np.float32, "INT32": np.int32, "INT64": np.int64}
DATATYPES = {np.dtype(dtype): datatype for datatype, dtype in DTYPES.items()}


def session_of(model: str) -> onnxruntime.InferenceSession:
    """Load a model for one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def inputs_of(request: dict) -> dict[str, np.ndarray]:
    """Take the inputs out of a request of the Open Inference Protocol."""
    return {
        tensor["name"]: np.array(tensor["data"], DTYPES[tensor["datatype"]]).reshape(tensor["shape"])
        for tensor in request["inputs"]
    }


def outputs_to_json(names: list[str], arrays: list[np.ndarray]) -> list[dict]:
    """Write outputs as the Open Inference Protocol does."""
    return [
        {"name": name, "datatype": DATATYPES[array.dtype], "shape": array.shape, "data": array.ravel().tolist()}
        for name, array in zip(names, arrays, strict=True)
    ]


def main() -> None:
    """Answer until there are no more lines."""
    model, request = sys.argv[1:]
    version = f"onnxruntime {onnxruntime.__version__}, Python {platform.python_version()}, numpy {np.__version__}"
    try:
        session = session_of(model)
        with open(request, encoding="utf-8") as file:
            feed = inputs_of(json.load(file))
        names = [output.name for output in session.get_outputs()]
        outputs = outputs_to_json(names, session.run(None, feed))
    except Exception as error:  # noqa: BLE001 # whatever it is, it belongs into the report
        print(json.dumps({"version": version, "error": str(error)}), flush=True)
        return
    print(json.dumps({"version": version, "outputs": outputs}), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter_ns()
            session.run(None, feed)
            times.append(time.perf_counter_ns() - start)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
