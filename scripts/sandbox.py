"""Tasks -> this process: the outside world of the example on one machine.

A mail server, a payment gateway and a notification webhook that keep what they got in memory, show it as JSON, and
fail on request. With a journal every effect is one line of JSON on disk, so that it can be counted over restarts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Annotated, Any, Literal

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import FastAPI, Header, HTTPException, Query
from pydantic import BaseModel, Field

# Newest items of each kind that are kept and shown.
KEPT = 10_000
# Seconds that an answer is held back by the fault "timeout"; the tasks' own patience is 10 s.
HELD = 30.0

Target = Literal["payments", "notifications", "mails"]
Key = Annotated[str, Header(alias="Idempotency-Key", min_length=1, max_length=255)]
Limit = Annotated[int, Query(ge=1, le=KEPT)]


class Charge(BaseModel):
    """What the payment gateway is asked for; `amount` is cents."""

    amount: int = Field(gt=0)
    description: str = ""
    reference: str = ""


class Notification(BaseModel):
    """What the webhook is told."""

    user_id: str | int
    message: str


class Fault(BaseModel):
    """A failure to come: the next `times` requests to `target` get `answer`.

    A number is the status to answer with (for mails an SMTP reply code); "timeout" does nothing and answers after
    30 s; "lost" has its effect and answers 503, as when an answer is lost on its way.
    """

    target: Target
    answer: int | Literal["timeout", "lost"] = 503
    times: int = Field(default=1, ge=0, le=1_000_000)


class World:
    """Everything the sandbox was told, the newest KEPT of each kind, and the failures to come."""

    def __init__(self, journal: Path | None = None) -> None:
        self.mails: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.notifications: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.charges: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.faults: dict[str, Fault] = {}
        self._journal = None
        if journal is not None:
            self._restore(journal)
            # Line buffered: a line is on disk, or at least in the kernel, before the answer leaves.
            self._journal = journal.open("a", encoding="utf-8", buffering=1)

    def add(self, kind: str, item: dict[str, Any]) -> dict[str, Any]:
        """Keep one mail, charge or notification; return it with its time."""
        item = {"kind": kind, "at": time.time(), **item}
        if self._journal is not None:
            self._journal.write(json.dumps(item) + "\n")
        self._keep(item)
        return item

    def _keep(self, item: dict[str, Any]) -> None:
        if item["kind"] == "charge":
            self.charges[item["key"]] = item
            if len(self.charges) > KEPT:
                self.charges.popitem(last=False)
        else:
            (self.mails if item["kind"] == "mail" else self.notifications).append(item)

    def _restore(self, journal: Path) -> None:
        # A gateway does not forget its keys when it restarts.
        journal.parent.mkdir(parents=True, exist_ok=True)
        if journal.exists():
            for line in journal.read_text(encoding="utf-8").splitlines():
                self._keep(json.loads(line))

    def next_fault(self, target: Target) -> int | str | None:
        """Return the answer of the failure that is due for `target`, and count it; None when there is none."""
        fault = self.faults.get(target)
        if fault is None or fault.times == 0:
            return None
        fault.times -= 1
        return fault.answer


class Mailbox:
    """The mail server's side of the world (an aiosmtpd handler)."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        fault = self.world.next_fault("mails")
        if isinstance(fault, int):
            return f"{fault} as asked for"
        if fault == "timeout":
            await asyncio.sleep(HELD)
            return "451 as asked for"
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        mail = message_from_bytes(content, policy=policy.default)
        part = mail.get_body(("plain",))
        self.world.add(
            "mail",
            {
                "message_id": str(mail["Message-ID"]),
                "from": envelope.mail_from,
                "to": list(envelope.rcpt_tos),
                "subject": str(mail["Subject"]),
                "body": part.get_content().replace("\r\n", "\n") if part is not None else "",
            },
        )
        return "451 as asked for" if fault == "lost" else "250 OK"


def create(world: World, smtp: socket.socket | None = None) -> FastAPI:
    """Return the HTTP side; with a listening socket in `smtp`, the mail server runs beside it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if smtp is None:
            yield
            return
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(Mailbox(world), hostname="sandbox"), sock=smtp)
        yield
        server.close()

    api = FastAPI(title="Sandbox", lifespan=lifespan)

    @api.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @api.post("/payments", status_code=201)
    async def pay(charge: Charge, idempotency_key: Key) -> dict[str, Any]:
        fault = await _obey(world, "payments")
        known = world.charges.get(idempotency_key)
        if known is None:
            item = {"id": f"ch_{idempotency_key}", "key": idempotency_key, **charge.model_dump()}
            known = world.add("charge", item)
        elif known["amount"] != charge.amount:
            raise HTTPException(422, "this Idempotency-Key was used for another amount: use a new one")
        _lose(fault)
        return known

    @api.post("/notifications", status_code=202)
    async def notify(notification: Notification, idempotency_key: Annotated[str, Header()] = "") -> dict[str, Any]:
        fault = await _obey(world, "notifications")
        item = world.add("notification", {"key": idempotency_key, **notification.model_dump()})
        _lose(fault)
        return item

    @api.post("/faults")
    async def fail(fault: Fault) -> Fault:
        world.faults[fault.target] = fault
        return fault

    @api.get("/mails")
    async def mails(limit: Limit = 100) -> list[dict[str, Any]]:
        return list(world.mails)[-limit:]

    @api.get("/payments")
    async def payments(limit: Limit = 100) -> list[dict[str, Any]]:
        return list(world.charges.values())[-limit:]

    @api.get("/notifications")
    async def notifications(limit: Limit = 100) -> list[dict[str, Any]]:
        return list(world.notifications)[-limit:]

    return api


async def _obey(world: World, target: Target) -> int | str | None:
    fault = world.next_fault(target)
    if isinstance(fault, int):
        raise HTTPException(fault, "as asked for")
    if fault == "timeout":
        await asyncio.sleep(HELD)
        raise HTTPException(504, "as asked for")
    return fault


def _lose(fault: int | str | None) -> None:
    if fault == "lost":
        raise HTTPException(503, "as asked for: the effect stays")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.sandbox", description=__doc__.split("\n\n")[1])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--http-port", type=int, default=8090, help="payments, notifications (default: %(default)s)")
    parser.add_argument("--smtp-port", type=int, default=1025, help="mail (default: %(default)s)")
    parser.add_argument("--journal", type=Path, metavar="FILE", help="append each effect to FILE as a line of JSON")
    return parser


def _listen(host: str, port: int, option: str) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        print(f"Port {port} on {host} can't be used ({reason}): choose another with {option}.", file=sys.stderr)
        sys.exit(1)


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal ends it. Ends with 1 for a port or a journal that can't be used, with 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        world = World(options.journal)
    except (OSError, ValueError, KeyError) as error:
        print(f"The journal {options.journal} can't be used ({error}): name another with --journal.", file=sys.stderr)
        return 1
    smtp = _listen(options.host, options.smtp_port, "--smtp-port")
    http = _listen(options.host, options.http_port, "--http-port")
    config = uvicorn.Config(create(world, smtp), log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[http])
    return 0


if __name__ == "__main__":
    sys.exit(main())
