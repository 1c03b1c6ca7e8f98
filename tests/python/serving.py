"""A running `samara serve`."""

from __future__ import annotations

import http.client
import itertools
import json
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from tritonclient.http import InferenceServerClient

from command import CODE_CACHE, SCRATCH, CommandError, Samara

# Functions that are new are linked and compiled first.
START_TIMEOUT = 240.0
STOP_TIMEOUT = 15.0
REPLY_TIMEOUT = 30.0

# Each server of a run has a log of its own.
NUMBERS = itertools.count(1)


class Server:
    """A process that serves components on a free port of 127.0.0.1, stopped at the end of a `with`."""

    def __init__(self, samara: Samara, components: Iterable[Path], *options: str) -> None:
        """Start the process and wait until it says that it listens."""
        SCRATCH.mkdir(parents=True, exist_ok=True)
        self._log = SCRATCH / f"serve-{next(NUMBERS)}.log"
        words = ["serve", *map(str, components), "--listen", "127.0.0.1:0", "--cache-dir", str(CODE_CACHE), "--json"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(samara.path), *words, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )
        try:
            self.ready: dict[str, Any] = json.loads(self._ready_line())
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.address: str = self.ready["listen"]
        host, port = self.address.rsplit(":", 1)
        self.host, self.port = host, int(port)

    def _ready_line(self) -> bytes:
        """The first line on standard output."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], START_TIMEOUT)
        line = self.process.stdout.readline() if readable else b""
        if not line.endswith(b"\n"):
            why = f"did not say within {START_TIMEOUT:.0f} s that it listens" if not readable else "ended at once"
            raise CommandError(f"`samara serve` {why}; its log:\n{self._log.read_text(errors='replace')}")
        return line

    @contextmanager
    def client(self) -> Iterator[InferenceServerClient]:
        """A tritonclient of this server, for one thread."""
        client = InferenceServerClient(self.address, connection_timeout=REPLY_TIMEOUT, network_timeout=REPLY_TIMEOUT)
        try:
            yield client
        finally:
            client.close()

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        """A plain HTTP connection to this server."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=REPLY_TIMEOUT)
        try:
            yield connection
        finally:
            connection.close()

    def stop(self) -> tuple[int, float]:
        """Ask the process to end, and return its exit status and how long that took in seconds."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()
        return status, time.monotonic() - started

    def __enter__(self) -> Server:
        """Return the server, which is running already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the server, which must still be alive and end in good order."""
        crashed = self.process.poll()
        status, _ = self.stop()
        if kind is None and (crashed is not None or status != 0):
            log = self._log.read_text(errors="replace")[-4000:]
            raise CommandError(f"`samara serve` ended with status {status}; its log ends:\n{log}")
