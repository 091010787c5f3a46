"""Flower: behind a login (but for /metrics, which it keeps open), shows every worker, and changes nothing."""

from __future__ import annotations

import httpx
import pytest

from app.queues import GROUPS
from tests.support.stack import Stack, until


def get(stack: Stack, path: str, login: tuple[str, str] | None) -> httpx.Response:
    return httpx.get(stack.flower_url + path, auth=login, timeout=20, trust_env=False)


@pytest.mark.parametrize("path", ["/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks"])
def test_without_a_login_nothing_is_shown(stack: Stack, path: str) -> None:
    assert get(stack, path, None).status_code == 401
    assert get(stack, path, ("flower", "guess")).status_code == 401


def test_with_the_login_every_worker_is_there(stack: Stack) -> None:
    def groups() -> set[str]:
        return {name.partition("@")[0] for name in get(stack, "/api/workers?refresh=1", stack.flower_login).json()}

    until(lambda: groups() >= set(GROUPS), 30, "every worker group in Flower")


def test_a_finished_task_is_in_the_list_that_people_open_it_for(stack: Stack) -> None:
    (task_id,) = stack.send("tasks.faults.sleep", 0.01)["task_ids"]

    def state() -> str:
        answer = get(stack, f"/api/task/info/{task_id}", stack.flower_login)
        return str(answer.json()["state"]) if answer.status_code == 200 else ""

    until(lambda: state() == "SUCCESS", 20, "the task as SUCCESS in Flower")


def test_flower_is_for_looking_only(stack: Stack) -> None:
    address = f"{stack.flower_url}/api/worker/shutdown/default@anything"
    answer = httpx.post(address, auth=stack.flower_login, timeout=20, trust_env=False)
    assert answer.status_code == 403, answer.text
