"""Tasks -> HTTP services that the settings name: one JSON POST, with errors a task can decide on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx

# Seconds for each of connect, write and read.
TIMEOUT = 10.0
# Answers that another try may change.
RETRIABLE = frozenset({408, 425, 429, 500, 502, 503, 504})


class HttpRefused(Exception):
    """The service answered, and another try won't change its answer."""

    def __init__(self, message: str, status: int) -> None:
        # Both arguments, so that the exception survives its way through the result backend.
        super().__init__(message, status)
        self.status = status

    def __str__(self) -> str:
        return str(self.args[0])


@contextmanager
def _translated(name: str) -> Any:
    try:
        yield
    except httpx.TimeoutException as error:
        raise TimeoutError(f"{name} did not answer in time ({type(error).__name__})") from None
    except httpx.TransportError as error:
        raise ConnectionError(f"{name} can't be reached: {error}") from None


def translated(name: str) -> AbstractContextManager[None]:
    """Turn httpx's errors inside the block into the builtin TimeoutError and ConnectionError; `name` goes first."""
    context: AbstractContextManager[None] = _translated(name)
    return context


def post(url: str, payload: Mapping[str, Any], *, key: str, token: str = "") -> Any:
    """POST `payload` as JSON with the header Idempotency-Key, and `token` as bearer token; return the JSON answer.

    Returns None for an answer that is not JSON. Raises TimeoutError; ConnectionError, also for the answers in
    RETRIABLE; HttpRefused for any other answer that is not 2xx.
    """
    headers = {"Idempotency-Key": key}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    # Neither the URL, which may hold a secret, nor the answer's body goes into messages: results are shown to people.
    name = httpx.URL(url).host
    with translated(name):
        answer = httpx.post(url, json=dict(payload), headers=headers, timeout=TIMEOUT)
    if answer.status_code in RETRIABLE:
        raise ConnectionError(f"{name} answered {answer.status_code}")
    if not answer.is_success:
        raise HttpRefused(f"{name} answered {answer.status_code}", answer.status_code)
    try:
        return answer.json()
    except ValueError:
        return None
