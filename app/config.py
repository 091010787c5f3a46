"""Settings: read from the environment once, typed, frozen, and refused with one sentence when they are wrong.

Every variable may also be given as `NAME_FILE`, a path whose content is the value, so that
secrets never need to stand in an environment.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from app.queues import GROUPS


class BadSetting(ValueError):
    """A variable's value can't be used; the message names the variable, the value and what is allowed."""


def _number(kind: type[int] | type[float], minimum: float, maximum: float) -> tuple[Callable[[str], Any], str]:
    def parse(text: str) -> float:
        number = kind(text)
        if not minimum <= number <= maximum:
            raise ValueError
        return number

    word = "a whole number" if kind is int else "a number"
    return parse, f"{word} from {minimum:.12g} to {maximum:.12g}"


def _choice(*allowed: str) -> tuple[Callable[[str], Any], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError
        return text

    return parse, "one of " + ", ".join(repr(word) for word in allowed)


def _boolean() -> tuple[Callable[[str], Any], str]:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return (lambda text: words[text.lower()]), "true or false"


def _url(*schemes: str, optional: bool = False) -> tuple[Callable[[str], Any], str]:
    redis = "sentinel" in schemes

    def parse(text: str) -> str:
        if optional and not text:
            return text
        parts = [urlsplit(part) for part in text.split(";")]
        if any(part.scheme not in schemes or not part.hostname for part in parts):
            raise ValueError
        _ = [part.port for part in parts]  # raises ValueError when it is not a number
        if redis and not all(map(_is_encoded, parts)):
            raise ValueError
        if len(parts) > 1 and not _are_sentinels_of_one_server(parts):
            raise ValueError
        return text

    empty = " (or nothing)" if optional else ""
    several = ""
    if redis:
        several = ", with user and password percent-encoded (a Secret for the chart: letters, digits and - _ . ~ only)"
        several += "; several sentinel:// URLs, joined by semicolons, all have the same user, password and database"
    starts = " or ".join(scheme + "://" for scheme in schemes)
    return parse, f"a URL that starts with {starts} and names a host{empty}{several}"


def _is_encoded(part: SplitResult) -> bool:
    # Else a password with a slash makes its own beginning the host, which nobody finds.
    account = part.netloc.rpartition("@")[0]
    return "@" not in part.path + part.query + part.fragment and not re.search(r"%(?![0-9A-Fa-f]{2})", account)


def _are_sentinels_of_one_server(parts: list[SplitResult]) -> bool:
    accounts = {(part.username, part.password, part.path.strip("/") or "0") for part in parts}
    return len(accounts) == 1 and all(part.scheme == "sentinel" for part in parts)


def _rate() -> tuple[Callable[[str], Any], str]:
    def parse(text: str) -> str:
        if not text:
            return text
        count, _, unit = text.partition("/")
        if int(count) < 1 or unit not in ("s", "m", "h"):
            raise ValueError
        return text

    return parse, "a rate such as 10/m (per s, m or h), or nothing for no limit"


def _port() -> tuple[Callable[[str], Any], str]:
    parse, allowed = _number(int, 0, 65535)
    return (lambda text: parse(text or "0")), f"{allowed}, 0 or nothing for none"


def _text() -> tuple[Callable[[str], Any], str]:
    return str, "any text"


def _file() -> tuple[Callable[[str], Any], str]:
    def parse(text: str) -> str:
        if text and not os.access(text, os.R_OK):
            raise ValueError
        return text

    return parse, "the path of a readable file (or nothing)"


def _setting(name: str, default: str, rule: tuple[Callable[[str], Any], str], secret: bool = False) -> Any:
    return field(metadata={"name": name, "default": default, "parse": rule[0], "allowed": rule[1], "secret": secret})


_REDIS = ("redis", "rediss", "sentinel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of the application. Durations are seconds, sizes are bytes."""

    broker_url: str = _setting("CELERY_BROKER_URL", "redis://localhost:6379/0", _url(*_REDIS), secret=True)
    result_backend: str = _setting("CELERY_RESULT_BACKEND", "redis://localhost:6379/1", _url(*_REDIS), secret=True)
    # Orders, customers and idempotency keys; a database of their own so that they can move elsewhere.
    store_url: str = _setting("STORE_URL", "redis://localhost:6379/2", _url(*_REDIS), secret=True)
    # The name under which the Sentinels of a sentinel:// URL know the master, and what they themselves ask for.
    sentinel_master: str = _setting("CELERY_SENTINEL_MASTER", "", _text())
    sentinel_password: str = _setting("CELERY_SENTINEL_PASSWORD", "", _text(), secret=True)
    # Certificate authority of rediss:// servers; empty means those that the system trusts.
    ca_file: str = _setting("CELERY_BROKER_CA_FILE", "", _file())
    # Prefixes every broker key, so that two installs can share a Redis. Letters, digits, - _ : only.
    key_prefix: str = _setting("CELERY_KEY_PREFIX", "", _text())
    # Empty means a development worker that takes every queue; never run one beside grouped workers.
    worker_group: str = _setting("CELERY_WORKER_GROUP", "", _choice("", *GROUPS))
    concurrency: int = _setting("CELERY_WORKER_CONCURRENCY", "4", _number(int, 1, 1000))
    # The pool kills a task after this long; the grace period of a rollout is derived from it.
    time_limit: int = _setting("CELERY_TIME_LIMIT_SECONDS", "600", _number(int, 2, 86400))
    # A worker renews what it holds every third of this; the work of a dead worker is back after it.
    lease: float = _setting("CELERY_LEASE_SECONDS", "60", _number(float, 3, 3600))
    # A message with a far eta costs memory in a worker for all that time.
    max_eta: int = _setting("CELERY_MAX_ETA_SECONDS", "86400", _number(int, 0, 31 * 86400))
    result_expires: int = _setting("CELERY_RESULT_EXPIRES_SECONDS", "86400", _number(int, 60, 31 * 86400))
    # Task events feed Flower's live list and cost about a third of the throughput of trivial tasks.
    task_events: bool = _setting("CELERY_TASK_EVENTS", "true", _boolean())
    # Second bound of a half-open connection; None hangs a worker for good (measured), so it can't be said here.
    socket_timeout: float = _setting("CELERY_SOCKET_TIMEOUT_SECONDS", "10", _number(float, 0.1, 120))
    # Reconnecting for longer than this, while Redis answers others, makes a worker count as dead.
    reconnect_limit: float = _setting("CELERY_RECONNECT_LIMIT_SECONDS", "300", _number(float, 1, 3600))
    # Pools that enforce no time limit (solo, threads, gevent) are refused unless the group says so.
    unbounded_pool: bool = _setting("CELERY_UNBOUNDED_POOL", "false", _boolean())
    # The beat that holds the lock ticks; a dead holder blocks its successor for this long.
    beat_lock: float = _setting("CELERY_BEAT_LOCK_SECONDS", "30", _number(float, 5, 600))
    # Queues with priorities: 0 is the most urgent, 6 the default. Every producer and worker must agree.
    priorities: bool = _setting("CELERY_PRIORITIES", "false", _boolean())
    priority_separator: str = _setting("CELERY_PRIORITY_SEPARATOR", "", _text())
    # A worker that ends waits this long for what runs, and gives the rest back; 0 waits for every task.
    soft_shutdown: float = _setting("CELERY_SOFT_SHUTDOWN_SECONDS", "0", _number(float, 0, 86400))
    # Workers, beat and the API serve a page for Prometheus there; 0 means none. One port for each process of a machine.
    metrics_port: int = _setting("CELERY_METRICS_PORT", "0", _port())
    metrics_host: str = _setting("CELERY_METRICS_HOST", "0.0.0.0", _text())
    # Where workers and beat keep their heartbeat files; memory-backed in the chart.
    heartbeat_dir: str = _setting("CELERY_HEARTBEAT_DIR", "", _text())
    # Scale-in takes idle pods first: a worker writes on its own pod what it still has to do.
    deletion_cost: bool = _setting("CELERY_POD_DELETION_COST", "false", _boolean())
    log_level: str = _setting("LOG_LEVEL", "info", _choice("debug", "info", "warning", "error"))
    log_format: str = _setting("LOG_FORMAT", "json", _choice("json", "text"))
    # Tasks that sleep, fail, exit and allocate on request: for tests and drills only.
    fault_tasks: bool = _setting("FAULT_TASKS", "false", _boolean())

    smtp_url: str = _setting("SMTP_URL", "smtp://localhost:1025", _url("smtp", "smtps", "smtp+starttls"), secret=True)
    mail_from: str = _setting("MAIL_FROM", "shop@example.com", _text())
    webhook_url: str = _setting("NOTIFICATION_WEBHOOK_URL", "", _url("http", "https", optional=True))
    payment_url: str = _setting("PAYMENT_GATEWAY_URL", "", _url("http", "https", optional=True))
    payment_token: str = _setting("PAYMENT_GATEWAY_TOKEN", "", _text(), secret=True)
    reports_dir: str = _setting("REPORTS_DIR", "", _text())
    order_rate_limit: str = _setting("ORDER_RATE_LIMIT", "10/m", _rate())

    api_token: str = _setting("API_TOKEN", "", _text(), secret=True)
    # The largest request body the API reads.
    api_max_body: int = _setting("API_MAX_BODY_BYTES", "65536", _number(int, 1024, 16 * 1024 * 1024))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Return the settings that `environment` (default: the process's) describes.

        Raises BadSetting for the first variable that can't be used, or that another one contradicts.
        """
        environment = os.environ if environment is None else environment
        settings = cls(**{item.name: _read(environment, item.metadata) for item in fields(cls)})
        settings._refuse_half_an_address()
        return settings

    def _refuse_half_an_address(self) -> None:
        urls = (self.broker_url, self.result_backend, self.store_url)
        if any(url.startswith("sentinel://") for url in urls) and not self.sentinel_master:
            raise BadSetting(
                "CELERY_SENTINEL_MASTER is empty, and a URL starts with sentinel://: write the name under which the "
                "Sentinels know the master (often mymaster)."
            )
        if self.ca_file and not any(url.startswith("rediss://") for url in urls):
            raise BadSetting(
                f"CELERY_BROKER_CA_FILE is {self.ca_file!r}, and no URL uses TLS: write rediss:// in "
                "CELERY_BROKER_URL, CELERY_RESULT_BACKEND or STORE_URL, or leave the file out."
            )

    @property
    def soft_time_limit(self) -> int:
        """Seconds after which a task gets SoftTimeLimitExceeded: a tenth, at most 30 s, before the hard limit."""
        return self.time_limit - max(1, min(30, self.time_limit // 10))


def _read(environment: Mapping[str, str], rule: Mapping[str, Any]) -> Any:
    name: str = rule["name"]
    text = environment.get(name)
    if text is None and f"{name}_FILE" in environment:
        path = Path(environment[f"{name}_FILE"])
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            sentence = f"{name}_FILE is {str(path)!r}: it can't be read ({error}); give a readable file."
            raise BadSetting(sentence) from None
    try:
        return rule["parse"](rule["default"] if text is None else text.strip())
    except (ValueError, KeyError):
        shown = "a secret that is not shown" if rule["secret"] else repr(text)
        raise BadSetting(f"{name} is {shown}: allowed is {rule['allowed']}.") from None


def load() -> Settings:
    """Return the process's settings, or end it with one sentence on stderr and exit code 2."""
    try:
        return Settings.from_environment()
    except BadSetting as error:
        print(error, file=sys.stderr)
        sys.exit(2)


settings = load()
