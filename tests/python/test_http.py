"""HTTP itself: connections that stay, lengths, methods, limits; seen with `http.client` and on bare sockets."""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from collections.abc import Iterable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient
from tritonclient.utils import InferenceServerException

from cards import CARDS
from command import Samara
from serving import REPLY_TIMEOUT, Server
from tensors import assert_close, infer, to_inputs

AUTOENCODER = CARDS["anomaly-autoencoder"].vector("benign")
INFER = "/v2/models/anomaly-autoencoder/infer"
REQUEST = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 30], "datatype": "FP32", "data": AUTOENCODER.inputs["x"].tolist()}]}
).encode()
GET_ROUTES = (
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/silero-vad",
    "/v2/models/silero-vad/ready",
    "/v2/models/silero-vad/config",
    "/v2/models/silero-vad/stats",
    "/v2/models/stats",
)


@pytest.fixture
def wire(server: Server) -> Iterator[socket.socket]:
    """A bare connection to the server."""
    with socket.create_connection((server.host, server.port), timeout=REPLY_TIMEOUT) as wire:
        yield wire


def read_reply(wire: socket.socket, method: str = "POST") -> tuple[HTTPResponse, bytes]:
    """Read the only reply on a connection."""
    reply = HTTPResponse(wire, method=method)
    reply.begin()
    return reply, reply.read()


def score_of(body: bytes) -> float:
    """The one number of a reply in JSON."""
    return json.loads(body)["outputs"][0]["data"][0]


def read_to_the_end(wire: socket.socket) -> bytes:
    """Everything until the server closes the connection."""
    chunks = []
    while chunk := wire.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)


# === Connections ===


def test_a_connection_stays_open(connection: HTTPConnection) -> None:
    """After answers and after refusals alike."""
    connection.connect()
    port = connection.sock.getsockname()[1]
    for method, path, body, status in (
        ("GET", "/v2", None, 200),
        ("POST", INFER, REQUEST, 200),
        ("POST", INFER, b"nonsense", 400),
        ("GET", "/nowhere", None, 404),
        ("POST", INFER, REQUEST, 200),
    ):
        connection.request(method, path, body)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == status
        assert connection.sock is not None, "the server closed the connection"
        assert connection.sock.getsockname()[1] == port


def test_requests_may_be_pipelined(wire: socket.socket) -> None:
    """Sent all at once, answered in their order."""
    requests = [json.dumps({"id": str(number), **json.loads(REQUEST)}).encode() for number in range(5)]
    heads = [f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n".encode() for body in requests]
    heads[-1] += b"Connection: close\r\n"
    wire.sendall(b"".join(head + b"\r\n" + body for head, body in zip(heads, requests, strict=True)))
    replies = read_to_the_end(wire)
    assert replies.count(b"HTTP/1.1 200 OK\r\n") == 5
    positions = [replies.index(f'"id":"{number}"'.encode()) for number in range(5)]
    assert positions == sorted(positions)


def test_a_client_may_close(wire: socket.socket) -> None:
    """`Connection: close` ends the connection after the reply."""
    head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(REQUEST)}\r\n\r\n"
    wire.sendall(head.encode() + REQUEST)
    assert b"200 OK" in read_to_the_end(wire)


def test_http_1_0(wire: socket.socket) -> None:
    """Older clients get the length too, and the connection is closed."""
    wire.sendall(b"GET /v2/health/ready HTTP/1.0\r\n\r\n")
    head, _, body = read_to_the_end(wire).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 ")
    assert f"content-length: {len(body)}".encode() in head.lower()


def test_http_2_without_an_upgrade(wire: socket.socket) -> None:
    """A client that begins with HTTP/2's preface gets HTTP/2's settings."""
    empty_settings = b"\0\0\0\x04\0\0\0\0\0"
    wire.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + empty_settings)
    frame = wire.recv(9, socket.MSG_WAITALL)
    assert frame[3:4] == b"\x04", frame
    assert frame[5:9] == b"\0\0\0\0"


def test_a_broken_connection_disturbs_nobody(server: Server, client: InferenceServerClient) -> None:
    """Clients that leave in the middle of a request, or before the reply."""
    head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(REQUEST)}\r\n\r\n".encode()
    for sent in (head[:20], head, head + REQUEST[:50], head + REQUEST):
        with socket.create_connection((server.host, server.port), timeout=REPLY_TIMEOUT) as wire:
            wire.sendall(sent)
    assert_close(infer(client, "anomaly-autoencoder", AUTOENCODER.inputs)["score"], AUTOENCODER.expected["score"])


