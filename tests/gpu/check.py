"""Check on an NVIDIA GPU that graphs with `device=cuda:0` really run there, are right, and what that brings.

    python tests/gpu/check.py target/release/samara

Serves EfficientNet-Lite0 twice, on the CPU and on the GPU, and

* compares the outputs for batches of 1, 8 and 32: within 1e-3
* looks, while batches of 32 are computed, at how much of the time the GPU ran kernels of the server's process, as the
  driver accounts it; where the driver does not tell processes apart (as in some containers), at the GPU as a whole, busy
  against idle
* prints how many items a second each of the two computes

Ends with 0 if all of it holds, and with 1 if not.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parents[2]
MODEL = "efficientnet-lite0"
SIDE = 224
BATCHES = (1, 8, 32)
TOLERANCE = 1e-3
SECONDS = 5.0
# The least share of the time, in percent, in which the GPU has to be busy under full load.
LEAST_BUSY = 10
START_TIMEOUT = 300.0
REPLY_TIMEOUT = 120.0


def library() -> Path:
    """ONNX Runtime's library in this environment."""
    return next(Path(onnxruntime.__file__).parent.joinpath("capi").glob("libonnxruntime.so*"))


def environment() -> dict[str, str]:
    """The environment of the server, in which it finds CUDA's libraries that pip has installed."""
    packages = Path(onnxruntime.__file__).parents[1]
    folders = [str(path) for path in sorted(packages.glob("nvidia/*/lib"))]
    inherited = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "LD_LIBRARY_PATH": ":".join([*folders, *([inherited] if inherited else [])])}


class Server:
    """A process that serves the model on one device."""

    def __init__(self, samara: str, component: Path, device: str) -> None:
        """Start it, and wait until it listens."""
        graph = f"{MODEL},backend=onnxruntime,device={device},contexts=2"
        words = [samara, "serve", str(component), "--listen", "127.0.0.1:0", "--json", "--deadline-ms", "120000"]
        words += ["--nn", graph, "--ort-dylib", str(library())]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment())
        assert self.process.stdout is not None
        timer = threading.Timer(START_TIMEOUT, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            sys.exit(f"FAILED: samara serve does not start with device={device}; its last lines say why")
        self.host, _, port = json.loads(line)["listen"].rpartition(":")
        self.connection = http.client.HTTPConnection(self.host, int(port), timeout=REPLY_TIMEOUT)

    def infer(self, photos: np.ndarray) -> np.ndarray:
        """The outputs for a batch."""
        data = photos.astype("<f4").tobytes()
        tensor = {"name": "input", "datatype": "FP32", "shape": list(photos.shape)}
        head = json.dumps(
            {
                "parameters": {"binary_data_output": True},
                "inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}],
            }
        ).encode()
        headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
        self.connection.request("POST", f"/v2/models/{MODEL}/infer", head + data, headers)
        reply = self.connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            sys.exit(f"FAILED: {reply.status}: {body.decode(errors='replace')}")
        length = int(reply.headers["inference-header-content-length"])
        shape = json.loads(body[:length])["outputs"][0]["shape"]
        return np.frombuffer(body[length:], "<f4").reshape(shape)

    def graph(self) -> dict:
        """What the server tells about how the graph runs."""
        self.connection.request("GET", f"/v2/models/{MODEL}")
        return json.loads(self.connection.getresponse().read())["graph"]

    def stop(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.terminate()
        self.process.wait(30)


@contextmanager
def served(samara: str, component: Path, device: str) -> Iterator[Server]:
    """A server for as long as it is needed."""
    server = Server(samara, component, device)
    try:
        yield server
    finally:
        server.stop()


def items_a_second(server: Server, photos: np.ndarray) -> float:
    """How many items are computed a second, one batch after the other."""
    server.infer(photos)
    count, started = 0, time.monotonic()
    while time.monotonic() - started < SECONDS:
        server.infer(photos)
        count += len(photos)
    return count / (time.monotonic() - started)


def smi(*words: str) -> str:
    """What nvidia-smi prints."""
    return subprocess.run(["nvidia-smi", *words], capture_output=True, text=True, timeout=60, check=True).stdout


def busy_of(process: int) -> int | None:
    """The share of the time, in percent, in which the GPU ran kernels of a process; None where that is not told."""
    for line in smi("pmon", "-s", "u", "-c", "3").splitlines():
        words = line.split()
        if len(words) > 3 and words[1] == str(process) and words[3].isdigit() and int(words[3]) > 0:
            return int(words[3])
    return None


def busy() -> int:
    """The share of the time, in percent, in which the first GPU ran any kernels."""
    return int(smi("--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0").split()[0])


def kernels(server: Server, photos: np.ndarray) -> tuple[bool, str]:
    """Whether the GPU runs kernels while the server computes, and what was seen."""
    time.sleep(2)
    idle = busy()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            server.infer(photos)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        time.sleep(1)
        of_process = busy_of(server.process.pid)
        under_load = max(busy() for _ in range(5) if not time.sleep(0.5))
    finally:
        stop.set()
        worker.join()
    if of_process is not None:
        return of_process >= LEAST_BUSY, f"kernels of process {server.process.pid} ran {of_process} % of the time"
    seen = f"the driver tells no processes apart; the GPU was busy {under_load} % of the time, {idle} % without load"
    return under_load - idle >= LEAST_BUSY, seen


def main() -> int:
    """Run all checks."""
    (samara,) = sys.argv[1:]
    component = ROOT / "target" / "gpu-test" / f"{MODEL}.wasm"
    component.parent.mkdir(parents=True, exist_ok=True)
    onnx = ROOT / "models" / ".cache" / f"{MODEL}.onnx"
    words = [samara, "compile", str(onnx), "--target", "nn", "--name", MODEL, "-o", str(component), "--json"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    photos = np.random.default_rng(1).uniform(-1, 1, (max(BATCHES), 3, SIDE, SIDE)).astype(np.float32)
    print(smi("-L").splitlines()[0])
    print(f"onnxruntime-gpu {onnxruntime.__version__}, {MODEL}")

    failures, rates = [], {}
    with served(samara, component, "cpu") as server:
        expected = {batch: server.infer(photos[:batch]) for batch in BATCHES}
        rates["cpu"] = {batch: items_a_second(server, photos[:batch]) for batch in BATCHES}
    with served(samara, component, "cuda:0") as server:
        graph = server.graph()
        if graph["device"] != "cuda:0":
            failures.append(f"the graph runs on {graph['device']}")
        for batch in BATCHES:
            error = float(np.abs(server.infer(photos[:batch]) - expected[batch]).max())
            print(f"batch {batch}: outputs differ from the CPU's by at most {error:.1e}")
            if not error <= TOLERANCE:
                failures.append(f"batch {batch}: {error:.1e} is more than {TOLERANCE}")
        ran, seen = kernels(server, photos)
        print(seen)
        if not ran:
            failures.append(f"the GPU was hardly used: {seen}")
        rates["cuda:0"] = {batch: items_a_second(server, photos[:batch]) for batch in BATCHES}

    print("| items a second | " + " | ".join(f"batch {batch}" for batch in BATCHES) + " |")
    print("|---|" + "---|" * len(BATCHES))
    for device, rate in rates.items():
        print(f"| {device} | " + " | ".join(f"{rate[batch]:.0f}" for batch in BATCHES) + " |")
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
