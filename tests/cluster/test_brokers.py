"""The broker as people have it: TLS, Valkey, a Redis elsewhere with one user, and one with Sentinels."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import trustme

from scripts.cluster.versions import pinned
from scripts.deploy.kube import Kube
from tests.cluster.conftest import carry
from tests.support.cluster import Release, merged
from tests.support.stack import until

ONE_GROUP = {"workers": {"exampleGroups": {"email": None}}}


def put_secret(kube: Kube, name: str, **texts: str) -> None:
    data = {key.replace("_", "-") if "password" in key else key.replace("_", "."): text for key, text in texts.items()}
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
    kube.kubectl("apply", "--filename", "-", stdin=json.dumps(document))


def certificate(kube: Kube, name: str, *hosts: str) -> None:
    """Put a certificate for hosts, its key and its CA into a Secret as cert-manager names them."""
    ca = trustme.CA()
    issued = ca.issue_cert(*hosts)
    chain = "".join(part.bytes().decode() for part in issued.cert_chain_pems)
    put_secret(
        kube, name, tls_crt=chain, tls_key=issued.private_key_pem.bytes().decode(), ca_crt=ca.cert_pem.bytes().decode()
    )


def scaler_is_ready(release: Release) -> bool:
    """Return whether KEDA reads the queues: its user, its password and its TLS are right."""
    items = release.kube.json("get", "scaledobjects")["items"]
    states = [
        {c["type"]: c["status"] for c in item["status"].get("conditions", [])} for item in items if "status" in item
    ]
    return bool(states) and all(state.get("Ready") == "True" and state.get("Fallback") != "True" for state in states)


KEDA = {"workers": {"defaults": {"autoscaling": {"engine": "keda", "maxReplicas": 2}}}}


def test_tls_from_end_to_end(releases: Callable[..., Release]) -> None:
    release = releases("tls-celery")
    kube = release.kube
    certificate(kube, "broker-tls", f"tls-celery-broker.{kube.environment.namespace}.svc", "localhost")
    tls = {"tls": {"enabled": True, "existingSecret": "broker-tls"}}
    release.install(merged(ONE_GROUP, KEDA, {"broker": tls, "flower": {"enabled": True}}))
    assert "ok    queue default of group default" in release.smoke()
    until(lambda: scaler_is_ready(release), 60, "KEDA reads the queues over TLS")
    kube.helm("uninstall", release.name, "--wait")


def test_valkey(releases: Callable[..., Release], shell: dict[str, str]) -> None:
    carry(pinned("VALKEY_IMAGE"), shell)
    repository, _, tag = pinned("VALKEY_IMAGE").rpartition(":")
    release = releases("valkey-celery")
    broker = {"server": "valkey-server", "image": {"repository": repository, "tag": tag}}
    release.install(merged(ONE_GROUP, {"broker": broker}))
    assert "ok    queue default of group default" in release.smoke()
    assert "valkey" in release.execute("valkey-celery-broker-0", "valkey-server", "--version").lower()
    release.kube.helm("uninstall", release.name, "--wait")


def test_a_redis_elsewhere_with_one_user(releases: Callable[..., Release]) -> None:
    home, guest = releases("home-celery"), releases("guest-celery")
    home.install(ONE_GROUP)
    password = base64.b64decode(home.kube.json("get", "secret", "home-celery")["data"]["broker-password"]).decode()
    put_secret(guest.kube, "elsewhere", broker_password=password)
    host = f"home-celery-broker.{home.kube.environment.namespace}.svc"
    # The key prefix of the home release: its user may touch nothing else.
    prefix = f"{home.kube.environment.namespace}:home-celery:"
    external = {"host": host, "username": "app"}
    home.kube.kubectl("scale", home.workload("worker-default"), home.workload("beat"), "--replicas=0")
    guest.install(
        merged(ONE_GROUP, {"broker": {"existingSecret": "elsewhere", "keyPrefix": prefix, "external": external}})
    )
    assert not guest.kube.items("statefulsets")
    assert "ok    queue default of group default" in guest.smoke()
    for release in (guest, home):
        release.kube.helm("uninstall", release.name, "--wait")