def test_what_is_not_http_is_refused(wire: socket.socket) -> None:
    """And the connection is closed."""
    wire.sendall(b"\x16\x03\x01\x02\x00\x01\x00 hello\r\n\r\n")
    answer = read_to_the_end(wire)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


# === Bodies ===


def test_a_body_may_be_chunked(connection: HTTPConnection) -> None:
    """Without a length, in pieces."""
    pieces: Iterable[bytes] = (REQUEST[start : start + 100] for start in range(0, len(REQUEST), 100))
    connection.request("POST", INFER, pieces, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    reply = connection.getresponse()
    body = reply.read()
    assert reply.status == 200, body
    assert score_of(body) == pytest.approx(float(AUTOENCODER.expected["score"][0]), abs=1e-4)


def test_a_body_may_come_in_small_pieces(wire: socket.socket) -> None:
    """A slow sender is waited for."""
    head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(REQUEST)}\r\n\r\n".encode()
    message = head + REQUEST
    for start in range(0, len(message), 64):
        wire.sendall(message[start : start + 64])
    reply, body = read_reply(wire)
    assert reply.status == 200, body


def test_a_client_may_wait_for_leave_to_send(wire: socket.socket) -> None:
    """`Expect: 100-continue` gets its answer before the body."""
    head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {len(REQUEST)}\r\n\r\n"
    wire.sendall(head.encode())
    assert wire.recv(64).startswith(b"HTTP/1.1 100 ")
    wire.sendall(REQUEST)
    reply, body = read_reply(wire)
    assert reply.status == 200, body


# === Replies ===


@pytest.mark.parametrize("path", GET_ROUTES)
def test_replies_have_a_length_and_a_type(connection: HTTPConnection, path: str) -> None:
    """Every route answers with JSON of a known length, and HEAD with the same head."""
    connection.request("GET", path)
    reply = connection.getresponse()
    body = reply.read()
    assert reply.status == 200
    assert reply.getheader("Content-Length") == str(len(body))
    assert reply.getheader("Transfer-Encoding") is None
    assert reply.getheader("Content-Type") == "application/json"
    json.loads(body)
    connection.request("HEAD", path)
    head = connection.getresponse()
    assert head.read() == b""
    assert head.status == 200
    assert head.getheader("Content-Type") == "application/json"


def test_inferences_have_a_length_and_a_type(connection: HTTPConnection) -> None:
    """JSON and binary replies differ in their type."""
    for parameters, kind in (({}, "application/json"), ({"binary_data_output": True}, "application/octet-stream")):
        connection.request("POST", INFER, json.dumps({**json.loads(REQUEST), "parameters": parameters}))
        reply = connection.getresponse()
        body = reply.read()
        assert reply.status == 200, body
        assert reply.getheader("Content-Length") == str(len(body))
        assert reply.getheader("Content-Type") == kind


def test_health_has_both_keys(connection: HTTPConnection) -> None:
    """Clients read different ones."""
    for path in ("/v2/health/live", "/v2/health/ready"):
        connection.request("GET", path)
        assert json.loads(connection.getresponse().read()) == {"live": True, "ready": True}


# === Refusals ===


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/", 404, None),
        ("GET", "/v1/models/silero-vad", 404, None),
        ("GET", "/v2/health", 404, None),
        ("GET", "/v2/models/silero-vad/explain", 404, None),
        ("GET", "/v2/models/silero-vad/versions/1/infer/more", 404, None),
        ("GET", "/v2/models/no-such-model", 404, None),
        ("GET", INFER, 405, "POST"),
        ("PUT", INFER, 405, "POST"),
        ("DELETE", "/v2/models/silero-vad", 405, "GET, HEAD"),
        ("POST", "/v2/health/ready", 405, "GET, HEAD"),
        ("GET", "/v2/repository/index", 405, "POST"),
        ("GET", "/v2/models/%ff", 400, None),
    ],
)
def test_paths_and_methods(connection: HTTPConnection, method: str, path: str, status: int, allow: str | None) -> None:
    """404 for what is not there, 405 for what is asked in the wrong way."""
    connection.request(method, path)
    reply = connection.getresponse()
    body = reply.read()
    assert reply.status == status
    assert reply.getheader("Allow") == allow
    assert reply.getheader("Content-Length") == str(len(body))
    assert list(json.loads(body)) == ["error"]


