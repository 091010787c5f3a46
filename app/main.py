"""Client -> API -> broker: accepts tasks over HTTP (`uvicorn app.main:app`).

Every endpoint that needs Redis answers within 5 s, with 503 when Redis is away: one command takes at most a second and
is not repeated, and at most SLOTS requests use Redis at a time while the others wait at most another second.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from celery import Celery
from fastapi import Body, Depends, FastAPI, Header, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException

from app import __version__
from app.api.middleware import AccessLog, BodyLimit, Overloaded, Slots, bearer
from app.api.models import Accepted, AcceptedOrder, Cancelled, Mail, NewOrder, Problem, TaskState
from app.api.tasks import Finished, Tasks, UnknownTask
from app.api.tracing import telemetry
from app.celery_app import app as celery_app
from app.client import UNAVAILABLE, access, fail_fast, redis_client
from app.config import Settings, settings
from app.records import Busy, OtherBody, Records
from app.runtime import logs, metrics, tracing
from app.runtime.clients import pooled
from app.runtime.servers import examine
from app.store import Store

logger = logging.getLogger(__name__)

# Seconds that one Redis command may take.
REDIS_TIMEOUT = 1.0
# Requests that use Redis at a time, and so broker connections; below the server's 40 threads.
SLOTS = 16
# Seconds that a request waits for a slot.
PATIENCE = 1.0

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Any text of your choice: a POST repeated with it returns the first one's answer, for a week.",
    ),
]
OldQuery = Annotated[str | None, Query(deprecated=True, description="Give the mail as a JSON body instead.")]

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        401: "The bearer token is missing or wrong.",
        413: "The body is too large.",
        422: "The request can't be accepted as it is.",
        503: "Redis can't be reached; try again after Retry-After seconds.",
    }.items()
}
_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "No record of this id exists."}}
_FINISHED: dict[int | str, dict[str, Any]] = {409: {"model": Problem, "description": "The task has ended."}}


def create(settings: Settings, celery: Celery) -> FastAPI:
    """Return the API for `settings`; it publishes through `celery`, which is made to give up fast. No connection."""
    fail_fast(celery, REDIS_TIMEOUT, SLOTS)
    celery.loader.import_default_modules()
    client = redis_client(settings.store_url, access(settings), REDIS_TIMEOUT)
    records = Records(client, settings.key_prefix)
    tasks = Tasks(celery, records, Store(client, settings.key_prefix))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        logs.configure(settings.log_level, settings.log_format)
        for name in ("uvicorn", "uvicorn.error"):
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True
        # It logs the query; AccessLog takes its place.
        logging.getLogger("uvicorn.access").disabled = True
        await run_in_threadpool(_examine_server, celery)
        metrics.serve_producer(celery, celery.conf.runtime)
        yield
        await run_in_threadpool(tracing.end)

    traced = telemetry(celery)
    api = FastAPI(title="Shop", version=__version__, lifespan=lifespan, redirect_slashes=False, **traced)
    api.add_middleware(BodyLimit, limit=settings.api_max_body)
    api.add_middleware(AccessLog)
    _add_handlers(api)

    uses_redis = [Depends(Slots(SLOTS, PATIENCE))]
    writes = [Depends(bearer(settings.api_token)), *uses_redis]

    @api.post("/send-email", status_code=202, dependencies=writes, responses=_PROBLEMS)
    def send_email(
        mail: Annotated[Mail | None, Body()] = None,
        to: OldQuery = None,
        subject: OldQuery = None,
        body: OldQuery = None,
        key: IdempotencyKey = None,
    ) -> Accepted:
        """Send a plain-text mail. Give it as a JSON body."""
        mail = _one_mail(mail, {"to": to, "subject": subject, "body": body})
        answer = {"task_id": str(uuid.uuid4())}
        answer = _accept(records, "send-email", key, mail, answer, lambda a: tasks.send_email(a["task_id"], mail))
        return Accepted(**answer)

    @api.post("/orders", status_code=202, dependencies=writes, responses=_PROBLEMS)
    def create_order(order: NewOrder, key: IdempotencyKey = None) -> AcceptedOrder:
        """Store an order and start its flow: processing, payment, receipt."""
        answer = {"order_id": str(uuid.uuid4()), "task_id": str(uuid.uuid4())}

        def publish(chosen: dict[str, str]) -> None:
            tasks.start_order(chosen["order_id"], chosen["task_id"], order)

        return AcceptedOrder(**_accept(records, "orders", key, order, answer, publish))

    @api.get(
        "/task/{task_id}",
        dependencies=uses_redis,
        response_model_exclude_none=True,
        responses={**_PROBLEMS, **_UNKNOWN},
    )
    def task(task_id: uuid.UUID) -> TaskState:
        """Where a task is, and its result or its error."""
        return tasks.state(str(task_id))

    @api.delete("/task/{task_id}", dependencies=writes, responses={**_PROBLEMS, **_UNKNOWN, **_FINISHED})
    def cancel(task_id: uuid.UUID) -> Cancelled:
        """Cancel a task for good: it won't start, and if it runs it is ended. A payment in mid-charge runs on."""
        tasks.cancel(str(task_id))
        return Cancelled()

    @api.get("/healthz")
    async def alive() -> dict[str, str]:
        """Whether this process answers; asks nothing of Redis."""
        return {"status": "ok"}

    @api.get("/readyz", dependencies=uses_redis, responses={503: _PROBLEMS[503]})
    def ready() -> dict[str, str]:
        """Whether broker, result backend and store answer."""
        with pooled(celery) as broker:
            broker.ping()
        celery.backend.client.ping()
        client.ping()
        return {"status": "ready"}

    return api


