"""Environment -> exporter: where the broker is, which groups consume which queues, and where the page is."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.runtime import servers
from app.runtime.keys import Keys
from app.runtime.options import Options
from app.runtime.servers import Access

DEFAULT_URL, DEFAULT_PORT = "redis://localhost:6379/0", "9808"
NEEDED, OPTIONAL = {"queues", "slots", "waitSeconds"}, {"objectiveSeconds", "limitSeconds"}
EXAMPLE = '{"email": {"queues": ["email"], "slots": 2, "waitSeconds": 5}}'


class BadSetting(ValueError):
    """A variable can't be used; the text is one sentence that says what to write instead."""


@dataclass(frozen=True, slots=True)
class Group:
    """A worker group.

    queues: those that it alone consumes. slots: tasks at a time in one pod.
    wait_seconds: what a task may wait for a worker; the number of workers is chosen for it.
    objective_seconds: what a task may wait before somebody is called; None: nobody ever is.
    limit_seconds: a task is killed after this; None: after no time that anybody told.
    """

    name: str
    queues: tuple[str, ...]
    slots: int
    wait_seconds: float
    objective_seconds: float | None = None
    limit_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the exporter must know.

    host: the address that the page listens on.
    lease: seconds for which a worker may go unheard. beat: there is one, which takes its lock for beat_lock seconds.
    """

    # It may hold a password.
    broker_url: str = field(repr=False)
    access: Access
    keys: Keys
    groups: tuple[Group, ...]
    host: str
    port: int
    lease: float
    beat: bool
    beat_lock: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Return what `environment` (default: the process's) says. Raises BadSetting for what can't be used."""
        env = os.environ if environment is None else environment
        try:
            options = Options.from_environment(env)
        except ValueError as error:
            raise BadSetting(f"A CELERY_..._SECONDS variable is no number: {error}; write a number.") from None
        return cls(
            broker_url=_broker_url(env.get("CELERY_BROKER_URL") or _from_file(env) or DEFAULT_URL, options.access),
            access=options.access,
            keys=Keys(options.key_prefix, options.steps, options.priority_separator),
            groups=_groups(env.get("EXPORTER_GROUPS", "")),
            host=env.get("EXPORTER_HOST") or "0.0.0.0",
            port=_port(env.get("EXPORTER_PORT") or DEFAULT_PORT),
            lease=options.lease,
            beat=_flag("EXPORTER_BEAT", env.get("EXPORTER_BEAT") or "true"),
            beat_lock=options.beat_lock,
        )


def _from_file(env: Mapping[str, str]) -> str:
    """Return what the file of CELERY_BROKER_URL_FILE says, so that the URL need stand in no environment."""
    path = env.get("CELERY_BROKER_URL_FILE")
    try:
        return Path(path).read_text(encoding="utf-8").strip() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"CELERY_BROKER_URL_FILE can't be read ({error}): give a readable file.") from None


def _broker_url(url: str, access: Access) -> str:
    if url.startswith("sentinel://") and not access.sentinel_master:
        raise BadSetting(
            "CELERY_SENTINEL_MASTER is empty, and CELERY_BROKER_URL starts with sentinel://: write the name under "
            "which the Sentinels know the master (often mymaster)."
        )
    try:
        servers.check(url, access)
        # Makes no connection.
        servers.connect(url, access)
    except ValueError:
        raise BadSetting(
            "CELERY_BROKER_URL, which is not shown, names no Redis: write redis://, rediss:// or sentinel:// with a "
            "host, e.g. redis://user:password@host:6379/0, user and password percent-encoded; several sentinel:// URLs "
            "have one account and database."
        ) from None
    return url


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise BadSetting(f"EXPORTER_PORT is {text!r}: write a number from 1 to 65535, e.g. {DEFAULT_PORT}.")
    return int(text)


def _flag(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise BadSetting(f"{name} is {text!r}: write true or false.")
    return text == "true"


def _groups(text: str) -> tuple[Group, ...]:
    try:
        told = json.loads(text)
    except ValueError as error:
        raise BadSetting(f"EXPORTER_GROUPS is no JSON ({error}): write e.g. {EXAMPLE}.") from None
    if not isinstance(told, dict) or not told:
        raise BadSetting(f"EXPORTER_GROUPS names no group: write e.g. {EXAMPLE}.")
    groups = tuple(_group(name, group) for name, group in told.items())
    queues = [queue for group in groups for queue in group.queues]
    if twice := sorted({queue for queue in queues if queues.count(queue) > 1}):
        raise BadSetting(f"EXPORTER_GROUPS names the queue {twice[0]!r} twice: write it in the one group that has it.")
    return groups


def _group(name: str, told: Any) -> Group:
    def refuse(what: str) -> BadSetting:
        return BadSetting(f"EXPORTER_GROUPS, group {name!r}: {what}, as in {EXAMPLE}.")

    if not isinstance(told, dict) or not NEEDED <= set(told) <= NEEDED | OPTIONAL:
        raise refuse("write queues, slots and waitSeconds, if you like objectiveSeconds and limitSeconds")
    queues, slots = told["queues"], told["slots"]
    if not isinstance(queues, list) or not queues or not all(isinstance(queue, str) and queue for queue in queues):
        raise refuse("write its queues as a list of names")
    if not isinstance(slots, int) or isinstance(slots, bool) or slots < 1:
        raise refuse("write its slots as a whole number from 1")
    seconds = {key: told[key] for key in ("waitSeconds", *sorted(OPTIONAL)) if key in told}
    for key, value in seconds.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value <= 0:
            raise refuse(f"write its {key} as a number above 0")
    objective, limit = seconds.get("objectiveSeconds"), seconds.get("limitSeconds")
    return Group(name, tuple(queues), slots, float(seconds["waitSeconds"]), objective, limit)
