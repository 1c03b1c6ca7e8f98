"""Components on Node: what jco serves answers with the very bytes that `samara serve` answers with.

jco translates a component to JavaScript and core modules of WebAssembly, and serves it with the `wasi:http` of its
preview2-shim. `tests/node` pins it; `scripts/setup.sh test-tools` installs it.

The components are compiled with `--simd baseline`. Node 20 has relaxed SIMD only behind a flag: its V8 refuses a
default component with "simd opcode not available, enable with --experimental-relaxed-simd". With
`JCO_RUN_ARGS=--experimental-wasm-relaxed-simd` in jco's environment, it runs that one too. Node 18 cannot: its V8 does
not know all of the final opcodes. The baseline needs no flag on either, and no option of jco.

jco 1.17 is the last with few dependencies, and runs on Node 18, which Debian 12 has; 1.35 serves these components too,
from Node 20.19 on. What 1.17 lacks: one instance answers all requests (1.35 makes one for each with
`--isolate-requests instance`); with `--port 0` it does not say which port it took; and a signal ends jco, but not the
process that serves.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest

from cards import CARDS, ROOT
from command import CODE_CACHE, COMPILE_TIMEOUT, SCRATCH, CommandError, Samara
from serving import REPLY_TIMEOUT, STOP_TIMEOUT, Server

JCO = ROOT / "tests" / "node" / "node_modules" / ".bin" / "jco"
NODE_SCRATCH = SCRATCH / "node"
# jco translates the component first, which takes seconds.
START_TIMEOUT = 45.0

MODEL = "fashion-cnn"
FUNCTION = "score"
FUNCTION_MODEL = "anomaly-autoencoder"

JSON = {"content-type": "application/json"}
CSV = {"content-type": "text/csv"}

# Status, content type and body.
Reply = tuple[int, str | None, bytes]


def find_node() -> str:
    """The Node on PATH, when jco is installed too."""
    remedy = "set both up with: scripts/setup.sh test-tools"
    node = shutil.which("node")
    if node is None:
        raise CommandError(f"node is not on PATH; {remedy}")
    if not JCO.is_file():
        raise CommandError(f"there is no {JCO}; {remedy}")
    return node


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class NodeServer:
    """A component that `jco serve` serves on a free port of 127.0.0.1, stopped at the end of a `with`."""

    def __init__(self, component: Path) -> None:
        """Start jco and wait until the component answers."""
        node = find_node()
        translated = NODE_SCRATCH / component.stem
        shutil.rmtree(translated, ignore_errors=True)
        translated.mkdir(parents=True)
        self.port = free_port()
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--jco-dir", str(translated)]
        self._log = NODE_SCRATCH / f"{component.stem}.log"
        with self._log.open("wb") as log:
            # A session of its own, as the process that serves is a child of jco's, which outlives it.
            self._process = subprocess.Popen(
                [node, str(JCO), "serve", str(component), *where],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise

    def _wait(self) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                with self.connection() as connection:
                    connection.request("GET", "/v2/health/ready")
                    connection.getresponse().read()
                    return
            except (OSError, http.client.HTTPException) as error:
                late = time.monotonic() > deadline
                if self._process.poll() is not None or late:
                    why = f"did not answer within {START_TIMEOUT:.0f} s ({error!r})" if late else "ended"
                    raise CommandError(f"`jco serve` {why}; its log:\n{self._log_text()}") from error
            time.sleep(0.05)

    def _log_text(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def _stop(self) -> None:
        """End jco and the process that serves."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT)
                return

    @contextlib.contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        """A plain HTTP connection to this server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REPLY_TIMEOUT)
        try:
            yield connection
        finally:
            connection.close()

    def __enter__(self) -> NodeServer:
        """Return the server, which answers already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the server, which must still be alive."""
        crashed = self._process.poll()
        self._stop()
        if kind is None and crashed is not None:
            raise CommandError(f"`jco serve` ended with status {crashed}; its log ends:\n{self._log_text()}")


Servers = tuple[NodeServer, Server]


def compile_baseline(samara: Samara, name: str) -> Path:
    """The model's component for hosts without relaxed SIMD."""
    build = CARDS[name].build
    component = NODE_SCRATCH / f"{name}.wasm"
    shapes = [word for shape in build.inputs for word in ("--input", shape)]
    where = ["-o", str(component), "--cache-dir", str(CODE_CACHE)]
    NODE_SCRATCH.mkdir(parents=True, exist_ok=True)
    samara.run("compile", build.onnx, "--name", name, "--simd", "baseline", *shapes, *where, timeout=COMPILE_TIMEOUT)
    return component


