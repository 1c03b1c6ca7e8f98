"""ONNX Runtime behind FastAPI and uvicorn as a peer: answers inference requests over HTTP.

    python benches/peers/fastapi_server.py MODEL.onnx [WORKERS]

prints one line of JSON with its `version` and where it listens (`listen`), or with an `error`. It takes what `samara serve`
takes, in the binary form of the Open Inference Protocol. One thread in each of so many processes, by default one: the model
runs where requests are read, as handing it to a pool of threads would only add to the latency of a client that waits. uvloop,
httptools, no access log.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys

import fastapi
import numpy as np
import onnxruntime
import uvicorn
import uvicorn.supervisors
from onnxruntime_python import DATATYPES, DTYPES, session_of

HEADER_LENGTH = "inference-header-content-length"
# Where a worker finds out which model it has.
MODEL = "SAMARA_PEER_MODEL"


def application(session: onnxruntime.InferenceSession) -> fastapi.FastAPI:
    """Make the application around a loaded model."""
    app = fastapi.FastAPI(openapi_url=None)
    names = [output.name for output in session.get_outputs()]

    @app.post("/v2/models/{name}/infer")
    async def infer(request: fastapi.Request) -> fastapi.Response:
        body = await request.body()
        offset = int(request.headers[HEADER_LENGTH])
        feed = {}
        for tensor in json.loads(body[:offset])["inputs"]:
            dtype = np.dtype(DTYPES[tensor["datatype"]])
            size = tensor["parameters"]["binary_data_size"]
            flat = np.frombuffer(body, dtype, size // dtype.itemsize, offset)
            feed[tensor["name"]] = flat.reshape(tensor["shape"])
            offset += size
        arrays = session.run(None, feed)
        outputs = [
            {
                "name": name,
                "datatype": DATATYPES[array.dtype],
                "shape": array.shape,
                "parameters": {"binary_data_size": array.nbytes},
            }
            for name, array in zip(names, arrays, strict=True)
        ]
        header = json.dumps({"outputs": outputs}).encode()
        content = b"".join([header, *(array.tobytes() for array in arrays)])
        return fastapi.Response(content, headers={HEADER_LENGTH: str(len(header))})

    return app


def worker() -> fastapi.FastAPI:
    """Make the application in a process of its own."""
    return application(session_of(os.environ[MODEL]))


def main() -> None:
    """Serve the model until the process is ended."""
    version = (
        f"FastAPI {fastapi.__version__}, uvicorn {uvicorn.__version__}, onnxruntime {onnxruntime.__version__}, "
        f"Python {platform.python_version()}"
    )
    model, workers = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    try:
        app = application(session_of(model))
    except Exception as error:  # noqa: BLE001 # whatever it is, it belongs into the report
        print(json.dumps({"version": version, "error": str(error)}), flush=True)
        return
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    print(json.dumps({"version": version, "listen": f"{host}:{port}"}), flush=True)
    settings = {"loop": "uvloop", "http": "httptools", "ws": "none", "log_level": "warning", "access_log": False}
    if workers == 1:
        uvicorn.Server(uvicorn.Config(app, **settings)).run(sockets=[listener])
        return
    os.environ[MODEL] = model
    config = uvicorn.Config("fastapi_server:worker", factory=True, workers=workers, **settings)
    uvicorn.supervisors.Multiprocess(config, sockets=[listener]).run()


if __name__ == "__main__":
    main()
