"""Runtime -> Redis: which server a URL means, for clients that kombu doesn't make, and what may be wrong with it.

A URL is redis:// (one server), rediss:// (one behind TLS) or sentinel:// (the master that Sentinels name: several URLs
joined by semicolons, each with the same user, password and database).
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from celery.utils.log import get_logger
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

logger = get_logger(__name__)

SCHEMES = ("redis://", "rediss://", "sentinel://")
# Seconds that one Sentinel may take to name the master; then the next is asked.
SENTINEL_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a URL can't say about the way to Redis.

    sentinel_master: the name under which the Sentinels of a sentinel:// URL know the master.
    sentinel_password: what the Sentinels themselves ask for; empty means nothing.
    ca_file: certificate authority of a rediss:// server; empty means those that the system trusts.
    """

    sentinel_master: str = ""
    # Unseen in the settings that a worker shows, for example in Flower.
    sentinel_password: str = field(default="", repr=False)
    ca_file: str = ""


def check(url: str, access: Access) -> None:
    """Raise ValueError with a sentence when `url` and `access` name no server."""
    if not url.startswith(SCHEMES):
        raise ValueError("the runtime needs a Redis broker: set broker_url to redis://, rediss:// or sentinel://")
    if not _is_encoded(url):
        raise ValueError(
            "the user or the password in broker_url has a character that ends it: percent-encode it, or take one of "
            "letters, digits and - _ . ~ only"
        )
    if _behind_sentinels(url) and not access.sentinel_master:
        raise ValueError("a sentinel:// URL needs the master's name: give Options(access=Access(sentinel_master=...))")
    if len({_account(part) for part in _parts(url)}) > 1:
        raise ValueError("the sentinel:// URLs differ: give each the same user, password and database")


def connect(url: str, access: Access, **options: Any) -> Redis:
    """Return a client of the server that `url` names, with redis-py's `options`; it connects on its first command."""
    if not _behind_sentinels(url):
        # Celery writes CERT_REQUIRED where redis-py knows only required.
        url = re.sub(r"(?<=ssl_cert_reqs=)CERT_(\w+)", lambda word: word[1].lower(), url)
        return Redis.from_url(url, **tls(url, access), **options)
    parts = _parts(url)
    username, password, database = _account(parts[0])
    nodes = [(part.hostname or "localhost", part.port or 26379) for part in parts]
    sentinel: Any = Sentinel(nodes, sentinel_kwargs=_sentinel_client(access))  # type: ignore[no-untyped-call]
    account = {"username": username, "password": password, "db": database}
    client: Redis = sentinel.master_for(access.sentinel_master, **account, **options)
    return client


def tls(url: str, access: Access) -> dict[str, Any]:
    """Return redis-py's options, which are kombu's and Celery's too, that verify the server of a rediss:// URL."""
    if not url.startswith("rediss://"):
        return {}
    trusted = {"ssl_ca_certs": access.ca_file} if access.ca_file else {}
    return {"ssl_cert_reqs": "required", **trusted}


def broker_options(url: str, access: Access) -> dict[str, Any]:
    """Return kombu's transport options that a sentinel:// URL needs."""
    if not _behind_sentinels(url):
        return {}
    # Without a Retry: Flower hands this to redis-py's asyncio client, which needs one of its own kind.
    client = {name: value for name, value in _sentinel_client(access).items() if name != "retry"}
    return {"master_name": access.sentinel_master, "sentinel_kwargs": client}


def backend_options(url: str, access: Access) -> dict[str, Any]:
    """Return Celery's result_backend_transport_options that a sentinel:// URL needs."""
    if not _behind_sentinels(url):
        return {}
    return {"master_name": access.sentinel_master, "sentinel_kwargs": _sentinel_client(access)}


def without_password(url: str) -> str:
    """Return `url` without user and password."""
    return ";".join(part._replace(netloc=part.netloc.rpartition("@")[2]).geturl() for part in _parts(url))


def once() -> Retry:
    """Return redis-py's policy of one try; its own default repeats with pauses of seconds."""
    return Retry(NoBackoff(), 0)


def examine(client: Redis) -> None:
    """Warn of a server that may evict messages; end the process with code 2 and a sentence at a Redis Cluster.

    A server that refuses INFO is taken as it is. Raises redis-py's errors when it doesn't answer.
    """
    try:
        clustered = client.info("cluster").get("cluster_enabled")
        policy = client.info("memory").get("maxmemory_policy")
    except ResponseError as error:
        logger.debug("Redis tells nothing about itself: %s", error)
        return
    if clustered:
        print(
            "The broker is a Redis Cluster, which Celery can't use: its keys lie on different nodes. "
            "Give the URL of a single Redis or Valkey, or of Sentinels.",
            file=sys.stderr,
            flush=True,
        )
        raise SystemExit(2)
    if policy not in (None, "noeviction"):
        victims = "waiting tasks" if policy.startswith("allkeys") else "results and the marks of cancelled tasks"
        logger.warning(
            "Redis has maxmemory-policy %s: when its memory is full it drops %s without a word; set noeviction.",
            policy,
            victims,
        )


def advice(error: Exception) -> str:
    """Return a sentence that says what to look at when connecting to Redis ended with `error`."""
    text = str(error)
    if isinstance(error, NoPermissionError):
        return "The user may not do this: compare its ACL rules and the key prefix with the chart's users.acl."
    if isinstance(error, AuthenticationError) or "NOAUTH" in text or "WRONGPASS" in text:
        return "Redis refuses the user or the password: look at those in CELERY_BROKER_URL, and at its Secret."
    if isinstance(error, MasterNotFoundError):
        return (
            "No Sentinel names a master: look at CELERY_SENTINEL_MASTER and CELERY_SENTINEL_PASSWORD, at the hosts in "
            "CELERY_BROKER_URL, and whether a failover is under way."
        )
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "The server's certificate is not trusted: look at CELERY_BROKER_CA_FILE, and at the host's name in it."
    if "SSL" in text:
        return "TLS failed: look whether the port in CELERY_BROKER_URL speaks TLS."
    return (
        "Redis can't be reached: look at host and port in CELERY_BROKER_URL, whether Redis runs, whether both sides or "
        "none use TLS (rediss://), and at NetworkPolicies and firewalls between."
    )


def _sentinel_client(access: Access) -> dict[str, Any]:
    password = {"password": access.sentinel_password} if access.sentinel_password else {}
    timeouts = {"socket_timeout": SENTINEL_TIMEOUT, "socket_connect_timeout": SENTINEL_TIMEOUT}
    return {**timeouts, **password, "retry": once()}


def _is_encoded(url: str) -> bool:
    """Return whether nothing of the account is read as host, path or the next URL; app/config.py asks the same."""
    try:
        parts = _parts(url)
    except ValueError:
        # A bracket; the error's own words may hold what stands around it.
        return False
    after = (part.path + part.query + part.fragment for part in parts)
    accounts = (part.netloc.rpartition("@")[0] for part in parts)
    return not any("@" in text for text in after) and not any(
        re.search(r"%(?![0-9A-Fa-f]{2})", text) for text in accounts
    )


def _behind_sentinels(url: str) -> bool:
    return url.startswith("sentinel://")


def _parts(url: str) -> list[SplitResult]:
    return [urlsplit(part) for part in url.split(";")]


def _account(part: SplitResult) -> tuple[str | None, str | None, int]:
    username, password = (unquote(text) if text else None for text in (part.username, part.password))
    return username, password, int(part.path.strip("/") or 0)
