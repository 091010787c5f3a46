"""Promise: a worker's pod says how much work it still has, in few words, and no trouble with that disturbs the worker.

The API server is a stand-in that speaks TLS and HTTP; `tests/cluster` has the real one.
"""

from __future__ import annotations

import json
import logging
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from billiard.context import Process
from celery import Celery

from app.runtime import Options, deletion_cost
from app.runtime.deletion_cost import ANNOTATION, HIGHEST, DeletionCost, is_news
from app.runtime.lease import Ledger, Run
from tests.conftest import ROOT
from tests.support.stack import until

LIMIT = 600


class ApiServer:
    """Answers every PATCH with `status` once `answering` is set; `asked` has the path, the headers and the body."""

    def __init__(self, authority: trustme.CA) -> None:
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.status = 200
        self.answering = threading.Event()
        self.answering.set()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_PATCH(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.asked.append((self.path, dict(self.headers), body))
                api.answering.wait(20)
                self.send_response(api.status)
                self.end_headers()
                self.wfile.write(b'{"message": "the server says why"}')

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def costs(self) -> list[int]:
        """The costs that were written, in order."""
        return [int(body["metadata"]["annotations"][ANNOTATION]) for _, _, body in self.asked]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def api(authority: trustme.CA) -> Iterator[ApiServer]:
    server = ApiServer(authority)
    yield server
    server.answering.set()
    server.close()


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    ledger = Ledger()
    monkeypatch.setattr(deletion_cost, "ledger", ledger)
    return ledger


@pytest.fixture
def pod(api: ApiServer, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What the pod `w-1` of the namespace `shop` has: its variables and the folder of its account."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(api.server.server_address[1]))
    monkeypatch.setenv("POD_NAME", "w-1")
    (tmp_path / "namespace").write_text("shop", encoding="utf-8")
    (tmp_path / "token").write_text("one\n", encoding="utf-8")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    monkeypatch.setattr(deletion_cost, "ACCOUNT", tmp_path)
    return tmp_path


@pytest.fixture
def worker(pod: Path, ledger: Ledger) -> DeletionCost:
    app = Celery("cost", broker="redis://127.0.0.1:1/0", set_as_current=False)
    app.conf.task_time_limit = LIMIT
    return DeletionCost(app)


def run(ledger: Ledger, tag: str, since: float = 0.0) -> None:
    """Let the task of `tag` have run for `since` seconds."""
    ledger.hold(tag)
    ledger.start(tag, Run(f"mark:{tag}", f"starts:{tag}"))
    found = ledger.running(tag)
    assert found
    found.began -= since


def cost(ledger: Ledger, limit: float | None = LIMIT) -> int:
    return deletion_cost.cost(ledger.runs(), limit)


def test_a_worker_that_runs_nothing_costs_nothing(ledger: Ledger) -> None:
    ledger.hold("later")
    ledger.await_eta("later")
    assert cost(ledger) == 0
    run(ledger, "a")
    assert cost(ledger) > 0
    ledger.ended("a")
    assert cost(ledger) == 0


def test_a_busy_worker_costs_what_its_tasks_may_still_take(ledger: Ledger) -> None:
    run(ledger, "a", since=100)
    assert cost(ledger) == 1 + 500
    run(ledger, "b", since=590)
    assert cost(ledger) == 1 + 500 + 10


@pytest.mark.parametrize(("since", "limit"), [(700, LIMIT), (5, None), (0, 0)])
def test_a_task_beyond_its_limit_or_without_one_still_counts(ledger: Ledger, since: float, limit: float | None) -> None:
    run(ledger, "a", since)
    run(ledger, "b", since)
    assert cost(ledger, limit) == 1 + 2


def test_the_cost_is_an_integer_that_kubernetes_takes(ledger: Ledger) -> None:
    run(ledger, "a")
    run(ledger, "b")
    assert cost(ledger, limit=HIGHEST) == HIGHEST == 2147483647


def test_only_news_are_told() -> None:
    assert is_news(None, 0)
    assert is_news(0, 1)
    assert is_news(1, 0)
    assert not is_news(0, 0)
    assert not is_news(400, 301)
    assert not is_news(400, 300)
    assert is_news(400, 299)
    assert not is_news(400, 500)
    assert is_news(400, 501)


def test_a_patch_annotates_the_pods_own_status(worker: DeletionCost, api: ApiServer, ledger: Ledger) -> None:
    run(ledger, "a", since=477)
    assert worker.look()
    ((path, headers, body),) = api.asked
    assert path == "/api/v1/namespaces/shop/pods/w-1/status"
    assert headers["Content-Type"] == "application/merge-patch+json"
    assert body == {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "124"}}}


def test_the_token_is_read_for_each_patch(worker: DeletionCost, api: ApiServer, ledger: Ledger, pod: Path) -> None:
    worker.look()
    (pod / "token").write_text("two", encoding="utf-8")
    run(ledger, "a")
    worker.look()
    assert [headers["Authorization"] for _, headers, _ in api.asked] == ["Bearer one", "Bearer two"]


def test_a_task_from_start_to_limit_is_a_dozen_patches(worker: DeletionCost, api: ApiServer, ledger: Ledger) -> None:
    worker.look()
    run(ledger, "a")
    for _ in range(0, LIMIT, 15):
        worker.look()
        for found in ledger.runs():
            found.began -= 15
    ledger.ended("a")
    worker.look()
    worker.look()
    assert len(api.costs) == 12
    assert (api.costs[0], api.costs[-1]) == (0, 0)
    assert api.costs[1:] == sorted(api.costs[1:], reverse=True)


