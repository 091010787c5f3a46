"""`make cluster-up` and `cluster-down`: Kubernetes on this machine, three nodes of kind with metrics-server and KEDA.

Settings: CLUSTER_NAME (celery), CLUSTER_API_PORT (8000), CLUSTER_FLOWER_PORT (5555), CLUSTER_PROMETHEUS_PORT (9090),
CLUSTER_GRAFANA_PORT (3000), and CLUSTER_ENGINE=private to have a Docker Engine started where none runs. The kubeconfig
is yours, or the file that KUBECONFIG names.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from scripts.cluster import config, engine, health, lifecycle, loading
from scripts.cluster.client import Client
from scripts.cluster.config import Config
from scripts.refused import Refused, exit_with


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.cluster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in (
        ("up", "make the cluster, or what is missing of it"),
        ("down", "take it away, with all that it left on this machine"),
        ("status", "show its nodes and add-ons; exits with 1 when it is not ready"),
    ):
        verbs.add_parser(verb, help=text).add_argument("--json", action="store_true", help="print one JSON document")
    loader = verbs.add_parser("load", help="bring images from Docker to its workers")
    loader.add_argument("image", nargs="+")
    arguments = parser.parse_args()
    chosen = config.from_environment()
    if arguments.verb == "load":
        loading.load(_client(chosen), arguments.image)
        return 0
    return {"up": _up, "down": _down, "status": _status}[arguments.verb](chosen, arguments.json)


def _up(chosen: Config, as_json: bool) -> int:
    began = time.monotonic()
    changed = lifecycle.up(chosen)
    seconds = round(time.monotonic() - began, 1)
    document = _document(chosen, _client(chosen)) | {"changed": changed, "seconds": seconds}
    if as_json:
        print(json.dumps(document))
        return 0
    print(f"The cluster is ready after {seconds:.0f} s." if changed else "The cluster is up already, nothing changed.")
    print(f"\n  kubectl --context {chosen.context} get pods -A\n\nEnd it with: make cluster-down")
    return 0


def _down(chosen: Config, as_json: bool) -> int:
    had = lifecycle.down(chosen)
    if as_json:
        print(json.dumps({"name": chosen.name, "changed": had}))
    else:
        print(f"The cluster {chosen.name} is gone." if had else f"There is no cluster {chosen.name}, nothing changed.")
    return 0


def _status(chosen: Config, as_json: bool) -> int:
    document = _document(chosen, _client(chosen))
    if as_json:
        print(json.dumps(document))
    else:
        for name, ready in {**document["nodes"], **document["addons"]}.items():
            print(f"  {name:24} {'ready' if ready else 'not ready'}")
        if not document["ready"]:
            print(f"The cluster {chosen.name} is not ready: `make cluster-up` makes it so.")
    return 0 if document["ready"] else 1


def _client(chosen: Config) -> Client:
    host = engine.find()
    if not host:
        raise Refused(f"No Docker Engine runs, so there is no cluster {chosen.name}: make it with `make cluster-up`.")
    return Client(chosen.name, host)


def _document(chosen: Config, client: Client) -> dict[str, Any]:
    """Return what is known of a cluster: whether each node and add-on is ready."""
    nodes = health.node_states(client)
    addons = health.addon_states(client) if nodes else {}
    ready = bool(nodes) and all({**nodes, **addons}.values())
    document = {"name": chosen.name, "context": chosen.context, "engine": client.host, "ports": dict(chosen.ports)}
    return document | {"ready": ready, "nodes": nodes, "addons": addons}


if __name__ == "__main__":
    exit_with(main)
