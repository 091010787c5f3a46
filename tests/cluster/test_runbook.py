"""The commands of docs/runbook.md work as they stand there, with the functions that it begins with."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable

import pytest

from scripts import toolbox
from tests.conftest import ROOT
from tests.support.cluster import Release
from tests.support.stack import until

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
(FUNCTIONS,) = re.findall(r"```sh\n(.*?)```", RUNBOOK, re.DOTALL)
WRITTEN = sorted({" ".join(found.split()) for found in re.findall(r"`([kqr] [^`]+)`", RUNBOOK)})
# Not run, each for its reason.
LEFT_OUT = {
    "k scale": "a word in a sentence",
    "k logs": "a word in a sentence",
    "k logs POD --previous": "nothing has died here",
    "k scale deployment/celery-worker-email --replicas 10": "more than this machine has room for",
    "q replay report ID": "no task is dead here: tests/unit/test_queue_cli.py",
    "q discard report ID": "no task is dead here: tests/unit/test_queue_cli.py",
    "r --latency-history -i 1": "it never ends",
}
COMMANDS = [command for command in WRITTEN if command not in LEFT_OUT]
# The pods of these are to be left alone until the others have been asked.
CHANGING = re.compile(r"^k (delete|rollout|scale)|^q (purge|pause|resume)")


@pytest.fixture(scope="module")
def release(releases: Callable[..., Release]) -> Release:
    """A release with all that the runbook speaks of; email and report scale with KEDA."""
    release = releases()
    group = {"autoscaling": {"engine": "keda", "minReplicas": 1, "maxReplicas": 2}}
    groups = {name: {"queues": [name], **group} for name in ("email", "report")}
    values = {"workers": {"exampleGroups": groups}, "api": {"enabled": True}, "exporter": {"enabled": True}}
    release.install({**values, "metrics": {"enabled": True}})
    return release


def test_what_is_left_out_still_stands_there() -> None:
    assert set(LEFT_OUT) <= set(WRITTEN)
    assert len(COMMANDS) > 35


@pytest.mark.parametrize("command", sorted(COMMANDS, key=lambda command: bool(CHANGING.search(command))))
def test_a_command_works(release: Release, command: str) -> None:
    names = {"POD": release.pods("worker", "email")[0]["metadata"]["name"], "NAME": "keda-hpa-celery-worker-email"}
    if command.startswith("k delete pod"):
        names["NAME"] = names["POD"]
    filled = re.sub(r"\b(POD|NAME)\b", lambda found: names[found[0]], command)
    if command.startswith("k top"):
        # metrics-server looks at a new pod once in 15 s.
        until(lambda: ran(release, filled).returncode == 0, 90, "there are measurements")
    # What grep finds depends on the day.
    done = ran(release, filled.partition(" | grep")[0])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() or filled.startswith(("q ", "k logs ")), f"{filled} says nothing: {done.stderr}"
    # redis-cli ends well when Redis refuses.
    assert not (filled.startswith("r ") and re.search(r"NOPERM|NOAUTH|\(error\)|^ERR", done.stdout, re.MULTILINE))


def ran(release: Release, command: str) -> subprocess.CompletedProcess[str]:
    environment = release.kube.environment
    functions = FUNCTIONS.replace(
        "kubectl --namespace celery", f"kubectl --context {environment.context} --namespace {environment.namespace}"
    )
    script = f"set -o pipefail\n{functions}\n{command}"
    surroundings = {**os.environ, "PATH": toolbox.on_path("kubectl")}
    # What `purge` asks for; the others don't read it.
    return subprocess.run(
        ["bash", "-c", script], input="email\n", env=surroundings, capture_output=True, text=True, timeout=120
    )
