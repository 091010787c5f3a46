"""Which server a URL means, what is refused with a sentence, and what an error says to look at."""

from __future__ import annotations

import logging
import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu.transport import TRANSPORT_ALIASES
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.sentinel import MasterNotFoundError, SentinelConnectionPool

from app.config import BadSetting, Settings
from app.runtime import Access, Options, install, servers, transport
from tests.support.redis import RedisServer

SENTINELS = "sentinel://app:p%40ss@one:26379/3;sentinel://app:p%40ss@two/3"
KNOWN = Access(sentinel_master="shop", sentinel_password="sentinel-word")


def installed(url: str, monkeypatch: pytest.MonkeyPatch, access: Access | None = None) -> Celery:
    # Celery lets these win over what an application says.
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    monkeypatch.delenv("CELERY_RESULT_BACKEND", raising=False)
    app = Celery("servers", broker=url, backend=url, set_as_current=False)
    install(app, Options(access=access or Access()))
    return app


def test_a_sentinel_url_means_the_master_with_its_account_and_database() -> None:
    pool = servers.connect(SENTINELS, KNOWN, socket_timeout=7).connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "shop"
    found = {name: pool.connection_kwargs[name] for name in ("username", "password", "db", "socket_timeout")}
    assert found == {"username": "app", "password": "p@ss", "db": 3, "socket_timeout": 7}
    asked = [client.connection_pool.connection_kwargs for client in pool.sentinel_manager.sentinels]
    assert [(each["host"], each["port"], each["password"]) for each in asked] == [
        ("one", 26379, "sentinel-word"),
        ("two", 26379, "sentinel-word"),
    ]


def test_a_sentinel_url_has_leases_and_a_sentinel_that_is_away_is_passed_over_at_once() -> None:
    transport.register()
    channel = transport.SentinelTransport.Channel
    assert issubclass(channel, transport.Channel)
    assert TRANSPORT_ALIASES["sentinel"] == f"{transport.__name__}:SentinelTransport"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"sentinel://127.0.0.1:{port};sentinel://127.0.0.1:{port}"
        began = time.monotonic()
        with pytest.raises(MasterNotFoundError):
            servers.connect(url, KNOWN, retry=servers.once()).ping()
    assert time.monotonic() - began < 2 * servers.SENTINEL_TIMEOUT + 1


@pytest.mark.parametrize(
    ("url", "access", "sentence"),
    [
        ("amqp://here", Access(), "needs a Redis broker"),
        ("sentinel://one", Access(), "needs the master's name"),
        ("sentinel://one/1;sentinel://two/2", KNOWN, "give each the same user, password and database"),
        ("sentinel://u:a@one;sentinel://u:b@two", KNOWN, "give each the same user, password and database"),
    ],
)
def test_what_names_no_server_is_refused(
    url: str, access: Access, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=sentence):
        installed(url, monkeypatch, access)


@pytest.mark.parametrize(
    "password", ["se/cret", "se#cret", "se?cret", "12?34", "se;cret", "se%cret", "s[e]cret", "[se"]
)
def test_a_password_that_would_be_read_as_a_host_is_refused_and_not_shown(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"redis://app:{password}@here:6379/0"
    with pytest.raises(ValueError, match="percent-encode it, or take one of letters, digits") as refused:
        installed(url, monkeypatch)
    for variable in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "STORE_URL"):
        with pytest.raises(BadSetting, match=f"{variable} is .* percent-encoded .*: letters, digits") as told:
            Settings.from_environment({variable: url})
        assert not [word for word in (password, "se", "12") if re.search(rf"\b{re.escape(word)}\b", f"{told.value}")]
    assert password not in str(refused.value)


def test_a_password_that_is_encoded_or_ends_nothing_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for written, meant in {"p%2Fs%25%23": "p/s%#", "a@b:c": "a@b:c", "a-b_c.d~e": "a-b_c.d~e"}.items():
        url = f"redis://app:{written}@here:6379/0"
        assert Settings.from_environment({"CELERY_BROKER_URL": url}).broker_url == url
        installed(url, monkeypatch)
        client = servers.connect(url, Access()).connection_pool.connection_kwargs
        assert (client["host"], client["password"]) == ("here", meant)


