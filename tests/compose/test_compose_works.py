"""The stack of docker/compose.yaml does what is promised of it, and shows no secret."""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from app.queues import QUEUE_NAMES
from scripts.compose.place import SECRETS
from scripts.progress import run
from scripts.refused import Refused
from tests.support.compose import Stack
from tests.support.stack import holds, until


def test_from_nothing_to_the_first_finished_task(stack: Stack, record_property: Any) -> None:
    seconds = stack.account["first_task_seconds"]
    record_property("first_task_seconds", seconds)
    print(f"compose-up: {seconds} s to the first finished task, {stack.account['seconds']} s to the last check")
    assert "the mail server got 'Your stack is up'" in stack.account["work"]
    assert "the payment gateway was paid, the mail server got the receipt" in stack.account["work"]
    (charge,) = httpx.get(f"{stack.place.url('sandbox')}/payments", trust_env=False).json()
    assert charge["amount"] > 0


def test_work_goes_through_every_queue_and_everything_answers(stack: Stack) -> None:
    ran = stack.command("smoke", "--json")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    checks = json.loads(ran.stdout)["checks"]
    assert {word.split()[2] for word in checks if "queue" in word} == set(QUEUE_NAMES)
    assert {word.split()[1] for word in checks if word.startswith("ok")} >= {
        "beat",
        "flower:",
        "exporter:",
        "prometheus:",
    }


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    before = {each.id for each in stack.containers()}
    ran = stack.command("up")
    assert ran.returncode == 0, ran.stderr
    assert "nothing changed" in ran.stdout
    assert {each.id for each in stack.containers()} == before


def test_a_service_is_marked_with_what_is_in_its_mounted_files(stack: Stack) -> None:
    """Docker looks at a file's name alone: by the mark, Compose starts a service anew when a file was edited."""
    for service in ("broker", "flower", "prometheus"):
        (container,) = stack.containers(service)
        mark = run(["docker", "inspect", "--format", '{{index .Config.Labels "files"}}', container.id]).strip()
        assert mark == stack.place.variables()[f"FILES_OF_{service.upper()}"]


def test_no_secret_is_shown_by_docker_inspect(stack: Stack) -> None:
    ids = [each.id for each in stack.containers()]
    shown = run(["docker", "inspect", *ids])
    processes = "\n".join(run(["docker", "top", each, "-o", "pid,args"]) for each in ids)
    values = {name: stack.place.read(name) for name in SECRETS if name != "smtp-url"}
    assert [name for name, value in values.items() if value in shown or value in processes] == []
    # They are where they are needed.
    assert stack.beside("cat", "/run/secrets/api-token") == values["api-token"]
    assert stack.place.secret("api-token").parent.stat().st_mode & 0o777 == 0o700


def test_flower_and_the_api_ask_who_it_is(stack: Stack) -> None:
    assert httpx.get(f"{stack.place.url('flower')}/workers", trust_env=False).status_code == 401
    mail = {"to": "you@example.com", "subject": "no", "body": "token"}
    assert httpx.post(f"{stack.place.url('api')}/send-email", json=mail, trust_env=False).status_code == 401


def test_prometheus_knows_pods_and_no_alert_is_on_its_way(stack: Stack) -> None:
    url = stack.place.url("prometheus")

    def ask(path: str, **query: str) -> Any:
        return httpx.get(f"{url}/api/v1/{path}", params=query, timeout=10, trust_env=False).json()["data"]

    def queues() -> set[str]:
        found = ask("query", query='celery_queue_length{namespace="compose"}')["result"]
        return {sample["metric"]["queue_name"] for sample in found}

    until(lambda: queues() == set(QUEUE_NAMES), 60, "Prometheus knows the length of every queue")
    workers = {"query": 'count by (pod) (celery_worker_up{app_kubernetes_io_instance="celery"})'}
    until(lambda: len(ask("query", **workers)["result"]) == 10, 30, "it reads ten workers, each as a pod of its own")

    def alerts() -> dict[str, str]:
        rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
        return {rule["name"]: rule["state"] for rule in rules if rule["type"] == "alerting"}

    assert len(alerts()) > 15
    until(lambda: set(alerts().values()) == {"inactive"}, 60, "no alert is pending")


def test_who_has_no_business_with_the_broker_does_not_find_it(stack: Stack) -> None:
    reach = "import socket; socket.create_connection(({!r}, {}), 3)"

    def reaches(service: str, host: str, port: int) -> bool:
        try:
            stack.inside(stack.containers(service)[0].id, "python", "-c", reach.format(host, port))
        except Refused:
            return False
        return True

    wanted = {
        ("api", "broker", 6379): True,
        ("worker-email", "sandbox", 1025): True,
        ("sandbox", "broker", 6379): False,
        ("api", "sandbox", 8025): False,
        # They share the network of published ports.
        ("flower", "prometheus", 9090): False,
    }
    # At the same time, since a name that is not known takes its time.
    with ThreadPoolExecutor() as pool:
        found = dict(zip(wanted, pool.map(lambda way: reaches(*way), wanted), strict=True))
    assert found == wanted


