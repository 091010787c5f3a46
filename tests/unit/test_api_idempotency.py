"""An Idempotency-Key makes a repeated or concurrent POST return the first task, whatever dies in between."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from app.records import LOCK, TTL, Busy, OtherBody, Records
from tests.support.api import ApiServer
from tests.support.redis import RedisServer

MAIL = {"to": "jo@example.com", "subject": "Hello", "body": "Text"}
ORDER = {"customer": "jo", "email": "jo@example.com", "items": [{"sku": "book", "quantity": 1}]}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[httpx.Client]:
    server = ApiServer(tmp_path_factory.mktemp("api"), redis_server)
    server.start()
    with httpx.Client(base_url=server.url, timeout=10) as client:
        yield client
    server.stop()


@pytest.fixture
def broker(redis_server: RedisServer, clean_redis_url: str) -> Redis:
    return redis_server.client()


@pytest.fixture
def records(redis_server: RedisServer, clean_redis_url: str) -> Records:
    return Records(Redis(port=redis_server.port, db=2), "")


def post(api: httpx.Client, key: str, path: str = "/send-email", body: Any = None) -> httpx.Response:
    return api.post(path, json=MAIL if body is None else body, headers={"Idempotency-Key": key})


def answer() -> dict[str, str]:
    return {"task_id": str(uuid.uuid4())}


def test_a_repeated_post_returns_the_first_task_and_publishes_once(api: httpx.Client, broker: Redis) -> None:
    answers = [post(api, "k") for _ in range(3)]
    assert {a.status_code for a in answers} == {202}
    assert len({a.text for a in answers}) == 1
    assert broker.llen("email") == 1


def test_thirty_concurrent_posts_return_one_order_and_publish_once(api: httpx.Client, broker: Redis) -> None:
    with ThreadPoolExecutor(30) as threads:
        answers = list(threads.map(lambda _: post(api, "k", "/orders", ORDER), range(30)))
    assert {a.status_code for a in answers} == {202}
    assert len({a.text for a in answers}) == 1
    assert broker.llen("high_priority") == 1


def test_the_same_key_with_another_body_is_422(api: httpx.Client, broker: Redis) -> None:
    assert post(api, "k").status_code == 202
    refused = post(api, "k", body={**MAIL, "body": "Other"})
    assert refused.status_code == 422
    assert "Idempotency-Key" in refused.json()["detail"]
    assert broker.llen("email") == 1


def test_the_order_of_fields_and_the_old_query_make_no_other_body(api: httpx.Client, broker: Redis) -> None:
    first = post(api, "k").json()
    assert post(api, "k", body=dict(reversed(MAIL.items()))).json() == first
    assert api.post("/send-email", params=MAIL, headers={"Idempotency-Key": "k"}).json() == first


def test_a_key_belongs_to_its_route(api: httpx.Client, broker: Redis) -> None:
    assert post(api, "k").status_code == 202
    assert post(api, "k", "/orders", ORDER).status_code == 202


def test_a_failed_publish_frees_the_key_for_the_same_task(api: httpx.Client, broker: Redis) -> None:
    broker.set("email", "not a list")
    assert post(api, "k").status_code == 503
    broker.delete("email")
    retried = post(api, "k")
    assert retried.status_code == 202
    message = json.loads(broker.lindex("email", 0))
    assert message["headers"]["id"] == retried.json()["task_id"]
    assert post(api, "k").json() == retried.json()
    assert broker.llen("email") == 1


def test_a_key_is_kept_for_a_week(records: Records) -> None:
    records.once("mail", "k", "body", answer(), lambda _: None)
    (name,) = records.redis.keys("*once*")
    assert TTL - 60 < records.redis.ttl(name) <= TTL


@pytest.mark.parametrize("published", [False, True], ids=["before publishing", "after publishing"])
def test_after_the_death_of_its_process_a_key_publishes_the_same_task(records: Records, published: bool) -> None:
    sent: list[str] = []
    child = os.fork()
    if child == 0:
        mine = Records(Redis(port=records.redis.connection_pool.connection_kwargs["port"], db=2), "")

        def die(chosen: dict[str, str]) -> None:
            if published:
                mine.redis.rpush("sent", chosen["task_id"])
            os._exit(9)

        mine.once("mail", "k", "body", answer(), die)
    os.waitpid(child, 0)
    with pytest.raises(Busy):
        records.once("mail", "k", "body", answer(), lambda chosen: sent.append(chosen["task_id"]))
    deadline = time.monotonic() + LOCK + 5
    while True:
        try:
            got = records.once("mail", "k", "body", answer(), lambda chosen: sent.append(chosen["task_id"]))
            break
        except Busy:
            assert time.monotonic() < deadline, "the key was never freed"
    assert sent == [got["task_id"]]
    assert records.redis.lrange("sent", 0, -1) == ([sent[0].encode()] if published else [])


def test_an_error_in_publishing_is_raised_and_the_next_request_uses_the_same_id(records: Records) -> None:
    sent: list[str] = []

    def fail(chosen: dict[str, str]) -> None:
        sent.append(chosen["task_id"])
        raise RedisConnectionError("gone")

    with pytest.raises(RedisConnectionError):
        records.once("mail", "k", "body", answer(), fail)
    got = records.once("mail", "k", "body", answer(), lambda chosen: sent.append(chosen["task_id"]))
    assert sent == [got["task_id"]] * 2


@given(
    requests=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.booleans()), min_size=2, max_size=12)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_at_once_each_key_has_one_body_one_id_and_one_success(
    records: Records, requests: list[tuple[str, str, bool]]
) -> None:
    records.redis.flushdb()
    guard, published, tried = Lock(), Counter[tuple[str, str, str]](), defaultdict[str, set[str]](set)

    def request(item: tuple[str, str, bool]) -> tuple[str, str, str | None]:
        key, body, fails = item

        def publish(chosen: dict[str, str]) -> None:
            with guard:
                tried[key].add(chosen["task_id"])
                if not fails:
                    published[key, body, chosen["task_id"]] += 1
            if fails:
                raise RedisConnectionError("gone")

        try:
            return key, body, records.once("mail", key, body, answer(), publish)["task_id"]
        except (OtherBody, RedisConnectionError):
            return key, body, None

    with ThreadPoolExecutor(len(requests)) as threads:
        results = list(threads.map(request, requests))
    for key in {key for key, _, _ in requests}:
        accepted = {(body, task_id) for k, body, task_id in results if k == key and task_id is not None}
        assert len(accepted) <= 1
        assert len(tried[key]) <= 1
        assert sum(count for (k, _, _), count in published.items() if k == key) == len(accepted)
        assert {(body, task_id) for (k, body, task_id) in published if k == key} == accepted
