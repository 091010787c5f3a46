"""The generated passwords are made once: installing again, upgrading and rolling back keep them. Here with Helm 3."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.support.cluster import Release

KEYS = {"broker-password", "scaler-password", "probe-password"}


@pytest.fixture(scope="module")
def release(releases: Callable[..., Release]) -> Release:
    release = releases(helm="helm3")
    release.install({"workers": {"exampleGroups": {"email": None}}, "beat": {"enabled": False}})
    return release


def data(release: Release) -> dict[str, str]:
    return dict(release.kube.json("get", "secret", "celery")["data"])


def test_install_makes_every_key(release: Release) -> None:
    assert set(data(release)) == KEYS
    assert len(set(data(release).values())) == len(KEYS)


def test_upgrade_and_rollback_keep_them(release: Release) -> None:
    before = data(release)
    release.apply({**release.values, "test": {"timeoutSeconds": 60}})
    release.wait()
    assert data(release) == before
    release.kube.helm("rollback", release.name, "1")
    release.wait()
    assert data(release) == before


def test_a_component_switched_on_later_gets_its_key_and_the_others_stay(release: Release) -> None:
    before = data(release)
    release.apply({**release.values, "flower": {"enabled": True}})
    release.wait()
    after = data(release)
    assert set(after) == KEYS | {"flower-password"}
    assert {key: after[key] for key in before} == before


def test_the_job_may_touch_no_other_secret(release: Release) -> None:
    who = f"system:serviceaccount:{release.kube.environment.namespace}:celery-secret"
    release.kube.kubectl("create", "secret", "generic", "other")
    allowed = [("get", "secrets/celery"), ("patch", "secrets/celery")]
    refused = [("get", "secrets/other"), ("patch", "secrets/other"), ("list", "secrets"), ("delete", "secrets/celery")]
    for verb, target in allowed:
        assert can(release, who, verb, target) == "yes"
    for verb, target in refused:
        assert can(release, who, verb, target) == "no", f"{verb} {target}"


def can(release: Release, who: str, verb: str, target: str) -> str:
    # Exits with 1 for "no".
    command = [*release.kube.command, "auth", "can-i", verb, target, "--as", who]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()
