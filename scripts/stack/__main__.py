"""`make up`, `down`, `status`, `logs` and `exec`: the whole stack on this machine, without containers."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import psutil

from scripts import files, locks
from scripts.refused import Refused
from scripts.stack.place import PORTS, Place, client_environment, variable

# Seconds in which every process has to be ready; a fresh clone compiles its bytecode meanwhile.
READY_WITHIN = 120


def up(place: Place, as_json: bool) -> int:
    """Start what is missing, wait until all is ready and send work through it."""
    from scripts.stack import supervision

    began = time.monotonic()
    say = _quiet if as_json else print
    fresh = not supervision.Supervisor(place).answers()
    if fresh and (left := supervision.end_leftovers(place)):
        say(f"Ended {len(left)} processes that an earlier stack left behind.")
    # Before anything is written: a stack that runs must not find another's ports in its files.
    _refuse_taken_ports(place, supervision)
    place.prepare()
    # The application's settings are read at import, and this process is a client of the stack.
    _become_client(place)
    try:
        done, work = _start(place, fresh, began, say)
    except (Refused, KeyboardInterrupt):
        if fresh:
            say("Taking down what was started (the logs stay)")
            _down(place, supervision, lambda _: None, patience=5)
        raise
    first = work[0]["at"] if work else None
    if as_json:
        document = {"changed": done, "first_task_seconds": first, "work": work, "addresses": addresses(place)}
        print(json.dumps(document))
        return 0
    if not done:
        print("The stack is up already, nothing changed.")
    elif work:
        print(f"The first task was finished {first} s after the start, the last {work[-1]['at']} s after it.")
    user, password = place.flower_login
    print(
        f"\n  API        {place.url('api')}/docs\n             Authorization: Bearer {place.api_token}"
        f"\n  Flower     {place.url('flower')}   user {user}, password {password}"
        f"\n  Exporter   {place.url('exporter')}/metrics   what waits and runs, for Prometheus and scalers"
        f"{_prometheus_line(place)}"
        f"\n  Sandbox    {place.url('sandbox')}/mails   what the mail server, the payment gateway and the webhook got"
        f"\n  Redis      127.0.0.1:{place.ports['broker']}   its URL with the password: {place.secret('broker_url')}"
        "\n\nEnd it with: make down"
    )
    return 0


def _start(
    place: Place, fresh: bool, began: float, say: Callable[[str], None]
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return what was done, by process, and the work that a fresh stack did, with its seconds since `began` as `at`."""
    from scripts.stack import processes, prometheus, readiness, supervision, work

    described = processes.describe(place, os.environ)
    prometheus.write_all(place.folder / "prometheus", described)
    if "prometheus" not in (process.name for process in described):
        say(prometheus.MISSING)
    supervisor = supervision.Supervisor(place)
    _remember(place)
    if fresh:
        say(f"Starting {len(described)} processes (each one's log: make logs NAME=...)")
        shutil.rmtree(place.folder / "run")
        supervisor.start(described, os.environ)
        done = {process.name: "started" for process in described}
    else:
        done = supervisor.update(described)
        for name, what in done.items():
            say(f"  {name}: {what}")
    tell = say if done else _quiet
    readiness.wait(place, supervisor, described, READY_WITHIN, lambda name, s: tell(f"  ready {s:5.1f} s  {name}"))
    if not fresh:
        return done, []
    say("Sending real work through every queue")
    results = []
    for result in work.run(place):
        results.append({**asdict(result), "at": round(time.monotonic() - began, 1)})
        took = f"{result.state:<9}{result.seconds:6.2f} s"
        say(f"  {result.queue:<14}{result.task:<36}{took}  {result.shown[:100]}")
    return done, results


