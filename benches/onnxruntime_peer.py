"""Run a model with ONNX Runtime as often as asked, and tell how long each run took.

    python benches/onnxruntime_peer.py MODEL.onnx NAME=FILE.npy...

Prints the version of ONNX Runtime. Then each line on standard input is a number of runs, and is answered with a line: a
JSON list of nanoseconds. One thread, every optimisation, inputs made once.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import onnxruntime


def main() -> None:
    """Answer until there are no more lines."""
    model, *inputs = sys.argv[1:]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {name: np.load(file) for name, _, file in (text.partition("=") for text in inputs)}
    print(onnxruntime.__version__, flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter_ns()
            session.run(None, feed)
            times.append(time.perf_counter_ns() - start)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
