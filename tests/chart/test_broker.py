"""The broker: one of the release's own with queue semantics, or one that is there already."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.helm import PREFIX, Objects, container, environment, render

BROKER = f"{PREFIX}-broker"
CA = "/etc/celery/broker-tls/ca.crt"
OWN_TLS = {"tls": {"enabled": True, "existingSecret": "broker-tls"}}
SENTINELS = {"sentinel": {"masterName": "mymaster", "hosts": ["s0:26379", "s1:26379"]}}


def broker(**values: Any) -> Objects:
    """Return a release with these values of the broker, and a group that KEDA scales."""
    return render({"broker": values, "workers": {"groups": {"email": {"autoscaling": {"engine": "keda"}}}}})


def external(secret: str = "redis", **values: Any) -> Objects:
    return broker(external=values, existingSecret=secret)


def worker_environment(objects: Objects) -> dict[str, Any]:
    return environment(container(objects.worker("email"), "worker"))


def configuration(objects: Objects) -> dict[str, str]:
    lines = objects["ConfigMap", BROKER]["data"]["broker.conf"].splitlines()
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


def trigger(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = objects["ScaledObject", f"{PREFIX}-worker-email"]["spec"]["triggers"][0]
    return found


def test_a_full_broker_refuses_a_task_and_forgets_none() -> None:
    assert configuration(broker())["maxmemory-policy"] == "noeviction"


@pytest.mark.parametrize(("limit", "mib"), [("512Mi", 307), ("2Gi", 1228), ("1G", 571), (536870912, 307)])
def test_the_data_stay_below_the_memory_of_the_pod(limit: Any, mib: int) -> None:
    objects = broker(resources={"requests": {"memory": "64Mi"}, "limits": {"memory": limit}})
    assert configuration(objects)["maxmemory"] == f"{mib}mb"
    assert configuration(broker(maxmemoryPercent=50))["maxmemory"] == "256mb"


@pytest.mark.parametrize("policy", ["everysec", "always"])
def test_every_write_is_appended_and_synced_as_the_values_say(policy: str) -> None:
    found = configuration(broker(appendfsync=policy))
    assert (found["appendonly"], found["appendfsync"]) == ("yes", policy)


def test_the_volume_outlives_the_release() -> None:
    spec = broker(persistence={"size": "9Gi", "storageClass": "fast"})["StatefulSet", BROKER]["spec"]
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"] == {"requests": {"storage": "9Gi"}}
    assert claim["spec"]["storageClassName"] == "fast"
    assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(claim["metadata"]["labels"]), "it can't be changed"


def test_the_data_may_be_given_up() -> None:
    spec = broker(persistence={"enabled": False})["StatefulSet", BROKER]["spec"]
    assert "volumeClaimTemplates" not in spec
    assert {"name": "data", "emptyDir": {}} in spec["template"]["spec"]["volumes"]


def test_the_users_may_touch_the_releases_keys_and_no_others() -> None:
    users = broker(keyPrefix="shop:")["ConfigMap", BROKER]["data"]["users.acl"]
    default, _, others = users.partition("\n")
    # Off, so that nobody is it; and with every right, since Redis reads its own file as this user.
    assert default == "user default off resetpass ~* &* +@all"
    assert set(re.findall(r"[~&](\S+)", others)) == {
        "shop:*",
        "shop:/0.celery.pidbox",
        "shop:/0.celeryev/*",
        "shop:/0.celeryev/worker.*",
        "shop:celery-task*",
    }
    assert (
        "shop:/3.celery.pidbox"
        in broker(keyPrefix="shop:", databases={"broker": 3})["ConfigMap", BROKER]["data"]["users.acl"]
    )


def test_the_applications_urls_name_the_broker_and_not_its_password() -> None:
    env = worker_environment(broker())
    host = f"redis://app:$(CELERY_BROKER_PASSWORD)@{BROKER}.tasks.svc:6379"
    assert [env[name] for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "STORE_URL")] == [
        f"{host}/{number}" for number in range(3)
    ]
    assert list(env).index("CELERY_BROKER_PASSWORD") < list(env).index("CELERY_BROKER_URL"), "it is filled in in order"


def test_a_valkey_is_started_and_asked_by_its_own_programs() -> None:
    objects = broker(image={"repository": "valkey/valkey", "tag": "8.1.4-trixie"}, server="valkey-server")
    server = container(objects["StatefulSet", BROKER], "broker")
    assert server["command"][-1] == "valkey-server"
    assert "valkey-cli" in server["livenessProbe"]["exec"]["command"][-1]


def test_tls_of_the_own_broker_reaches_server_probes_clients_and_scaler() -> None:
    objects = broker(**OWN_TLS)
    found = configuration(objects)
    assert (found["port"], found["tls-port"]) == ("0", "6379")
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container(objects["StatefulSet", BROKER], "broker")[name]
        assert "--tls --cacert /etc/broker/tls/ca.crt" in probe["exec"]["command"][-1], name
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "STORE_URL"):
        url = urlsplit(worker_environment(objects)[name])
        assert url.scheme == "rediss"
        assert parse_qs(url.query) == {"ssl_cert_reqs": ["CERT_REQUIRED"], "ssl_ca_certs": [CA]}
    assert worker_environment(objects)["CELERY_BROKER_CA_FILE"] == CA
    assert trigger(objects)["metadata"]["enableTLS"] == "true"
    references = objects["TriggerAuthentication", f"{PREFIX}-worker-email"]["spec"]["secretTargetRef"]
    assert {"parameter": "ca", "name": "broker-tls", "key": "ca.crt"} in references


def test_every_client_of_a_broker_with_tls_has_its_ca() -> None:
    objects = broker(**OWN_TLS)
    for name, item in objects.containers.items():
        if any(variable["name"] == "CELERY_BROKER_URL" for variable in item.get("env", [])):
            (volume,) = [mount["name"] for mount in item["volumeMounts"] if mount["mountPath"] == CA.rpartition("/")[0]]
            there = {one["name"]: one for one in objects.pods[name.partition("/")[0]]["spec"]["volumes"]}
            assert there[volume].get("secret", {}).get("secretName") == "broker-tls", name


def test_with_an_external_broker_the_release_runs_none() -> None:
    objects = external(host="redis.example.com")
    assert [key for key in objects if key[1] == BROKER] == []


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({"host": "r.example.com"}, "redis://:$(CELERY_BROKER_PASSWORD)@r.example.com:6379/0"),
        (
            {"host": "r.example.com", "port": 6380, "username": "shop"},
            "redis://shop:$(CELERY_BROKER_PASSWORD)@r.example.com:6380/0",
        ),
        (
            {"host": "r.example.com", "tls": True},
            "rediss://:$(CELERY_BROKER_PASSWORD)@r.example.com:6379/0?ssl_cert_reqs=CERT_REQUIRED",
        ),
        (
            SENTINELS,
            "sentinel://:$(CELERY_BROKER_PASSWORD)@s0:26379/0;sentinel://:$(CELERY_BROKER_PASSWORD)@s1:26379/0",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_an_external_broker_is_where_the_values_say(values: dict[str, Any], url: str) -> None:
    env = worker_environment(external(**values))
    assert env["CELERY_BROKER_URL"] == url
    assert env["CELERY_BROKER_PASSWORD"]["secretKeyRef"] == {"name": "redis", "key": "broker-password"}
    assert env.get("CELERY_SENTINEL_MASTER") == values.get("sentinel", {}).get("masterName")


def test_an_external_broker_without_a_password_is_asked_without_one() -> None:
    objects = external("", host="r.example.com")
    env = worker_environment(objects)
    assert env["CELERY_BROKER_URL"] == "redis://r.example.com:6379/0"
    assert "CELERY_BROKER_PASSWORD" not in env
    assert "username" not in trigger(objects)["metadata"]


def test_the_scaler_of_an_external_broker_is_the_application_unless_it_has_a_user() -> None:
    one = external(host="r.example.com", username="shop")
    two = external(host="r.example.com", username="shop", scalerUsername="keda")
    for objects, user, key in ((one, "shop", "broker-password"), (two, "keda", "scaler-password")):
        assert trigger(objects)["metadata"]["username"] == user
        (reference,) = objects["TriggerAuthentication", f"{PREFIX}-worker-email"]["spec"]["secretTargetRef"]
        assert reference == {"parameter": "password", "name": "redis", "key": key}


def test_the_scaler_asks_the_sentinels_for_the_master() -> None:
    found = trigger(external(**SENTINELS))
    assert found["type"] == "redis-sentinel"
    assert found["metadata"]["addresses"] == "s0:26379,s1:26379"
    assert found["metadata"]["sentinelMaster"] == "mymaster"
    assert trigger(external(host="r.example.com"))["metadata"]["address"] == "r.example.com:6379"


def test_an_external_broker_with_a_ca_of_its_own_is_checked_with_it() -> None:
    objects = broker(
        external={"host": "r.example.com", "tls": True}, existingSecret="redis", tls={"existingSecret": "redis-ca"}
    )
    assert parse_qs(urlsplit(worker_environment(objects)["CELERY_BROKER_URL"]).query)["ssl_ca_certs"] == [CA]
