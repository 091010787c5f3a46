"""The stack on one machine: what runs, who can reach it, and that starting it twice changes nothing."""

from __future__ import annotations

import signal
import socket
import stat
import time

import psutil
import pytest
import testinfra
from redis import AuthenticationError, Redis

from app.queues import GROUPS
from scripts.stack import prometheus
from scripts.stack.place import PAGES, page_of
from scripts.stack.processes import describe
from scripts.stack.supervision import Supervisor, members
from tests.support.stack import Stack, until

HOST = testinfra.get_host("local://")
NAMES = ["broker", "sandbox", *(f"worker-{group}" for group in GROUPS), "beat", "api", "flower", "exporter"]
NAMES += ["prometheus"] if prometheus.program() else []
LISTENING = ["broker", "smtp", "sandbox", *NAMES[NAMES.index("api") :], *map(page_of, PAGES)]


@pytest.mark.parametrize("name", NAMES)
def test_each_described_process_runs_as_a_tree_of_its_own(stack: Stack, name: str) -> None:
    process = HOST.process.get(pid=stack.pids()[name])
    supervisor = HOST.process.get(pid=process.ppid)
    assert "supervisord" in supervisor.args
    assert psutil.Process(process.pid).name() != "supervisord"


def test_the_stack_is_what_the_description_says_and_nothing_else(stack: Stack) -> None:
    assert sorted(stack.pids()) == sorted(NAMES)
    assert sorted(process.name for process in describe(stack.place, stack.env)) == sorted(NAMES)


@pytest.mark.parametrize("group", GROUPS)
def test_each_worker_has_a_child_per_concurrent_task(stack: Stack, group: str) -> None:
    worker = psutil.Process(stack.pids()[f"worker-{group}"])
    assert len(worker.children()) == GROUPS[group].concurrency


@pytest.mark.parametrize("name", LISTENING)
def test_each_port_listens(stack: Stack, name: str) -> None:
    assert HOST.socket(f"tcp://127.0.0.1:{stack.place.every_port[name]}").is_listening


def test_nothing_listens_beyond_the_loopback(stack: Stack) -> None:
    addresses = {
        connection.laddr.ip
        for process in members(stack.place)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}


def test_no_password_stands_in_a_command_line(stack: Stack) -> None:
    names = ("redis_password", "api_token", "flower_password")
    secrets = [stack.place.secret(name).read_text() for name in names]
    lines = [" ".join(process.cmdline()) for process in members(stack.place)]
    assert len(lines) > len(NAMES)
    assert [line for line in lines for secret in secrets if secret in line] == []


def test_only_the_owner_can_read_the_stacks_files(stack: Stack) -> None:
    files = [path for path in stack.place.folder.rglob("*") if path.is_file() and path.name != "lock"]
    assert len(files) > 20
    assert [path for path in (stack.place.folder, *files) if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_redis_refuses_whoever_has_no_password(stack: Stack) -> None:
    with Redis(port=stack.place.ports["broker"]) as client, pytest.raises(AuthenticationError):
        client.ping()


def test_up_again_changes_nothing_and_says_so(stack: Stack) -> None:
    before = stack.pids()
    ran = stack.command("up")
    assert ran.returncode == 0, ran.stderr
    assert "nothing changed" in ran.stdout
    assert stack.pids() == before


def test_up_starts_again_what_was_stopped_and_says_what(stack: Stack) -> None:
    before = stack.pids()
    Supervisor(stack.place).stop(["sandbox"])
    ran = stack.command("up")
    assert ran.returncode == 0, ran.stderr
    assert "sandbox: started, it was stopped" in ran.stdout
    after = stack.pids()
    assert {name for name in after if after[name] != before[name]} == {"sandbox"}


def test_a_worker_that_is_killed_comes_back_by_itself(stack: Stack) -> None:
    before = stack.pids()["worker-high"]
    psutil.Process(before).send_signal(signal.SIGKILL)
    until(lambda: stack.pids()["worker-high"] not in (0, before), 20, "another worker-high")
    ran = stack.command("up")
    assert ran.returncode == 0, ran.stderr
    assert stack.send("tasks.faults.sleep", 0.01, options=("--queue", "high"))["states"] == {"SUCCESS": 1}


def test_status_shows_each_process_as_ready(stack: Stack) -> None:
    def rows() -> dict[str, list[str]]:
        ran = stack.command("status")
        assert ran.returncode == 0, ran.stdout
        return {line.split()[0]: line.split() for line in ran.stdout.splitlines()[1:]}

    assert sorted(rows()) == sorted(NAMES)
    assert {row[2] for row in rows().values()} == {"yes"}
    # The supervisor calls a process starting for its first five seconds, however soon it is ready.
    until(lambda: {row[1] for row in rows().values()} == {"running"}, 15, "the supervisor calls all of them running")


def test_logs_of_one_process_are_shown_and_an_unknown_one_is_refused(stack: Stack) -> None:
    assert "ready" in stack.command("logs", "worker-email").stdout
    refused = stack.command("logs", "worker-mail")
    assert refused.returncode == 2
    assert "'worker-mail'" in refused.stderr
    assert "worker-email" in refused.stderr


def test_a_stopped_worker_finishes_its_running_task_first(stack: Stack) -> None:
    sent = stack.send("tasks.faults.sleep", 4, options=("--queue", "report", "--no-wait"))
    (task_id,) = sent["task_ids"]
    until(lambda: redis_length(stack, "unacked:report") == 1, 10, "the task in the worker's hands")
    began = time.monotonic()
    Supervisor(stack.place).stop(["worker-report"])
    assert time.monotonic() - began > 2
    assert f"{task_id}] succeeded" in stack.log("worker-report")
    assert redis_length(stack, "unacked:report") == redis_length(stack, "report", "llen") == 0
    assert "worker-report: started" in stack.command("up").stdout


def redis_length(stack: Stack, key: str, command: str = "hlen") -> int:
    with Redis.from_url(stack.redis_url) as redis:
        return int(redis.execute_command(command, key))


def test_a_refused_up_leaves_the_running_stack_as_it_was(stack: Stack) -> None:
    before = stack.pids(), stack.redis_url, stack.place.secret("broker_url").read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = stack.command("up", STACK_REDIS_PORT=str(taken.getsockname()[1]))
    assert ran.returncode == 1
    assert "is taken by" in ran.stderr
    assert (stack.pids(), stack.redis_url, stack.place.secret("broker_url").read_text()) == before
