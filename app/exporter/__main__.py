"""Serves the page: any path on EXPORTER_HOST and EXPORTER_PORT; with `?name[]=` only the metrics of that name.

`?name[]=celery_exporter_up` looks at no Redis, for probes.
"""

from __future__ import annotations

import logging
import signal
import sys

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from app.exporter.collector import BrokerCollector
from app.exporter.config import BadSetting, Settings

ENDING = (signal.SIGTERM, signal.SIGINT)


def main() -> int:
    """Serve until a signal says to end; return the exit code."""
    # Blocked and waited for: the first process of a container gets no signal that nobody handles.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    try:
        serve(Settings.from_environment())
    except BadSetting as error:
        print(error, file=sys.stderr)
        return 2
    signal.sigwait(ENDING)
    return 0


def serve(settings: Settings) -> None:
    """Start threads that serve the page. Raises BadSetting when the port can't be had."""
    registry = CollectorRegistry()
    Gauge("celery_exporter_up", "1: the exporter answers.", registry=registry).set(1)
    registry.register(BrokerCollector(settings))
    try:
        start_http_server(settings.port, settings.host, registry)
    except OSError as error:
        where = f"EXPORTER_PORT {settings.port} on {settings.host}"
        raise BadSetting(f"{where} can't be had ({error}): write a port that is free.") from None


if __name__ == "__main__":
    sys.exit(main())