def _examine_server(celery: Celery) -> None:
    try:
        with pooled(celery) as broker:
            examine(broker)
    except UNAVAILABLE as error:
        logger.warning("Redis can't be reached yet: %s", error)
    except SystemExit as refused:
        # Uvicorn would make a traceback and a code of its own of it; nothing is open yet.
        os._exit(int(str(refused.code)))


def _one_mail(mail: Mail | None, query: dict[str, str | None]) -> Mail:
    given = {name: value for name, value in query.items() if value is not None}
    if mail is not None and given:
        raise HTTPException(422, "The mail is given twice: leave the query parameters out and keep the JSON body.")
    if mail is not None:
        return mail
    try:
        return Mail.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


def _accept(
    records: Records,
    route: str,
    key: str | None,
    request: BaseModel,
    answer: dict[str, str],
    publish: Callable[[dict[str, str]], None],
) -> dict[str, str]:
    if key is not None:
        return records.once(route, key, request.model_dump_json(), answer, publish)
    publish(answer)
    return answer


def _add_handlers(api: FastAPI) -> None:
    def unavailable(request: Request, error: Exception) -> JSONResponse:
        logger.warning("Redis can't be reached: %s", error)
        return _problem(503, "The service can't reach Redis at the moment; try again.", {"Retry-After": "2"})

    for kind in UNAVAILABLE:
        api.add_exception_handler(kind, unavailable)
    refusals: dict[type[Exception], tuple[int, str]] = {
        Overloaded: (503, "Too many requests are waiting for Redis at the moment; try again."),
        Busy: (503, "The first request with this Idempotency-Key is still under way; try again."),
        OtherBody: (422, "This Idempotency-Key was used with another body: use a new key for a new request."),
        UnknownTask: (404, "No task with this id was accepted in the last seven days."),
        Finished: (409, "The task has ended, so it can't be cancelled any more."),
    }
    for refusal, (status, sentence) in refusals.items():
        headers = {"Retry-After": "2"} if status == 503 else None

        def refuse(
            _: Request,
            error: Exception,
            status: int = status,
            sentence: str = sentence,
            headers: dict[str, str] | None = headers,
        ) -> JSONResponse:
            return _problem(status, sentence, headers)

        api.add_exception_handler(refusal, refuse)

    @api.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # Pydantic's own answer repeats the input, which a proxy may log.
        return _problem(422, "; ".join(_sentence(item) for item in error.errors()[:5]) + ".")

    @api.exception_handler(StarletteHTTPException)
    def refused(request: Request, error: StarletteHTTPException) -> JSONResponse:
        return _problem(error.status_code, str(error.detail), dict(error.headers or {}))


def _sentence(item: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in item["loc"])
    return f"{where or 'The request'}: {item['msg'].removeprefix('Value error, ').rstrip('.')}"


def _problem(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status, headers)


app = create(settings, celery_app)
