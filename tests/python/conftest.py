"""What all tests share: the binary, the compiled models, and a server that runs as long as the tests do."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tritonclient.http import InferenceServerClient

from cards import BUILDS, CARDS, ROOT, Build, Card
from command import CommandError, Samara
from serving import Server


@pytest.fixture(scope="session")
def samara() -> Samara:
    """The binary under test. Without it no test can run, and none is skipped: the session fails."""
    try:
        return Samara.find()
    except CommandError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def compilations(samara: Samara) -> dict[str, Path | CommandError]:
    """What came of compiling every model the way its card and its vectors want it, by the name it is served under."""

    def attempt(build: Build) -> Path | CommandError:
        try:
            return samara.compile(build)
        except CommandError as error:
            return error

    # Each takes one core for most of its time.
    builds = sorted(BUILDS.items())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(attempt, (build for _, build in builds))
        return dict(zip((name for name, _ in builds), results, strict=True))


@pytest.fixture(scope="session")
def components(compilations: dict[str, Path | CommandError]) -> dict[str, Path]:
    """The models that could be compiled; one that could not fails its own tests and lets others run."""
    return {name: result for name, result in compilations.items() if isinstance(result, Path)}


@pytest.fixture(scope="session")
def server(samara: Samara, components: dict[str, Path]) -> Iterator[Server]:
    """A server with default settings, and gRPC, that has all the models."""
    with Server(samara, components.values(), "--grpc-listen", "127.0.0.1:0") as server:
        yield server


# The functions of this repository, and the model that each asks.
FUNCTIONS = {
    "classify": "efficientnet-lite0",
    "embed": "minilm-l6",
    "identify": "magika",
    "listen": "silero-vad",
    "read": "ppocrv4-rec",
    "score": "anomaly-autoencoder",
}


@pytest.fixture(scope="session")
def functions(samara: Samara, components: dict[str, Path]) -> Iterator[Server]:
    """A server that has all the functions, each under its name, linked with their models."""
    options = [
        word
        for name, model in FUNCTIONS.items()
        for word in (
            *("--function", str(ROOT / "target" / "functions" / f"{name}.wasm")),
            *("--model", str(components[model])),
            *("--route", f"/{name}"),
        )
    ]
    with Server(samara, [], *options) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[InferenceServerClient]:
    """A tritonclient of the server."""
    with server.client() as client:
        yield client


@pytest.fixture
def connection(server: Server) -> Iterator[http.client.HTTPConnection]:
    """A plain HTTP connection to the server."""
    with server.connection() as connection:
        yield connection


@pytest.fixture(params=sorted(CARDS))
def card(request: pytest.FixtureRequest) -> Card:
    """Each model in turn."""
    return CARDS[request.param]
