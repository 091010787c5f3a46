"""Every pod passes Pod Security "restricted", asks for what it needs, and shows whether it lives."""

from __future__ import annotations

from typing import Any

from tests.support.helm import PREFIX, Objects, render


def failing(things: dict[str, Any], law: Any) -> list[str]:
    """Return the names of what breaks a law."""
    assert things, "there is nothing to look at"
    return [name for name, thing in things.items() if not law(thing)]


def test_no_pod_runs_as_root_or_shares_anything_with_its_node(objects: Objects) -> None:
    def law(pod: dict[str, Any]) -> bool:
        security = pod["spec"]["securityContext"]
        return (
            security["runAsNonRoot"] is True
            and security["runAsUser"] > 0
            and security["seccompProfile"] == {"type": "RuntimeDefault"}
            and not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])
            and not any("hostPath" in volume for volume in pod["spec"].get("volumes", []))
        )

    assert failing(objects.pods, law) == []


def test_no_container_may_gain_rights_or_write_to_its_root(objects: Objects) -> None:
    restricted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert failing(objects.containers, lambda item: item["securityContext"] == restricted) == []


def test_every_container_asks_for_cpu_and_memory_and_has_a_limit_of_memory(objects: Objects) -> None:
    def law(container: dict[str, Any]) -> bool:
        return {"cpu", "memory"} <= set(container["resources"]["requests"]) and "memory" in container["resources"][
            "limits"
        ]

    assert failing(objects.containers, law) == []


def test_a_pod_has_a_token_of_the_cluster_if_and_only_if_it_has_something_to_say_there(objects: Objects) -> None:
    """The Job that fills the Secret, and workers that write on their pod how much work they have."""
    with_token = {name for name, pod in objects.pods.items() if pod["spec"]["automountServiceAccountToken"]}
    jobs = {name for name in objects.of("Job") if name.startswith(f"{PREFIX}-secret-")}
    writers = {
        name.partition("/")[0]
        for name, container in objects.containers.items()
        if {"name": "CELERY_POD_DELETION_COST", "value": "true"} in container.get("env", [])
    }
    assert with_token == jobs | writers
    bound = {item["name"] for binding in objects.of("RoleBinding").values() for item in binding["subjects"]}
    assert {objects.pods[name]["spec"]["serviceAccountName"] for name in with_token} == bound
    accounts = objects.of("ServiceAccount")
    assert [name for name, account in accounts.items() if account["automountServiceAccountToken"] is not False] == []


def test_every_image_has_a_tag_or_a_digest_and_none_is_latest(objects: Objects) -> None:
    def law(container: dict[str, Any]) -> bool:
        name, _, tag = container["image"].rpartition(":")
        return bool(name) and bool(tag) and "/" not in tag and tag != "latest"

    assert failing(objects.containers, law) == []


def test_every_long_running_container_shows_whether_it_lives_and_takes_work(objects: Objects) -> None:
    """Without the runtime nothing touches the heartbeat files: such an application is probed at Flower and API only."""

    def law(container: dict[str, Any]) -> bool:
        plain = container["command"][0] == "celery" and "flower" not in container["command"]
        if plain and not any(item["name"] == "CELERY_HEARTBEAT_DIR" for item in container["env"]):
            return "livenessProbe" not in container
        ready = "readinessProbe" in container or container["name"] == "beat"
        return "startupProbe" in container and "livenessProbe" in container and ready

    components = ("worker", "beat", "flower", "exporter", "api", "broker")
    ours = {
        name: item
        for workload in objects.workloads
        for name, item in objects.containers.items()
        if name.partition("/")[0] == workload and item["name"] in components
    }
    assert failing(ours, law) == []


def test_no_variable_of_a_container_is_named_twice(objects: Objects) -> None:
    def law(container: dict[str, Any]) -> bool:
        names = [item["name"] for item in container.get("env", [])]
        return len(names) == len(set(names))

    assert failing(objects.containers, law) == []


def test_a_users_variable_takes_the_place_of_the_charts() -> None:
    own = {"LOG_LEVEL": "error", "PYTHONPATH": "/srv", "FLOWER_MAX_TASKS": 5}
    objects = render({"app": {"env": own}})
    for name, container in objects.containers.items():
        found = [item["value"] for item in container.get("env", []) if item["name"] == "LOG_LEVEL"]
        assert found == ([] if name.endswith(("/broker", "/secret")) else ["error"]), name
    flower = objects.containers[f"{PREFIX}-flower/flower"]
    assert {"name": "FLOWER_MAX_TASKS", "value": "10000"} in flower["env"], "a component's own is the closer one"
    for container in objects.containers.values():
        names = [item["name"] for item in container.get("env", [])]
        assert len(names) == len(set(names))


def test_numbers_and_words_that_yaml_takes_for_something_else_reach_a_process_as_written() -> None:
    own = {"BIG": 10000000, "ON": True, "NO": "no", "SHARE": 0.5, "TEXT": "1e3"}
    env = render({"app": {"env": own}}).containers[f"{PREFIX}-beat/beat"]["env"]
    found = {item["name"]: item.get("value") for item in env if item["name"] in own}
    assert found == {"BIG": "10000000", "ON": "true", "NO": "no", "SHARE": "0.5", "TEXT": "1e3"}


def test_volumes_that_are_mounted_are_there(objects: Objects) -> None:
    claims = {
        claim["metadata"]["name"]
        for item in objects.workloads.values()
        for claim in item["spec"].get("volumeClaimTemplates", [])
    }
    for name, pod in objects.pods.items():
        there = {volume["name"] for volume in pod["spec"].get("volumes", [])} | claims
        wanted = {mount["name"] for item in pod["spec"]["containers"] for mount in item.get("volumeMounts", [])}
        assert wanted <= there, name