def test_compose_makes_no_second_beat(stack: Stack) -> None:
    (beat,) = stack.containers("beat")
    ran = stack.compose("up", "--detach", "--no-recreate", "--scale", "beat=2")
    assert ran.returncode != 0
    assert 'The "beat" service is using the custom container name' in ran.stderr
    assert stack.containers("beat") == [beat]


def test_ports_are_open_on_this_machine_alone(stack: Stack) -> None:
    ids = [each.id for each in stack.containers()]
    shown = run(["docker", "inspect", "--format", "{{json .HostConfig.PortBindings}}", *ids]).splitlines()
    hosts = [bound["HostIp"] for line in shown for ports in json.loads(line).values() for bound in ports]
    assert len(hosts) == 5
    assert set(hosts) == {"127.0.0.1"}


@pytest.mark.timeout(240)
def test_a_group_has_as_many_containers_as_asked_for_and_loses_no_task_on_the_way_back(stack: Stack) -> None:
    assert stack.up("--scale", "worker-default=3")["changed"] == ["worker-default"]
    three = {each.id for each in stack.containers("worker-default")}
    assert len(three) == 3
    sent = stack.send("tasks.faults.sleep", 3, "scaled", count=36)
    until(lambda: len(stack.started("scaled")) >= 12, 30, "all twelve slots are at work")
    stack.up()
    assert {each.id for each in stack.containers("worker-default")} < three
    # Who was taken away has ended what it had begun.
    stack.agrees("scaled", sent, 60)


@pytest.mark.timeout(240)
def test_another_profile_ends_what_is_not_in_it(stack: Stack) -> None:
    workers = {each.id for each in stack.containers("worker-default")}
    stack.up("--profile", "light")
    assert not {"exporter", "prometheus"} & {each.service for each in stack.containers()}
    assert stack.up()["changed"] == ["exporter", "prometheus"]
    assert {each.id for each in stack.containers("worker-default")} == workers


@pytest.mark.timeout(300)
def test_down_waits_for_the_running_task_and_the_next_up_finds_everything(stack: Stack) -> None:
    sent = stack.send("tasks.faults.sleep", 8, "downed", count=2)
    until(lambda: stack.started("downed") == set(sent), 20, "both tasks run")
    token, began = stack.place.read("api-token"), time.monotonic()
    ran = stack.command("down")
    assert ran.returncode == 0, ran.stderr
    assert "no container and no network is left. Its volumes stay" in ran.stdout
    assert stack.containers() == []
    assert time.monotonic() - began > 4, "it did not wait"
    again = stack.up()
    assert again["first_task_seconds"] > 0
    assert stack.place.read("api-token") == token
    stack.agrees("downed", sent, 20)


def test_a_container_that_dies_by_itself_is_started_again(stack: Stack) -> None:
    """What `docker kill` ends Docker leaves alone; so its main process is killed, from beside it."""
    victim = stack.containers("worker-email")[0].id
    form = "{{.State.Pid}} {{.RestartCount}}"
    pid, restarts = run(["docker", "inspect", "--format", form, victim]).split()
    image = stack.place.variables()["APP_IMAGE"]
    kill = ["docker", "run", "--rm", "--pid", "host", "--user", "0", image, "sh", "-c", f"kill -9 {pid}"]
    subprocess.run(kill, check=True, capture_output=True)

    def again() -> bool:
        return run(["docker", "inspect", "--format", form, victim]).split()[1] > restarts

    until(again, 20, "Docker has started it again")
    until(lambda: all(each.health == "healthy" for each in stack.containers("worker-email")), 40, "it is healthy again")
    assert stack.up()["changed"] == []


def test_the_stack_is_quiet_when_it_has_nothing_to_do(stack: Stack) -> None:
    holds(lambda: all(each.health == "healthy" for each in stack.containers()), 6, "every container is healthy")
    form = "{{.Name}}\t{{.MemUsage}}\t{{.CPUPerc}}"
    rows = run(["docker", "stats", "--no-stream", "--format", form, *(each.id for each in stack.containers())])
    mebibytes = sum(float(row.split("\t")[1].partition("MiB")[0]) for row in rows.splitlines())
    print(f"{len(rows.splitlines())} containers, {mebibytes:.0f} MiB")
    assert 500 < mebibytes < 4000
