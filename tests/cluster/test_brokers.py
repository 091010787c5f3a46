"""The broker as people have it: TLS, Valkey, a Redis elsewhere with one user, and one with Sentinels."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from string import Template

import pytest
import trustme

from scripts.deploy.kube import Kube
from scripts.deploy.release import uninstall
from scripts.refused import Refused
from scripts.versions import pinned
from tests.cluster.conftest import carry
from tests.support.cluster import SMALL, Release, merged
from tests.support.stack import until

ONE_GROUP = {"workers": {"exampleGroups": {"email": None}}}


def put_secret(kube: Kube, name: str, texts: dict[str, str]) -> None:
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": texts}
    kube.kubectl("apply", "--filename", "-", stdin=json.dumps(document))


def certificate(kube: Kube, name: str, *hosts: str) -> None:
    """Put a certificate for hosts, its key and its CA into a Secret as cert-manager names them."""
    ca = trustme.CA()
    issued = ca.issue_cert(*hosts)
    chain = "".join(part.bytes().decode() for part in issued.cert_chain_pems)
    key = issued.private_key_pem.bytes().decode()
    put_secret(kube, name, {"tls.crt": chain, "tls.key": key, "ca.crt": ca.cert_pem.bytes().decode()})


def scaler_is_ready(release: Release) -> bool:
    """Return whether KEDA reads the queues: its user, its password and its TLS are right."""
    items = release.kube.json("get", "scaledobjects")["items"]
    states = [
        {c["type"]: c["status"] for c in item["status"].get("conditions", [])} for item in items if "status" in item
    ]
    return bool(states) and all(state.get("Ready") == "True" and state.get("Fallback") != "True" for state in states)


KEDA = {"workers": {"defaults": {"autoscaling": {"engine": "keda", "maxReplicas": 2}}}}
PAUSED = "autoscaling.keda.sh/paused-replicas"


@pytest.fixture(scope="module")
def own(releases: Callable[..., Release]) -> Release:
    """A release with a broker of its own that speaks TLS and syncs every write, and all that talks to it."""
    release = releases("own-celery")
    certificate(release.kube, "broker-tls", f"own-celery-broker.{release.kube.environment.namespace}.svc", "localhost")
    broker = {"tls": {"enabled": True, "existingSecret": "broker-tls"}, "appendfsync": "always"}
    release.install(merged(ONE_GROUP, KEDA, {"broker": broker, "flower": {"enabled": True}}))
    return release


def test_tls_from_end_to_end(own: Release) -> None:
    said = own.smoke()
    assert "ok    queue default of group default" in said
    assert "ok    beat" in said
    assert re.search("ok +http://own-celery-flower", said)
    until(lambda: scaler_is_ready(own), 60, "KEDA reads the queues over TLS")
    # No user may read the settings: the file that the server was started with has them.
    assert "appendfsync always" in own.execute("own-celery-broker-0", "cat", "/etc/broker/config/broker.conf")


def test_a_killed_broker_keeps_what_it_accepted(own: Release) -> None:
    send_home(own)
    sent = own.send("tasks.faults.sleep", 0, "kept", count=200)
    own.kube.kubectl("delete", "pod", "own-celery-broker-0", "--grace-period=0", "--force")
    own.kube.kubectl("annotate", "scaledobject/own-celery-worker-default", f"{PAUSED}-")
    own.agrees("kept", sent, 180)


def send_home(release: Release) -> None:
    """Have no worker in the release until the annotation goes."""
    release.kube.kubectl("annotate", f"scaledobject/{release.name}-worker-default", f"{PAUSED}=0")
    workers = {"app.kubernetes.io/component": "worker"}
    # Those on their way out count, too.
    until(lambda: not release.kube.items("pods", **workers), 90, "nobody works")


def test_a_redis_elsewhere_with_tls_and_users(own: Release, releases: Callable[..., Release]) -> None:
    guest = releases("guest-celery")
    data = own.kube.json("get", "secret", "own-celery")["data"]
    passwords = {key: base64.b64decode(data[key]).decode() for key in ("broker-password", "scaler-password")}
    put_secret(guest.kube, "with-tls", passwords)
    host = f"own-celery-broker.{own.kube.environment.namespace}.svc"
    # The key prefix of the other release: its user may touch nothing else.
    prefix = f"{own.kube.environment.namespace}:own-celery:"
    broker = {
        "existingSecret": "with-tls",
        "keyPrefix": prefix,
        "external": {"host": host, "username": "app", "scalerUsername": "scaler", "tls": True},
        "tls": {"existingSecret": "broker-tls"},
    }
    send_home(own)
    values = merged(ONE_GROUP, KEDA, {"beat": {"enabled": False}, "broker": broker})
    # A wrong password first: it is said in words, and the right one needs no more than another upgrade.
    put_secret(guest.kube, "wrong", {**passwords, "broker-password": "wrong"})
    guest.apply(merged(SMALL, values, {"broker": {"existingSecret": "wrong"}}))
    with pytest.raises(Refused, match=r"guest-celery-worker-default.*says: .*(password|user)"):
        guest.wait(30)
    guest.install(values)
    assert not guest.kube.items("statefulsets")
    assert "ok    queue default of group default" in guest.smoke()
    until(lambda: scaler_is_ready(guest), 60, "KEDA reads the queues as the scaler's user")
    for release in (guest, own):
        uninstall(release.kube)


def test_valkey(releases: Callable[..., Release], shell: dict[str, str]) -> None:
    carry(shell, pinned("VALKEY_IMAGE"))
    repository, _, tag = pinned("VALKEY_IMAGE").rpartition(":")
    release = releases("valkey-celery")
    broker = {"server": "valkey-server", "image": {"repository": repository, "tag": tag}}
    release.install(merged(ONE_GROUP, KEDA, {"broker": broker}))
    assert "ok    queue default of group default" in release.smoke()
    until(lambda: scaler_is_ready(release), 60, "KEDA reads the queues")
    assert "valkey" in release.execute("valkey-celery-broker-0", "valkey-server", "--version").lower()
    uninstall(release.kube)


def test_sentinels_name_the_redis_and_its_successor(releases: Callable[..., Release]) -> None:
    release = releases("sentinel-celery")
    kube = release.kube
    put_secret(kube, "elsewhere", {"broker-password": "a-password-of-the-test"})
    text = Template(Path(__file__).with_name("redis-with-sentinels.yaml").read_text())
    kube.kubectl("apply", "--filename", "-", stdin=text.substitute(REDIS_IMAGE=pinned("REDIS_IMAGE")))
    until(lambda: sentinels_say(release, "ckquorum") == "OK", 60, "the Sentinels know each other")
    until(lambda: sentinels_say(release, "replicas"), 60, "the Sentinels know the replica")
    hosts = [f"sentinel-{i}.sentinel.{kube.environment.namespace}.svc:26379" for i in range(2)]
    external = {"sentinel": {"masterName": "mymaster", "hosts": hosts}}
    broker = {"existingSecret": "elsewhere", "external": external}
    release.install(merged(ONE_GROUP, KEDA, {"broker": broker, "flower": {"enabled": True}}))
    assert "ok    queue default of group default" in release.smoke()
    until(lambda: scaler_is_ready(release), 60, "KEDA asks the Sentinels")
    first = sentinels_say(release, "get-master-addr-by-name")
    kube.kubectl("delete", "pod", "redis-0", "--grace-period=0", "--force")
    until(lambda: sentinels_say(release, "get-master-addr-by-name") != first, 60, "the replica is the new master")
    sent = release.send("tasks.faults.sleep", 0, "successor", count=5)
    release.agrees("successor", sent, 90)
    assert "ok    beat" in release.smoke()


def sentinels_say(release: Release, question: str) -> str:
    """Return the first words that the first Sentinel answers about the master."""
    command = ("redis-cli", "-p", "26379", "sentinel", question, "mymaster")
    try:
        said = release.execute("sentinel-0", *command)
    except Refused:
        return ""
    return "OK" if said.startswith("OK") else said.strip()
