"""Kubectl and Helm, bound to an environment's context and namespace, and no other."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import yaml

from scripts import toolbox
from scripts.deploy.environment import Environment
from scripts.refused import Refused

# Seconds that one answer of the API server may take.
ANSWERS_WITHIN = 20


class Kube:
    """What is said to one namespace of one cluster; `helm` is the tool's name in scripts.toolbox."""

    def __init__(self, environment: Environment, helm: str = "helm") -> None:
        self.environment = environment
        scope = ("--namespace", environment.namespace)
        self.command = (str(toolbox.find("kubectl")), "--context", environment.context, *scope)
        self._helm = (str(toolbox.find(helm)), "--kube-context", environment.context, *scope)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 0) -> str:
        """Return what kubectl prints. Raises Refused with what it says when it fails.

        `timeout`: seconds for verbs that wait; without it each request has ANSWERS_WITHIN.
        """
        bound = () if timeout else (f"--request-timeout={ANSWERS_WITHIN}s",)
        return _answer([*self.command, *bound, *arguments], stdin, timeout or 6 * ANSWERS_WITHIN)

    def json(self, *arguments: str) -> Any:
        """Return kubectl's answer as an object. Raises Refused."""
        return json.loads(self.kubectl(*arguments, "--output", "json"))

    def items(self, kinds: str, **labels: str) -> list[dict[str, Any]]:
        """Return the release's objects of some kinds (comma separated), with further labels if wanted."""
        selector = {"app.kubernetes.io/instance": self.environment.release, **labels}
        text = ",".join(f"{key}={value}" for key, value in selector.items())
        return list(self.json("get", kinds, "--selector", text)["items"])

    def helm(self, *arguments: str, stdin: str | None = None, timeout: float = 300) -> str:
        """Return what Helm prints. Raises Refused with what it says when it fails. `timeout` is seconds."""
        return _answer([*self._helm, *arguments], stdin, timeout)

    def template(self, *options: str) -> list[dict[str, Any]]:
        """Return the objects that the chart makes of Helm's `options` for this cluster. Raises Refused."""
        # Unasked, Helm takes the version that it was built for.
        version = self.json("version")["serverVersion"]["gitVersion"]
        text = self.helm(
            "template", self.environment.release, str(self.environment.chart), "--kube-version", version, *options
        )
        return [document for document in yaml.safe_load_all(text) if document]


def _answer(command: list[str], stdin: str | None, timeout: float) -> str:
    try:
        # Never this terminal's stdin: kubectl would ask for a user's name there, and nobody sees the question.
        done = subprocess.run(command, input=stdin or "", capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Refused(f"{command[0].rpartition('/')[2]} had no answer within {timeout:.0f} s.") from None
    if done.returncode:
        raise Refused((done.stderr.strip() or done.stdout.strip()).removeprefix("Error: "))
    return done.stdout
