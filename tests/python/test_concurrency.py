"""Requests from many threads at once: each gets its own answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tritonclient.http import InferenceServerClient

from cards import CARDS
from serving import Server
from tensors import assert_all_close, assert_close, infer, to_inputs

THREADS = 8
ROUNDS = 40


def in_threads(server: Server, task: Callable[[InferenceServerClient, int], None]) -> None:
    """Run a task in eight threads, each with a client of its own; the first failure is raised."""

    def run(number: int) -> None:
        with server.client() as client:
            task(client, number)

    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(run, number) for number in range(THREADS)]:
            future.result(timeout=120)


def test_each_thread_gets_its_own_answers(server: Server) -> None:
    """One model, other rows in every thread, of other batch sizes."""
    vectors = CARDS["anomaly-autoencoder"].vectors
    rows = np.concatenate([vector.inputs["x"] for vector in vectors])
    scores = np.concatenate([vector.expected["score"] for vector in vectors])

    def ask(client: InferenceServerClient, number: int) -> None:
        for turn in range(ROUNDS):
            chosen = (np.arange(1 + number) + turn + number) % len(rows)
            answer = infer(client, "anomaly-autoencoder", {"x": rows[chosen]})
            assert_close(answer["score"], scores[chosen])

    in_threads(server, ask)


def test_models_do_not_disturb_each_other(server: Server) -> None:
    """All models at once, each thread beginning with another one."""
    cards = list(CARDS.values())

    def ask(client: InferenceServerClient, number: int) -> None:
        for turn in range(len(cards)):
            vector = cards[(turn + number) % len(cards)].vectors[0]
            assert_all_close(infer(client, vector.build.name, vector.inputs), vector.expected, vector.tolerance)

    in_threads(server, ask)


def test_ids_come_back_to_their_thread(server: Server) -> None:
    """A reply is that of the request before it on the same connection."""
    vector = CARDS["silero-vad"].vectors[0]

    def ask(client: InferenceServerClient, number: int) -> None:
        inputs = to_inputs(vector.inputs, binary=True)
        for turn in range(ROUNDS):
            name = f"{number}-{turn}"
            result = client.infer("silero-vad", inputs, request_id=name)
            assert result.get_response()["id"] == name

    in_threads(server, ask)


def test_a_failing_request_disturbs_no_other(server: Server) -> None:
    """Every other thread sends nonsense while the rest get right answers."""
    vector = CARDS["breast-random-forest"].vector("batch-3")

    def ask(client: InferenceServerClient, number: int) -> None:
        for _ in range(ROUNDS):
            if number % 2:
                with server.connection() as connection:
                    connection.request("POST", "/v2/models/breast-random-forest/infer", b'{"inputs":[{"name":')
                    assert connection.getresponse().status == 400
            else:
                assert_all_close(infer(client, vector.build.name, vector.inputs), vector.expected)

    in_threads(server, ask)
