"""`make compose-up`, `compose-down` and `compose-smoke`: the whole stack in containers on this machine."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable

import httpx

from scripts import image, locks
from scripts.compose import containers, ports, work
from scripts.compose.place import PORTS, PROFILES, Place, profile, scale
from scripts.compose.program import Compose, find
from scripts.progress import step
from scripts.refused import Refused
from scripts.versions import ROOT, pinned

# Seconds in which every container has to be healthy, and in which Prometheus has read every page once.
HEALTHY_WITHIN, READ_WITHIN = 180, 60
SANDBOX = image.Source(
    *("celery-on-kubernetes-sandbox", image.APP.version, ROOT, "docker/sandbox.Dockerfile"),
    ("scripts/sandbox.py", "requirements/sandbox.txt"),
)
# Of what is not built here, by service, its name in versions.env.
_PINS = {"broker": "REDIS_IMAGE", "prometheus": "PROMETHEUS_IMAGE", "grafana": "GRAFANA_IMAGE"}
Say = Callable[[str], None]


def up(place: Place, options: argparse.Namespace) -> int:
    """Start what is missing, wait until all is healthy and send work through it."""
    say: Say = (lambda _: None) if options.json else print
    chosen = profile(options.profile)
    find()
    before = {each.id for each in containers.containers(place) if each.health in containers.RUNNING}
    fresh = not containers.containers(place)
    services = Compose(place, chosen).services()
    wanted = scale(options.scale, {name for name in services if name.startswith("worker-")})
    ports.refuse_taken(place, set(services))
    # The images last, since they take their time; before anything is made, since one may not be had.
    for pin in sorted({_PINS[service] for service in services if service in _PINS}):
        image.ensure(pinned(pin))
    images = {"APP_IMAGE": image.have(), "SANDBOX_IMAGE": image.have(SANDBOX)}
    made = place.prepare(in_use=not fresh)
    place.remember(images)
    if made:
        say(f"Made the secrets {', '.join(made)} in {place.folder / 'secrets'}")
    began = time.monotonic()
    try:
        changed, done, first = _start(place, chosen, wanted, before, say)
        if fresh:
            done += _prove(place, say)
    except (Refused, KeyboardInterrupt):
        if fresh:
            say("Taking down what was started")
            Compose(place, "*").through("down", "--timeout", "5", "--remove-orphans")
        raise
    if options.json:
        document = {"changed": changed, "first_task_seconds": first, "work": done}
        document["seconds"] = round(time.monotonic() - began, 1)
        print(json.dumps({**document, "addresses": place.addresses(set(services))}))
        return 0
    if not changed:
        print("The stack is up already, nothing changed.")
    elif first is not None:
        print(f"The first task was finished {first} s after the start.")
    _print_addresses(place, set(services))
    return 0


def _start(
    place: Place, chosen: str, wanted: dict[str, int], before: set[str], say: Say
) -> tuple[list[str], list[str], float | None]:
    """Return the services that changed, the work that a fresh stack did, and seconds to its first finished task."""
    began, compose = time.monotonic(), Compose(place, chosen)
    counts = [word for name, count in wanted.items() for word in ("--scale", f"{name}={count}")]
    with step("Starting the containers"):
        _end_others(place, compose)
        compose("up", "--detach", "--remove-orphans", *counts, hint="see its words above")
    now = containers.containers(place)
    changed = sorted({each.service for each in now if each.id not in before})
    done, first = [], None
    if not before:
        say("Sending a mail and an order")
        for line in work.run(place):
            seconds = round(time.monotonic() - began, 1)
            first = seconds if first is None else first
            done.append(line)
            say(f"  {seconds:5.1f} s  {line}")

    def tell(name: str, _: float) -> None:
        if name in changed:
            say(f"  healthy  {name}")

    containers.wait(place, {each.service for each in now}, HEALTHY_WITHIN, tell)
    return changed, done, first


def _end_others(place: Place, compose: Compose) -> None:
    """End services of another profile, which `compose up` leaves as they are."""
    wanted = set(compose.services())
    others = {each.service for each in containers.containers(place)} - wanted
    if others:
        Compose(place, "*")("rm", "--stop", "--force", *sorted(others))


def _prove(place: Place, say: Say) -> list[str]:
    """Send a task through every queue from a container that is gone afterwards; return what was seen."""
    with step("Sending a task through every queue"):
        said = Compose(place, "smoke")("run", "--rm", "--no-deps", "smoke", hint="see what failed above")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for line in lines:
        say(f"  {line}")
    return lines


def smoke(place: Place, options: argparse.Namespace) -> int:
    """Send a task through every queue and ask beat, Flower, the API, the exporter and Prometheus how they are."""
    find()
    found = containers.containers(place)
    if not found:
        raise Refused("The stack is not up: make compose-up starts it.")
    ill = [f"{each.service} is {each.health}" for each in found if each.health != "healthy"]
    if ill:
        raise Refused(f"{', '.join(sorted(set(ill)))}: make compose-up starts what has ended, docker logs says why.")
    there = {each.service for each in found}
    say: Say = (lambda _: None) if options.json else print
    checks = _prove(place, say)
    asked = {"flower": _login, "exporter": _page, "prometheus": _targets}
    for service, ask in asked.items():
        if service in there:
            checks.append(f"ok    {service}: {ask(place)}")
            say(f"  {checks[-1]}")
    if options.json:
        print(json.dumps({"passed": True, "checks": checks}))
    return 0


def _login(place: Place) -> str:
    address = f"{place.url('flower')}/workers?json=1"
    stranger = httpx.get(address, timeout=10, trust_env=False).status_code
    owner = httpx.get(address, auth=("flower", place.read("flower-password")), timeout=30, trust_env=False).status_code
    if (stranger, owner) != (401, 200):
        raise Refused(f"Flower answers {stranger} without the login and {owner} with it: 401 and 200 are right.")
    return "nobody gets in without the login"


def _page(place: Place) -> str:
    page = httpx.get(f"{place.url('exporter')}/metrics", timeout=10, trust_env=False).text
    if "celery_exporter_up 1" not in page:
        raise Refused("The exporter does not reach the broker: docker logs of the exporter say why.")
    return f"it reaches the broker, {len(page.splitlines())} lines"


def _targets(place: Place) -> str:
    deadline = time.monotonic() + READ_WITHIN
    pages = ("worker-", "beat", "api", "exporter")
    wanted = sum(each.service.startswith(pages) for each in containers.containers(place))
    while True:
        answer = httpx.get(f"{place.url('prometheus')}/api/v1/targets?state=active", timeout=10, trust_env=False)
        targets = answer.json()["data"]["activeTargets"]
        up_now = sum(target["health"] == "up" for target in targets)
        if up_now == len(targets) == wanted:
            return f"all {wanted} pages are read"
        if time.monotonic() > deadline:
            raise Refused(f"Prometheus reads {up_now} of {wanted} pages: {place.url('prometheus')}/targets says why.")
        time.sleep(0.5)


def down(place: Place, options: argparse.Namespace) -> int:
    """End everything, each worker after its running tasks, and prove that nothing is left."""
    find()
    there = containers.left(place, volumes=options.purge)
    if not there:
        _forget(place, options.purge)
        print(json.dumps({"ended": False, "left": []}) if options.json else "Nothing is up.")
        return 0
    patience = ("--timeout", "3") if options.now else ()
    volumes = ("--volumes",) if options.purge else ()
    with step("Ending the containers, each worker after its running tasks (at once: make compose-down NOW=1)"):
        ended = Compose(place, "*").through("down", "--remove-orphans", *patience, *volumes) == 0
    left = containers.left(place, volumes=options.purge)
    if not left:
        _forget(place, options.purge)
    if options.json:
        print(json.dumps({"ended": True, "left": left}))
    elif left:
        print(f"Still there: {', '.join(left)}: {_way_out(left)}.", file=sys.stderr)
    else:
        kept = "Its volumes and secrets are gone, too." if options.purge else "Its volumes stay: PURGE=1 removes them."
        print(f"The stack is down: no container and no network is left. {kept}")
    return 0 if ended and not left else 1


def _way_out(left: list[str]) -> str:
    if all(each.startswith("network ") for each in left):
        # github.com/moby/moby/issues/42119: it counts an end of a container that is gone.
        return "nothing is on it, and Docker lets it go when it is started again; the next compose-up takes it"
    return "remove it with docker rm, docker network rm or docker volume rm"


def _forget(place: Place, purge: bool) -> None:
    # Only what this program made: the folder may be anybody's.
    if purge:
        for name in ("secrets", "rules"):
            shutil.rmtree(place.folder / name, ignore_errors=True)
        for path in (place.file, place.folder / "users.acl"):
            path.unlink(missing_ok=True)


def _print_addresses(place: Place, services: set[str]) -> None:
    told = {
        "api": f"{place.url('api')}/docs   Authorization: Bearer, and the text of {place.secret('api-token')}",
        "flower": f"{place.url('flower')}   user flower, password in {place.secret('flower-password')}",
        "exporter": f"{place.url('exporter')}/metrics",
        "prometheus": f"{place.url('prometheus')}/alerts",
        "grafana": f"{place.url('grafana')}   user admin, password in {place.secret('grafana-password')}",
        "sandbox": f"{place.url('sandbox')}/mails   what the mail server, the payment gateway and the webhook got",
    }
    print()
    for service, text in told.items():
        if service in services:
            print(f"  {service:<11} {text}")
    print("\nEnd it with: make compose-down")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.compose",
        description=__doc__,
        epilog="Environment: COMPOSE_DIR (folder, default .compose), COMPOSE_PROJECT_NAME (celery), "
        + ", ".join(f"{variable} ({default})" for variable, default in PORTS.values())
        + ". Exit codes: 0 done and healthy, 1 not, 2 bad input.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, function in (("up", up), ("down", down), ("smoke", smoke)):
        text = (function.__doc__ or "").split("\n")[0]
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("--json", action="store_true", help="print one JSON object, and progress on stderr alone")
        if name == "up":
            verb.add_argument("--profile", default="", help=f"{', '.join(PROFILES)} (default: monitoring)")
            verb.add_argument("--scale", default="", metavar="worker-email=3", help="containers of worker groups")
        if name == "down":
            verb.add_argument("--now", action="store_true", help="give running tasks 3 s; the next up runs them again")
            verb.add_argument("--purge", action="store_true", help="remove the volumes and the secrets, too")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        if options.verb == "up":
            profile(options.profile)
        place = Place.from_environment(os.environ)
        verbs = {"up": up, "down": down, "smoke": smoke}
        # Two at the same time would get into each other's way.
        busy = f"Another make compose-... is at work in {place.folder}: wait for it to end."
        with locks.alone(place.folder / "lock", busy):
            return verbs[options.verb](place, options)
    except Refused as refused:
        if refused.details:
            print(refused.details, file=sys.stderr)
        print(refused, file=sys.stderr)
        return refused.code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
