"""The API keeps what its documentation says about mails, orders, states, cancelling and refusals."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from redis import Redis

from app.api.models import _ADDRESS, Mail
from app.celery_app import app as celery
from app.runtime.cancel import is_cancelled
from app.runtime.keys import Keys
from app.tasks._smtp import compose
from tests.support.api import ApiServer
from tests.support.redis import RedisServer

MAIL = {"to": "jo@example.com", "subject": "Hello", "body": "Text"}
ORDER = {"customer": "jo", "email": "jo@example.com", "items": [{"sku": "book", "quantity": 2}]}
WEEK = 7 * 86400


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[ApiServer]:
    api = ApiServer(tmp_path_factory.mktemp("api"), redis_server, CELERY_TASK_EVENTS="false")
    api.start()
    yield api
    api.stop()


@pytest.fixture(scope="module")
def api(server: ApiServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=10) as client:
        yield client


@pytest.fixture
def broker(redis_server: RedisServer, clean_redis_url: str) -> Redis:
    return redis_server.client()


def messages(broker: Redis, queue: str) -> list[dict[str, Any]]:
    """Return the waiting messages of a queue, oldest first, with their decoded arguments."""
    found = [json.loads(text) for text in reversed(broker.lrange(queue, 0, -1))]
    for message in found:
        message["arguments"] = json.loads(base64.b64decode(message["body"]))
    return found


def finish(task_id: str, state: str, result: Any) -> None:
    """Store a result as a worker does."""
    celery.backend.store_result(task_id, result, state)


# Mails


def test_a_mail_as_json_is_published_and_answered_with_its_task(api: httpx.Client, broker: Redis) -> None:
    answer = api.post("/send-email", json=MAIL)
    assert answer.status_code == 202
    (message,) = messages(broker, "email")
    assert answer.json() == {"task_id": message["headers"]["id"]}
    assert message["headers"]["task"] == "tasks.email.send_email"
    assert message["arguments"][1] == MAIL


def test_the_three_query_parameters_still_work_and_are_marked_deprecated(api: httpx.Client, broker: Redis) -> None:
    assert api.post("/send-email", params=MAIL).status_code == 202
    (message,) = messages(broker, "email")
    assert message["arguments"][1] == MAIL
    parameters = api.get("/openapi.json").json()["paths"]["/send-email"]["post"]["parameters"]
    assert {p["name"] for p in parameters if p.get("deprecated")} == set(MAIL)


def test_query_parameters_are_never_logged(api: httpx.Client, server: ApiServer, broker: Redis) -> None:
    api.post("/send-email", params={**MAIL, "body": "xyzzy-in-the-query"})
    api.post("/send-email", params={"body": "xyzzy-refused"})
    api.post("/orders?secret=xyzzy", content=b"xyzzy")
    marker = f"/marker-{uuid.uuid4()}"
    api.get(marker)
    deadline = time.monotonic() + 5
    while marker not in server.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    log = server.log.read_text()
    assert marker in log
    assert "/send-email" in log
    assert "xyzzy" not in log


def test_every_log_line_is_one_json_object(api: httpx.Client, server: ApiServer) -> None:
    api.get("/a%0Ab")
    lines = [line for line in server.log.read_text().splitlines() if "Application startup complete" not in line]
    requests = [json.loads(line) for line in lines if "app.access" in line]
    assert requests
    assert {"method", "path", "status", "seconds", "time", "level"} <= requests[-1].keys()


# Orders


def test_an_order_is_stored_and_its_flow_is_started(
    api: httpx.Client, broker: Redis, redis_server: RedisServer
) -> None:
    answer = api.post("/orders", json=ORDER)
    assert answer.status_code == 202
    order_id, task_id = answer.json()["order_id"], answer.json()["task_id"]
    (message,) = messages(broker, "high_priority")
    assert message["headers"]["task"] == "tasks.process_order"
    assert message["arguments"][0] == [order_id]
    receipt, payment = message["arguments"][2]["chain"]
    assert (payment["task"], receipt["task"]) == ("tasks.process_payment", "tasks.email.send_receipt")
    assert receipt["options"]["task_id"] == task_id
    stored = redis_server.client(2).hgetall(f"shop:order:{order_id}")
    assert stored["email"] == ORDER["email"]
    assert json.loads(stored["items"]) == ORDER["items"]


def test_every_step_of_an_order_carries_its_id_for_the_logs(api: httpx.Client, broker: Redis) -> None:
    order_id = api.post("/orders", json=ORDER).json()["order_id"]
    (message,) = messages(broker, "high_priority")
    assert message["headers"]["stamps"]["order_id"] in (order_id, [order_id])
    for step in message["arguments"][2]["chain"]:
        assert step["options"]["order_id"] in (order_id, [order_id])
        assert "order_id" in step["options"]["stamped_headers"]


# States


def test_an_id_that_nobody_was_given_is_404_even_if_a_result_exists(api: httpx.Client, broker: Redis) -> None:
    task_id = str(uuid.uuid4())
    finish(task_id, "SUCCESS", "secret")
    assert api.get(f"/task/{task_id}").status_code == 404
    assert api.delete(f"/task/{task_id}").status_code == 404


def test_a_record_is_kept_for_seven_days(api: httpx.Client, broker: Redis, redis_server: RedisServer) -> None:
    task_id = api.post("/send-email", json=MAIL).json()["task_id"]
    assert WEEK - 60 < redis_server.client(2).ttl(f"accepted:task:{task_id}") <= WEEK


def test_a_task_is_pending_then_shows_its_result(api: httpx.Client, broker: Redis) -> None:
    task_id = api.post("/send-email", json=MAIL).json()["task_id"]
    assert api.get(f"/task/{task_id}").json() == {"task_id": task_id, "status": "PENDING"}
    finish(task_id, "SUCCESS", {"status": "sent", "to": MAIL["to"]})
    shown = {"task_id": task_id, "status": "SUCCESS", "result": {"status": "sent", "to": MAIL["to"]}}
    assert api.get(f"/task/{task_id}").json() == shown


def test_a_failure_names_its_kind_and_no_traceback_argument_or_secret(api: httpx.Client, broker: Redis) -> None:
    task_id = api.post("/send-email", json=MAIL).json()["task_id"]
    celery.backend.store_result(
        task_id, ConnectionError("smtp://user:hunter2@mail"), "FAILURE", traceback="Traceback (most recent call last)"
    )
    shown = api.get(f"/task/{task_id}").json()
    assert shown["status"] == "FAILURE"
    assert "ConnectionError" in shown["error"]
    assert "hunter2" not in json.dumps(shown)
    assert "Traceback" not in json.dumps(shown)


def test_the_applications_own_errors_are_shown_with_their_sentence(api: httpx.Client, broker: Redis) -> None:
    from app.tasks.orders import OrderRejected

    task_id = api.post("/orders", json=ORDER).json()["task_id"]
    finish(task_id, "FAILURE", OrderRejected("it asks for more than is in stock"))
    assert api.get(f"/task/{task_id}").json()["error"] == "OrderRejected: it asks for more than is in stock"


# Cancelling


def test_cancelling_without_any_worker_leaves_a_durable_mark(api: httpx.Client, broker: Redis) -> None:
    task_id = api.post("/send-email", json=MAIL).json()["task_id"]
    answer = api.delete(f"/task/{task_id}")
    assert (answer.status_code, answer.json()) == (200, {"status": "cancelled"})
    assert is_cancelled(celery, task_id)
    assert api.get(f"/task/{task_id}").json()["status"] == "REVOKED"
    assert api.delete(f"/task/{task_id}").status_code == 200


def test_a_finished_task_can_not_be_cancelled(api: httpx.Client, broker: Redis) -> None:
    for state, result in (("SUCCESS", 1), ("FAILURE", ValueError("no"))):
        task_id = api.post("/send-email", json=MAIL).json()["task_id"]
        finish(task_id, state, result)
        assert api.delete(f"/task/{task_id}").status_code == 409
        assert not is_cancelled(celery, task_id)


def test_cancelling_an_order_marks_every_step_and_terminates_all_but_the_payment(
    api: httpx.Client, broker: Redis
) -> None:
    task_id = api.post("/orders", json=ORDER).json()["task_id"]
    (message,) = messages(broker, "high_priority")
    receipt, payment = message["arguments"][2]["chain"]
    ids = [message["headers"]["id"], payment["options"]["task_id"], receipt["options"]["task_id"]]
    listener = broker.pubsub()
    listener.psubscribe("*pidbox*")
    listener.get_message(timeout=1)
    assert api.delete(f"/task/{task_id}").status_code == 200
    assert all(is_cancelled(celery, step) for step in ids)
    heard: dict[str, bool] = {}
    while (note := listener.get_message(timeout=0.5)) is not None:
        arguments = json.loads(base64.b64decode(json.loads(note["data"])["body"]))["arguments"]
        heard[arguments["task_id"]] = arguments["terminate"]
    assert (heard[ids[0]], heard.get(ids[1], False), heard[ids[2]]) == (True, False, True)


# What is refused

REFUSED: dict[str, Callable[[httpx.Client], httpx.Response]] = {
    "no body": lambda api: api.post("/send-email"),
    "no JSON": lambda api: api.post("/send-email", content=b"{", headers={"content-type": "application/json"}),
    "a list": lambda api: api.post("/send-email", json=[]),
    "a missing field": lambda api: api.post("/send-email", json={"to": "jo@example.com"}),
    "a misspelt field": lambda api: api.post("/send-email", json={**MAIL, "cc": "x@example.com"}),
    "a number as text": lambda api: api.post("/send-email", json={**MAIL, "subject": 1}),
    "no address": lambda api: api.post("/send-email", json={**MAIL, "to": "nobody"}),
    "two addresses": lambda api: api.post("/send-email", json={**MAIL, "to": "a@example.com, b@example.com"}),
    "a line break in to": lambda api: api.post("/send-email", json={**MAIL, "to": "a@example.com\nBcc: b@example.com"}),
    "a line break in subject": lambda api: api.post("/send-email", json={**MAIL, "subject": "a\r\nBcc: b@example.com"}),
    "a lone surrogate": lambda api: api.post(
        "/send-email",
        content=b'{"to": "a@example.com", "subject": "", "body": "\\ud800"}',
        headers={"content-type": "application/json"},
    ),
    "json and query": lambda api: api.post("/send-email", json=MAIL, params=MAIL),
    "half a query": lambda api: api.post("/send-email", params={"to": "jo@example.com"}),
    "an unknown article": lambda api: api.post("/orders", json={**ORDER, "items": [{"sku": "gold", "quantity": 1}]}),
    "nothing of an article": lambda api: api.post("/orders", json={**ORDER, "items": [{"sku": "pen", "quantity": 0}]}),
    "too much": lambda api: api.post("/orders", json={**ORDER, "items": [{"sku": "pen", "quantity": 10**9}]}),
    "no items": lambda api: api.post("/orders", json={**ORDER, "items": []}),
    "a customer that is a key": lambda api: api.post("/orders", json={**ORDER, "customer": "a:b\n*"}),
    "an empty key": lambda api: api.post("/send-email", json=MAIL, headers={"Idempotency-Key": ""}),
    "a long key": lambda api: api.post("/send-email", json=MAIL, headers={"Idempotency-Key": "k" * 256}),
    "no uuid": lambda api: api.get("/task/celery-task-meta"),
    "no uuid to cancel": lambda api: api.delete("/task/*"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_422_with_a_sentence_and_publishes_nothing(api: httpx.Client, broker: Redis, case: str) -> None:
    answer = REFUSED[case](api)
    assert answer.status_code == 422, answer.text
    assert len(answer.json()["detail"]) > 10
    assert answer.json()["detail"].endswith(".")
    assert broker.llen("email") == broker.llen("high_priority") == 0


def test_a_declared_body_that_is_too_large_is_413(api: httpx.Client, broker: Redis) -> None:
    answer = api.post("/send-email", json={**MAIL, "body": "x" * 70_000})
    assert (answer.status_code, "65536 bytes" in answer.json()["detail"]) == (413, True)


def test_a_chunked_body_that_is_too_large_is_413(api: httpx.Client, broker: Redis) -> None:
    answer = api.post(
        "/send-email", content=(b"x" * 10_000 for _ in range(10)), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    assert broker.llen("email") == 0


def test_the_largest_mail_that_the_model_allows_passes(api: httpx.Client, broker: Redis) -> None:
    assert api.post("/send-email", json={**MAIL, "body": "x" * 50_000}).status_code == 202


@given(
    to=st.from_regex(_ADDRESS, fullmatch=True).filter(lambda text: len(text) < 255)
    | st.emails(domains=st.just("a.de")),
    subject=st.text(max_size=200),
    body=st.text(max_size=200),
)
@settings(max_examples=300, deadline=None)
def test_every_mail_that_is_accepted_can_be_composed(to: str, subject: str, body: str) -> None:
    try:
        mail = Mail(to=to, subject=subject, body=body)
    except ValidationError:
        return
    assert compose("key", mail.to, mail.subject, mail.body).as_bytes()


@given(text=st.text(max_size=60).filter(lambda text: text not in (".", "..")))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_that_is_not_an_id_reaches_redis(api: httpx.Client, broker: Redis, text: str) -> None:
    try:
        uuid.UUID(text)
    except ValueError:
        before = broker.info("commandstats").get("cmdstat_get", {}).get("calls", 0)
        path = "/task/" + "".join(f"%{byte:02X}" for byte in text.encode(errors="replace"))
        assert api.get(path).status_code in (404, 405, 422)
        assert broker.info("commandstats").get("cmdstat_get", {}).get("calls", 0) == before


def test_an_id_in_another_spelling_is_the_same_task(api: httpx.Client, broker: Redis) -> None:
    task_id = api.post("/send-email", json=MAIL).json()["task_id"]
    for spelling in (task_id.upper(), task_id.replace("-", ""), f"{{{task_id}}}"):
        assert api.get(f"/task/{spelling}").json()["task_id"] == task_id


# What it costs


def commands(broker: Redis, act: Callable[[], Any]) -> dict[str, int]:
    """Return which Redis commands `act` cost, all clients counted."""
    before = {name: row["calls"] for name, row in broker.info("commandstats").items()}
    act()
    after = {name: row["calls"] for name, row in broker.info("commandstats").items()}
    cost = {name.removeprefix("cmdstat_"): calls - before.get(name, 0) for name, calls in after.items()}
    return {name: calls for name, calls in sorted(cost.items()) if calls and name != "info"}


def test_a_post_costs_one_command_for_the_record_and_one_for_the_message(api: httpx.Client, broker: Redis) -> None:
    api.post("/send-email", json=MAIL)
    assert commands(broker, lambda: api.post("/send-email", json=MAIL)) == {"lpush": 1, "set": 1}


def test_a_post_with_a_key_costs_ten_commands_and_its_repeat_one(api: httpx.Client, broker: Redis) -> None:
    headers = {"Idempotency-Key": "warm"}
    api.post("/send-email", json=MAIL, headers=headers)
    headers = {"Idempotency-Key": "cost"}
    first = commands(broker, lambda: api.post("/send-email", json=MAIL, headers=headers))
    assert first.pop("evalsha") == 1
    assert sum(first.values()) <= 9, first
    assert commands(broker, lambda: api.post("/send-email", json=MAIL, headers=headers)) == {"get": 1}


def test_publishing_subscribes_to_nothing(api: httpx.Client, broker: Redis) -> None:
    for _ in range(50):
        api.post("/send-email", json=MAIL)
    api.post("/orders", json=ORDER)
    assert broker.pubsub_channels() == []
    assert broker.client_list(_type="pubsub") == []


def test_readiness_asks_redis_and_liveness_does_not(api: httpx.Client, broker: Redis) -> None:
    assert api.get("/readyz").json() == {"status": "ready"}
    assert commands(broker, lambda: api.get("/healthz")) == {}
    assert commands(broker, lambda: api.get("/readyz")) == {"ping": 3}


def test_a_task_name_that_the_record_holds_but_nobody_knows_is_never_terminated(
    api: httpx.Client, broker: Redis, redis_server: RedisServer
) -> None:
    task_id = str(uuid.uuid4())
    record = {"task_id": task_id, "steps": [[task_id, "tasks.from_a_newer_version"]]}
    redis_server.client(2).set(f"accepted:task:{task_id}", json.dumps(record))
    listener = broker.pubsub()
    listener.psubscribe("*pidbox*")
    listener.get_message(timeout=1)
    assert api.delete(f"/task/{task_id}").status_code == 200
    note = listener.get_message(timeout=1)
    if note is not None:
        assert json.loads(base64.b64decode(json.loads(note["data"])["body"]))["arguments"]["terminate"] is False
    assert broker.exists(Keys().cancelled(task_id))


# The token


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[httpx.Client]:
    server = ApiServer(tmp_path_factory.mktemp("guarded"), redis_server, API_TOKEN="correct-horse")
    server.start()
    with httpx.Client(base_url=server.url, timeout=10) as client:
        yield client
    server.stop()


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "Basic correct-horse", "correct-horse", "Bearer ü"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/send-email"), ("POST", "/orders"), ("DELETE", "/task/00000000-0000-4000-8000-000000000000")],
)
def test_writing_without_the_token_is_401_and_publishes_nothing(
    guarded: httpx.Client, broker: Redis, method: str, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"authorization": header.encode()}
    answer = guarded.request(method, path, json=MAIL if "mail" in path else ORDER, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert broker.llen("email") == broker.llen("high_priority") == 0


def test_writing_with_the_token_and_reading_without_it_pass(guarded: httpx.Client, broker: Redis) -> None:
    answer = guarded.post("/send-email", json=MAIL, headers={"Authorization": "Bearer correct-horse"})
    assert answer.status_code == 202
    assert guarded.get(f"/task/{answer.json()['task_id']}").status_code == 200