def down(place: Place, as_json: bool, now: bool) -> int:
    """Stop everything, each worker after its running tasks, and prove that nothing is left."""
    from scripts.stack import supervision

    def tell(names: list[str]) -> None:
        if not as_json:
            print(f"  waiting for {', '.join(sorted(names))} to finish its task (to end it now: make down NOW=1)")

    ended = _down(place, supervision, tell, patience=3 if now else None)
    left = supervision.members(place)
    ports = [port for port in place.every_port.values() if any(_ours(who, left) for who in supervision.listeners(port))]
    if as_json:
        print(json.dumps({"ended": ended, "left": [process.pid for process in left], "ports": ports}))
    elif left or ports:
        print(f"Still there: {', '.join(str(process) for process in left)}: end them by their ids.", file=sys.stderr)
    elif ended:
        print("The stack is down: no process and no port is left. Its data stays: make clean removes it.")
    else:
        print("Nothing is up.")
    return 1 if left or ports else 0


def _down(place: Place, supervision: Any, tell: Any, patience: float | None) -> bool:
    supervisor = supervision.Supervisor(place)
    ran = supervisor.answers()
    if ran:
        names = set(supervisor.states())
        # The broker last: until then workers give back what they hold.
        supervisor.stop(names - {"broker"}, tell, patience)
        supervisor.stop(names & {"broker"}, tell, patience)
        supervisor.end()
    left = supervision.end_leftovers(place)
    (place.folder / "stack.json").unlink(missing_ok=True)
    return ran or bool(left)


def status(place: Place, as_json: bool) -> int:
    """Show each process; 0 when all are ready, else 1."""
    from scripts.stack import supervision

    supervisor = supervision.Supervisor(place)
    if not supervisor.answers():
        print(json.dumps({"up": False, "processes": []}) if as_json else "The stack is not up: make up starts it.")
        return 1
    _become_client(place)
    from scripts.stack import processes, readiness

    states, rows = supervisor.states(), []
    for process in processes.describe(place, os.environ):
        state = states.get(process.name, {"statename": "UNKNOWN", "pid": 0, "start": 0, "now": 0})
        row = {"name": process.name, "state": state["statename"].lower(), "pid": state["pid"]}
        row |= {"ready": readiness.is_ready(place, process, state), "seconds": state["now"] - state["start"]}
        row |= {"memory_mib": _memory(state["pid"]), "ports": [place.every_port[name] for name in process.ports]}
        rows.append(row)
    healthy = all(row["ready"] for row in rows)
    if as_json:
        print(json.dumps({"up": healthy, "processes": rows, "addresses": addresses(place)}))
        return 0 if healthy else 1
    print(f"{'process':<16}{'state':<10}{'ready':<7}{'pid':>8}{'up for':>10}{'memory':>10}  ports")
    for row in rows:
        ready = "yes" if row["ready"] else "NO"
        print(
            f"{row['name']:<16}{row['state']:<10}{ready:<7}{row['pid']:>8}{row['seconds']:>8} s"
            f"{row['memory_mib']:>6} MiB  {' '.join(map(str, row['ports']))}"
        )
    return 0 if healthy else 1


def logs(place: Place, name: str | None, follow: bool) -> int:
    """Show the newest lines of one process's log or of all; with `follow` go on until interrupted."""
    found = {path.stem: path for path in sorted((place.folder / "logs").glob("*.log"))}
    if name and name not in found:
        raise Refused(
            f"There is no log of {name!r}: there are {', '.join(found) or 'none, as nothing was started'}.", 2
        )
    if not found:
        raise Refused("There are no logs: nothing was started here (make up).")
    chosen = [found[name]] if name else list(found.values())
    lines = "100" if name else "10"
    os.execvp("tail", ["tail", "-n", lines, *(["-F"] if follow else []), *map(str, chosen)])


def execute(place: Place, command: list[str]) -> int:
    """Run a command as a client of the stack: with its broker, results, store and API token in the environment."""
    from scripts.stack import supervision

    if not command:
        raise Refused("There is no command: write it after --, as in: exec -- python -m app.producer --help", 2)
    if not supervision.Supervisor(place).answers():
        raise Refused("The stack is not up: make up starts it.")
    try:
        os.execvpe(command[0], command, client_environment(place, os.environ))
    except OSError as error:
        raise Refused(f"{command[0]} can't be run: {error.strerror}.", 2) from None


