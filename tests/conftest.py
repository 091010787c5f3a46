"""What every tier shares: an environment of its own, a real Redis on demand, and skips that can't hide.

`app.config` reads the environment when it is imported, so the environment is laid before any test module is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.ports import free_port  # noqa: E402
from tests.support.redis import RedisServer  # noqa: E402

# A developer's own settings must not reach the tests.
_PREFIXES = ("API_", "CELERY_", "FAULT_", "LOG_", "MAIL_", "NOTIFICATION_", "ORDER_", "PAYMENT_", "REPORTS_", "SMTP_")
for name in [name for name in os.environ if name.startswith((*_PREFIXES, "STACK_", "STORE_"))]:
    del os.environ[name]
_PORT = free_port()
_NAMES = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "STORE_URL")
LAID = {name: f"redis://127.0.0.1:{_PORT}/{database}" for database, name in enumerate(_NAMES)}
os.environ.update(LAID)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The session's Redis, the one that `app.celery_app` was configured for."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), port=_PORT)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url


@pytest.fixture
def clean_redis_url(redis_server: RedisServer) -> str:
    """The session's Redis with nothing in it."""
    with redis_server.client() as client:
        client.flushall()
    return redis_server.url


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SkipAccount(), "skip-account")


class SkipAccount:
    """Says in one line how many tests were skipped and why; where CI is set, a skipped test is a failure."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            where = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.reasons.append(where.removeprefix("Skipped: "))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.reasons and os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.reasons:
            terminalreporter.write_line("Skipped: none.")
            return
        each = "; ".join(f"{self.reasons.count(reason)} because {reason}" for reason in sorted(set(self.reasons)))
        verdict = " In CI a skipped test is a failure." if os.environ.get("CI") else ""
        terminalreporter.write_line(f"Skipped: {len(self.reasons)}: {each}.{verdict}", red=bool(verdict), yellow=True)
