"""Each Redis user may do its work and nothing else; two releases on one Redis don't touch each other."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, ResponseError

from app.runtime.keys import Keys
from tests.conftest import ROOT
from tests.support.exporter import collector, page
from tests.support.redis import RedisServer
from tests.support.release import Release
from tests.support.world import Outside, outside

USERS = (ROOT / "helm" / "celery" / "files" / "users.acl").read_text(encoding="utf-8")
ONE, TWO = "one:", "two:"
# Canvas, stored groups, failures, control and inspection, as a client of the application.
CLIENT = """
from celery import chain, chord, group
from app.celery_app import app
from app.runtime import cancel
app.loader.import_default_modules()
sleep, fail = app.tasks["tasks.faults.sleep"].si, app.tasks["tasks.faults.fail"].si
assert chord([sleep(0.1), sleep(0.1)], sleep(0.2))().get(timeout=20) == 0.2
assert chain(sleep(0.1), sleep(0.2))().get(timeout=20) == 0.2
several = group(sleep(0.1) for _ in range(3))()
several.save()
assert app.GroupResult.restore(several.id).get(timeout=20) == [0.1] * 3
several.delete()
broken = chord([fail(), sleep(0.1)], sleep(0.1))()
broken.get(timeout=20, propagate=False)
assert broken.state == "FAILURE"
once = sleep(0.1).delay()
once.get(timeout=20)
once.forget()
(worker,) = app.control.inspect(timeout=5).ping()
inspect = app.control.inspect(destination=[worker], timeout=10)
assert inspect.stats() and inspect.registered() and inspect.active_queues() and inspect.conf()
assert app.control.rate_limit("tasks.check_status", "100/s", destination=[worker], reply=True, timeout=10)
running = sleep(60).apply_async()
running.revoke(terminate=True)
running.get(timeout=20, propagate=False)
later = sleep(60).apply_async(countdown=60)
cancel.cancel(app, later.id, terminate=True)
assert cancel.is_cancelled(app, later.id)
print(worker)
"""
EVERY_SECOND = """
from celery.schedules import schedule
from redbeat import RedBeatSchedulerEntry
from app.celery_app import app
RedBeatSchedulerEntry("every-second", "tasks.check_status", schedule(1), app=app).save()
"""
NO_MORE = """
from redbeat import RedBeatSchedulerEntry
from app.celery_app import app
RedBeatSchedulerEntry.from_key(app.conf.redbeat_key_prefix + "every-second", app=app).delete()
"""
REPLAY = """
from app.celery_app import app
from app.runtime import deadletter
from app.runtime.keys import EVERY_QUEUE
(letter,) = deadletter.entries(app, EVERY_QUEUE)
assert deadletter.replay(app, EVERY_QUEUE, letter["id"])
"""
# What KEDA's redis trigger asks: one script that looks up what kind of key it is and returns its size.
SIZE = """
local kind = redis.call('type', KEYS[1]).ok
local commands = {zset = 'zcard', set = 'scard', hash = 'hlen', list = 'llen', none = 'llen'}
return redis.call(commands[kind], KEYS[1])
"""


def users(prefix: str, suffix: str = "") -> str:
    """Return the users of a release as the chart fills them in; a user's password is its name."""
    text = USERS.replace("${PREFIX}", prefix)
    for name in ("app", "scaler", "probe"):
        user = name + suffix
        text = text.replace(f"${{{name.upper()}_SHA256}}", hashlib.sha256(user.encode()).hexdigest())
        text = text.replace(f"user {name} ", f"user {user} ")
    assert "${" not in text
    return text


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis with the users of two releases, and one who may see everything."""
    # The default user is named once.
    second = users(TWO, "-two").partition("\n")[2]
    (tmp_path / "users.acl").write_text(f"{users(ONE)}{second}user admin on >admin ~* &* +@all\n")
    arguments = ("--aclfile", str(tmp_path / "users.acl"))
    server = RedisServer(tmp_path / "redis", arguments=arguments, login=("admin", "admin"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def release(server: RedisServer, tmp_path: Path) -> Iterator[Callable[..., Release]]:
    releases: list[Release] = []

    def make(prefix: str, user: str, **settings: str) -> Release:
        url = f"redis://{user}:{user}@127.0.0.1:{server.port}/0"
        addresses = dict.fromkeys(("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "STORE_URL"), url)
        own = {"CELERY_KEY_PREFIX": prefix, "CELERY_LEASE_SECONDS": "5", "CELERY_BEAT_LOCK_SECONDS": "5"}
        releases.append(Release(tmp_path / user, {**addresses, **own, "ORDER_RATE_LIMIT": "", **settings}))
        return releases[-1]

    yield make
    for one in releases:
        one.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Outside]:
    with outside() as sandbox:
        yield sandbox


def world_settings(world: Outside, folder: Path) -> dict[str, str]:
    http = f"http://127.0.0.1:{world.http_port}"
    return {
        "SMTP_URL": f"smtp://127.0.0.1:{world.smtp_port}",
        "PAYMENT_GATEWAY_URL": f"{http}/payments",
        "NOTIFICATION_WEBHOOK_URL": f"{http}/notifications",
        "REPORTS_DIR": str(folder / "reports"),
    }


def denials(server: RedisServer) -> list[tuple[str, str, str]]:
    with server.client() as admin:
        return sorted({(entry["username"], entry["reason"], entry["object"]) for entry in admin.acl_log(128)})


def send(release: Release, task: str, *arguments: object, options: tuple[str, ...] = (), code: int = 0) -> list[str]:
    out = release.run("-m", "app.producer", task, "--args", json.dumps(arguments), "--json", *options, code=code)
    return list(json.loads(out)["task_ids"])


def shop(api: httpx.Client, release: Release) -> None:
    """Do over HTTP what the shop's clients do."""
    mail = {"to": "you@example.com", "subject": "Hello", "body": "Text"}
    for _ in range(2):
        assert api.post("/send-email", json=mail, headers={"Idempotency-Key": "same"}).status_code == 202
    order = {"customer": "you", "email": "you@example.com", "items": [{"sku": "book", "quantity": 1}]}
    task_id = api.post("/orders", json=order).json()["task_id"]
    release.until(lambda: api.get(f"/task/{task_id}").json()["status"] == "SUCCESS", 30, "the order is done")
    task_id = api.post("/orders", json=order).json()["task_id"]
    assert api.delete(f"/task/{task_id}").status_code in (200, 409)


