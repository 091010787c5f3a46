"""Where a stack of containers lives: its folder with the secrets, its project's name and its ports."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from scripts import ports
from scripts import rules as chart_rules
from scripts.files import lay
from scripts.refused import Refused
from scripts.versions import ROOT

FILE = ROOT / "docker" / "compose.yaml"
CHART_FILES = ROOT / "helm" / "celery" / "files"
# Before every key of the broker; docker/compose.yaml says it, too.
PREFIX = "compose:celery:"
PROFILES = ("light", "monitoring", "full")
# Each published port's variable, by its service, and what docker/compose.yaml publishes without it.
PORTS = {
    "api": ("PORT_API", 8000),
    "flower": ("PORT_FLOWER", 5555),
    "exporter": ("PORT_EXPORTER", 9808),
    "prometheus": ("PORT_PROMETHEUS", 9090),
    "grafana": ("PORT_GRAFANA", 3000),
    "sandbox": ("PORT_SANDBOX", 8025),
}
PASSWORDS = (
    *("broker-password", "scaler-password", "probe-password", "api-token", "flower-password"),
    "grafana-password",
)
# Databases of the broker's user, as in the chart.
URLS = {"broker-url": ("app", 0), "result-backend": ("app", 1), "store-url": ("app", 2), "scaler-url": ("scaler", 0)}
PASSWORD_OF = {"app": "broker-password", "scaler": "scaler-password"}
SANDBOX_MAIL = "smtp://sandbox:1025"
# The mode of what any user of a container can read, in a folder that nobody enters.
READABLE = 0o444
SECRETS = (*PASSWORDS, *URLS, "smtp-url")
# What containers are given of files, by their service: Docker looks at their names only, and not at what is in them.
MOUNTED = {
    "broker": ("broker.conf", "../helm/celery/files/broker-start.sh", "../helm/celery/files/users.acl"),
    "flower": ("flowerconfig.py",),
    "prometheus": ("prometheus.yaml", "../helm/celery/files/rules"),
    "grafana": ("../helm/monitoring/files/provisioning",),
}


@dataclass(frozen=True)
class Place:
    """A stack's folder, project and ports. Two stacks differ in nothing else."""

    folder: Path
    project: str
    ports: Mapping[str, int]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Place:
        """Read COMPOSE_DIR, COMPOSE_PROJECT_NAME and the ports; ports left open are those of the last start.

        Raises Refused for what is no port, or is named twice.
        """
        folder = ROOT / (environment.get("COMPOSE_DIR") or ".compose")
        said = {**_remembered(folder), **{name: value for name, value in environment.items() if value}}
        return cls(folder, said.get("COMPOSE_PROJECT_NAME") or "celery", ports.read_all(said, PORTS))

    def secret(self, name: str) -> Path:
        return self.folder / "secrets" / name

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def read(self, name: str) -> str:
        """Return a secret. Raises Refused when its file can't be read."""
        try:
            return self.secret(name).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Refused(f"The secret {self.secret(name)} can't be read ({error.strerror}): {_WAY_OUT}.") from None

    def prepare(self, in_use: bool) -> list[str]:
        """Lay the folder with its secrets and return the names of those that were made now.

        `in_use`: containers of the stack are there. Then a secret that is gone can't be made again, since they keep
        the old one; Refused is raised.
        """
        missing = [name for name in SECRETS if name not in URLS and not self.secret(name).exists()]
        if missing and in_use:
            raise Refused(f"The secret {self.secret(missing[0])} is gone and containers use it: {_WAY_OUT}.")
        for folder in (self.folder, self.folder / "secrets", self.folder / "rules"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Not the rules' folder: it is mounted as a whole.
        (self.folder / "rules").chmod(0o755)
        for name in missing:
            lay(self.secret(name), SANDBOX_MAIL if name == "smtp-url" else secrets.token_urlsafe(24), READABLE)
        for name, (user, database) in URLS.items():
            lay(self.secret(name), f"redis://{user}:{self.read(PASSWORD_OF[user])}@broker:6379/{database}", READABLE)
        lay(self.folder / "users.acl", users(), READABLE)
        wanted = rules()
        for path in (self.folder / "rules").glob("*.yaml"):
            if path.name not in wanted:
                path.unlink()
        for name, text in wanted.items():
            lay(self.folder / "rules" / name, text, READABLE)
        # One that somebody laid there himself is read by the users of containers, too.
        for path in (self.folder / "secrets").iterdir():
            path.chmod(READABLE)
        return missing

    def variables(self, images: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return what Compose must be told about this stack; without `images` those of the last start."""
        nothing = {"APP_IMAGE": "none", "SANDBOX_IMAGE": "none"}
        known = {name: value for name, value in _remembered(self.folder).items() if name in nothing}
        told = nothing | known | dict(images or {})
        told |= {"COMPOSE_DIR": str(self.folder), "COMPOSE_PROJECT_NAME": self.project}
        told |= {PORTS[service][0]: str(port) for service, port in self.ports.items()}
        return told | {f"FILES_OF_{service.upper()}": _digest(names) for service, names in MOUNTED.items()}

    def remember(self, images: Mapping[str, str]) -> None:
        """Write the variables where the next command finds them, and a person for `docker compose --env-file`."""
        lay(self.file, "".join(f"{name}={value}\n" for name, value in self.variables(images).items()), READABLE)

    @property
    def file(self) -> Path:
        return self.folder / "env"

    def addresses(self, services: set[str]) -> dict[str, str]:
        """Return where the published services are, and which files have their logins."""
        found = {service: self.url(service) for service in PORTS if service in services}
        files = {"api": "api-token", "flower": "flower-password", "grafana": "grafana-password"}
        return found | {f"{service}_secret": str(self.secret(files[service])) for service in files if service in found}


_WAY_OUT = "put it back, or end the stack with make compose-down and start it again"


def users() -> str:
    """Return the broker's users as the chart writes them, for this stack's prefix."""
    return (CHART_FILES / "users.acl").read_text(encoding="utf-8").replace("${PREFIX}", PREFIX)


def rules() -> dict[str, str]:
    """Return the chart's rules by file: the groups whose numbers there are. The others would ring for their absence."""
    return {
        name: yaml.safe_dump({"groups": groups}, sort_keys=False, width=120)
        for name, groups in chart_rules.told().items()
    }


def _digest(names: tuple[str, ...]) -> str:
    content = hashlib.sha256()
    for path in (FILE.parent / name for name in names):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            content.update(file.name.encode() + (file.read_bytes() if file.is_file() else b""))
    return content.hexdigest()[:12]


def _remembered(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / "env").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)


def profile(text: str) -> str:
    """Return a profile's name, `monitoring` for none. Raises Refused for another."""
    if text and text not in PROFILES:
        raise Refused(
            f"There is no profile {text!r}: write PROFILE={', PROFILE='.join(PROFILES[:-1])} or PROFILE=full.", 2
        )
    return text or "monitoring"


def scale(text: str, services: set[str]) -> dict[str, int]:
    """Return how many containers each service shall have by `worker-email=3 ...`, for services that may have several.

    Raises Refused for anything else.
    """
    found = {}
    for word in text.replace(",", " ").split():
        name, _, count = word.partition("=")
        if name not in services:
            raise Refused(f"SCALE names {name!r}: allowed are {', '.join(sorted(services))}, as in worker-email=3.", 2)
        if not count.isascii() or not count.isdigit() or int(count) > 100:
            raise Refused(f"SCALE is {word!r}: write a whole number from 0 to 100, as in {name}=3.", 2)
        found[name] = int(count)
    return found
