"""The chart can run danihodovic/celery-exporter instead of its own: set up so that it takes no running task.

Its image is not run here: it can't be pulled on every machine. What is proven is what the chart writes, by the rules of
that program's command line (options in CE_ variables, several of one kind as words), and what Celery makes of it.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from celery import Celery
from kombu import transport
from redis import Redis

from app.runtime.keys import Keys
from scripts.versions import pinned
from tests.chart.test_network import ANYWHERE, KEDA, Peer, allowed, pod
from tests.support.helm import PREFIX, environment, render

ON = {"exporter": {"enabled": True, "kind": "celery-exporter"}}
NAME = f"{PREFIX}-exporter"


def container(values: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = render({**ON, **(values or {})}).containers[f"{NAME}/exporter"]
    return found


def options(values: dict[str, Any] | None = None, name: str = "CE_BROKER_TRANSPORT_OPTION") -> dict[str, Any]:
    """Return options as that program reads them: words with = in them; digits are a number, and JSON is JSON."""
    found: dict[str, Any] = {}
    for word in environment(container(values))[name].split():
        option, text = word.split("=", 1)
        try:
            found[option] = json.loads(text)
        except ValueError:
            found[option] = text
    return found


def test_its_pinned_image_runs_as_it_comes_not_run_here_for_it_can_not_be_pulled() -> None:
    found = container()
    assert found["image"] == pinned("CELERY_EXPORTER_IMAGE")
    assert "command" not in found
    assert "args" not in found
    digest = "sha256:" + "0" * 64
    own = {"exporter": {**ON["exporter"], "image": {"repository": "mirror/exporter", "digest": digest}}}
    assert container(own)["image"] == f"mirror/exporter@{digest}"
    assert found["ports"] == [{"name": "http", "containerPort": 9808}]


def test_its_keys_are_nobody_elses() -> None:
    objects = render(ON)
    found = options()
    prefix = found["global_keyprefix"]
    assert prefix == environment(objects.containers[f"{PREFIX}-worker-email/worker"])["CELERY_KEY_PREFIX"]
    own = {found[name] for name in ("unacked_key", "unacked_index_key", "unacked_mutex_key")}
    assert len(own) == 3
    keys = Keys()
    for group in (*objects.groups, "celery-exporter", "exporter"):
        assert own.isdisjoint({keys.unacked(group), keys.unacked_index(group), keys.unacked_mutex(group)})
    assert own.isdisjoint({"unacked", "unacked_index", "unacked_mutex"}), "those of an application without the runtime"


def test_a_client_with_its_options_leaves_running_tasks_alone_and_a_plain_one_does_not(
    clean_redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sweep as Celery does when it asks the workers something; two messages run for more than an hour."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    # Another test may have put the runtime's own transport in the place of kombu's.
    monkeypatch.setitem(transport.TRANSPORT_ALIASES, "redis", "kombu.transport.redis:Transport")
    monkeypatch.delitem(transport._transport_cache, "redis", raising=False)
    found = {**options(), "unacked_restore_limit": None}
    prefix = found["global_keyprefix"]
    message = json.dumps([{"body": "", "headers": {}, "properties": {"delivery_tag": "t"}}, "", "email"])
    running = [("unacked:email", "unacked_index:email"), ("unacked", "unacked_index")]

    def stolen(choice: dict[str, Any]) -> int:
        with Redis.from_url(clean_redis_url) as client:
            client.flushall()
            for hashed, index in running:
                client.hset(prefix + hashed, "t", message)
                client.zadd(prefix + index, {"t": time.time() - 40_000})
            app = Celery(broker=clean_redis_url, set_as_current=False)
            app.conf.broker_transport_options = choice
            with app.connection() as connection:
                connection.default_channel.qos.restore_visible()
            app.close()
            return sum(1 for hashed, _ in running if not client.hexists(prefix + hashed, "t"))

    assert stolen(found) == 0
    assert stolen({"global_keyprefix": prefix}) == 1


def test_it_is_the_applications_user_and_knows_every_queue() -> None:
    found = environment(container())
    assert found["CE_BROKER_URL"].startswith("redis://app:$(CELERY_BROKER_PASSWORD)@")
    assert found["CELERY_BROKER_PASSWORD"]["secretKeyRef"] == {"name": PREFIX, "key": "broker-password"}
    assert set(found["CE_QUEUES"].split(",")) == {"default", "email", "report", "high", "high_priority"}
    assert not [name for name in found if name.startswith("EXPORTER_")]


def test_it_reaches_its_broker_through_tls_and_sentinels() -> None:
    ssl = options({"broker": {"tls": {"enabled": True, "existingSecret": "tls"}}}, "CE_BROKER_SSL_OPTION")
    assert ssl == {"ssl_cert_reqs": "required", "ssl_ca_certs": "/etc/celery/broker-tls/ca.crt"}
    sentinel = {"masterName": "m", "hosts": ["s:26379", "t:26379"], "passwordKey": "sentinel-password"}
    values = {"broker": {"external": {"sentinel": sentinel}, "existingSecret": "given"}}
    found = options(values)
    assert found["master_name"] == "m"
    assert found["sentinel_kwargs"] == {"password": "$(CELERY_SENTINEL_PASSWORD)"}
    assert environment(container(values))["CELERY_SENTINEL_PASSWORD"]["secretKeyRef"]["key"] == "sentinel-password"
    assert "CE_BROKER_SSL_OPTION" not in environment(container())


def test_it_takes_an_application_without_the_runtime_too() -> None:
    values = {"app": {"module": "shop.tasks"}}
    found = options(values)
    assert "global_keyprefix" not in found
    assert found["unacked_key"] not in ("unacked", "")
    assert environment(container(values))["CE_QUEUES"] == "celery"


def test_its_probes_ask_neither_redis_nor_the_workers() -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container()[probe]["httpGet"]["path"] == "/"


def test_it_is_hardened_and_shut_in_as_the_own_one_is() -> None:
    objects, own = render(ON), render({"exporter": {"enabled": True}})
    for field in ("securityContext", "resources", "volumeMounts", "ports"):
        assert objects.containers[f"{NAME}/exporter"].get(field) == own.containers[f"{NAME}/exporter"].get(field)
    assert objects["NetworkPolicy", NAME] == own["NetworkPolicy", NAME]
    assert objects["Service", NAME] == own["Service", NAME]
    assert allowed(objects, KEDA, pod(objects, "exporter"), 9808)
    assert not allowed(objects, pod(objects, "exporter"), Peer(address=ANYWHERE), 443)


def test_its_own_variables_win() -> None:
    own = {"exporter": {**ON["exporter"], "env": {"CE_QUEUES": "mine", "CE_LOG_LEVEL": "DEBUG"}}}
    found = environment(container(own))
    assert (found["CE_QUEUES"], found["CE_LOG_LEVEL"]) == ("mine", "DEBUG")