def addresses(place: Place) -> dict[str, Any]:
    """Return where everything is, and how to get in."""
    user, password = place.flower_login
    return {
        "api": place.url("api"),
        "api_token": place.api_token,
        "flower": place.url("flower"),
        "flower_user": user,
        "flower_password": password,
        "exporter": place.url("exporter"),
        **({"prometheus": place.url("prometheus")} if _has_prometheus() else {}),
        "sandbox": place.url("sandbox"),
        "redis_url_file": str(place.secret("broker_url")),
    }


def _has_prometheus() -> bool:
    from scripts.stack import prometheus

    return prometheus.program() is not None


def _prometheus_line(place: Place) -> str:
    return f"\n  Prometheus {place.url('prometheus')}   numbers and alerts" if _has_prometheus() else ""


def _refuse_taken_ports(place: Place, supervision: Any) -> None:
    ours = supervision.members(place)
    sentences = []
    for name, port in place.every_port.items():
        if name == "prometheus" and not _has_prometheus():
            continue
        others = [who for who in supervision.listeners(port) if not _ours(who, ours)]
        if others:
            holder = f"{others[0].name()} (process {others[0].pid})" if others[0] else "another user's process"
            free = port + 20 if port < 65000 else port - 20
            way_out = f"end that, or choose another: make up {variable(name)}={free}"
            sentences.append(f"Port {port} for {name} is taken by {holder}: {way_out}")
    if sentences:
        raise Refused("\n".join(sentences))


def _become_client(place: Place) -> None:
    environment = client_environment(place, os.environ)
    os.environ.clear()
    os.environ.update(environment)


def _ours(process: psutil.Process | None, ours: list[psutil.Process]) -> bool:
    return process is not None and process in ours


def _memory(pid: int) -> int:
    try:
        main = psutil.Process(pid)
        # Forked children share most of their pages with their parent: proportional shares add up, resident sizes don't.
        return sum(each.memory_full_info().pss for each in (main, *main.children(recursive=True))) >> 20
    except (psutil.Error, AttributeError):
        return 0


def _remember(place: Place) -> None:
    """Note the ports, so that later commands need not be told them again."""
    ports = {PORTS[name][0]: str(port) for name, port in place.ports.items()}
    files.lay(place.folder / "stack.json", json.dumps(ports))


def _place(environment: Mapping[str, str]) -> Place:
    """Return the place that `environment` names; ports that it leaves open are those of the stack that is up."""
    said = {name: value for name, value in environment.items() if value}
    folder = Place.from_environment({"STACK_DIR": said.get("STACK_DIR", "")}).folder
    try:
        remembered = json.loads((folder / "stack.json").read_text())
    except (OSError, ValueError):
        remembered = {}
    return Place.from_environment({**remembered, **said})


def _quiet(_: str) -> None:
    """Nothing is told where the answer is a document."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.stack",
        description=__doc__,
        epilog="Environment: STACK_DIR (folder, default .stack), "
        + ", ".join(f"{variable} ({default})" for variable, default in PORTS.values())
        + ". Exit codes: 0 done and healthy, 1 not, 2 bad input.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    texts = {"up": up, "down": down, "status": status, "logs": logs, "exec": execute}
    for name, text in ((name, (function.__doc__ or "").split("\n")[0]) for name, function in texts.items()):
        verb = verbs.add_parser(name, help=text, description=text)
        if name == "exec":
            verb.add_argument("command", nargs="*", help="put -- before it")
        elif name != "logs":
            verb.add_argument("--json", action="store_true", help="print one JSON object, and progress nowhere")
        if name == "down":
            verb.add_argument("--now", action="store_true", help="give running tasks 3 s; the next up runs them again")
        if name == "logs":
            verb.add_argument("name", nargs="?", help="a process, as in status (default: all)")
            verb.add_argument("-f", "--follow", action="store_true", help="go on until interrupted")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        place = _place(os.environ)
        if options.verb == "logs":
            return logs(place, options.name, options.follow)
        if options.verb == "exec":
            return execute(place, options.command)
        if options.verb == "status":
            return status(place, options.json)
        # Two at the same time would start the same processes twice.
        busy = f"Another make up or make down is at work in {place.folder}: wait for it to end."
        with locks.alone(place.folder / "lock", busy):
            return up(place, options.json) if options.verb == "up" else down(place, options.json, options.now)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return refused.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read has left; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
