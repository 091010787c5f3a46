"""Renders a chart with the real Helm; what `render` returns is valid for the newest Kubernetes, or the test failed."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts import toolbox
from scripts.versions import ROOT, pinned
from tests.support import kubernetes

CHART = ROOT / "helm" / "celery"
MONITORING = ROOT / "helm" / "monitoring"
TEMPLATES = sorted(path for path in (CHART / "templates").rglob("*") if path.is_file())
# Files of values that come with the chart, by their names.
EXAMPLES = {path.parent.name: path for path in sorted(CHART.glob("examples/*/values.yaml"))}
ENVIRONMENTS = {path.stem: path for path in sorted(CHART.glob("environments/*.yaml")) if path.name != "contexts.yaml"}
RELEASE, NAMESPACE = "shop", "tasks"
# What the names of the release's objects begin with.
PREFIX = f"{RELEASE}-celery"
# The one value without a default, of each chart.
LOGIN = {"grafana": {"existingSecret": "grafana-login"}}
IMAGE = {"image": {"repository": "registry.example.com/shop"}}
# Every value of the chart, by the names of the chart's own file.
DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

Thing = dict[str, Any]


class Objects(dict[tuple[str, str], Thing]):
    """Kubernetes objects by kind and name; `sources` has the template that each came from."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.sources: dict[tuple[str, str], str] = {}
        for document in text.split("\n---\n"):
            thing = yaml.load(document, yaml.CSafeLoader)
            if thing is None:
                continue
            key = (thing["kind"], thing["metadata"]["name"])
            assert key not in self, f"{key[0]}/{key[1]} is rendered twice"
            self[key] = thing
            self.sources[key] = document.partition("# Source: ")[2].partition("\n")[0]

    def of(self, *kinds: str) -> dict[str, Thing]:
        """Return the objects of some kinds by name."""
        return {name: thing for (kind, name), thing in self.items() if kind in kinds}

    @property
    def workloads(self) -> dict[str, Thing]:
        """What runs for ever."""
        return self.of("Deployment", "StatefulSet")

    @property
    def pods(self) -> dict[str, Thing]:
        """The pod of each workload, Job and test by the workload's name, as {metadata, spec}."""
        templates = {name: thing["spec"]["template"] for name, thing in {**self.workloads, **self.of("Job")}.items()}
        return templates | self.of("Pod")

    @property
    def containers(self) -> dict[str, Thing]:
        """Every container, those that run before and beside the main one too, by `<workload>/<container>`."""
        return {
            f"{name}/{container['name']}": container
            for name, pod in self.pods.items()
            for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
        }

    def worker(self, group: str) -> Thing:
        """Return a group's Deployment."""
        return self["Deployment", f"{PREFIX}-worker-{group}"]

    @property
    def groups(self) -> set[str]:
        """The names of the worker groups that are deployed."""
        return {thing["metadata"]["labels"].get("worker-group") for thing in self.of("Deployment").values()} - {None}


def container(workload: Thing, name: str) -> Thing:
    """Return a workload's container by its name."""
    spec = workload["spec"]["template"]["spec"]
    return next(item for item in spec["containers"] if item["name"] == name)


def environment(container: Thing) -> dict[str, Any]:
    """Return a container's variables: the value, or where it comes from."""
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def merged(layers: Iterable[Mapping[str, Any]]) -> Thing:
    """Return values of several files as Helm folds them: maps merge, anything else is replaced by what comes later."""
    found: Thing = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
            found[key] = merged([found[key], value]) if both else value
    return found


def values_of(case: str) -> Thing:
    """Return the values of an example or an environment by its name; `defaults` are the chart's own."""
    if case == "defaults":
        return {}
    found: Thing = yaml.safe_load({**EXAMPLES, **ENVIRONMENTS}[case].read_text(encoding="utf-8"))
    return found


def run(
    values: Mapping[str, Any],
    *,
    chart: Path = CHART,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
    helm: str = "helm",
) -> subprocess.CompletedProcess[str]:
    """Run `helm template` with `values`, for helm/celery with its one necessary value too, and return how it ended."""
    command = [str(_tool(helm)), "template", release, str(chart), "--namespace", namespace, "--values", "-"]
    command += ["--kube-version", pinned("KUBERNETES_VERSION")]
    text = json.dumps({**(IMAGE if chart == CHART else {}), **values})
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)


def text(values: Mapping[str, Any] | None = None, **options: Any) -> str:
    """Return what Helm renders, as text; `options` are those of `run`."""
    ran = run(values or {}, **options)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def render(values: Mapping[str, Any] | None = None, **options: Any) -> Objects:
    """Return the rendered objects, each checked against Kubernetes; `options` are those of `run`."""
    return _render(json.dumps(values or {}), tuple(sorted(options.items())))


@functools.cache
def _render(values: str, options: tuple[tuple[str, Any], ...]) -> Objects:
    objects = Objects(text(json.loads(values), **dict(options)))
    for key, thing in objects.items():
        try:
            kubernetes.check(thing)
        except kubernetes.UnknownKind:
            # What users add is of any kind.
            if Path(objects.sources[key]).name != "extra.yaml":
                raise
    return objects


def refusal(values: Mapping[str, Any], **options: Any) -> str:
    """Return Helm's words for values that it must not render."""
    ran = run(values, **options)
    assert ran.returncode != 0, "these values can't work, and were rendered"
    return ran.stderr


@functools.cache
def _tool(name: str) -> Path:
    return toolbox.find(name)


def leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each path of nested mappings that ends in something else, or in an empty mapping."""
    if isinstance(tree, Mapping) and tree:
        for key, below in tree.items():
            yield from leaves(below, (*path, key))
    else:
        yield path, tree
