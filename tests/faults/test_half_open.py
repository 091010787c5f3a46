"""Promise: a connection that goes nowhere without closing is noticed, and a worker that can't notice is seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.bench import Bench, Wire, Worker, wait_for


@pytest.fixture
def wire(bench: Bench) -> Iterator[Wire]:
    wire = Wire(bench.server.port)
    yield wire
    wire.close()


def worker_behind(wire: Wire, bench: Bench, **environment: str) -> Worker:
    worker = bench.worker("a", BENCH_URL=f"redis://127.0.0.1:{wire.port}/0", **environment)
    wait_for("the heartbeat is there", lambda: worker.heartbeat_age() < 5, within=10)
    return worker


def test_a_worker_on_a_half_open_connection_consumes_again_within_45_seconds(bench: Bench, wire: Wire) -> None:
    worker = worker_behind(wire, bench)
    wire.half_open()
    # Several, because what is popped into the dead connection can be lost, as the README says.
    for number in range(4):
        bench.send("sleep", f"after{number}", 0.1)
    wait_for("it consumes again", lambda: any("end after" in line for line in bench.journal()), within=45)
    assert worker.heartbeat_age() < 20


def test_without_a_socket_timeout_the_heartbeat_goes_stale(bench: Bench, wire: Wire) -> None:
    worker = worker_behind(wire, bench, BENCH_SOCKET_TIMEOUT="none", BENCH_TOLERANCE="10")
    wire.half_open()
    wait_for("the heartbeat is stale", lambda: worker.heartbeat_age() > 30, within=90)
    assert worker.process.poll() is None
