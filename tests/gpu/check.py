"""Check on an NVIDIA GPU that graphs with `device=cuda:0` really run there, are right, and what that brings.

    python tests/gpu/check.py target/release/samara

Serves EfficientNet-Lite0 on the CPU and on the GPU, and

* compares the outputs for batches of 1, 8 and 32: within 1e-3
* looks, while batches of 32 are computed, at how much of the time the GPU ran kernels of the server's process, as the
  driver accounts it; where the driver does not tell processes apart (as in some containers), at the GPU as a whole, busy
  against idle
* prints how many items a second each of the two computes for clients that send at the same time, and how many ONNX Runtime
  does when as many threads of Python call it directly
* has clients of Magika send single items at the same time, each its own, with requests run in batches and without: each has the
  answer to its own, and how many items a second that makes is printed
* takes what is free of the GPU's memory: a batch that needs more is refused as 503, `/v2/health/live` still answers, a
  second server does not start; once the memory is free again, that batch is computed
* looks for the GPU with `device=auto`, for one that is not there, and for TensorRT, which runs or says why it cannot

Ends with 0 if all of it holds, and with 1 if not.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parents[2]
BATCHES = (1, 8, 32)
TOLERANCE = 1e-3
SECONDS = 5.0
# How many requests are under way at a time while throughput is measured.
CLIENTS = 4
# The most items that run together where requests run in batches, and how many clients send single items meanwhile.
BATCH_SIZE = 16
SINGLE_CLIENTS = 32
# The least share of the time, in percent, in which the GPU has to be busy under full load.
LEAST_BUSY = 10
# A batch that has not been computed before the GPU's memory is taken.
LARGE_BATCH = 64
# No GPU has this number.
NO_DEVICE = "cuda:63"


@dataclass(frozen=True)
class Model:
    """A model of the zoo with one input, and an item of that."""

    name: str
    input: str
    datatype: str
    dtype: str
    item: tuple[int, ...]

    def onnx(self) -> Path:
        """Its file."""
        return ROOT / "models" / ".cache" / f"{self.name}.onnx"

    def compile(self, samara: str) -> Path:
        """Its component, for the host to run the graph."""
        component = ROOT / "target" / "gpu-test" / f"{self.name}.wasm"
        component.parent.mkdir(parents=True, exist_ok=True)
        words = [samara, "compile", str(self.onnx()), "--target", "nn", "--name", self.name]
        subprocess.run([*words, "-o", str(component), "--json"], check=True, stdout=subprocess.DEVNULL)
        return component


PHOTOS = Model("efficientnet-lite0", "input", "FP32", "<f4", (3, 224, 224))
# Its items are small, so that what is measured is not how fast the clients send them.
FILES = Model("magika", "bytes", "INT32", "<i4", (2048,))

# Computes a batch over a connection.
Infer = Callable[[np.ndarray, Any], object]
START_TIMEOUT = 300.0
REPLY_TIMEOUT = 120.0


def library() -> Path:
    """ONNX Runtime's library in this environment."""
    return next(Path(onnxruntime.__file__).parent.joinpath("capi").glob("libonnxruntime.so*"))


def missing_folders() -> list[str]:
    """Where pip has installed CUDA's libraries, as far as the dynamic linker does not look there."""
    known = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    folders = (str(folder) for path in sys.path for folder in sorted(Path(path).glob("nvidia/*/lib")))
    return [folder for folder in dict.fromkeys(folders) if folder not in known]


class NotStarted(Exception):
    """A server ended before it listened; with what it said."""


class Refused(Exception):
    """A server's answer other than 200."""

    def __init__(self, status: int, body: str) -> None:
        """With what was answered."""
        super().__init__(f"{status}: {body}")
        self.status = status


