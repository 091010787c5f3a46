"""The chart says again, in its own language, what the application and the local stack say: here they are compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import app
from app.config import Settings
from app.queues import GROUPS
from app.runtime.health import FILES
from app.runtime.metrics.numbers import BUCKETS
from scripts.stack.place import PORTS, Place
from scripts.stack.process import Process
from scripts.stack.processes import STOP_MARGIN, describe, worker_environment
from scripts.versions import pinned
from tests.conftest import ROOT
from tests.support.helm import (
    CHART,
    DEFAULTS,
    PREFIX,
    TEMPLATES,
    Objects,
    container,
    environment,
    leaves,
    render,
    values_of,
)

SCHEMA = yaml.safe_load((CHART / "values.schema.json").read_text(encoding="utf-8"))
TEXTS = {str(path.relative_to(CHART)): path.read_text(encoding="utf-8") for path in TEMPLATES}
# What the chart sets for others than the application: for Flower, and the passwords that become part of a URL.
NOT_OURS = {"CELERY_BROKER_PASSWORD", "POD_NAME", "REMAP_SIGTERM", "REDISCLI_AUTH", "PYTHONPATH"}
EXPORTER = {"exporter": {"enabled": True}}


@pytest.fixture
def stack(tmp_path: Path) -> dict[str, Process]:
    """The local stack's processes, on the ports of their defaults."""
    place = Place(tmp_path, {name: port for name, (_, port) in PORTS.items()})
    place.prepare()
    return {process.name: process for process in describe(place, {})}


def local(process: Process) -> list[str]:
    """Return a process's command as the chart's image runs it: found on PATH, and reached from outside of the pod."""
    command = [re.sub(r"127\.0\.0\.1", "0.0.0.0", word) for word in process.command]
    return command[2:] if command[2] == "celery" else ["python", *command[1:]]


def main(objects: Objects, name: str) -> dict[str, Any]:
    """Return the main container of a component."""
    return container(objects["Deployment", f"{PREFIX}-{name}"], name.partition("-")[0])


def test_the_worker_groups_are_those_of_the_application() -> None:
    defaults, groups = DEFAULTS["workers"]["defaults"], DEFAULTS["workers"]["exampleGroups"]
    found = {name: {**defaults, **group} for name, group in groups.items()}
    assert {
        name: (tuple(group["queues"]), group["concurrency"], group["timeLimitSeconds"]) for name, group in found.items()
    } == {name: (group.queues, group.concurrency, group.time_limit) for name, group in GROUPS.items()}


@pytest.mark.parametrize("name", [*(f"worker-{group}" for group in GROUPS), "beat", "flower", "api", "exporter"])
def test_the_chart_runs_the_command_that_the_local_stack_runs(stack: dict[str, Process], name: str) -> None:
    assert main(render(EXPORTER), name)["command"] == local(stack[name])


@pytest.mark.parametrize("group", GROUPS)
def test_a_worker_has_the_variables_that_make_it_one_of_its_group(group: str) -> None:
    wanted = worker_environment(GROUPS[group], "/run/celery")
    found = environment(main(render(), f"worker-{group}"))
    assert {name: found.get(name) for name in wanted} == wanted


def test_flower_is_set_up_as_in_the_local_stack(stack: dict[str, Process]) -> None:
    there, found = stack["flower"].environment, environment(main(render(), "flower"))
    names = {name for name in there if name.startswith("FLOWER_")}
    assert names <= set(found)
    same = names - {"FLOWER_BASIC_AUTH", "FLOWER_DB"}
    assert {name: found[name] for name in same} == {name: there[name] for name in same}


def test_the_exporter_knows_the_same_groups_as_in_the_local_stack(stack: dict[str, Process]) -> None:
    there, found = stack["exporter"].environment, environment(main(render(EXPORTER), "exporter"))
    assert json.loads(found["EXPORTER_GROUPS"]) == json.loads(there["EXPORTER_GROUPS"])
    assert found["EXPORTER_PORT"] == there["EXPORTER_PORT"]


