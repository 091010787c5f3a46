"""What an API server would say to an object's fields: the schemas of Kubernetes and of the chart's custom kinds."""

from __future__ import annotations

import functools
import json
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate import utils

from scripts.cluster import golang
from scripts.versions import pinned

NEWEST = ".".join(pinned("KUBERNETES_VERSION").split(".")[:2])
MINORS = [f"1.{minor}" for minor in range(30, int(NEWEST.split(".")[1]) + 1)]
# Kind -> the Go module that carries its definition, the pin of its version, and the file.
CUSTOM = {
    "ScaledObject": ("github.com/kedacore/keda/v2", "KEDA_VERSION", "config/crd/bases/keda.sh_scaledobjects.yaml"),
    "TriggerAuthentication": (
        "github.com/kedacore/keda/v2",
        "KEDA_VERSION",
        "config/crd/bases/keda.sh_triggerauthentications.yaml",
    ),
    "HTTPRoute": (
        "sigs.k8s.io/gateway-api",
        "GATEWAY_API_VERSION",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    ),
    **{
        kind: (
            "github.com/prometheus-operator/prometheus-operator",
            "PROMETHEUS_OPERATOR_VERSION",
            f"example/prometheus-operator-crd/monitoring.coreos.com_{kind.lower()}s.yaml",
        )
        for kind in ("PodMonitor", "ServiceMonitor", "PrometheusRule")
    },
}

# Each file is 2 MB and more, and is wanted for every object.
utils.schema_contents = functools.cache(utils.schema_contents)


class UnknownKind(AssertionError):
    """There is no schema for the object."""


def check(thing: dict[str, Any], minor: str = NEWEST) -> None:
    """Raise AssertionError with the path and the reason when a Kubernetes of that minor would refuse the fields."""
    _check(json.dumps(thing, sort_keys=True), minor)


@functools.cache
def _check(text: str, minor: str) -> None:
    thing = json.loads(text)
    try:
        if thing["kind"] in CUSTOM:
            _custom(thing["kind"], thing["apiVersion"]).validate(thing)
        else:
            kubernetes_validate.validate(thing, minor, strict=True)
    except jsonschema.ValidationError as error:
        where = f"{thing['kind']}/{thing['metadata']['name']} at {error.json_path}"
        raise AssertionError(f"{where}: {error.message} (Kubernetes {minor})") from None
    except utils.SchemaNotFoundError as error:
        raise UnknownKind(error.message) from None


@functools.cache
def _custom(kind: str, api_version: str) -> jsonschema.Draft202012Validator:
    module, version, path = CUSTOM[kind]
    definition = yaml.load((golang.fetch(module, pinned(version)) / path).read_text(), yaml.CSafeLoader)
    named = api_version.split("/")[1]
    schema = next(item for item in definition["spec"]["versions"] if item["name"] == named)["schema"]["openAPIV3Schema"]
    return jsonschema.Draft202012Validator(_strict(schema))


def _strict(schema: Any) -> Any:
    """Return the schema closed: the API server only drops what it does not know, which hides a misspelling."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: part if name in ("default", "enum") else _strict(part) for name, part in schema.items()}
    known = schema.get("properties")
    # In `properties` itself every key is a field's name; below metadata the schema says nothing.
    if isinstance(known, dict) and isinstance(schema.get("type"), str) and "additionalProperties" not in schema:
        closed["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    return closed
