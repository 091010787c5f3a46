"""The work that a fresh stack shows, without a cluster: what goes through its API, and what its sandbox got of it."""

from __future__ import annotations

from typing import Any

import httpx

from scripts.refused import Refused

SUBJECT = "Your stack is up"
ORDER = {"customer": "you", "email": "you@example.com", "items": [{"sku": "book", "quantity": 1}]}


def mail(way: str) -> dict[str, str]:
    """Return the mail; `way` says in a sentence how it came."""
    return {"to": "you@example.com", "subject": SUBJECT, "body": way}


def client(api: str, token: str) -> httpx.Client:
    """Return a client of the API at the address `api`."""
    return httpx.Client(base_url=api, headers={"Authorization": f"Bearer {token}"}, timeout=10, trust_env=False)


def post(api: httpx.Client, path: str, body: dict[str, Any], logs: str) -> str:
    """Send work and return its task's id. Raises Refused, with `logs` as the place to look, when it is not taken."""
    answer = api.post(path, json=body)
    if answer.status_code != 202:
        raise Refused(f"POST {path} was answered with {answer.status_code}: {answer.text[:200]} (see {logs}).")
    return str(answer.json()["task_id"])


def subjects(sandbox: str) -> list[str]:
    """Return the subjects of the mails that the sandbox at this address got."""
    return [mail["subject"] for mail in httpx.get(f"{sandbox}/mails", timeout=5, trust_env=False).json()]