class Server:
    """A process that serves a model on one device."""

    def __init__(self, samara: str, model: Model, device: str, max_batch_size: int) -> None:
        """Start it, and wait until it listens."""
        self.model = model
        component = model.compile(samara)
        graph = f"{model.name},backend=onnxruntime,device={device},contexts={CLIENTS}"
        words = [samara, "serve", str(component), "--listen", "127.0.0.1:0", "--json", "--deadline-ms", "120000"]
        words += ["--nn", graph, "--ort-dylib", str(library())]
        self.file = tempfile.NamedTemporaryFile("w+", suffix=".toml")
        self.file.write(f"[model.{model.name}]\nmax_batch_size = {max_batch_size}\n")
        self.file.flush()
        words += ["--config", self.file.name]
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=self.log)
        assert self.process.stdout is not None
        timer = threading.Timer(START_TIMEOUT, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            self.process.wait()
            self.log.seek(0)
            raise NotStarted(self.log.read())
        host, _, port = json.loads(line)["listen"].rpartition(":")
        self.address = (host, int(port))
        self.connection = self.connect()

    def connect(self) -> http.client.HTTPConnection:
        """One more connection to it."""
        return http.client.HTTPConnection(*self.address, timeout=REPLY_TIMEOUT)

    def infer(self, items: np.ndarray, connection: http.client.HTTPConnection | None = None) -> np.ndarray:
        """The outputs for a batch."""
        connection = connection or self.connection
        data = items.astype(self.model.dtype).tobytes()
        tensor = {"name": self.model.input, "datatype": self.model.datatype, "shape": list(items.shape)}
        head = json.dumps(
            {
                "parameters": {"binary_data_output": True},
                "inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}],
            }
        ).encode()
        headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
        connection.request("POST", f"/v2/models/{self.model.name}/infer", head + data, headers)
        reply = connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            raise Refused(reply.status, body.decode(errors="replace"))
        length = int(reply.headers["inference-header-content-length"])
        shape = json.loads(body[:length])["outputs"][0]["shape"]
        return np.frombuffer(body[length:], "<f4").reshape(shape)

    def get(self, path: str) -> bytes:
        """What is at a path."""
        self.connection.request("GET", path)
        reply = self.connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            raise Refused(reply.status, body.decode(errors="replace"))
        return body

    def graph(self) -> dict:
        """What the server tells about how the graph runs."""
        return json.loads(self.get(f"/v2/models/{self.model.name}"))["graph"]

    def items_a_run(self) -> float:
        """How many items have run together, on the average."""
        statistics = json.loads(self.get(f"/v2/models/{self.model.name}/stats"))["model_stats"][0]
        return statistics["inference_count"] / statistics["execution_count"]

    def stop(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.terminate()
        self.process.wait(30)


@contextmanager
def served(samara: str, device: str, model: Model = PHOTOS, max_batch_size: int = 1) -> Iterator[Server]:
    """A server for as long as it is needed."""
    server = Server(samara, model, device, max_batch_size)
    try:
        yield server
    finally:
        server.stop()


class Load:
    """Clients that send one request after the other."""

    def __init__(
        self, infer: Infer, connect: Callable[[], object], photos: np.ndarray, clients: int = CLIENTS
    ) -> None:
        """Of a batch, each over what `connect` gives it."""
        self.infer, self.connect, self.photos = infer, connect, photos
        self.answered = [0] * clients
        self.failures: list[Exception] = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(client,)) for client in range(clients)]

    def work(self, client: int) -> None:
        """What a client does."""
        try:
            connection = self.connect()
            while not self.stop.is_set():
                self.infer(self.photos, connection)
                self.answered[client] += 1
        except Exception as error:
            self.failures.append(error)

    def __enter__(self) -> Load:
        """Each has had its first answer."""
        for thread in self.threads:
            thread.start()
        while min(self.answered) == 0 and not self.failures:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        """Stops them; raises what stopped one of them before."""
        self.stop.set()
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise self.failures[0]


def items_a_second(
    infer: Infer, connect: Callable[[], object], photos: np.ndarray, clients: int = CLIENTS
) -> float:
    """How many items are computed a second."""
    with Load(infer, connect, photos, clients) as load:
        before, started = sum(load.answered), time.monotonic()
        time.sleep(SECONDS)
        return (sum(load.answered) - before) * len(photos) / (time.monotonic() - started)


