"""Secrets: given, or made once in the cluster; never in a rendered object."""

from __future__ import annotations

import re

import pytest

from tests.support.helm import PREFIX, Objects, render

GIVEN = {
    "broker": {"existingSecret": "given"},
    "flower": {"existingSecret": "given"},
    "api": {"existingSecret": "given"},
}
SECRETS = {"broker-password", "scaler-password", "probe-password", "flower-password", "api-token"}


def references(objects: Objects) -> dict[str, set[str]]:
    """Return the keys that pods take of each Secret by its name, as variables or as files."""
    found: dict[str, set[str]] = {}
    for container in objects.containers.values():
        for item in container.get("env", []):
            if "secretKeyRef" in item.get("valueFrom", {}):
                reference = item["valueFrom"]["secretKeyRef"]
                found.setdefault(reference["name"], set()).add(reference["key"])
    for pod in objects.pods.values():
        for volume in pod["spec"].get("volumes", []):
            if "secret" in volume:
                keys = {item["key"] for item in volume["secret"].get("items", [])}
                found.setdefault(volume["secret"]["secretName"], set()).update(keys)
    return found


def filled(objects: Objects) -> list[str]:
    """Return the keys that the Job fills."""
    (job,) = objects.of("Job").values()
    command: list[str] = job["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[:4] == ["python", "/scripts/fill_secret.py", "tasks", PREFIX]
    return command[4:]


def test_the_secret_is_rendered_without_data(objects: Objects) -> None:
    for name, secret in objects.of("Secret").items():
        assert not {"data", "stringData"} & set(secret), name


def test_the_job_fills_every_key_that_a_pod_takes_of_it(objects: Objects) -> None:
    if objects.of("Job"):
        assert references(objects)[PREFIX] <= set(filled(objects))


def test_it_fills_all_of_them_by_default() -> None:
    assert set(filled(render())) == SECRETS == references(render())[PREFIX]


@pytest.mark.parametrize(
    ("component", "left"),
    [
        ("broker", {"flower-password", "api-token"}),
        ("flower", SECRETS - {"flower-password"}),
        ("api", SECRETS - {"api-token"}),
    ],
)
def test_a_given_secret_takes_its_keys_off_the_job(component: str, left: set[str]) -> None:
    objects = render({component: GIVEN[component]})
    assert set(filled(objects)) == left
    assert references(objects)["given"] == SECRETS - left


def test_with_every_secret_given_nothing_is_made_and_nobody_may_write_one() -> None:
    objects = render(GIVEN)
    assert objects.of("Job", "Role", "RoleBinding") == {}
    assert [name for _, name in objects if name.startswith(f"{PREFIX}-secret")] == []
    assert references(objects) == {"given": SECRETS}


def test_the_releases_secret_outlives_a_try_with_others() -> None:
    # Without a change of the pods' templates nothing would restart with passwords made anew.
    assert render(GIVEN).of("Secret") == render({}).of("Secret")


def test_the_jobs_name_follows_from_what_it_does() -> None:
    (name,), (same,) = render().of("Job"), render({"beat": {"lockSeconds": 60}}).of("Job")
    (other,) = render({"flower": {"existingSecret": "given"}}).of("Job")
    (newer,) = render({"image": {"repository": "registry.example.com/shop", "tag": "2"}}).of("Job")
    assert name == same
    assert len({name, other, newer}) == 3
    assert re.fullmatch(rf"{PREFIX}-secret-[0-9a-f]{{8}}", name)


def test_the_job_may_read_and_patch_the_one_secret_and_nothing_else() -> None:
    role = render()["Role", f"{PREFIX}-secret"]
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [PREFIX], "verbs": ["get", "patch"]}
    ]
    binding = render()["RoleBinding", f"{PREFIX}-secret"]
    assert binding["roleRef"]["name"] == f"{PREFIX}-secret"
    (job,) = render().of("Job").values()
    assert [subject["name"] for subject in binding["subjects"]] == [
        job["spec"]["template"]["spec"]["serviceAccountName"]
    ]


def test_no_hook_makes_it_so_that_other_installers_do_too() -> None:
    for (kind, name), thing in render().items():
        hooks = [key for key in thing["metadata"].get("annotations", {}) if key.startswith("helm.sh/hook")]
        # The policy of the test's pod is there before the pod.
        assert bool(hooks) == (name == f"{PREFIX}-test" and kind != "NetworkPolicy"), f"{kind}/{name}"


def test_no_password_stands_in_a_variable_an_argument_or_a_configmap(objects: Objects) -> None:
    secret = re.compile(r"password|token|secret", re.IGNORECASE)
    for name, container in objects.containers.items():
        for item in container.get("env", []):
            if secret.search(item["name"]):
                assert set(item) == {"name", "valueFrom"}, f"{name} {item['name']}"
            login = re.search(r"//[^/@]*:([^/@]*)@", item.get("value", "")) or re.search(
                r"^flower:(.*)", item.get("value", "")
            )
            assert login is None or re.fullmatch(r"\$\([A-Z_]+\)", login[1]), f"{name} {item['name']}"
        words = [word for word in [*container.get("command", []), *container.get("args", [])] if "$(" in word]
        assert all("PASSWORD" not in word and "TOKEN" not in word for word in words), name
    for name, thing in objects.of("ConfigMap").items():
        for key, text in thing["data"].items():
            assert not re.search(r"^(requirepass|masterauth)\b", text, re.MULTILINE), f"{name} {key}"
            assert not re.search(r"[ #>][0-9a-f]{64}\b", text), f"{name} {key} has a hash of a password"
