"""`make deploy`, `undeploy`, `status ENV=...`, `scale-status` and `smoke`: the chart in an environment's cluster."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from scripts import image
from scripts.deploy import addresses, monitoring, preflight, release, rollout, scaling
from scripts.deploy import environment as environments
from scripts.deploy.environment import Environment
from scripts.deploy.kube import Kube
from scripts.refused import Refused

Tell = Callable[[str], None]


def up(environment: Environment, options: argparse.Namespace, tell: Tell) -> int:
    """Install or upgrade the release, wait until all of it is ready, and print its addresses."""
    began = time.monotonic()
    preflight.check_context(environment, asked=bool(options.context))
    kube, *others = kubes = _kubes(environment)
    if {"-", "--values=-"} & set(options.helm):
        raise Refused("ARGS hands Helm values on stdin, which no terminal has here: write VALUES=file.yaml.", 2)
    preflight.check_cluster(kube)
    for each in kubes:
        release.check(each)
    ports, generated = addresses.mapped(environment), ""
    releases = {kube: (*_image(environment), *options.helm)}
    rendered = {kube: _checked(kube, releases[kube])}
    for beside in others:
        releases[beside] = monitoring.options(beside, rendered[kube], tell)
        rendered[beside] = _checked(beside, releases[beside], made=(monitoring.LOGIN,))
        generated = monitoring.link(monitoring.grafana_url(rendered[beside], ports))
    _carry(environment, [document for documents in rendered.values() for document in documents])
    for each, chosen in releases.items():
        tell(f"Deploying {each.environment.release} to namespace {environment.namespace} of {environment.context}")
        values = generated if each is kube else ""
        release.install(each, (*release.files(each.environment, bool(values)), *chosen), values)
        monitoring.ensure_login(each, rendered[each])
    for each in releases:
        rollout.wait(each, options.timeout, tell)
    seconds = round(time.monotonic() - began, 1)
    found = {name: text for each in releases for name, text in addresses.find(each, ports).items()}
    if options.json:
        print(json.dumps({"seconds": seconds, "addresses": found}))
        return 0
    print(f"\nReady after {seconds} s.\n" + "\n".join(f"  {name:<16}{text}" for name, text in found.items()))
    print(f"\nSend a task through every queue with: make smoke ENV={environment.name}")
    return 0


def down(environment: Environment, options: argparse.Namespace, tell: Tell) -> int:
    """Uninstall the release after its running tasks; the broker's volume and its queues stay."""
    preflight.check_context(environment, asked=bool(options.context))
    kube, *others = kubes = _kubes(environment)
    preflight.check_cluster(kube)
    for each in kubes:
        release.check(each)
    gone = release.uninstall(kube)
    for beside in others:
        gone = monitoring.uninstall(beside) or gone
    tell("Uninstalled; the broker's volume stays." if gone else "Nothing was installed.")
    if options.json:
        print(json.dumps({"uninstalled": gone}))
    return 0


def smoke(environment: Environment, options: argparse.Namespace, tell: Tell) -> int:
    """Send a task through every queue, and look at beat, Flower and the API (helm test)."""
    preflight.check_context(environment, asked=bool(options.context))
    kube = Kube(environment)
    preflight.check_cluster(kube)
    if not release.is_installed(kube):
        raise Refused(f"{environment.release} is not installed: make deploy ENV={environment.name}.")
    try:
        kube.helm("test", environment.release, "--timeout", f"{options.timeout:.0f}s", timeout=options.timeout + 30)
        code = 0
    except Refused as refused:
        print(str(refused).splitlines()[0], file=sys.stderr)
        code = 1
    mine = f"app.kubernetes.io/component=test,app.kubernetes.io/instance={environment.release}"
    log = kube.kubectl("logs", "--selector", mine, "--tail", "-1")
    print(json.dumps({"passed": code == 0, "log": log.splitlines()}) if options.json else log.rstrip())
    return code


def status(environment: Environment, options: argparse.Namespace, tell: Tell) -> int:
    """Show each workload; 0 when all are ready, else 1."""
    kubes = _kubes(environment)
    preflight.check_cluster(kubes[0])
    rows = [_row(item) for each in kubes for item in each.items(rollout.WORKLOADS)]
    healthy = bool(rows) and all(row["ready"] for row in rows)
    if options.json:
        print(json.dumps({"up": healthy, "workloads": rows}))
    elif not rows:
        print(f"Nothing is deployed: make deploy ENV={environment.name}.")
    else:
        print(f"{'workload':<28}{'ready':<7}{'pods':>6}{'wanted':>8}{'restarts':>10}")
        restarts = {name: count for each in kubes for name, count in _restarts(each).items()}
        for row in rows:
            ready, name = "yes" if row["ready"] else "NO", row["name"]
            print(f"{name:<28}{ready:<7}{row['pods']:>6}{row['wanted']:>8}{restarts.get(name, 0):>10}")
    return 0 if healthy else 1


