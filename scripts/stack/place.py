"""Where a stack lives: its folder, its ports and its passwords. Two stacks differ in nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.queues import GROUPS
from scripts.files import lay
from scripts.ports import HIGHEST, read
from scripts.refused import Refused
from scripts.versions import ROOT

# Each port's variable and default; the names are those of the processes in `processes.py`.
PORTS: dict[str, tuple[str, int]] = {
    "broker": ("STACK_REDIS_PORT", 6379),
    "smtp": ("STACK_SMTP_PORT", 1025),
    "sandbox": ("STACK_SANDBOX_PORT", 8025),
    "flower": ("STACK_FLOWER_PORT", 5555),
    "api": ("STACK_API_PORT", 8000),
    "exporter": ("STACK_EXPORTER_PORT", 9808),
    "prometheus": ("STACK_PROMETHEUS_PORT", 9090),
    # The first of as many as there are processes with a page.
    "metrics": ("STACK_METRICS_PORT", 9540),
}
# The processes with a page for Prometheus; the exporter has a port of its own.
PAGES = (*(f"worker-{group}" for group in GROUPS), "beat", "api")
# A Unix socket's path holds 107 bytes, and supervisor binds a temporary name first: the path, a dot and its process id.
LONGEST_SOCKET = 107 - len(".4194304")


@dataclass(frozen=True)
class Place:
    """A stack's folder and ports."""

    folder: Path
    ports: Mapping[str, int]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Place:
        """Read STACK_DIR and the ports' variables. Raises Refused for what is no port, or is named twice."""
        folder = Path(environment.get("STACK_DIR") or ".stack")
        ports = {name: read(environment, *rule, _highest(name)) for name, rule in PORTS.items()}
        place = cls(folder if folder.is_absolute() else ROOT / folder, ports)
        place._refuse_twins()
        return place

    @property
    def every_port(self) -> dict[str, int]:
        """All ports by what listens there; those of pages follow from one variable."""
        own = {name: port for name, port in self.ports.items() if name != "metrics"}
        return own | {page_of(name): self.page(name) for name in PAGES}

    def page(self, name: str) -> int:
        """Return the port of the page of a process of PAGES."""
        return self.ports["metrics"] + PAGES.index(name)

    def _refuse_twins(self) -> None:
        holders: dict[int, str] = {}
        for name, port in self.every_port.items():
            other = holders.setdefault(port, name)
            if other != name and name in PORTS:
                raise Refused(f"{variable(other)} and {variable(name)} are both {port}: give each its own port.", 2)
            if other != name:
                raise Refused(
                    f"{variable(other)} is {port}, the port of {name} with {variable(name)}={self.ports['metrics']}: "
                    "give one of them another.",
                    2,
                )

    @property
    def id(self) -> str:
        """What marks this stack's processes, in their environment, as its own."""
        return hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]

    @property
    def socket(self) -> Path:
        """The process manager's control socket: in the folder, or in a short one when the path is too long for that."""
        path = self.folder / "supervisor.sock"
        if len(os.fsencode(path)) <= LONGEST_SOCKET:
            return path
        return Path(tempfile.gettempdir()) / f"stack-{self.id}" / "supervisor.sock"

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def heartbeat(self, name: str) -> Path:
        return self.folder / "run" / name

    def secret(self, name: str) -> Path:
        return self.folder / "secrets" / name

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def redis_url(self, database: int = 0) -> str:
        """The broker's URL, with its password."""
        password = self.secret("redis_password").read_text()
        return f"redis://:{password}@127.0.0.1:{self.ports['broker']}/{database}"

    @property
    def api_token(self) -> str:
        return self.secret("api_token").read_text()

    @property
    def flower_login(self) -> tuple[str, str]:
        """User and password."""
        return "flower", self.secret("flower_password").read_text()

    def prepare(self) -> None:
        """Lay the folders, the passwords (kept from the last time) and the files made of them; only the owner reads."""
        for folder in (
            self.folder,
            self.socket.parent,
            *(self.folder / name for name in ("logs", "run", "redis", "secrets")),
        ):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.socket.parent.stat().st_uid != os.getuid():
            raise Refused(f"{self.socket.parent} belongs to somebody else: choose a shorter STACK_DIR.")
        for name in ("redis_password", "api_token", "flower_password"):
            if not self.secret(name).exists():
                lay(self.secret(name), secrets.token_urlsafe(24))
        for number, name in enumerate(("broker_url", "result_backend", "store_url")):
            lay(self.secret(name), self.redis_url(number))
        lay(self.folder / "redis.conf", self._redis_configuration())

    def _redis_configuration(self) -> str:
        # noeviction: a full Redis must refuse a task, not forget another one.
        # set-proc-title: the title is written over the environment, by which a stack knows its processes.
        return f"""\
bind 127.0.0.1
port {self.ports["broker"]}
dir {json.dumps(str(self.folder / "redis"))}
requirepass {self.secret("redis_password").read_text()}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
maxmemory 512mb
tcp-keepalive 60
set-proc-title no
"""

    def client_settings(self) -> dict[str, str]:
        """Return the variables that make any process of this machine a client of the stack; no secret is in them."""
        return {
            "CELERY_BROKER_URL_FILE": str(self.secret("broker_url")),
            "CELERY_RESULT_BACKEND_FILE": str(self.secret("result_backend")),
            "STORE_URL_FILE": str(self.secret("store_url")),
            "API_TOKEN_FILE": str(self.secret("api_token")),
            "SMTP_URL": f"smtp://127.0.0.1:{self.ports['smtp']}",
            "PAYMENT_GATEWAY_URL": f"{self.url('sandbox')}/payments",
            "NOTIFICATION_WEBHOOK_URL": f"{self.url('sandbox')}/notifications",
            "REPORTS_DIR": str(self.folder / "reports"),
        }


def page_of(name: str) -> str:
    """Return what listens on the port of a process's page, in words."""
    return f"metrics of {name}"


def variable(name: str) -> str:
    """Return the variable by which the port of `name`, one of `Place.every_port`, is chosen."""
    return PORTS[name if name in PORTS else "metrics"][0]


def client_environment(place: Place, environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` turned to the stack: what else in it would name another broker is left out."""
    settings = place.client_settings()
    rivals = {name.removesuffix("_FILE") for name in settings} | {f"{name}_FILE" for name in settings}
    return {name: value for name, value in environment.items() if name not in rivals} | settings


def _highest(name: str) -> int:
    # The pages of the others follow the first one's.
    return HIGHEST - len(PAGES) if name == "metrics" else HIGHEST