@pytest.fixture(scope="module")
def model(samara: Samara) -> Iterator[Servers]:
    """The model's component on Node, and the same file in `samara serve`."""
    component = compile_baseline(samara, MODEL)
    with NodeServer(component) as node, Server(samara, [component]) as server:
        yield node, server


@pytest.fixture(scope="module")
def function(samara: Samara) -> Iterator[Servers]:
    """The function's component, its model inside, on Node, and the same file in `samara serve`."""
    linked = NODE_SCRATCH / f"{FUNCTION}.wasm"
    code = ROOT / "target" / "functions" / f"{FUNCTION}.wasm"
    samara.run("link", code, "--model", compile_baseline(samara, FUNCTION_MODEL), "-o", linked)
    with (
        NodeServer(linked) as node,
        Server(samara, [], "--function", str(linked), "--route", f"/{FUNCTION}") as server,
    ):
        yield node, server


def ask(server: NodeServer | Server, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
    """What a server answers."""
    with server.connection() as connection:
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.getheader("content-type"), reply.read()


def ask_both(
    servers: Servers, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> Reply:
    """What both servers answer, which must be the same bytes."""
    on_node, on_samara = (ask(server, method, path, body, headers or {}) for server in servers)
    assert on_node == on_samara
    return on_node


def inference(**more: Any) -> bytes:
    """A request that carries the model's first vector."""
    (vector, *_) = CARDS[MODEL].vectors
    ((name, image),) = vector.inputs.items()
    tensor = {"name": name, "shape": list(image.shape), "datatype": "FP32", "data": image.ravel().tolist()}
    return json.dumps({"inputs": [tensor], **more}).encode()


def test_model_infers(model: Servers) -> None:
    """The vector's outputs; twice, as jco's one instance answers both times."""
    (vector, *_) = CARDS[MODEL].vectors
    first = ask_both(model, "POST", f"/v2/models/{MODEL}/infer", inference(id="ankle boot"), JSON)
    status, content_type, content = first
    assert (status, content_type) == (200, "application/json"), content
    (output,) = json.loads(content)["outputs"]
    found = np.array(output["data"], np.float32).reshape(output["shape"])
    np.testing.assert_allclose(found, vector.expected[output["name"]], atol=vector.tolerance)
    assert ask_both(model, "POST", f"/v2/models/{MODEL}/infer", inference(id="ankle boot"), JSON) == first


@pytest.mark.parametrize("path", [f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/ready", "/v2/health/ready"])
def test_model_tells_about_itself(model: Servers, path: str) -> None:
    """Its inputs and outputs, and that it is up."""
    status, _, content = ask_both(model, "GET", path)
    assert status == 200, content


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"inputs": []}', inference(outputs=[{"name": "nonsense"}])],
    ids=["no JSON", "no input", "an output that is not there"],
)
def test_model_says_what_is_wrong(model: Servers, body: bytes) -> None:
    """With 400, and answers the next request."""
    status, _, content = ask_both(model, "POST", f"/v2/models/{MODEL}/infer", body, JSON)
    assert status == 400, content
    assert json.loads(content)["error"]
    assert ask_both(model, "POST", f"/v2/models/{MODEL}/infer", inference(), JSON)[0] == 200


def rows() -> np.ndarray:
    """All rows of the function's model's vectors."""
    return np.concatenate([vector.inputs["x"] for vector in CARDS[FUNCTION_MODEL].vectors])


def test_function_scores(function: Servers) -> None:
    """The vectors' rows, in JSON and CSV."""
    body = json.dumps({"rows": rows().tolist()}).encode()
    status, content_type, content = ask_both(function, "POST", f"/{FUNCTION}?threshold=0.5", body, JSON)
    assert (status, content_type) == (200, "application/json"), content
    expected = np.concatenate([vector.expected["score"] for vector in CARDS[FUNCTION_MODEL].vectors])
    found = [result["score"] for result in json.loads(content)["results"]]
    assert found == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-5)
    table = "\n".join(",".join(map(repr, row)) for row in rows().tolist()).encode()
    status, content_type, content = ask_both(function, "POST", f"/{FUNCTION}", table, {**CSV, "accept": "text/csv"})
    assert status == 200, content
    assert content.startswith(b"row,score,anomalous\n")


def test_function_says_what_is_wrong(function: Servers) -> None:
    """With the status that fits."""
    for method, body, headers, wanted in [
        ("POST", b"[[1,2]]", JSON, 400),
        ("POST", b"x", {"content-type": "image/png"}, 415),
        ("PUT", b"x", JSON, 405),
    ]:
        status, _, content = ask_both(function, method, f"/{FUNCTION}", body, headers)
        assert status == wanted, content