def every_task(release: Release) -> None:
    for task, arguments in (
        ("tasks.check_status", ()),
        ("tasks.report.generate", ("weekly",)),
        ("tasks.high_priority.check_stock", ("book",)),
        ("tasks.cleanup", ()),
        ("tasks.monthly_billing", ()),
        ("tasks.email.send_notification", ("you", "Hello")),
        ("tasks.faults.sleep", (0.1, "runs")),
    ):
        send(release, task, *arguments)
    send(release, "tasks.faults.fail", code=1)
    send(release, "tasks.faults.sleep", 0.1, options=("--countdown", "2"))


def operate(release: Release) -> None:
    queues = ("-m", "app.queue_cli")
    release.run(*queues, "pause", "report")
    release.until(lambda: release.logged("worker", "report"), 10, "the worker knows of the pause")
    send(release, "tasks.report.generate", "daily", options=("--no-wait",))
    assert '"paused": true' in release.run(*queues, "inspect", "--json")
    release.run(*queues, "purge", "report", "--yes")
    release.run(*queues, "resume", "report")


def tick(release: Release) -> None:
    before = release.log("beat").count("Sending due task")
    release.run("-c", EVERY_SECOND)
    release.until(lambda: release.log("beat").count("Sending due task") > before + 2, 20, "beat ticks")
    release.run("-c", NO_MORE)


def die(release: Release, server: RedisServer) -> None:
    """Have a connection break, a worker die in mid-task, and pool children die until the dead letters get the task."""
    send(release, "tasks.faults.exit", options=("--no-wait",))
    with server.client() as admin:
        admin.client_kill_filter(_type="normal", user="app")
    (task_id,) = send(release, "tasks.faults.sleep", 3, options=("--no-wait",))
    release.until(lambda: task_id in held(server, ONE), 20, "the task runs")
    release.kill("worker")
    release.worker("successor")
    release.until(lambda: release.logged("successor", f"[{task_id}] succeeded"), 40, "the dead worker's task is done")
    release.until(lambda: release.logged("successor", "goes to the dead letters"), 90, "a dead letter")
    release.run("-c", REPLAY)
    release.until(lambda: release.log("successor").count("tasks.faults.exit") > 3, 30, "it runs again")


def held(server: RedisServer, prefix: str) -> str:
    """Return the messages that the workers of a release hold."""
    with server.client() as admin:
        return "".join(text for name in admin.keys(f"{prefix}unacked:*") for text in admin.hvals(name))