def test_types_are_refused_before_anything_is_computed(connection: HTTPConnection) -> None:
    """415, with what would have been right."""
    connection.request("POST", INFER, REQUEST, {"Content-Type": "image/png"})
    reply = connection.getresponse()
    assert reply.status == 415
    assert "application/json" in json.loads(reply.read())["error"]


def test_too_large_a_head(wire: socket.socket) -> None:
    """Headers without end are not read to theirs."""
    wire.sendall(b"GET /v2 HTTP/1.1\r\nHost: a\r\n")
    try:
        for number in range(4096):
            wire.sendall(f"X-{number}: {'a' * 1000}\r\n".encode())
    except OSError:
        # The server has closed the connection already, and its answer may be lost with that.
        return
    answer = read_to_the_end(wire)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


# === Limits ===

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def narrow(samara: Samara, components: dict[str, Path]) -> Iterator[Server]:
    """A server with low limits."""
    limits = ("--max-body-mib", "1", "--max-elements", "3000")
    with Server(samara, [components["anomaly-autoencoder"]], *limits) as server:
        yield server


def is_too_large(reply: HTTPResponse, body: bytes) -> bool:
    """Whether it is the answer to a body over the limit."""
    return reply.status == 413 and list(json.loads(body)) == ["error"]


def announce_too_much(server: Server) -> tuple[HTTPResponse, bytes]:
    """Send the head of a request whose body would be over the limit, and none of the body."""
    with socket.create_connection((server.host, server.port), timeout=REPLY_TIMEOUT) as wire:
        wire.sendall(f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: {MEGABYTE + 1}\r\n\r\n".encode())
        return read_reply(wire)


def test_a_body_over_the_limit_is_not_read(narrow: Server) -> None:
    """The announced length is enough for the refusal."""
    assert is_too_large(*announce_too_much(narrow))


def test_a_body_without_a_length_is_read_up_to_the_limit(narrow: Server) -> None:
    """A sender that never ends is told so."""
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with socket.create_connection((narrow.host, narrow.port), timeout=REPLY_TIMEOUT) as wire:
        wire.sendall(f"POST {INFER} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(17):
            wire.sendall(chunk)
        assert is_too_large(*read_reply(wire))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_that_inflates_over_the_limit(narrow: Server, coding: str) -> None:
    """Small on the wire, too large in memory."""
    spaces = b" " * (64 * MEGABYTE)
    body = gzip.compress(spaces) if coding == "gzip" else zlib.compress(spaces)
    with narrow.connection() as connection:
        connection.request("POST", INFER, body, {"Content-Encoding": coding})
        reply = connection.getresponse()
        assert is_too_large(reply, reply.read())


def test_too_many_elements(narrow: Server) -> None:
    """Within the body's limit, but not within the tensor's."""
    with narrow.client() as client:
        inputs = to_inputs({"x": np.zeros((101, 30), np.float32)}, binary=True)
        with pytest.raises(
            InferenceServerException, match=r"input `x`.*3030 elements, expected at most 3000"
        ) as caught:
            client.infer("anomaly-autoencoder", inputs)
        assert caught.value.status() == "413"
        assert infer(client, "anomaly-autoencoder", {"x": np.zeros((100, 30), np.float32)})["score"].shape == (100,)


def test_limits_are_counted(narrow: Server) -> None:
    """Each limit has a counter of its own, which a refusal raises."""
    with narrow.client() as client:

        def counters() -> dict[str, int]:
            return client.get_inference_statistics("anomaly-autoencoder")["model_stats"][0]["limits"]

        before = counters()
        assert is_too_large(*announce_too_much(narrow))
        after_body = counters()
        assert after_body == {**before, "body_bytes": before["body_bytes"] + 1}
        with pytest.raises(InferenceServerException):
            infer(client, "anomaly-autoencoder", {"x": np.zeros((101, 30), np.float32)})
        assert counters() == {**after_body, "elements": after_body["elements"] + 1}
