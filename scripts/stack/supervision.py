"""The process manager: supervisor, configured from the processes' description and spoken to over its Unix socket."""

from __future__ import annotations

import http.client
import os
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from scripts.files import lay
from scripts.refused import Refused
from scripts.stack.place import Place
from scripts.stack.process import Process
from scripts.versions import ROOT

GONE = ("STOPPED", "EXITED", "FATAL", "UNKNOWN")
# What the supervisor itself gets from the caller's environment; all else is in the description.
INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER", "SSL_CERT_FILE")


def configuration(place: Place, processes: Iterable[Process]) -> str:
    """Return supervisor's configuration for `processes`. Raises Refused for text that its format can't hold."""
    lines = [
        "; Generated from scripts/stack/processes.py by `make up`.",
        "[supervisord]",
        f"logfile={_text(place.folder / 'logs' / 'supervisor.log')}",
        f"pidfile={_text(place.folder / 'supervisor.pid')}",
        f"childlogdir={_text(place.folder / 'logs')}",
        "umask=077",
        "[unix_http_server]",
        f"file={_text(place.socket)}",
        "chmod=0600",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for process in processes:
        variables = {"STACK_ID": place.id, **process.environment}
        lines += [
            f"[program:{process.name}]",
            f"command={_text(shlex.join(process.command))}",
            f"directory={_text(ROOT)}",
            "environment=" + ",".join(f"{name}={_quoted(value)}" for name, value in sorted(variables.items())),
            "autorestart=true",
            # A process that ends within its start is tried three more times, then `up` says why.
            "startsecs=5",
            # TERM goes to the main process alone: a pool child that gets it, too, drops its task.
            "stopsignal=TERM",
            "stopasgroup=false",
            "killasgroup=true",
            f"stopwaitsecs={process.stop_within}",
            "redirect_stderr=true",
            f"stdout_logfile={_text(place.log(process.name))}",
            "stdout_logfile_maxbytes=20MB",
            "stdout_logfile_backups=2",
        ]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    # Its format has no sign that makes a quote a letter, and takes every quote off the ends; what has double ones
    # within stands in single ones.
    if '"' in value.strip('"') and value == value.strip('"') and "'" not in value:
        return "'" + '"'.join(_text(part) for part in value.split('"')) + "'"
    return f'"{_text(value)}"'


def _text(value: object) -> str:
    text = str(value)
    if any(part in text for part in ('"', "\n", "\r", " ;", " #")):
        raise Refused(
            f"{text!r} holds a quote, a line break or a comment sign: supervisor can't take it, choose another.", 2
        )
    return text.replace("%", "%%")


class Supervisor:
    """The running supervisor of a place, if there is one."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @property
    def _rpc(self) -> Any:
        # A new one each time: its transport keeps a connection, and a broken one for good.
        transport = SupervisorTransport(None, None, f"unix://{self.place.socket}")
        # The address is not used: the transport goes to the socket.
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def answers(self) -> bool:
        """Return whether it runs."""
        try:
            return bool(self._rpc.getState()["statename"])
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False

    def start(self, processes: Iterable[Process], environment: Mapping[str, str]) -> None:
        """Start it, and with it every process, detached from this shell. Raises Refused with its own words."""
        path = self._configure(processes)
        inherited = {name: environment[name] for name in INHERITED if name in environment} | {"STACK_ID": self.place.id}
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", path]
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        run = subprocess.run(command, cwd=ROOT, env=inherited, umask=0o077, **pipes)
        if run.returncode or not _until(self.answers, 15):
            raise Refused(
                f"The supervisor did not start: {(run.stderr or run.stdout).strip() or 'it does not answer'}."
            )

    def update(self, processes: Iterable[Process]) -> dict[str, str]:
        """Bring what runs to the description and what died back; return what was done, by process name."""
        self._configure(processes)
        ((added, changed, removed),) = self._rpc.reloadConfig()
        self.stop([*changed, *removed])
        for name in (*changed, *removed):
            self._rpc.removeProcessGroup(name)
        for name in (*changed, *added):
            self._rpc.addProcessGroup(name)
        done = dict.fromkeys(added, "started, it is new") | dict.fromkeys(changed, "restarted, it was described anew")
        done |= dict.fromkeys(removed, "stopped, it is no longer described")
        for name, state in self.states().items():
            if state["statename"] in GONE and name not in done:
                self._rpc.startProcess(name, False)
                done[name] = f"started, it was {state['statename'].lower()}"
        return done

    def states(self) -> dict[str, dict[str, Any]]:
        """Return what supervisor knows about each process, by name."""
        return {state["name"]: state for state in self._rpc.getAllProcessInfo()}

    def stop(
        self, names: Iterable[str], tell: Callable[[list[str]], None] | None = None, patience: float | None = None
    ) -> None:
        """Stop processes at the same time and return when they are gone; after `patience` seconds kill their trees.

        Without `patience` each has the time of its description. `tell` hears every 2 s who is awaited.
        """
        names, started = set(names), time.monotonic()
        # An idle worker takes some seconds, too, and is not worth a word.
        told = started + 6
        for name in names:
            with suppress(xmlrpc.client.Fault):  # it does not run
                self._rpc.stopProcess(name, False)
        while awaited := [
            state for name, state in self.states().items() if name in names and state["statename"] not in GONE
        ]:
            if patience is not None and time.monotonic() - started > patience:
                for state in awaited:
                    with suppress(ProcessLookupError):
                        os.killpg(state["pid"], signal.SIGKILL)
            if tell and time.monotonic() - told > 2:
                told = time.monotonic()
                tell([state["name"] for state in awaited])
            time.sleep(0.05)

    def end(self) -> None:
        """End supervisor itself; its processes are stopped before."""
        pid = self._rpc.getPID()
        with suppress(OSError, http.client.HTTPException):
            self._rpc.shutdown()
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(30)

    def _configure(self, processes: Iterable[Process]) -> str:
        path = self.place.folder / "supervisor.conf"
        lay(path, configuration(self.place, processes))
        return str(path)


def members(place: Place) -> list[psutil.Process]:
    """Return every process of the place's stack, also those whose supervisor died."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get("STACK_ID") == place.id:
                found.append(process)
    return found


def end_leftovers(place: Place) -> list[str]:
    """End processes that have no supervisor any more; return their names and ids."""
    left = members(place)
    names = [f"{process.name()} ({process.pid})" for process in left]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(left, timeout=10)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=5)
    return names


def listeners(port: int) -> list[psutil.Process | None]:
    """Return who listens on a TCP port of this machine; None stands for somebody this user may not see."""
    found: list[psutil.Process | None] = []
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(connection.pid) if connection.pid else None)
    return found


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
