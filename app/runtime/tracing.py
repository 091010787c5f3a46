"""Request -> task -> retry: spans of what was sent and what ran, to a collector, where the environment names one.

The variables are OpenTelemetry's own (OTEL_EXPORTER_OTLP_ENDPOINT and others), and so are the instrumentation and the
exporter: OTLP over HTTP. Without an endpoint nothing of theirs is imported. Spans leave from a thread with a bounded
queue, so that a collector that is away or hangs costs spans and no task.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from celery import Celery
from celery.signals import (
    beat_init,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
MODULES = (
    "opentelemetry.sdk.trace.export",
    "opentelemetry.instrumentation.celery",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)
# Seconds that the end of a process waits for a collector.
FLUSH = 3.0
# Milliseconds between two exports unless OTEL_BSP_SCHEDULE_DELAY says otherwise. What a killed pool process had not
# sent is lost, and a soft shutdown kills them: OpenTelemetry's 5 s would be more.
DELAY = 1000
# Pools whose tasks run in the main process, and which send no worker_process_init.
ONE_PROCESS = ("thread", "gevent", "eventlet")


class _Process:
    provider: TracerProvider | None = None
    pid = 0


_state = _Process()


def wanted(environment: Mapping[str, str] | None = None) -> bool:
    """Return whether the environment names a collector and switches nothing off."""
    env = os.environ if environment is None else environment
    off = env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or env.get("OTEL_TRACES_EXPORTER") == "none"
    return not off and bool(_first(env, ENDPOINTS)[1])


def problem(environment: Mapping[str, str] | None = None) -> str:
    """Return a sentence about what makes tracing impossible; empty when nothing does, or it is off."""
    env = os.environ if environment is None else environment
    if not wanted(env):
        return ""
    name, endpoint = _first(env, ENDPOINTS)
    if not _is_url(endpoint):
        return f"{name} is {endpoint!r}: allowed is a URL such as http://collector:4318, or nothing for no tracing."
    name, protocol = _first(env, PROTOCOLS)
    if protocol not in ("", "http/protobuf"):
        return f"{name} is {protocol!r}: allowed is 'http/protobuf', which a collector takes on port 4318, or nothing."
    try:
        for module in MODULES:
            import_module(module)
    except ImportError as error:
        return (
            f"Tracing is asked for by {_first(env, ENDPOINTS)[0]}, and can't be imported ({error}): install "
            "opentelemetry-instrumentation-celery and opentelemetry-exporter-otlp-proto-http, or unset the variable."
        )
    return ""


def install(app: Celery, group: str = "") -> None:
    """Trace the workers and the beat of `app`, if the environment asks for it; `group` is the worker's."""
    if not wanted():
        return
    worker = f"worker-{group}" if group else "worker"

    def worker_begins(sender: Any = None, **_: Any) -> None:
        # Once, and not in each pool process, which share what is imported now.
        _refuse()
        if sender.pool_cls.__module__.rpartition(".")[2] in ONE_PROCESS:
            begin(app, worker)

    def beat_begins(**_: Any) -> None:
        try:
            begin(app, "beat")
        except SystemExit as refused:
            # Celery's beat takes it for the wish to end well, with code 0; nothing is open yet.
            os._exit(int(str(refused.code)))

    for signal, receiver in (
        (worker_init, worker_begins),
        # After the fork: threads, locks and connections of the parent's would be of no use.
        (worker_process_init, lambda **_: begin(app, worker)),
        (worker_process_shutdown, lambda **_: end()),
        (worker_shutdown, lambda **_: end()),
        (beat_init, beat_begins),
    ):
        signal.connect(receiver, weak=False)


def begin(app: Celery, service: str) -> TracerProvider | None:
    """Trace what this process publishes and runs, as `service` unless OTEL_SERVICE_NAME names another.

    Returns None when tracing is off, or when `opentelemetry-instrument` has set it up. Ends the process with code 2 and
    a sentence when it can't be done.
    """
    if not wanted() or _state.pid == os.getpid():
        return _state.provider
    _refuse()
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.celery import CeleryInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    instrumentor = CeleryInstrumentor()  # type: ignore[no-untyped-call]
    if instrumentor.is_instrumented_by_opentelemetry:
        return None
    provider = TracerProvider(resource=Resource.create(_name(service)), shutdown_on_exit=False)
    delay = None if os.environ.get("OTEL_BSP_SCHEDULE_DELAY") else DELAY
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=delay))
    # For the spans that tasks make themselves.
    trace.set_tracer_provider(provider)
    instrumentor.instrument(tracer_provider=provider)
    app.amqp.send_task_message = _ending_failed(app.amqp.send_task_message)
    _state.provider, _state.pid = provider, os.getpid()
    return provider


def end() -> None:
    """Send what is left, for at most FLUSH seconds; nothing is traced afterwards."""
    if _state.provider is not None and _state.pid == os.getpid():
        # Its own bound is 30 s, and can't be told.
        flush = threading.Thread(target=_state.provider.shutdown, name="tracing-flush", daemon=True)
        flush.start()
        flush.join(FLUSH)
        _state.provider = None


def trace_id() -> str | None:
    """Return the id, 32 hexadecimal digits, of the trace to which what happens now belongs."""
    if _state.provider is None:
        return None
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def carried(traceparent: object) -> str | None:
    """Return the id of the trace that a message's `traceparent` header names, also in a process that traces nothing."""
    parts = traceparent.split("-") if isinstance(traceparent, str) else []
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else None


def _ending_failed(send: Callable[..., Any]) -> Callable[..., Any]:
    # The instrumentation ends a publish's span when it is done. One that failed would stay open and current: all that
    # the process does from then on would be its child.
    from opentelemetry.instrumentation.celery import utils

    @functools.wraps(send)
    def sending(producer: Any, name: str, message: Any, **options: Any) -> Any:
        try:
            return send(producer, name, message, **options)
        except Exception:
            # In a thread of a server that is the task of another application, Celery's default.
            task, task_id = utils.retrieve_task_from_sender({"sender": name}), str((message.headers or {}).get("id"))
            if (context := utils.retrieve_context(task, task_id, is_publish=True)) is not None:
                utils.detach_context(task, task_id, is_publish=True)
                context[1].__exit__(*sys.exc_info())
            raise

    return sending


def _refuse() -> None:
    if sentence := problem():
        print(sentence, file=sys.stderr, flush=True)
        raise SystemExit(2)


def _name(service: str) -> dict[str, str]:
    given = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return {} if given else {"service.name": service}


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    return next(((name, text) for name in names if (text := environment.get(name, "").strip())), (names[-1], ""))


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
