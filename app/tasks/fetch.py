"""Producer -> queue -> a service on the network: fetching from something that fails now and then."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from app.celery_app import app
from app.tasks._addresses import Address, resolve
from app.tasks._http import RETRIABLE, HttpRefused, translated

# Seconds from the look-up of the name to the last byte, redirects included.
TIMEOUT = 10.0
MAX_BYTES = 1024 * 1024
MAX_REDIRECTS = 5


class UrlRefused(ValueError):
    """The URL is none that this task fetches."""


@app.task(
    name="tasks.unreliable_task",
    autoretry_for=(ConnectionError, TimeoutError),
    # Three tries: the first and two more.
    max_retries=2,
    # At most 5 s, then 10 s; a backoff overrides any countdown.
    retry_backoff=5,
    retry_backoff_max=600,
    retry_jitter=True,
)
def unreliable_task(url: str) -> dict[str, Any]:
    """Fetch an http(s) URL from a service that fails now and then, with three tries.

    Returns {"url", "status", "bytes", "sha256", "text"}: of the last redirect, with the first 1000 characters.
    Raises UrlRefused, AddressRefused, ValueError for more than 1 MiB, HttpRefused for an answer that another try
    won't change; tries again on ConnectionError (which includes 5xx and 429) and TimeoutError.
    """
    return asyncio.run(_fetch(url))


async def _fetch(url: str) -> dict[str, Any]:
    # One bound for all of it: httpx's own are per read, and a service that drips is within them for ever.
    async with asyncio.timeout(TIMEOUT):
        for _ in range(MAX_REDIRECTS + 1):
            answer, body = await _get(url)
            if not answer.has_redirect_location:
                return _result(url, answer, body)
            # Each hop is checked like the first: a redirect to a metadata address is the usual way round a check.
            url = urljoin(url, answer.headers["location"])
    raise HttpRefused(f"more than {MAX_REDIRECTS} redirects", answer.status_code)


def _result(url: str, answer: httpx.Response, body: bytes) -> dict[str, Any]:
    name = urlsplit(url).hostname
    if answer.status_code in RETRIABLE:
        raise ConnectionError(f"{name} answered {answer.status_code}")
    if not answer.is_success:
        raise HttpRefused(f"{name} answered {answer.status_code}", answer.status_code)
    text = body[:4000].decode("utf-8", errors="replace")[:1000]
    digest = hashlib.sha256(body).hexdigest()
    return {"url": url, "status": answer.status_code, "bytes": len(body), "sha256": digest, "text": text}


async def _get(url: str) -> tuple[httpx.Response, bytes]:
    host, port = _target(url)
    failure: httpx.ConnectError | None = None
    with translated(host):
        for address in resolve(host, port):
            try:
                return await _get_from(address, url, host)
            except httpx.ConnectError as error:
                failure = error
        raise failure or httpx.ConnectError("no address")


async def _get_from(address: Address, url: str, host: str) -> tuple[httpx.Response, bytes]:
    # The connection goes to the address that was checked; a second look-up could give another one.
    parts = httpx.URL(url)
    pinned = parts.copy_with(host=str(address), username=None, password=None)
    auth = (parts.username, parts.password) if parts.username else None
    body = bytearray()
    # No proxy from the environment, which would look the name up again; but its certificates (SSL_CERT_FILE).
    certificates = httpx.create_ssl_context()
    async with httpx.AsyncClient(trust_env=False, verify=certificates, timeout=TIMEOUT) as client:
        # Not compressed: a small answer could unpack to any size.
        headers = {"Host": parts.netloc.decode("ascii"), "Accept-Encoding": "identity"}
        request = client.build_request("GET", pinned, headers=headers)
        request.extensions["sni_hostname"] = parts.raw_host.decode("ascii")
        answer = await client.send(request, auth=auth, stream=True)
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > MAX_BYTES:
                raise ValueError(f"{host} sent more than {MAX_BYTES} bytes")
    return answer, bytes(body)


def _target(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = httpx.URL(url).raw_host.decode("ascii")
    except (ValueError, httpx.InvalidURL) as error:
        raise UrlRefused(f"{url!r} is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise UrlRefused(f"{url!r} is not fetched: write a URL that starts with http:// or https:// and names a host")
    return host, port