@pytest.mark.parametrize("url", ["rediss://app:p%40ss@here:6379/0", SENTINELS])
def test_no_password_stands_in_the_settings_that_a_worker_shows(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = str(installed(url, monkeypatch, KNOWN).conf.table(with_defaults=True, censored=True))
    assert "redbeat_redis_url" in shown
    assert [secret for secret in ("p%40ss", "p@ss", "sentinel-word") if secret in shown] == []


def test_every_client_of_a_rediss_url_verifies_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    app = installed("rediss://here:6379/0", monkeypatch, Access(ca_file="/tls/ca.crt"))
    wanted = {"ssl_cert_reqs": "required", "ssl_ca_certs": "/tls/ca.crt"}
    assert app.conf.broker_use_ssl == wanted
    assert app.backend.connparams["ssl_cert_reqs"] is ssl.CERT_REQUIRED
    assert app.backend.connparams["ssl_ca_certs"] == "/tls/ca.crt"
    schedule = app.redbeat_redis.connection_pool.connection_kwargs
    assert {name: schedule[name] for name in wanted} == wanted


def test_a_redis_url_asks_for_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    app = installed("redis://here:6379/0", monkeypatch)
    assert not app.conf.broker_use_ssl
    assert not app.conf.redis_backend_use_ssl


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"CELERY_BROKER_URL": "sentinel://one:26379/0"}, "CELERY_SENTINEL_MASTER is empty"),
        ({"STORE_URL": "sentinel://one:26379/0"}, "CELERY_SENTINEL_MASTER is empty"),
        ({"CELERY_BROKER_URL": "sentinel://one/0;redis://two/0"}, "CELERY_BROKER_URL"),
        ({"CELERY_BROKER_URL": "redis://one/0;redis://two/0"}, "CELERY_BROKER_URL"),
        ({"CELERY_BROKER_URL": "sentinel://one/1;sentinel://two/2"}, "same user, password and database"),
        ({"CELERY_BROKER_CA_FILE": "/nowhere"}, "CELERY_BROKER_CA_FILE is '/nowhere'"),
        ({"CELERY_BROKER_CA_FILE": __file__}, "no URL uses TLS"),
    ],
)
def test_half_an_address_is_refused(variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(BadSetting, match=sentence):
        Settings.from_environment(variables)


def test_sentinels_that_agree_are_taken() -> None:
    variables = {"CELERY_BROKER_URL": "sentinel://one:26379;sentinel://two:26379/0", "CELERY_SENTINEL_MASTER": "shop"}
    assert Settings.from_environment(variables).sentinel_master == "shop"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AuthenticationError("invalid username-password pair or user is disabled."), "user or the password"),
        (RedisConnectionError("NOAUTH Authentication required."), "user or the password"),
        (NoPermissionError("no permissions"), "ACL"),
        (MasterNotFoundError("No master found for 'shop'"), "CELERY_SENTINEL_MASTER"),
        (RedisConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), "CELERY_BROKER_CA_FILE"),
        (RedisConnectionError("[SSL: WRONG_VERSION_NUMBER] wrong version number"), "speaks TLS"),
        (RedisConnectionError("Error 111 connecting to here:6379. Connection refused."), "host and port"),
    ],
)
def test_an_error_says_what_to_look_at(error: Exception, words: str) -> None:
    assert words in servers.advice(error)


@pytest.fixture
def special(tmp_path: Path) -> Iterator[Any]:
    started: list[RedisServer] = []

    def start(*arguments: str) -> Redis:
        started.append(RedisServer(tmp_path / str(len(started)), arguments=arguments))
        started[-1].start()
        return started[-1].client()

    yield start
    for server in started:
        server.stop()


def test_a_cluster_ends_the_process_with_a_sentence(special: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        servers.examine(special("--cluster-enabled", "yes"))
    assert ended.value.code == 2
    assert "Redis Cluster" in capsys.readouterr().err


@pytest.mark.parametrize(("policy", "warnings"), [("allkeys-lru", 1), ("volatile-ttl", 1), ("noeviction", 0)])
def test_a_server_that_may_evict_messages_is_warned_of(
    special: Any, caplog: pytest.LogCaptureFixture, policy: str, warnings: int
) -> None:
    with caplog.at_level(logging.WARNING, logger=servers.logger.name):
        servers.examine(special("--maxmemory", "100mb", "--maxmemory-policy", policy))
    assert len([record for record in caplog.records if policy in record.getMessage()]) == warnings


def test_a_server_that_tells_nothing_is_taken(special: Any) -> None:
    admin = special()
    admin.acl_setuser("mute", enabled=True, passwords=["+word"], commands=["+ping"])
    port = admin.connection_pool.connection_kwargs["port"]
    servers.examine(Redis(port=port, username="mute", password="word"))
