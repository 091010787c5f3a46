"""The release of helm/monitoring beside the application's: what it has to know of it, and Grafana's login."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from typing import Any

from scripts import image
from scripts.cluster import config
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


def grafana_url() -> str:
    """Return where this machine's port leads to Grafana."""
    return f"http://127.0.0.1:{config.from_environment().ports['grafana']}"


def uninstall(kube: Kube) -> bool:
    """Take the release away, and the login that was made for it; return whether there was one."""
    gone = release.uninstall(kube)
    kube.kubectl("delete", "secret", "--selector", f"app.kubernetes.io/instance={kube.environment.release}")
    return gone
