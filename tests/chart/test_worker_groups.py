"""A worker group states what differs from the defaults, and is one Deployment."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.helm import DEFAULTS, Objects, container, environment, render

OWN = {"app": {"module": "shop.celery"}}
EXAMPLE = set(DEFAULTS["workers"]["exampleGroups"])


def groups(**entries: Any) -> dict[str, Any]:
    return {"workers": {"groups": entries}}


def command(objects: Objects, group: str) -> list[str]:
    found: list[str] = container(objects.worker(group), "worker")["command"]
    return found


def test_a_group_inherits_what_it_does_not_state() -> None:
    objects = render(
        {"workers": {"defaults": {"concurrency": 7, "priorityClassName": "low"}, "groups": {"mail": {"queues": ["m"]}}}}
    )
    assert command(objects, "mail")[command(objects, "mail").index("-c") + 1] == "7"
    assert objects.worker("mail")["spec"]["template"]["spec"]["priorityClassName"] == "low"
    assert command(objects, "email")[command(objects, "email").index("-c") + 1] == "2", "the email group states its own"


@pytest.mark.parametrize(
    ("name", "default", "own", "shown"),
    [
        ("safeToEvict", False, True, lambda pod: "karpenter.sh/do-not-disrupt" not in pod["metadata"]["annotations"]),
        (
            "maxTasksPerChild",
            9,
            0,
            lambda pod: "--max-tasks-per-child" not in pod["spec"]["containers"][0]["command"],
        ),
        ("priorityClassName", "low", "", lambda pod: "priorityClassName" not in pod["spec"]),
        (
            "tolerations",
            [{"key": "a", "operator": "Exists"}],
            [],
            lambda pod: "tolerations" not in pod["spec"],
        ),
        (
            "topologySpreadConstraints",
            DEFAULTS["workers"]["defaults"]["topologySpreadConstraints"],
            [],
            lambda pod: "topologySpreadConstraints" not in pod["spec"],
        ),
    ],
)
def test_what_is_false_zero_or_empty_overrides_too(name: str, default: Any, own: Any, shown: Any) -> None:
    objects = render({"workers": {"defaults": {name: default}, "groups": {"email": {name: own}}}})
    assert shown(objects.worker("email")["spec"]["template"])
    assert not shown(objects.worker("high")["spec"]["template"])


def test_replicas_may_be_zero() -> None:
    assert render(groups(email={"replicas": 0})).worker("email")["spec"]["replicas"] == 0


def test_maps_merge_and_lists_replace() -> None:
    tolerations = {name: [{"key": name, "operator": "Exists"}] for name in ("a", "b")}
    objects = render(
        {
            "workers": {
                "defaults": {"nodeSelector": {"zone": "1"}, "env": {"A": "1"}, "tolerations": tolerations["a"]},
                "groups": {
                    "email": {"nodeSelector": {"disk": "ssd"}, "env": {"B": "2"}, "tolerations": tolerations["b"]}
                },
            }
        }
    )
    pod = objects.worker("email")["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"zone": "1", "disk": "ssd"}
    assert pod["tolerations"] == tolerations["b"]
    env = environment(container(objects.worker("email"), "worker"))
    assert (env["A"], env["B"]) == ("1", "2")
    assert "B" not in environment(container(objects.worker("high"), "worker"))


def test_a_group_is_added_by_naming_its_queues() -> None:
    objects = render(groups(exports={"queues": ["exports", "imports"]}))
    assert objects.groups == EXAMPLE | {"exports"}
    assert command(objects, "exports")[command(objects, "exports").index("-Q") + 1] == "exports,imports"
    test = objects["Pod", "shop-celery-test"]["spec"]["containers"][0]["command"]
    assert "exports=exports,imports" in test


def test_a_group_of_the_example_is_taken_away_by_null() -> None:
    assert render({"workers": {"exampleGroups": {"email": None}}}).groups == EXAMPLE - {"email"}


def test_the_examples_groups_and_api_go_with_the_example() -> None:
    objects = render(OWN)
    assert objects.groups == {"default"}
    assert command(objects, "default")[:3] == ["celery", "-A", "shop.celery"]
    assert command(objects, "default")[command(objects, "default").index("-Q") + 1] == "celery"
    assert [name for name in objects.workloads if "api" in name] == []


@pytest.mark.parametrize("name", sorted(EXAMPLE))
def test_an_own_group_may_have_the_name_and_the_queue_of_one_of_the_examples(name: str) -> None:
    """The example's entry must neither take it along when it goes, nor leave it a setting."""
    objects = render({**OWN, **groups(**{name: {"queues": [name]}})})
    assert objects.groups == {name}
    assert command(objects, name)[command(objects, name).index("-c") + 1] == "4"
    assert objects.worker(name)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 630


def test_an_own_api_comes_with_its_module() -> None:
    objects = render({**OWN, "api": {"module": "shop.web:app"}})
    assert "shop.web:app" in container(objects["Deployment", "shop-celery-api"], "api")["command"]


def test_a_plain_application_gets_the_time_limit_and_nothing_that_only_the_runtime_knows() -> None:
    worker = container(render(OWN).worker("default"), "worker")
    assert worker["command"][worker["command"].index("--time-limit") + 1] == "600"
    assert worker["command"][worker["command"].index("--soft-time-limit") + 1] == "570"
    assert {name for name in environment(worker) if name.startswith("CELERY_")} == {
        "CELERY_BROKER_PASSWORD",
        "CELERY_BROKER_URL",
        "CELERY_RESULT_BACKEND",
        "CELERY_WORKER_GROUP",
        "CELERY_WORKER_CONCURRENCY",
        "CELERY_TIME_LIMIT_SECONDS",
    }


@pytest.mark.parametrize(
    ("group", "request_mib", "limit_mib"),
    [
        ({"concurrency": 1}, 112, 224),
        ({"concurrency": 8}, 448, 896),
        ({"concurrency": 4, "maxMemoryPerChildMiB": 200}, 864, 1728),
        ({"pool": "threads", "unboundedPool": True, "concurrency": 100}, 96, 192),
    ],
    ids=str,
)
def test_memory_follows_from_pool_and_concurrency(group: dict[str, Any], request_mib: int, limit_mib: int) -> None:
    resources = container(render(groups(email=group)).worker("email"), "worker")["resources"]
    assert resources["requests"]["memory"] == f"{request_mib}Mi"
    assert resources["limits"]["memory"] == f"{limit_mib}Mi"


def test_given_memory_wins() -> None:
    given = {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi", "cpu": "2"}}
    resources = container(render(groups(email={"resources": given})).worker("email"), "worker")["resources"]
    assert resources == {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "2Gi", "cpu": "2"}}


def test_a_spread_without_a_selector_gets_the_groups_own(everything: Objects) -> None:
    for group in everything.groups:
        workload = everything.worker(group)
        (spread,) = workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"] == workload["spec"]["selector"], group


def test_a_group_may_be_recreated_although_the_default_rolls(everything: Objects) -> None:
    assert everything.worker("report")["spec"]["strategy"] == {"type": "Recreate"}
    assert everything.worker("high")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
