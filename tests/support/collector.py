"""A collector of traces: takes OTLP over HTTP on a free port of the loopback and keeps the spans."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue


@dataclass(frozen=True)
class Span:
    """A span that came: ids in hexadecimal digits, attributes as text; `parent` is empty for the first of a trace."""

    trace: str
    id: str
    parent: str
    name: str
    service: str
    failed: bool
    attributes: dict[str, str]


class Collector:
    """What came so far."""

    def __init__(self, port: int) -> None:
        self.url, self._spans, self._lock = f"http://127.0.0.1:{port}", list[Span](), threading.Lock()

    @property
    def spans(self) -> list[Span]:
        with self._lock:
            return list(self._spans)

    def named(self, name: str) -> list[Span]:
        """Return the spans of that name, in the order in which they came."""
        return [span for span in self.spans if span.name == name]

    def of(self, task_id: str) -> list[Span]:
        """Return the spans of that task's publishes and runs."""
        return [span for span in self.spans if span.attributes.get("messaging.message.id") == task_id]

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            self._spans += [
                Span(
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.name,
                    _texts(group.resource.attributes)["service.name"],
                    span.status.code == span.status.STATUS_CODE_ERROR,
                    _texts(span.attributes),
                )
                for group in request.resource_spans
                for scope in group.scope_spans
                for span in scope.spans
            ]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield collector
        finally:
            server.shutdown()


def _texts(attributes: list[KeyValue]) -> dict[str, str]:
    return {item.key: str(getattr(item.value, str(item.value.WhichOneof("value")))) for item in attributes}