def test_a_container_that_starts_again_takes_back_what_its_predecessor_wrote(
    worker: DeletionCost, api: ApiServer, ledger: Ledger
) -> None:
    run(ledger, "a")
    worker.look()
    ledger.ended("a")
    DeletionCost(worker.app).look()
    assert api.costs == [601, 0]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_missing_right_is_named_once_until_it_is_there(
    worker: DeletionCost, api: ApiServer, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    api.status = 403
    assert [worker.look() for _ in range(3)] == [False] * 3
    (said,) = warnings(caplog)
    assert "the group's service account may not patch pods/status" in said
    assert "the server says why" in said
    api.status = 500
    worker.look()
    assert "HTTP 500" in warnings(caplog)[1]
    api.status = 200
    assert worker.look()
    api.status = 403
    run(ledger, "a")
    worker.look()
    assert len(warnings(caplog)) == 3, "after a success it is news again"


def test_what_failed_is_told_later(worker: DeletionCost, api: ApiServer, ledger: Ledger) -> None:
    worker.look()
    run(ledger, "a")
    api.status = 500
    worker.look()
    api.status = 200
    worker.look()
    assert len(api.costs) == 3
    assert min(api.costs[1:]) > 590


def test_a_server_that_is_gone_is_a_warning(worker: DeletionCost, api: ApiServer, caplog: Any) -> None:
    api.close()
    assert not worker.look()
    assert not worker.look()
    (said,) = warnings(caplog)
    assert "Connection refused" in said


def test_a_server_that_hangs_is_given_up(
    worker: DeletionCost, api: ApiServer, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion_cost, "TIMEOUT", 0.3)
    api.answering.clear()
    assert not worker.look()
    assert "timed out" in warnings(caplog)[0]


def test_a_server_that_is_not_the_clusters_gets_no_token(
    worker: DeletionCost, api: ApiServer, pod: Path, caplog: Any
) -> None:
    trustme.CA().cert_pem.write_to_path(pod / "ca.crt")
    assert not worker.look()
    assert "CERTIFICATE_VERIFY_FAILED" in warnings(caplog)[0]
    assert api.asked == []


def test_a_pod_without_a_token_or_a_name_is_told_what_it_lacks(
    worker: DeletionCost, pod: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pod / "token").unlink()
    worker.look()
    monkeypatch.delenv("POD_NAME")
    worker.look()
    without_token, without_name = warnings(caplog)
    assert "automountServiceAccountToken: true" in without_token
    assert "POD_NAME is missing" in without_name


def test_no_process_is_forked_within_the_exchange(worker: DeletionCost, api: ApiServer, pod: Path) -> None:
    """The child could never make a TLS connection of its own: it would have OpenSSL's locks as they were."""
    api.answering.clear()
    talking = threading.Thread(target=worker.look, daemon=True)
    talking.start()
    until(lambda: api.asked, 5, "the patch is under way")
    child = Process(target=ssl.create_default_context, kwargs={"cafile": str(pod / "ca.crt")})
    forking = threading.Thread(target=child.start, daemon=True)
    forking.start()
    forking.join(0.5)
    assert forking.is_alive()
    api.answering.set()
    for thread in (talking, forking):
        thread.join(5)
        assert not thread.is_alive()
    child.join(10)
    assert child.exitcode == 0


def test_the_thread_looks_again_and_again_less_often_where_it_fails_and_ends_with_the_worker(
    worker: DeletionCost, api: ApiServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion_cost, "LOOK", 0.01)
    monkeypatch.setattr(deletion_cost, "INTERVAL", 0.05)
    monkeypatch.setattr(deletion_cost, "LONGEST", 0.4)
    worker.start()
    until(lambda: api.costs == [0], 5, "it says that it is idle")
    run(ledger, "a")
    until(lambda: len(api.costs) == 2, 5, "it says that it is busy")
    api.status = 403
    ledger.ended("a")
    began = time.monotonic()
    until(lambda: len(api.costs) == 2 + 5, 10, "it tries again")
    assert time.monotonic() - began > 0.05 + 0.1 + 0.2 + 0.4
    api.status = 200
    worker.leave()
    worker.join(5)
    assert not worker.is_alive()


@pytest.mark.parametrize(("value", "wanted"), [("true", True), ("false", False), (None, False)])
def test_it_is_asked_for_by_a_variable(value: str | None, wanted: bool) -> None:
    found = Options.from_environment({"CELERY_POD_DELETION_COST": value} if value else {})
    assert found.deletion_cost is wanted


APPLICATION = """
import time
from pathlib import Path
from celery import Celery
from app.runtime import Options, deletion_cost, install

deletion_cost.ACCOUNT, deletion_cost.LOOK, deletion_cost.INTERVAL = Path(__file__).parent, 0.1, 0.2
app = Celery("costs", broker="{url}", backend="{url}", set_as_current=False)
install(app, Options.from_environment())


@app.task(name="work")
def work(seconds):
    time.sleep(seconds)
"""


def test_a_worker_says_how_busy_it_is(pod: Path, api: ApiServer, clean_redis_url: str) -> None:
    (pod / "costs.py").write_text(APPLICATION.format(url=clean_redis_url), encoding="utf-8")
    environment = {**os.environ, "CELERY_POD_DELETION_COST": "true", "PYTHONPATH": f"{ROOT}:{pod}"}
    command = [sys.executable, "-m", "celery", "-A", "costs", "worker", "-c", "2"]
    with (pod / "log").open("wb") as log:
        worker = subprocess.Popen(command, cwd=pod, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: api.costs == [0], 30, "an idle worker costs nothing")
        Celery("producer", broker=clean_redis_url, set_as_current=False).send_task("work", (3,))
        until(lambda: len(api.costs) == 2, 10, "the worker is busy")
        assert 590 < api.costs[1] <= 601
        until(lambda: api.costs[2:] == [0], 20, "the worker is idle again")
    finally:
        worker.terminate()
        worker.wait(20)
