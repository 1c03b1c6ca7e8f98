"""ONNX Runtime behind KServe's model server as a peer: answers inference requests over HTTP.

    python benches/peers/kserve_server.py MODEL.onnx NAME WORKERS

prints one line of JSON with its `version` and where it listens (`listen`), or with an `error`. A custom model, as KServe's
documentation has them, with one thread of ONNX Runtime in each worker; no gRPC, no latency log.
"""

from __future__ import annotations

import json
import logging
import platform
import socket
import sys
from importlib.metadata import version

import kserve
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse
from onnxruntime_python import DATATYPES, session_of


class OnnxModel(kserve.Model):
    """A model that ONNX Runtime runs."""

    def __init__(self, name: str, path: str) -> None:
        """Note where the model is: each worker loads it when it is first asked."""
        super().__init__(name)
        self.path = path
        self.session: onnxruntime.InferenceSession | None = None
        self.ready = True

    def predict(self, payload: InferRequest, *_: object, **__: object) -> InferResponse:
        """Answer a request."""
        if self.session is None:
            self.session = session_of(self.path)
        feed = {tensor.name: tensor.as_numpy() for tensor in payload.inputs}
        outputs = []
        names = [output.name for output in self.session.get_outputs()]
        for name, array in zip(names, self.session.run(None, feed), strict=True):
            output = InferOutput(name, list(array.shape), DATATYPES[array.dtype])
            output.set_data_from_numpy(array, binary_data=True)
            outputs.append(output)
        # A reply without an id is not valid for it.
        return InferResponse(payload.id or "", self.name, outputs)


def main() -> None:
    """Serve the model until the process is ended."""
    path, name, workers = sys.argv[1:]
    told = (
        f"KServe {version('kserve')}, uvicorn {version('uvicorn')}, onnxruntime {onnxruntime.__version__}, "
        f"Python {platform.python_version()}"
    )
    try:
        session_of(path)
    except Exception as error:  # noqa: BLE001 # whatever it is, it belongs into the report
        print(json.dumps({"version": told, "error": str(error)}), flush=True)
        return
    # It takes a port's number, and no socket: a free one is looked for, and let go.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    print(json.dumps({"version": told, "listen": f"127.0.0.1:{port}"}), flush=True)
    logging.disable(logging.INFO)
    server = kserve.ModelServer(
        http_port=port, workers=int(workers), enable_grpc=False, enable_latency_logging=False, event_loop="uvloop"
    )
    server.start([OnnxModel(name, path)])


if __name__ == "__main__":
    main()
