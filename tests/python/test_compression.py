"""gzip and deflate, both ways: through tritonclient, and as seen on the wire."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient

from cards import CARDS
from tensors import assert_all_close, assert_close, from_result, to_inputs, to_outputs

FASHION = CARDS["fashion-cnn"].vector("ankle-boot")
AUTOENCODER = CARDS["anomaly-autoencoder"].vector("batch-3")
ROWS = 6000
CODINGS = ["gzip", "deflate"]
COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}


def many_rows() -> np.ndarray:
    """Enough rows that a reply is worth compressing."""
    return np.tile(AUTOENCODER.inputs["x"], (ROWS // 3, 1))


def many_scores() -> np.ndarray:
    """What the rows give."""
    return np.tile(AUTOENCODER.expected["score"], ROWS // 3)


def post(
    connection: HTTPConnection, tensor: np.ndarray, *, binary: bool, coding: str | None = None, **headers: str
) -> tuple[HTTPResponse, bytes]:
    """Send rows to the autoencoder in a body that tritonclient makes."""
    body, length = InferenceServerClient.generate_request_body(
        to_inputs({"x": tensor}, binary=binary), outputs=to_outputs(["score"], binary=binary)
    )
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if length is not None:
        sent["Inference-Header-Content-Length"] = str(length)
    if coding is not None:
        body = COMPRESS[coding](body)
        sent["Content-Encoding"] = coding
    connection.request("POST", "/v2/models/anomaly-autoencoder/infer", body, sent)
    reply = connection.getresponse()
    return reply, reply.read()


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
@pytest.mark.parametrize("response", [None, *CODINGS], ids=lambda coding: f"{coding}-out")
@pytest.mark.parametrize("request_", [None, *CODINGS], ids=lambda coding: f"{coding}-in")
def test_tritonclient(client: InferenceServerClient, request_: str | None, response: str | None, binary: bool) -> None:
    """Every combination of request and reply gives the right answer."""
    result = client.infer(
        "anomaly-autoencoder",
        to_inputs({"x": many_rows()}, binary=binary),
        outputs=to_outputs(["score"], binary=binary),
        request_compression_algorithm=request_,
        response_compression_algorithm=response,
    )
    assert_all_close(from_result(result), {"score": many_scores()})


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
@pytest.mark.parametrize("coding", CODINGS)
def test_a_large_reply_is_compressed(connection: HTTPConnection, coding: str, binary: bool) -> None:
    """It says so, is smaller, and its length is that of the compressed body."""
    plain, plain_body = post(connection, many_rows(), binary=binary)
    reply, body = post(connection, many_rows(), binary=binary, Accept_Encoding=coding)
    assert plain.getheader("Content-Encoding") is None
    assert reply.getheader("Content-Encoding") == coding
    assert reply.getheader("Content-Length") == str(len(body))
    assert len(body) < len(plain_body)
    assert DECOMPRESS[coding](body) == plain_body
    # The length of the JSON counts what was there before the compression.
    assert reply.getheader("Inference-Header-Content-Length") == plain.getheader("Inference-Header-Content-Length")


def test_a_small_reply_is_not_compressed(connection: HTTPConnection) -> None:
    """It would take longer than sending it."""
    reply, body = post(connection, AUTOENCODER.inputs["x"], binary=False, Accept_Encoding="gzip, deflate")
    assert reply.status == 200
    assert reply.getheader("Content-Encoding") is None
    assert body.startswith(b"{")


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip, deflate", "gzip"),
        ("gzip;q=0.1, deflate;q=0.9", "deflate"),
        ("br, *", "gzip"),
        ("br", None),
        ("gzip;q=0, identity", None),
    ],
)
def test_the_client_has_the_choice(connection: HTTPConnection, accepted: str, expected: str | None) -> None:
    """By the weights of `Accept-Encoding`."""
    reply, _ = post(connection, many_rows(), binary=True, Accept_Encoding=accepted)
    assert reply.getheader("Content-Encoding") == expected


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_request_may_be_binary(connection: HTTPConnection, coding: str) -> None:
    """The length of the JSON counts what is there after decompression."""
    reply, body = post(connection, AUTOENCODER.inputs["x"], binary=True, coding=coding)
    assert reply.status == 200, body
    length = int(reply.getheader("Inference-Header-Content-Length") or 0)
    result = InferenceServerClient.parse_response_body(body, header_length=length)
    assert_close(result.as_numpy("score"), AUTOENCODER.expected["score"])


def test_both_ways_at_once_for_another_model(client: InferenceServerClient) -> None:
    """The codings have nothing to do with the model."""
    result = client.infer(
        "fashion-cnn",
        to_inputs(FASHION.inputs, binary=True),
        request_compression_algorithm="deflate",
        response_compression_algorithm="gzip",
    )
    assert_all_close(from_result(result), FASHION.expected)
