"""Over TLS everything works that works without it, and nobody talks to a server whose certificate isn't trusted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from scripts.ports import free_port
from tests.support.redis import RedisServer
from tests.support.release import CELERY, Release


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def port(authority: trustme.CA, tmp_path: Path) -> Iterator[int]:
    """The TLS port of a Redis whose certificate is for 127.0.0.1; clients need none of their own."""
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "tls.key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    port = free_port()
    files = ("--tls-cert-file", str(tmp_path / "tls.crt"), "--tls-key-file", str(tmp_path / "tls.key"))
    options = (
        "--tls-port",
        str(port),
        *files,
        "--tls-ca-cert-file",
        str(tmp_path / "ca.crt"),
        "--tls-auth-clients",
        "no",
    )
    server = RedisServer(tmp_path / "redis", arguments=(*options, "--requirepass", "word"), login=(None, "word"))
    server.start()
    yield port
    server.stop()


@pytest.fixture
def release(port: int, tmp_path: Path) -> Iterator[Callable[..., Release]]:
    made: list[Release] = []

    def make(host: str = "127.0.0.1", query: str = "", **settings: str) -> Release:
        url = f"rediss://:word@{host}:{port}/0{query}"
        urls = dict.fromkeys(("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "STORE_URL"), url)
        made.append(Release(tmp_path / f"release-{len(made)}", {**urls, "CELERY_KEY_PREFIX": "shop:", **settings}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def send(release: Release) -> dict[str, int]:
    arguments = json.dumps([0.1, "runs"])
    out = release.run("-m", "app.producer", "tasks.faults.sleep", "--args", arguments, "--json")
    return dict(json.loads(out)["states"])


@pytest.mark.timeout(180)
def test_every_process_works_with_a_certificate_authority_of_its_own(
    release: Callable[..., Release], tmp_path: Path
) -> None:
    one = release(CELERY_BROKER_CA_FILE=str(tmp_path / "ca.crt"))
    one.worker()
    one.beat()
    api, flower = one.api(), one.flower()
    assert send(one) == {"SUCCESS": 1}
    assert api.get("/readyz").status_code == 200
    assert flower.get("/broker").status_code == 200
    one.until(lambda: flower.get("/api/queues/length").json()["active_queues"], 20, "Flower sees the queues")


@pytest.mark.parametrize("word", ["required", "CERT_REQUIRED"])
def test_the_url_may_name_the_authority_itself(release: Callable[..., Release], tmp_path: Path, word: str) -> None:
    one = release(query=f"?ssl_cert_reqs={word}&ssl_ca_certs={tmp_path / 'ca.crt'}")
    one.worker()
    one.beat()
    one.api()
    assert send(one) == {"SUCCESS": 1}


@pytest.mark.parametrize(
    ("host", "authority_file"),
    [("127.0.0.1", None), ("127.0.0.1", "other.crt"), ("localhost", "ca.crt")],
    ids=["the system's authorities", "another authority", "another host's certificate"],
)
def test_a_server_that_is_not_trusted_is_not_talked_to(
    release: Callable[..., Release], tmp_path: Path, host: str, authority_file: str | None
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.crt")
    settings = {"CELERY_BROKER_CA_FILE": str(tmp_path / authority_file)} if authority_file else {}
    one = release(host, **settings)
    one.start("worker", *CELERY, "worker", "-c", "1", "--loglevel", "INFO")
    one.start("beat", *CELERY, "beat", "--loglevel", "INFO")
    for name in ("worker", "beat"):
        one.until(lambda name=name: one.logged(name, "The server's certificate is not trusted"), 20, f"{name} says so")
    assert not one.ready("worker")
    assert "can't be reached" in one.run("-m", "app.queue_cli", "inspect", code=1, shown="stderr")


def test_a_server_without_tls_is_named(release: Callable[..., Release], tmp_path: Path) -> None:
    plain = RedisServer(tmp_path / "plain")
    plain.start()
    try:
        one = release()
        one.environment["CELERY_BROKER_URL"] = plain.url.replace("redis://", "rediss://")
        one.start("worker", *CELERY, "worker", "-c", "1", "--loglevel", "INFO")
        one.until(lambda: one.logged("worker", "whether both sides or none use TLS"), 20, "the worker says so")
    finally:
        plain.stop()
