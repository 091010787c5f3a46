"""Producer -> broker -> worker -> result, through every queue of a real stack."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest
from redis import Redis

from app.queues import GROUPS, QUEUE_NAMES, group_of
from tests.conftest import ROOT
from tests.support.stack import Stack, until


def api(stack: Stack) -> httpx.Client:
    headers = {"Authorization": f"Bearer {stack.api_token}"}
    return httpx.Client(base_url=stack.api_url, headers=headers, timeout=10, trust_env=False)


def result_of(client: httpx.Client, task_id: str, seconds: float = 30) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        answer = client.get(f"/task/{task_id}").json()
        return answer if answer["status"] in ("SUCCESS", "FAILURE", "REVOKED") else None

    return dict(until(ended, seconds, f"the end of {task_id}"))


def mails(stack: Stack, to: str) -> list[dict[str, Any]]:
    every = httpx.get(f"{stack.sandbox_url}/mails", params={"limit": 1000}, trust_env=False).json()
    return [mail for mail in every if mail["to"] == [to]]


def test_up_showed_work_done_in_every_queue(stack: Stack) -> None:
    assert {done["queue"] for done in stack.started["work"]} == set(QUEUE_NAMES)
    assert {done["state"] for done in stack.started["work"]} == {"SUCCESS"}


@pytest.mark.parametrize("queue", [name for name in QUEUE_NAMES if name != "high_priority"])
def test_a_task_comes_out_of_each_queue_done_by_its_own_group(stack: Stack, queue: str) -> None:
    done = stack.send("tasks.faults.sleep", 0.01, options=("--queue", queue))
    assert done["states"] == {"SUCCESS": 1}
    (task_id,) = done["task_ids"]
    until(lambda: task_id in stack.log(f"worker-{group_of(queue).name}"), 5, "a line in the worker's log")
    assert groups_with(stack, task_id) == [group_of(queue).name]


def groups_with(stack: Stack, text: str) -> list[str]:
    return [group for group in GROUPS if text in stack.log(f"worker-{group}")]


def test_a_task_whose_limit_is_larger_than_the_groups_is_refused_there(stack: Stack) -> None:
    asked = "app.send_task('tasks.faults.sleep', [0], queue='high_priority', time_limit=600)"
    code = f"from app.celery_app import app; print({asked})"
    sent = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=stack.env, capture_output=True, text=True)
    assert sent.returncode == 0, sent.stderr
    with Redis.from_url(stack.place.redis_url(1)) as results:
        text = until(lambda: results.get(f"celery-task-meta-{sent.stdout.strip()}"), 30, "the refusal is stored")
    stored = json.loads(str(text, "utf-8"))
    assert stored["status"] == "FAILURE"
    (sentence,) = stored["result"]["exc_message"]
    assert "asks for a time limit of 600 s, and its group allows 300 s" in sentence


def test_a_mail_asked_for_over_http_reaches_the_mail_server(stack: Stack) -> None:
    with api(stack) as client:
        answer = client.post("/send-email", json={"to": "a@example.com", "subject": "Grüße", "body": "Line\n"})
        assert answer.status_code == 202
        done = result_of(client, answer.json()["task_id"])
    assert done["result"] == {"status": "sent", "to": "a@example.com"}
    (mail,) = mails(stack, "a@example.com")
    assert mail["subject"] == "Grüße"
    assert mail["body"] == "Line\n"


def test_an_order_is_processed_paid_and_confirmed(stack: Stack) -> None:
    order = {"customer": "b", "email": "b@example.com", "items": [{"sku": "pen", "quantity": 2}]}
    with api(stack) as client:
        accepted = client.post("/orders", json=order).json()
        done = result_of(client, accepted["task_id"])
    assert done["status"] == "SUCCESS", done
    charges = httpx.get(f"{stack.sandbox_url}/payments", params={"limit": 1000}, trust_env=False).json()
    assert [charge["amount"] for charge in charges if accepted["order_id"] in json.dumps(charge)] == [600]
    assert len(mails(stack, "b@example.com")) == 1
    assert groups_with(stack, "Task tasks.process_order[") == ["orders"]


def test_a_task_that_fails_shows_its_error_and_no_traceback(stack: Stack) -> None:
    done = stack.client("app.producer", "tasks.faults.fail", "--json")
    assert done.returncode == 1
    (task_id,) = json.loads(done.stdout)["task_ids"]
    with api(stack) as client:
        answer = client.get(f"/task/{task_id}").json()
    assert answer["status"] == "FAILURE"
    assert "Traceback" not in json.dumps(answer)