def test_a_worker_that_is_stopped_has_the_same_patience(stack: dict[str, Process]) -> None:
    objects = render()
    for group in GROUPS:
        pod = objects.worker(group)["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] == stack[f"worker-{group}"].stop_within
        assert pod["terminationGracePeriodSeconds"] == GROUPS[group].time_limit + STOP_MARGIN


@pytest.mark.parametrize(("component", "name"), [("worker", "worker-email"), ("beat", "beat")])
def test_a_probe_asks_for_the_file_and_the_age_that_the_runtime_knows(component: str, name: str) -> None:
    command = main(render(), name)["livenessProbe"]["exec"]["command"][-1]
    found = re.search(r'find /run/celery/(\w+) -newermt "-(\d+) seconds"', command)
    assert found
    assert (found[1], float(found[2])) == FILES[component]


@pytest.mark.parametrize("name", ["api", "flower", "exporter"])
def test_a_port_is_the_local_stacks(name: str) -> None:
    (port,) = main(render(EXPORTER), name)["ports"]
    assert port["containerPort"] == PORTS[name][1] == DEFAULTS[name]["service"]["port"]


def test_the_chart_is_of_the_applications_version() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert about["appVersion"] == about["version"] == app.__version__
    assert main(render(), "beat")["image"].endswith(f":{app.__version__}")


def test_the_images_are_the_pinned_ones() -> None:
    def image(values: dict[str, Any]) -> str:
        return f"{values['repository']}:{values['tag']}"

    assert image(DEFAULTS["broker"]["image"]) == pinned("REDIS_IMAGE")
    assert image(values_of("everything")["broker"]["image"]) == pinned("VALKEY_IMAGE")
    assert image(DEFAULTS["exporter"]["image"]) == pinned("CELERY_EXPORTER_IMAGE")


def test_pods_run_as_the_user_that_the_image_has() -> None:
    dockerfile = (ROOT / "docker" / "app.Dockerfile").read_text(encoding="utf-8")
    user = re.findall(r"^USER (\d+)(?::(\d+))?", dockerfile, re.MULTILINE)[-1]
    security = DEFAULTS["podSecurityContext"]
    assert user == (str(security["runAsUser"]), str(security["runAsGroup"]))


@pytest.mark.parametrize("case", ["defaults", "scale-to-zero", "everything", "external-redis-with-tls"])
def test_the_application_takes_every_variable_that_the_chart_gives_it(case: str, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("", encoding="utf-8")
    known = {item.metadata["name"] for item in fields(Settings)}
    for name, item in render(values_of(case)).containers.items():
        if "CELERY_BROKER_URL" not in str(item.get("env")):
            continue
        found = {key: "x" if isinstance(value, dict) else value for key, value in environment(item).items()}
        assert {key for key in found if not key.startswith(("FLOWER_", "EXPORTER_"))} - known - NOT_OURS == set(), name
        text = {key: value.replace("/etc/celery/broker-tls", str(tmp_path)) for key, value in found.items()}
        Settings.from_environment(text)


def schema_paths(schema: Any, path: tuple[str, ...] = (), definitions: Any = None) -> Iterator[tuple[str, ...]]:
    """Yield the path of each key that the schema knows by name."""
    definitions = definitions or schema["$defs"]
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "properties" in schema:
        for key, below in schema["properties"].items():
            yield from schema_paths(below, (*path, key), definitions)
    else:
        yield path


def test_the_schema_knows_the_keys_of_the_values_and_no_others() -> None:
    # Umbrella charts bring `global` and `enabled`; what stands below these is Kubernetes', or named by the user.
    opened = {("global",), ("enabled",), ("workers", "groups"), ("workers", "exampleGroups")}

    def cut(path: tuple[str, ...]) -> tuple[str, ...]:
        for number, key in enumerate(path):
            if key in ("requests", "limits", "claims", "exampleGroups"):
                return path[:number] if key == "claims" else path[: number + 1]
            if key in ("strategy", "behavior", "labels", "podSecurityContext", "containerSecurityContext"):
                return path[: number + 1]
        return path

    wanted = {cut(path) for path, _ in leaves(DEFAULTS)} - opened
    known = {cut(path) for path in schema_paths(SCHEMA)} - opened
    above = {path[:-1] for path in wanted}
    assert known - wanted - above == set(), "known to the schema only"
    assert wanted - known == set(), "unknown to the schema"


def test_a_group_may_say_what_the_defaults_say_and_its_queues() -> None:
    definitions = SCHEMA["$defs"]
    group, defaults = (definitions[name]["properties"] for name in ("workerGroup", "workerDefaults"))
    assert {name: rule for name, rule in group.items() if name != "queues"} == defaults
    assert set(defaults) == set(DEFAULTS["workers"]["defaults"])


def test_a_groups_objective_is_a_bound_by_which_the_workers_count_waits() -> None:
    allowed = SCHEMA["$defs"]["workerDefaults"]["properties"]["waitObjectiveSeconds"]["enum"]
    assert allowed == [bound for bound in BUCKETS if bound >= 1 and bound == int(bound)]


def closed(schema: Any) -> Iterator[str]:
    """Yield each part of the schema with named keys that would take others, too."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and schema.get("additionalProperties") is not False:
            yield str(schema)[:80]
        for below in schema.values():
            yield from closed(below)


def test_the_schema_is_closed_wherever_it_names_keys() -> None:
    assert list(closed(SCHEMA)) == []


@cache
def defines() -> dict[str, str]:
    """Return the comment before each define by the define's name; joint ones share it."""
    found: dict[str, str] = {}
    for text in TEXTS.values():
        comment = ""
        for part in re.finditer(r'\{\{/\*\n(.*?)\*/\}\}|define "([^"]+)"', text, re.DOTALL):
            comment = part[1] or comment
            if part[2]:
                found[part[2]] = comment
    return found


def test_every_define_says_what_it_is_and_takes() -> None:
    assert len(defines()) > 40
    assert [name for name, comment in defines().items() if name not in comment.partition(": ")[0]] == []
    assert [name for name, comment in defines().items() if "\nParams: " not in comment] == []


def test_every_define_is_used() -> None:
    code = re.sub(r"\{\{/\*.*?\*/\}\}", "", "\n".join(TEXTS.values()), flags=re.DOTALL)
    assert [name for name in defines() if f'include "{name}"' not in code] == []


def test_rendering_asks_nobody_and_rolls_no_dice() -> None:
    impure = (
        r"(?<![.\w])(lookup|now|rand\w+|uuidv4|gen[A-Z]\w+|getHostByName|env|expandenv)\b"
        r"|\.Capabilities\b|\.Release\.(Is|Rev)"
    )
    code = {
        name: re.findall(r"\{\{.*?\}\}", re.sub(r"\{\{-? ?/\*.*?\*/ ?-?\}\}", "", text, flags=re.DOTALL), re.DOTALL)
        for name, text in TEXTS.items()
        if not name.endswith("NOTES.txt")
    }
    assert [(name, call) for name, calls in code.items() for call in calls if re.search(impure, call)] == []