def batches(samara: str) -> Iterator[str]:
    """What is wrong when requests of several clients are computed together, and what that brings."""
    files = np.random.default_rng(2).integers(0, 257, (SINGLE_CLIENTS, *FILES.item), dtype=np.int32)
    with served(samara, "cpu", FILES) as server:
        expected = server.infer(files)
    for size in (1, BATCH_SIZE):
        with served(samara, "cuda:0", FILES, size) as server:
            outputs: dict[int, np.ndarray] = {}

            def ask(client: int, server: Server = server, outputs: dict[int, np.ndarray] = outputs) -> None:
                outputs[client] = server.infer(files[client : client + 1], server.connect())

            threads = [threading.Thread(target=ask, args=(client,)) for client in range(len(files))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            wrong = [
                client
                for client in range(len(files))
                if client not in outputs or not np.allclose(outputs[client][0], expected[client], atol=TOLERANCE)
            ]
            if wrong:
                yield f"max_batch_size={size}: clients {wrong} have not the answer to their own item"
            rate = items_a_second(server.infer, server.connect, files[:1], SINGLE_CLIENTS)
            told = f"{FILES.name}, {SINGLE_CLIENTS} clients that send single items, max_batch_size={size}"
            print(f"{told}: {rate:.0f} items a second, {server.items_a_run():.1f} a run", flush=True)


def smi(*words: str) -> str:
    """What nvidia-smi prints."""
    return subprocess.run(["nvidia-smi", *words], capture_output=True, text=True, timeout=60, check=True).stdout


def busy_of(process: int) -> int | None:
    """The share of the time, in percent, in which the GPU ran kernels of a process; None where that is not told."""
    rows = (line.split() for line in smi("pmon", "-s", "u", "-c", "3").splitlines())
    shares = [int(row[3]) for row in rows if len(row) > 3 and row[1] == str(process) and row[3].isdigit()]
    return max(shares, default=0) or None


def busy() -> int:
    """The share of the time, in percent, in which the first GPU ran any kernels."""
    return int(smi("--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0").split()[0])


def kernels(server: Server, photos: np.ndarray) -> tuple[bool, str]:
    """Whether the GPU runs kernels while the server computes, and what was seen."""
    time.sleep(2)
    idle = busy()
    with Load(server.infer, server.connect, photos):
        time.sleep(1)
        of_process = busy_of(server.process.pid)
        under_load = max(busy() for _ in range(5) if not time.sleep(0.5))
    if of_process is not None:
        return of_process >= LEAST_BUSY, f"kernels of process {server.process.pid} ran {of_process} % of the time"
    seen = f"the driver tells no processes apart; the GPU was busy {under_load} % of the time, {idle} % without load"
    return under_load - idle >= LEAST_BUSY, seen


def called_directly(onnx: Path) -> Infer:
    """ONNX Runtime on the same GPU, without a server."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        onnx, options, providers=[("CUDAExecutionProvider", {"device_id": 0, "use_tf32": 0})]
    )
    if session.get_providers()[0] != "CUDAExecutionProvider":
        sys.exit(f"FAILED: ONNX Runtime, called directly, runs on {session.get_providers()}")
    return lambda photos, _: session.run(None, {"input": photos})


@contextmanager
def memory_taken() -> Iterator[int]:
    """Holds all of the first GPU's memory that is free; how many MiB that is."""
    cuda = ctypes.CDLL("libcuda.so.1")

    def call(name: str, *words: object) -> None:
        result = getattr(cuda, name)(*words)
        if result != 0:
            sys.exit(f"FAILED: {name} says {result}")

    device, context = ctypes.c_int(), ctypes.c_void_p()
    call("cuInit", 0)
    call("cuDeviceGet", ctypes.byref(device), 0)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call("cuCtxSetCurrent", context)
    taken, size = 0, 1 << 34
    while size >= 1 << 20:
        if cuda.cuMemAlloc_v2(ctypes.byref(ctypes.c_uint64()), ctypes.c_size_t(size)) == 0:
            taken += size
        else:
            size //= 2
    try:
        yield taken >> 20
    finally:
        # All that was taken goes with the context.
        call("cuDevicePrimaryCtxReset_v2", device)
        call("cuDevicePrimaryCtxRelease_v2", device)


def without_memory(samara: str, photos: np.ndarray) -> Iterator[str]:
    """What is wrong when the GPU's memory is full."""
    many = np.concatenate([photos] * (LARGE_BATCH // len(photos)))
    with served(samara, "cuda:0") as server:
        one = server.infer(photos[:1])
        with memory_taken() as taken:
            print(f"{taken} MiB of the GPU's memory are taken from it")
            try:
                server.infer(many)
                yield f"a batch of {LARGE_BATCH} is computed although there is no memory"
            except Refused as refused:
                print(f"a batch of {LARGE_BATCH} is refused: {str(refused)[:300]}")
                if refused.status != 503:
                    yield f"a batch that needs more memory than there is gets {refused.status}"
            server.get("/v2/health/live")
            try:
                if not np.allclose(server.infer(photos[:1]), one, atol=TOLERANCE):
                    yield "a batch of 1 gets another answer while there is no memory"
                print("a batch of 1 is computed")
            except Refused as refused:
                # ONNX Runtime keeps some memory for each thread, and this may be one that has none yet.
                print("a batch of 1 is refused")
                if refused.status != 503:
                    yield f"a batch of 1 gets {refused} while there is no memory"
            try:
                with served(samara, "cuda:0"):
                    yield "a second server starts although there is no memory"
            except NotStarted as error:
                print(f"a second server does not start: {last_line(error)}")
        outputs = server.infer(many)
        if not np.allclose(outputs[: len(photos)], outputs[-len(photos) :], atol=TOLERANCE):
            yield f"a batch of {LARGE_BATCH} gets other answers for the same items"
        print(f"the memory is given back: a batch of {LARGE_BATCH} is computed")


def devices(samara: str, photos: np.ndarray, expected: np.ndarray) -> Iterator[str]:
    """What is wrong with other ways to ask for a device."""
    with served(samara, "auto") as server:
        graph = server.graph()
        print(f"device=auto runs on {graph['device']}")
        if graph["device"] != "cuda:0":
            yield f"device=auto runs on {graph}"
    try:
        with served(samara, NO_DEVICE):
            yield f"a server starts on {NO_DEVICE}"
    except NotStarted as error:
        print(f"device={NO_DEVICE} does not start: {last_line(error)}")
    try:
        with served(samara, "tensorrt:0") as server:
            error = float(np.abs(server.infer(photos) - expected).max())
            print(f"TensorRT: runs on {server.graph()['device']}, outputs differ by at most {error:.1e}")
            if not error <= TOLERANCE or server.graph()["device"] != "tensorrt:0":
                yield f"TensorRT: {error:.1e}, {server.graph()}"
    except NotStarted as error:
        print(f"TensorRT: NOT CHECKED, it does not start: {last_line(error)}")


def last_line(error: NotStarted) -> str:
    """The reason why a server did not start."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1][:400] if lines else "no reason given"


def main() -> int:
    """Run all checks."""
    (samara,) = sys.argv[1:]
    photos = np.random.default_rng(1).uniform(-1, 1, (max(BATCHES), *PHOTOS.item)).astype(np.float32)
    print(smi("-L").splitlines()[0])
    print(f"onnxruntime-gpu {onnxruntime.__version__}, {PHOTOS.name}")

    failures, rates = [], {}
    with served(samara, "cpu") as server:
        expected = {batch: server.infer(photos[:batch]) for batch in BATCHES}
        rates["cpu"] = {batch: items_a_second(server.infer, server.connect, photos[:batch]) for batch in BATCHES}
    with served(samara, "cuda:0") as server:
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
        rates["cuda:0"] = {batch: items_a_second(server.infer, server.connect, photos[:batch]) for batch in BATCHES}
    directly = called_directly(PHOTOS.onnx())
    rates["cuda:0, from Python"] = {batch: items_a_second(directly, object, photos[:batch]) for batch in BATCHES}
    print("| items a second | " + " | ".join(f"batch {batch}" for batch in BATCHES) + " |", flush=True)
    print("|---|" + "---|" * len(BATCHES))
    for device, rate in rates.items():
        print(f"| {device} | " + " | ".join(f"{rate[batch]:.0f}" for batch in BATCHES) + " |", flush=True)
    del directly
    failures.extend(batches(samara))
    failures.extend(without_memory(samara, photos))
    failures.extend(devices(samara, photos[:1], expected[1]))
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    if folders := missing_folders():
        # The dynamic linker reads the variable once, when a process starts.
        path = ":".join([*folders, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "LD_LIBRARY_PATH": path})
    try:
        sys.exit(main())
    except (NotStarted, Refused) as error:
        sys.exit(f"FAILED: {error}")
