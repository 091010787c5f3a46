"""Makes the cluster whole, or takes all of it away."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import psutil

from scripts import toolbox
from scripts.cluster import cache, engine, health, names, nodes, private_engine
from scripts.cluster.addons import ADDONS
from scripts.cluster.client import Client
from scripts.cluster.config import PORTS, Config
from scripts.cluster.loading import load
from scripts.ports import is_free
from scripts.progress import step
from scripts.refused import Refused
from scripts.versions import ROOT

# Seconds.
CREATED_WITHIN, READY_WITHIN, STUMBLES_WITHIN = 300, 180, 120
# In the control plane's container: the hashes of what cluster and add-ons were made from, once all was ready.
WHOLE = "/kind/whole"
NETWORK = "kind"


def up(config: Config) -> bool:
    """Make the cluster and its add-ons ready; return whether that took any change. Raises Refused."""
    host, _ = engine.up()
    client = Client(config.name, host)
    with cache.locked(f"cluster-{config.name}"):
        wanted = _key(config)
        there = _clear(client, wanted)
        if there == wanted and health.is_ready(client):
            return False
        _ensure_images()
        if there:
            client.docker("start", *client.nodes())
        else:
            _create(client, config)
        for node in client.nodes():
            nodes.keep_services_inside(client, node)
        _install(client)
        with step("Waiting until all is ready"):
            health.wait(client, READY_WITHIN)
        client.docker("exec", _control_plane(client), "sh", "-c", f"echo {wanted} >{WHOLE}")
        _being_made(client).unlink(missing_ok=True)
    return True


def down(config: Config) -> bool:
    """Take the cluster away, and the private engine when nothing else runs on it; return whether there was any."""
    host = engine.find()
    if not host and private_engine.has_containers():
        # A cluster whose engine was stopped would come back with the next one.
        host, _ = engine.up()
    if not host:
        return engine.down()
    client = Client(config.name, host)
    with cache.locked(f"cluster-{config.name}"):
        _end_orphans(client)
        had = bool(client.nodes())
        if had:
            _refuse_strangers(client)
            _delete(client)
        if not client.docker("ps", "--all", "--quiet", "--filter", f"network={NETWORK}"):
            with contextlib.suppress(Refused):
                client.docker("network", "rm", NETWORK)
    stopped = host == private_engine.host() and not client.docker("ps", "--quiet") and engine.down()
    return had or stopped


def _clear(client: Client, wanted: str) -> str:
    """Return what the cluster was made from, nothing if none is there; what an interrupted run left is deleted."""
    _end_orphans(client)
    if not client.nodes():
        _being_made(client).unlink(missing_ok=True)
        return ""
    _refuse_strangers(client)
    made_from = _made_from(client)
    if made_from and made_from.split()[0] == wanted.split()[0]:
        return made_from
    if made_from:
        raise Refused(
            f"The cluster {client.name} was made with other settings or versions: "
            "take it away with `make cluster-down`, then make it again."
        )
    _delete(client)
    return ""


def _key(config: Config) -> str:
    return f"{cache.digest(config.kind())} {cache.digest(*(addon.objects().read_text() for addon in ADDONS))}"


def _being_made(client: Client) -> Path:
    return cache.root() / "locks" / f"making-{client.name}"


def _control_plane(client: Client) -> str:
    return client.nodes("label=io.x-k8s.kind.role=control-plane")[0]


def _made_from(client: Client) -> str:
    """Return what the cluster was made from, or nothing when it never was whole."""
    with contextlib.suppress(Refused, IndexError):
        client.docker("start", _control_plane(client))
        return client.docker("exec", _control_plane(client), "cat", WHOLE)
    return ""


def _refuse_strangers(client: Client) -> None:
    if not _being_made(client).exists() and not _made_from(client):
        raise Refused(
            f"There is a kind cluster {client.name} that was not made here: choose another name with CLUSTER_NAME=..., "
            f"or delete it (kind delete cluster --name {client.name})."
        )


def _end_orphans(client: Client) -> None:
    """End what still creates this cluster for a run that was killed; the lock says that no other run does."""
    label = f"io.x-k8s.kind.cluster={client.name}"
    running = [(process, process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    for process, words in running:
        if words[1:] == _creating(client):
            process.kill()
    # kind's `docker run` end by themselves; killed, they would leave it to Docker to make the container a little later.
    starting = [process for process, words in running if words[1:2] == ["run"] and label in words]
    psutil.wait_procs(starting, timeout=CREATED_WITHIN)


def _creating(client: Client) -> list[str]:
    return ["create", "cluster", "--name", client.name, "--config", "-"]


def _ensure_images() -> None:
    wanted = (names.NODE, *(image for addon in ADDONS for image in addon.images))
    # A program and no import: what is shipped depends on nothing of the tests. Without them kind pulls by itself.
    if (ROOT / "tests" / "kind" / "__main__.py").is_file():
        command = [sys.executable, "-m", "tests.kind", "ensure", *wanted]
        if subprocess.run(command, cwd=ROOT, stdout=sys.stderr).returncode:
            raise Refused("The images of the cluster can't be had, see above.")


def _create(client: Client, config: Config) -> None:
    _refuse_taken_ports(config)
    toolbox.find("kind")
    began = time.monotonic()
    try:
        _ask_kind(client, config)
    except Refused as refused:
        # Docker stumbles over a network or a disk now and then. A node that can't run, or is too slow, stays so.
        if time.monotonic() - began >= STUMBLES_WITHIN:
            raise
        print(f"{refused.details}\nkind made no cluster; once more from the beginning", file=sys.stderr)
        _end_orphans(client)
        _delete(client)
        _ask_kind(client, config)


def _ask_kind(client: Client, config: Config) -> None:
    making = _being_made(client)
    making.parent.mkdir(parents=True, exist_ok=True)
    making.touch()
    with step(f"Creating the cluster {client.name}"):
        hint = "see kind's words above; `make cluster-up` starts anew"
        client.kind(*_creating(client), stdin=config.kind(), timeout=CREATED_WITHIN, hint=hint)


def _delete(client: Client) -> None:
    with step(f"Taking away the cluster {client.name}"):
        client.kind("delete", "cluster", "--name", client.name)
        if client.nodes():
            raise Refused(f"Nodes of {client.name} came while it was taken away: end what makes them, and try again.")
    _being_made(client).unlink(missing_ok=True)


def _install(client: Client) -> None:
    toolbox.find("kubectl")
    load(client, [image for addon in ADDONS for image in addon.images])
    for addon in ADDONS:
        with step(f"Installing {addon.name} {addon.version}"):
            client.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(addon.objects()))


def _refuse_taken_ports(config: Config) -> None:
    for name, port in config.ports.items():
        if not is_free(port):
            raise Refused(
                f"Port {port} on 127.0.0.1 is taken (`ss -ltnp` says by whom; `make down` ends the local stack): "
                f"free it, or choose another with {PORTS[name][0]}=..."
            )