def look(flower: httpx.Client) -> None:
    for path in ("/workers", "/tasks", "/broker", "/api/workers?refresh=1", "/api/queues/length", "/metrics"):
        assert flower.get(path).status_code == 200, path


@pytest.mark.timeout(300)
def test_transactions_survive_a_restart(tmp_path: Path) -> None:
    # Redis reads its append-only file as the default user, and refuses each EXEC that user may not run: with a plain
    # `user default off` every transaction was forgotten at every restart.
    (tmp_path / "users.acl").write_text(f"{users(ONE)}user admin on >admin ~* &* +@all\n")
    arguments = ("--aclfile", str(tmp_path / "users.acl"))
    server = RedisServer(tmp_path / "redis", durable=True, arguments=arguments, login=("admin", "admin"))
    server.start()
    with Redis(port=server.port, username="app", password="app") as client:
        client.pipeline(transaction=True).set(f"{ONE}a", 1).hset(f"{ONE}b", "field", 1).execute()
    server.stop()
    server.start()
    with Redis(port=server.port, username="app", password="app") as client:
        assert (client.get(f"{ONE}a"), client.hlen(f"{ONE}b")) == (b"1", 1)
    server.stop()


def test_nobody_gets_in_as_the_default_user(server: RedisServer) -> None:
    for login in ({}, {"username": "default", "password": ""}, {"password": "default"}):
        with Redis(port=server.port, **login) as nobody, pytest.raises(AuthenticationError):
            nobody.get(f"{ONE}a")


def test_all_the_work_of_a_release_is_within_its_user(
    server: RedisServer, release: Callable[..., Release], world: Outside, tmp_path: Path
) -> None:
    one = release(ONE, "app", **world_settings(world, tmp_path))
    one.worker()
    one.beat()
    api, flower = one.api(), one.flower()
    shop(api, one)
    every_task(one)
    one.run("-c", CLIENT)
    operate(one)
    tick(one)
    look(flower)
    die(one, server)
    assert denials(server) == []
    with server.client() as admin:
        assert [name for name in admin.keys("*") if not name.startswith(ONE)] == []


@pytest.mark.timeout(180)
def test_two_releases_on_one_redis_do_not_touch_each_other(
    server: RedisServer, release: Callable[..., Release]
) -> None:
    one, two = release(ONE, "app"), release(TWO, "app-two")
    for each in (one, two):
        each.worker()
        each.beat()
        send(each, "tasks.faults.sleep", 0.1, "runs")
    # Only its own worker answers and obeys, though both listen on the same Redis.
    assert one.run("-c", CLIENT).split() == ["worker@app"]
    assert two.run("-c", CLIENT).split() == ["worker@app-two"]
    tick(one)
    assert "every-second" not in two.log("beat")
    one.run("-m", "app.queue_cli", "pause", "default")
    assert '"paused": true' not in two.run("-m", "app.queue_cli", "inspect", "--json")
    # Held by its worker until the far eta.
    (task_id,) = send(one, "tasks.faults.sleep", 0.1, options=("--countdown", "600", "--no-wait", "--queue", "high"))
    one.until(lambda: task_id in held(server, ONE), 20, "the first holds its message")
    assert task_id not in held(server, TWO)
    with server.client() as admin:
        names = admin.keys("*")
        for kind in ("redbeat::schedule", "redbeat::lock", "shop:runs:runs", "celery-task-meta-", "_kombu.binding."):
            for prefix in (ONE, TWO):
                assert [name for name in names if name.startswith(prefix + kind)], prefix + kind
        assert [name for name in names if not name.startswith((ONE, TWO))] == []
    # Each user may touch its own prefix alone, so a single crossing would stand here.
    assert denials(server) == []


def connect(server: RedisServer, user: str) -> Redis:
    # KEDA gives its connections a name; redis-cli, the probe, doesn't.
    name = None if user == "probe" else "test"
    return Redis(port=server.port, username=user, password=user, client_name=name, decode_responses=True)


