"""HTTP -> span: a request begins the trace in which its tasks run. Off unless the environment names a collector."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from celery import Celery
from fastapi import FastAPI

from app.runtime import tracing

if TYPE_CHECKING:
    from opentelemetry.trace import Span

SERVICE = "api"
# Attributes that hold the query, which may hold a mail, or a secret somebody put there.
WITH_QUERY = ("http.url", "http.target", "url.full", "url.query")
PROBES = "/healthz$,/readyz$"


def install(api: FastAPI, celery: Celery) -> None:
    """Trace the requests of `api` and what it publishes through `celery`; to be called before it serves."""
    provider = tracing.begin(celery, SERVICE)
    if provider is None:
        return
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(
        api,
        tracer_provider=provider,
        server_request_hook=_forget_query,
        excluded_urls=None if os.environ.get("OTEL_PYTHON_FASTAPI_EXCLUDED_URLS") else PROBES,
        exclude_spans=["receive", "send"],
    )


def _forget_query(span: Span, scope: dict[str, Any]) -> None:
    attributes = getattr(span, "attributes", None) or {}
    for name in WITH_QUERY:
        if name in attributes:
            text = str(attributes[name])
            span.set_attribute(name, "" if name == "url.query" else text.partition("?")[0])
