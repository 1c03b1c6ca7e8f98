"""Requests to a running function, and what it answers."""

from __future__ import annotations

import json
from typing import Any

from serving import Server


def ask(
    server: Server, path: str, body: bytes, content_type: str | None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """The status, the headers and the body of a reply to a POST."""
    if content_type is not None:
        headers["content-type"] = content_type
    with server.connection() as connection:
        connection.request("POST", path, body, headers)
        reply = connection.getresponse()
        content = reply.read()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, content


def answer(server: Server, path: str, body: bytes, content_type: str | None) -> Any:
    """What a function answers a good request, in JSON."""
    status, headers, content = ask(server, path, body, content_type)
    assert status == 200, content
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(content))
    return json.loads(content)


def problem(server: Server, path: str, body: bytes, content_type: str | None, status: int) -> str:
    """What is wrong with a bad request, as the function says it."""
    found, headers, content = ask(server, path, body, content_type)
    assert found == status, content
    assert headers["content-type"] == "application/problem+json"
    details = json.loads(content)
    assert details["status"] == status
    return details["detail"]
