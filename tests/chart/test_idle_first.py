"""Scale-in takes idle pods first where a group asks for it, and nobody gets more rights for that than it needs."""

from __future__ import annotations

from typing import Any

import pytest

from app.runtime import Options
from tests.chart.test_network import Peer, allowed, pod
from tests.support.helm import NAMESPACE, PREFIX, Objects, container, environment, render, values_of

NAME = f"{PREFIX}-worker-email"
API_SERVER = Peer(address="10.96.0.1")


def asked(**email: Any) -> Objects:
    """Return the defaults with `autoscaling.idleFirst` of the group email, and what else is said of it."""
    return render({"workers": {"groups": {"email": {"autoscaling": {"idleFirst": True}, **email}}}})


def rights(objects: Objects) -> dict[str, Any]:
    """Return what each service account may do, the Job's of the Secret left out."""
    return {
        subject["name"]: objects["Role", binding["roleRef"]["name"]]["rules"]
        for name, binding in objects.of("RoleBinding").items()
        for subject in binding["subjects"]
        if name != f"{PREFIX}-secret"
    }


def variables(objects: Objects, group: str) -> dict[str, Any]:
    return environment(container(objects.worker(group), "worker"))


def test_by_default_no_worker_may_do_anything_in_the_cluster() -> None:
    assert rights(render()) == {}


def test_a_group_that_asks_for_it_may_patch_the_status_of_pods_and_nothing_else() -> None:
    assert rights(asked()) == {NAME: [{"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]}]}


def test_the_right_is_for_the_namespace_alone() -> None:
    objects = asked()
    (subject,) = objects["RoleBinding", NAME]["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    assert objects.of("ClusterRole", "ClusterRoleBinding") == {}


def test_it_changes_nobody_else() -> None:
    before, after = render(), asked()
    assert set(after) - set(before) == {("Role", NAME), ("RoleBinding", NAME)}
    assert {key for key in before if before[key] != after[key]} == {("Deployment", NAME)}


def test_its_workers_run_under_an_account_of_their_own() -> None:
    objects = asked()
    users = [name for name, pod in objects.pods.items() if pod["spec"].get("serviceAccountName") == NAME]
    assert users == [NAME]
    assert objects["ServiceAccount", NAME]["automountServiceAccountToken"] is False, "a pod asks for the token itself"


def test_an_account_that_is_there_already_gets_the_right() -> None:
    objects = asked(serviceAccount={"name": "mailer"})
    assert set(rights(objects)) == {"mailer"}
    assert objects.pods[NAME]["spec"]["serviceAccountName"] == "mailer"
    assert ("ServiceAccount", NAME) not in objects


def test_only_its_pods_have_a_token() -> None:
    tokens = {name: pod["spec"]["automountServiceAccountToken"] for name, pod in asked().pods.items()}
    assert {name for name, token in tokens.items() if token} - {*asked().of("Job")} == {NAME}


def test_its_workers_are_told_and_know_which_pod_is_theirs() -> None:
    objects = asked()
    found = variables(objects, "email")
    assert found["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert Options.from_environment({"CELERY_POD_DELETION_COST": found["CELERY_POD_DELETION_COST"]}).deletion_cost
    assert not {"POD_NAME", "CELERY_POD_DELETION_COST"} & set(variables(objects, "report"))


def test_every_group_can_ask_for_it_at_once() -> None:
    objects = render({"workers": {"defaults": {"autoscaling": {"idleFirst": True}}}})
    assert set(rights(objects)) == {f"{PREFIX}-worker-{group}" for group in objects.groups}


@pytest.mark.parametrize("case", ["defaults", "everything"])
def test_its_workers_reach_the_api_server(case: str) -> None:
    objects = render(values_of(case))
    assert allowed(objects, pod(objects, "worker-email"), API_SERVER, 443)
