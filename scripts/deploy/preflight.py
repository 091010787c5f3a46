"""What is looked at before anything is changed: the context, the cluster, the kinds it knows, the volume's claim."""

from __future__ import annotations

import subprocess
from typing import Any

from scripts import toolbox
from scripts.deploy.environment import Environment
from scripts.deploy.kube import Kube
from scripts.refused import Refused

# Who brings the kinds that the chart may render and a fresh cluster lacks.
BRINGERS = {
    "keda.sh": "KEDA (make cluster-up has it; elsewhere: helm install keda kedacore/keda), or set "
    "workers.defaults.autoscaling.engine to none or hpa",
    "gateway.networking.k8s.io": "the Gateway API's CRDs, or leave httpRoute.enabled false",
}


def check_context(environment: Environment, asked: bool) -> None:
    """Raise Refused unless the current context is the environment's; `asked`: the caller named the context himself."""
    kubectl = str(toolbox.find("kubectl"))
    known = subprocess.run([kubectl, "config", "get-contexts", "--output", "name"], capture_output=True, text=True)
    if environment.context not in known.stdout.split():
        up = ": make cluster-up makes it" if environment.name == "kind" else " (kubectl config get-contexts)"
        raise Refused(
            f"Environment {environment.name} belongs to context {environment.context}, which isn't there{up}.", 2
        )
    current = subprocess.run([kubectl, "config", "current-context"], capture_output=True, text=True).stdout.strip()
    if current != environment.context and not asked:
        raise Refused(
            f"The current context is {current or 'none'}, and environment {environment.name} belongs to "
            f"{environment.context}: kubectl config use-context {environment.context}, "
            f"or say CONTEXT={current or 'name'} if you mean the other cluster.",
            2,
        )


def check_cluster(kube: Kube) -> None:
    """Raise Refused unless the cluster answers."""
    try:
        kube.kubectl("get", "--raw", "/readyz")
    except Refused as refused:
        raise Refused(
            f"The cluster of context {kube.environment.context} doesn't answer ({str(refused).splitlines()[-1]}): "
            "start it, or choose another context."
        ) from None


def check_kinds(kube: Kube, rendered: list[dict[str, Any]]) -> None:
    """Raise Refused for kinds that the cluster doesn't know."""
    known = set(kube.kubectl("api-versions").split())
    for version in sorted({document["apiVersion"] for document in rendered} - known):
        kinds = sorted({document["kind"] for document in rendered if document["apiVersion"] == version})
        bringer = BRINGERS.get(version.partition("/")[0], "whatever brings them")
        raise Refused(f"The cluster doesn't know {', '.join(kinds)} ({version}): install {bringer}.")


def check_secrets(kube: Kube, rendered: list[dict[str, Any]], more: tuple[str, ...] = ()) -> None:
    """Raise Refused for Secrets that pods name, and that neither the chart nor the cluster has; `more` will be made."""
    made = {_secret_made_by(document) for document in rendered if document["kind"] in ("Secret", "ExternalSecret")}
    there = {item["metadata"]["name"] for item in kube.json("get", "secrets")["items"]}
    wanted = {name for document in rendered for name in _secret_names(document)}
    missing = sorted(wanted - made - there - set(more))
    if missing:
        raise Refused(
            f"Pods need the Secret {', '.join(missing)}, which namespace {kube.environment.namespace} hasn't: "
            "create it (kubectl create secret generic), or leave existingSecret empty to have one made."
        )


def _secret_made_by(document: dict[str, Any]) -> str:
    # An ExternalSecret may name the Secret that it makes otherwise than itself.
    target = document.get("spec", {}).get("target", {}) if document["kind"] == "ExternalSecret" else {}
    return str(target.get("name") or document["metadata"]["name"])


def _secret_names(node: Any) -> set[str]:
    if isinstance(node, list):
        return {name for item in node for name in _secret_names(item)}
    if not isinstance(node, dict):
        return set()
    found = {name for value in node.values() for name in _secret_names(value)}
    for key, field in (("secretKeyRef", "name"), ("secret", "secretName"), ("secretRef", "name")):
        if isinstance(node.get(key), dict) and not node[key].get("optional") and field in node[key]:
            found.add(node[key][field])
    return found


def images(node: Any) -> set[str]:
    """Return the images that containers in rendered objects name."""
    if isinstance(node, list):
        return {name for item in node for name in images(item)}
    if not isinstance(node, dict):
        return set()
    own = {node["image"]} if isinstance(node.get("image"), str) else set()
    return own.union(*(images(value) for value in node.values()))


def check_claims(kube: Kube, rendered: list[dict[str, Any]]) -> None:
    """Raise Refused when the volume of a StatefulSet that exists is to change: Kubernetes can't do that."""
    there = {item["metadata"]["name"]: item for item in kube.items("statefulsets")}
    for document in rendered:
        name = document["metadata"]["name"]
        if document["kind"] == "StatefulSet" and name in there:
            wanted, has = _claims(document), _claims(there[name])
            if wanted != has:
                raise Refused(
                    f"StatefulSet {name} has the volume {has or 'none'}, and the values say {wanted or 'none'}, which "
                    "Kubernetes can't change in place: put broker.persistence back; or delete the StatefulSet with "
                    f"`kubectl delete statefulset {name} --cascade=orphan`, resize its claim data-{name}-0 if the "
                    "storage class can, and deploy again."
                )


def _claims(statefulset: dict[str, Any]) -> str:
    claims = statefulset["spec"].get("volumeClaimTemplates") or []
    each = (
        (claim["spec"]["resources"]["requests"]["storage"], claim["spec"].get("storageClassName")) for claim in claims
    )
    return ", ".join(f"{size}{f' of class {name}' if name else ''}" for size, name in each)
