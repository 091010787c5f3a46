"""Client -> API: what every request passes: the access log, the bound of its body, a slot, and the token."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import HTTPException, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("app.access")


class Overloaded(Exception):
    """Every slot is taken by requests that wait for Redis."""


class AccessLog:
    """Logs method, path, status and duration. Never the query: it may hold a mail, or a secret somebody put there."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an ASGI call on and log it if it is a request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, status = time.perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            # Probes come every few seconds.
            level = logging.DEBUG if scope["path"] in ("/healthz", "/readyz") and status == 200 else logging.INFO
            # ascii: the path is decoded, and a line break in it must not start a line of its own.
            fields = {"method": scope["method"], "path": ascii(scope["path"])[1:-1], "status": status}
            seconds = round(time.perf_counter() - began, 4)
            logger.log(level, "%s %s %d", *fields.values(), extra={**fields, "seconds": seconds})


class BodyLimit:
    """Refuses a body of more than `limit` bytes with 413, also when its length is declared wrongly or not at all.

    FastAPI's own `max_body_size` answers in plain text and without a sentence.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an ASGI call on with a `receive` that counts."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        too_large = declared.isdigit() and int(declared) > self.limit
        size = 0

        async def counted() -> Message:
            nonlocal size
            message: Message = {} if too_large else await receive()
            size += len(message.get("body", b""))
            if too_large or size > self.limit:
                # An HTTPException is the one error that FastAPI passes through its reading of the body.
                raise HTTPException(413, f"The body is larger than {self.limit} bytes: send less.")
            return message

        await self.app(scope, counted, send)


class Slots:
    """Lets `count` requests use Redis at a time; others wait at most `patience` seconds.

    This bounds the answer when Redis hangs. A request that holds a slot ends after a few timeouts of a second; without
    the bound, hundreds of requests would queue for the threads and the last would wait for all before it.
    """

    def __init__(self, count: int, patience: float) -> None:
        self._free, self._patience = asyncio.Semaphore(count), patience

    async def __call__(self) -> AsyncIterator[None]:
        """Hold a slot for the time of a request (a FastAPI dependency). Raises Overloaded."""
        try:
            await asyncio.wait_for(self._free.acquire(), self._patience)
        except TimeoutError:
            raise Overloaded from None
        try:
            yield
        finally:
            self._free.release()


def bearer(token: str) -> Callable[[Request], Any]:
    """Return a dependency that demands `token`; an empty one demands nothing."""

    async def check(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # Compared in constant time, so that the answer's delay tells nothing about the token.
        right = hmac.compare_digest(given.strip().encode(), token.encode()) and scheme.lower() == "bearer"
        if token and not right:
            sentence = "The token is missing or wrong: send the header 'Authorization: Bearer <API_TOKEN>'."
            raise HTTPException(401, sentence, {"WWW-Authenticate": "Bearer"})

    return check