def scale_status(environment: Environment, options: argparse.Namespace, tell: Tell) -> int:
    """Show each worker group: who scales it, how far it has got, its work, and why; 1 when nothing is deployed."""
    kube = Kube(environment)
    preflight.check_cluster(kube)
    found = scaling.groups(kube)
    if options.json:
        print(json.dumps({"groups": scaling.as_json(found)}))
    else:
        print(scaling.table(found) if found else f"Nothing is deployed: make deploy ENV={environment.name}.")
    return 0 if found else 1


def _kubes(environment: Environment) -> list[Kube]:
    """Return the environment's releases: the application's, and that of helm/monitoring where there is one."""
    return [Kube(each) for each in (environment, environment.monitoring) if each]


def _checked(kube: Kube, options: tuple[str, ...], made: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return what Helm would install. Raises Refused for what the cluster can't take, before anything is changed."""
    rendered = kube.template(
        *release.files(kube.environment), *(part for part in options if part != "--force-conflicts")
    )
    preflight.check_kinds(kube, rendered)
    preflight.check_secrets(kube, rendered, made if kube.environment.brings_its_image else ())
    preflight.check_claims(kube, rendered)
    return rendered


def _image(environment: Environment) -> tuple[str, ...]:
    """Build the image for a cluster that can't pull it; return what Helm has to know."""
    if not environment.brings_its_image:
        return ()
    command = [sys.executable, "-m", "scripts.image", "build", "--json"]
    build = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if build.returncode:
        raise Refused("The image could not be built (see above).", build.returncode)
    repository, _, tag = str(json.loads(build.stdout)["reference"]).rpartition(":")
    return (f"--set=image.repository={repository}", f"--set-string=image.tag={tag}")


def _carry(environment: Environment, rendered: list[dict[str, Any]]) -> None:
    """Carry every image of the release into a cluster on this machine; its nodes may reach no registry."""
    if not environment.brings_its_image:
        return
    names = sorted(preflight.images(rendered))
    for name in names:
        image.ensure(name)
    cluster = environment.context.removeprefix("kind-")
    command = [sys.executable, "-m", "scripts.cluster", "load", *names]
    load = subprocess.run(command, env={**os.environ, "CLUSTER_NAME": cluster}, stdout=sys.stderr)
    if load.returncode:
        raise Refused("The images could not be loaded into the cluster (see above).", load.returncode)


def _component(item: dict[str, Any]) -> str:
    """Return what a person calls a workload or one of its pods: its component, and its group if it has one."""
    labels = item["metadata"]["labels"]
    group = labels.get("worker-group")
    return f"{labels.get('app.kubernetes.io/component')}{f'-{group}' if group else ''}"


def _row(item: dict[str, Any]) -> dict[str, Any]:
    state = item.get("status", {})
    return {
        "name": _component(item),
        "ready": rollout.rolled_out(item),
        "pods": state.get("readyReplicas", 0),
        "wanted": item["spec"].get("replicas", 1),
    }


def _restarts(kube: Kube) -> dict[str, int]:
    counts: dict[str, int] = {}
    for pod in kube.items("pods"):
        name = _component(pod)
        each = (container["restartCount"] for container in pod.get("status", {}).get("containerStatuses", []))
        counts[name] = counts.get(name, 0) + sum(each)
    return counts


def _tell(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.deploy",
        description=__doc__,
        epilog="Exit codes: 0 done and healthy, 1 not, 2 bad input.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, function in VERBS.items():
        text = (function.__doc__ or "").split("\n")[0]
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("--env", required=True, help=f"one of {', '.join(environments.names())}")
        verb.add_argument("--context", default="", help="the kube context, instead of the environment's own")
        verb.add_argument("--namespace", default="", help="default: celery")
        verb.add_argument("--release", default="", help="default: celery")
        verb.add_argument("--values", default="", help="a values file of your own, on top of the environment's")
        verb.add_argument("--timeout", type=float, default=300, metavar="SECONDS", help="default: 300")
        verb.add_argument("--json", action="store_true", help="print one JSON object, and progress nowhere")
        verb.add_argument("helm", nargs="*", help="put -- before it: further options of helm upgrade")
    return parser


VERBS = {"up": up, "down": down, "smoke": smoke, "status": status, "scale-status": scale_status}


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(argv)
    tell: Tell = (lambda _: None) if options.json else _tell
    try:
        chosen = environments.load(options.env, options.context, options.namespace, options.release, options.values)
        return VERBS[options.verb](chosen, options, tell)
    except Refused as refused:
        if refused.details:
            print(refused.details, file=sys.stderr)
        print(refused, file=sys.stderr)
        return refused.code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
