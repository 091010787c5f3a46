"""HTTP -> span: a request begins the trace in which its tasks run. Off unless the environment names a collector."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from celery import Celery

from app.runtime import tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SERVICE = "api"
PROBES = ("/healthz", "/readyz")


def telemetry(celery: Celery) -> dict[str, Any]:
    """Return what FastAPI is to be made with, so that its requests are traced with what `celery` publishes."""
    provider = tracing.begin(celery, SERVICE)
    if provider is None:
        return {}
    _forget_queries(provider)
    # Spans of each dependency and of the JSON's writing are many, and say little.
    only_spans = {"metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}
    return {"telemetry": {"tracer_provider": provider, "exclude": _is_probe, **only_spans}}


def _is_probe(scope: MutableMapping[str, Any]) -> bool:
    return scope.get("path") in PROBES


def _forget_queries(provider: TracerProvider) -> None:
    from opentelemetry.sdk.trace import Span, SpanProcessor

    class Forgetting(SpanProcessor):
        """Takes the query out: it may hold a mail, or a secret somebody put there."""

        def on_start(self, span: Span, parent_context: Any = None) -> None:
            if "url.query" in (span.attributes or {}):
                span.set_attribute("url.query", "REDACTED")

    provider.add_span_processor(Forgetting())