FORBIDDEN: list[tuple[str, tuple[Any, ...]]] = [
    *(("app", command) for command in (("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "*"), ("KEYS", "*"))),
    *(("app", command) for command in (("DEBUG", "SLEEP", 0), ("SHUTDOWN",), ("ACL", "LIST"), ("CLIENT", "LIST"))),
    *(("app", command) for command in (("REPLICAOF", "NO", "ONE"), ("MONITOR",), ("SCAN", 0), ("EVAL", "return 1", 0))),
    *(("app", command) for command in (("GET", "two:key"), ("LPUSH", "default", "x"), ("HGETALL", "two:unacked:all"))),
    *(("app", command) for command in (("PUBLISH", "two:/0.celery.pidbox", "x"), ("PSUBSCRIBE", "*"))),
    *(
        ("scaler", command)
        for command in (("LPUSH", "one:default", "x"), ("GET", "one:key"), ("LRANGE", "one:a", 0, 1))
    ),
    *(("scaler", command) for command in (("EVAL", SIZE, 1, "two:default"), ("LLEN", "two:default"))),
    *(("scaler", command) for command in (("LINDEX", "two:default", -1), ("HGET", "two:dead", "id"), ("SCAN", 0))),
    *(("scaler", command) for command in (("CONFIG", "GET", "*"), ("CLIENT", "LIST"), ("HVALS", "one:hash"))),
    *(("scaler", command) for command in (("DEL", "one:a"), ("ZADD", "one:z", 1, "x"), ("PEXPIRE", "one:a", 1))),
    ("scaler", ("EVAL", "return redis.call('lpush', KEYS[1], 'x')", 1, "one:default")),
    *(("probe", command) for command in (("GET", "one:key"), ("LLEN", "one:default"), ("INFO",), ("SELECT", 1))),
    ("probe", ("EVAL", "return 1", 0)),
]


@pytest.mark.parametrize(
    ("user", "command"), FORBIDDEN, ids=lambda part: part if isinstance(part, str) else str(part[0])
)
def test_what_a_user_does_not_need_is_refused(server: RedisServer, user: str, command: tuple[Any, ...]) -> None:
    refused = pytest.raises(ResponseError, match=r"no permissions|can't run this command|not allowed")
    with connect(server, user) as client, refused:
        client.execute_command(*command)


def test_nobody_gets_in_without_a_name(server: RedisServer) -> None:
    with Redis(port=server.port) as client, pytest.raises(AuthenticationError):
        client.ping()


def test_the_scaler_can_ask_what_keda_asks(server: RedisServer) -> None:
    with server.client() as admin:
        admin.lpush("one:default", "a", "b")
        admin.hset("one:unacked:default", mapping={"tag": "message"})
        admin.zadd("one:index", {"tag": 1})
        admin.sadd("one:set", "member")
    with connect(server, "scaler") as client:
        assert client.ping()
        client.select(0)
        sizes = [client.eval(SIZE, 1, f"one:{name}") for name in ("default", "unacked:default", "index", "set", "none")]
        assert sizes == [2, 1, 1, 1, 0]
    assert denials(server) == []


def test_the_exporter_asks_nothing_that_the_scaler_may_not(server: RedisServer) -> None:
    keys, now = Keys(ONE), time.time()
    with server.client() as admin:
        admin.lpush(keys.waiting("email")[0], json.dumps({"headers": {"enqueued_at": now - 30}}))
        admin.zadd(keys.schedule(), {f"{keys.redbeat()}late": now - 60})
        admin.hset(f"{keys.redbeat()}late", "definition", '{"enabled": true}')
    url = f"redis://scaler:scaler@127.0.0.1:{server.port}/0"
    found = page(collector(url, CELERY_KEY_PREFIX=ONE))
    assert found["celery_exporter_redis_up"] == 1
    assert found["celery_queue_oldest_age_seconds{queue_name=email}"] == pytest.approx(30, abs=10)
    assert found["celery_beat_schedule_overdue_seconds{schedule=late}"] == pytest.approx(60, abs=10)
    assert found["celery_broker_noeviction"] == 1
    assert denials(server) == []


def test_a_scaler_that_may_less_still_scales(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "scaler", "-info", "-lindex", "-pttl", "-zrange", "-smismember")
        admin.lpush(Keys(ONE).waiting("email")[0], "{}")
    found = page(collector(f"redis://scaler:scaler@127.0.0.1:{server.port}/0", CELERY_KEY_PREFIX=ONE))
    assert found["celery_group_work{group=email}"] == found["celery_group_slots_wanted{group=email}"] == 1
    assert not [name for name in found if name.startswith(("celery_broker", "celery_beat", "celery_queue_paused"))]
    assert "Some numbers are missing" in caplog.text


def test_the_probe_can_ping(server: RedisServer) -> None:
    with connect(server, "probe") as client:
        assert client.ping()
