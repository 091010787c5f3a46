"""The release of helm/monitoring beside the application's: what it has to know of it, and Grafana's login."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from scripts import image
from scripts.deploy import release
from scripts.deploy.kube import Kube
from scripts.refused import Refused
from scripts.versions import pinned

# The Secret that the environments of this machine name, and who logs in.
LOGIN, USER = "grafana-login", "admin"


def options(kube: Kube, application: list[dict[str, Any]], tell: Callable[[str], None]) -> tuple[str, ...]:
    """Return Helm's options: the application's own prefix of names, and no Grafana where its image can't be had.

    `application` are the objects of the application's release.
    """
    prefixes = [
        document["metadata"]["name"].removesuffix("-rules")
        for document in application
        if document["kind"] == "ConfigMap" and document["metadata"]["name"].endswith("-rules")
    ]
    chosen = [f"--set=releases={{{','.join(prefixes)}}}"] if prefixes else []
    if kube.environment.brings_its_image:
        try:
            image.ensure(pinned("GRAFANA_IMAGE"))
        except Refused:
            tell("Grafana is left out: its image is not here and can't be pulled (docker load brings it).")
            chosen.append("--set=grafana.enabled=false")
    return tuple(chosen)


def ensure_login(kube: Kube, rendered: list[dict[str, Any]]) -> None:
    """Make Grafana's login where its pod wants it and nobody has, on this machine; elsewhere it is the user's.

    `rendered` are the release's objects.
    """
    wanted = any(f'"secretName": "{LOGIN}"' in json.dumps(document) for document in rendered)
    there = kube.kubectl("get", "secret", LOGIN, "--ignore-not-found", "--output", "name")
    if there or not wanted or not kube.environment.brings_its_image:
        return
    login = {"admin-user": USER, "admin-password": secrets.token_urlsafe(24)}
    document = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": LOGIN, "labels": {"app.kubernetes.io/instance": kube.environment.release}},
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in login.items()},
    }
    kube.kubectl("create", "--filename", "-", stdin=json.dumps(document))


def grafana_url(rendered: list[dict[str, Any]], ports: Mapping[int, int]) -> str:
    """Return where a port of this machine leads to Grafana; empty where none does, or the release has no Grafana.

    `rendered` are the release's objects, `ports` those of this machine by the node port that they lead to.
    """
    services = (document["spec"] for document in rendered if document["kind"] == "Service" and _is_grafana(document))
    node_ports = (port.get("nodePort", 0) for service in services for port in service["ports"])
    return next((f"http://127.0.0.1:{ports[port]}" for port in node_ports if port in ports), "")


def link(url: str) -> str:
    """Return values of helm/celery that link alerts to a Grafana; nothing without one."""
    return json.dumps({"monitoring": {"grafanaUrl": url}}) if url else ""


def _is_grafana(document: dict[str, Any]) -> bool:
    return bool(document["metadata"]["labels"]["app.kubernetes.io/component"] == "grafana")


def uninstall(kube: Kube) -> bool:
    """Take the release away, and the login that was made for it; return whether there was one."""
    gone = release.uninstall(kube)
    kube.kubectl("delete", "secret", "--selector", f"app.kubernetes.io/instance={kube.environment.release}")
    return gone
