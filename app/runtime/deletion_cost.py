"""Worker -> Kubernetes: what it would cost to delete this pod, so that scale-in takes idle pods first.

A ReplicaSet that gets smaller deletes the ready pods with the lowest `controller.kubernetes.io/pod-deletion-cost`
first. It is read at that moment only, and a worker may take a task between its last look and that moment: such a task
is drained as ever.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from celery import Celery
from celery.utils.log import get_logger

from app.runtime.lease import Run, ledger

logger = get_logger(__name__)

ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
# The service account's token, certificate authority and namespace.
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# Seconds between two looks: an autoscaler may ask for fewer pods just after a task has ended.
LOOK = 2.0
# Seconds between two patches, as often as an HPA looks. What fails is tried less and less often, up to the second.
INTERVAL, LONGEST = 15.0, 120.0
# Bounds the connection, the handshake and the answer, each.
TIMEOUT = 5.0
# Kubernetes refuses what is no 32-bit integer.
HIGHEST = 2**31 - 1

# No process is forked while this thread is inside of OpenSSL, for the reason that `app.runtime.clients` has. A lock of
# its own, so that no lease waits for the API server. The price: a fork is late by its timeouts when that server hangs.
_talking = threading.Lock()
os.register_at_fork(before=_talking.acquire, after_in_parent=_talking.release, after_in_child=_talking.release)


def cost(runs: Iterable[Run], time_limit: float | None) -> int:
    """Return 0 for no run, else 1 and the seconds that all `runs` may still take until `time_limit`, each 1 or more."""
    now = time.monotonic()
    left = [max(1, round((time_limit or 0) - (now - run.began))) for run in runs]
    return min(HIGHEST, 1 + sum(left)) if left else 0


def is_news(told: int | None, now: int) -> bool:
    """Return whether `now` is worth a patch after `told`; None means that nobody knows what the pod says."""
    # It falls every second in a busy pod: a patch for each look of each pod would be too many. From and to 0 is news.
    return told is None or abs(now - told) > told / 4


class DeletionCost(threading.Thread):
    """Writes the cost to this pod whenever it is news, until the worker is told to end."""

    def __init__(self, app: Celery) -> None:
        super().__init__(name="deletion-cost", daemon=True)
        self.app = app
        # A container that starts again finds on its pod what its predecessor wrote.
        self._told: int | None = None
        self._warned: set[str] = set()
        self._leaving = threading.Event()
        self._pause, self._not_before = INTERVAL, 0.0

    def run(self) -> None:
        """Look until the worker is told to end."""
        while not self._leaving.wait(LOOK):
            if time.monotonic() >= self._not_before:
                self.look()

    def leave(self, **_: Any) -> None:
        """Note that the worker shuts down: nobody asks what it costs to delete a pod that ends."""
        self._leaving.set()

    def look(self) -> bool:
        """Write the cost if it is news, and return False if that failed."""
        now = cost(ledger.runs(), self.app.conf.task_time_limit)
        if not is_news(self._told, now):
            return True
        try:
            _patch(now)
        except Exception as error:  # whatever it is: the worker works without
            self._warn(error)
            self._pause = min(2 * self._pause, LONGEST)
            return False
        else:
            self._told, self._pause = now, INTERVAL
            self._warned.clear()
            return True
        finally:
            self._not_before = time.monotonic() + self._pause

    def _warn(self, error: Exception) -> None:
        kind = f"{type(error).__name__} {getattr(error, 'status', '')}"
        if kind not in self._warned:
            self._warned.add(kind)
            logger.warning("Scale-in can't see how busy this worker is: %s", _reason(error))


class _Refused(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int, answer: str) -> None:
        super().__init__(f"HTTP {status}: {answer}")
        self.status = status


def _reason(error: Exception) -> str:
    if isinstance(error, _Refused) and error.status == 403:
        return f"the group's service account may not patch pods/status, bind it to a Role that allows it ({error})"
    if isinstance(error, KeyError):
        return f"the variable {error.args[0]} is missing"
    if isinstance(error, FileNotFoundError):
        return f"its pod has no token, write automountServiceAccountToken: true ({error})"
    return f"the API server was not told ({error or type(error).__name__})"


def _patch(cost: int) -> None:
    """Annotate this pod with `cost`; raises _Refused, OSError, HTTPException, or KeyError for a missing variable."""
    server = (os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"]))
    name, namespace = os.environ["POD_NAME"], _read(ACCOUNT / "namespace")
    # No Role can name a worker's own pod, and a right on `pods` would let each change the image of any. A patch of
    # `status` changes metadata and status alone (podStatusStrategy in Kubernetes' pkg/registry/core/pod/strategy.go).
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
    headers = {
        # Read anew each time: the kubelet replaces it before it expires.
        "Authorization": f"Bearer {_read(ACCOUNT / 'token')}",
        "Content-Type": "application/merge-patch+json",
        "User-Agent": "celery-worker",
    }
    body = json.dumps({"metadata": {"annotations": {ANNOTATION: str(cost)}}})
    status, answer = _ask(server, ACCOUNT / "ca.crt", path, body, headers)
    if status != 200:
        raise _Refused(status, answer)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()


def _ask(server: tuple[str, int], authority: Path, path: str, body: str, headers: dict[str, str]) -> tuple[int, str]:
    """Send a PATCH, and return the answer's status and the beginning of its body."""
    # Connected out of the lock: a server that nobody reaches delays no fork.
    with socket.create_connection(server, TIMEOUT) as plain, _talking:
        context = ssl.create_default_context(cafile=authority)
        connection = HTTPSConnection(*server, context=context)
        with context.wrap_socket(plain, server_hostname=server[0]) as connection.sock:
            connection.request("PATCH", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()[:500].decode(errors="replace")
