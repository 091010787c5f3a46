"""Real work through every queue of a stack of containers: what `make compose-up` shows before it says that it is up.

A mail and an order go through the HTTP API, as a user's would; `round_trip.py` goes through every queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx

from scripts import work
from scripts.compose.place import Place
from scripts.refused import Refused

MAIL = work.mail("It came over SMTP, from a worker in a container.")
LOGS = "docker logs"
# Seconds.
ANSWERS_WITHIN, DONE_WITHIN, PACE = 90, 90, 0.1


def run(place: Place) -> Iterator[str]:
    """Send a mail and an order, and yield a line for each as it is done. Raises Refused for one that is not."""
    with work.client(place.url("api"), place.read("api-token")) as api:
        _until(lambda: _ready(api), ANSWERS_WITHIN, "the API has found the broker")
        sent = {"the mail": work.post(api, "/send-email", MAIL, LOGS)}
        sent["the order"] = work.post(api, "/orders", work.ORDER, LOGS)
        for name, task_id in sent.items():
            _until(lambda task_id=task_id, name=name: _done(api, task_id, name), DONE_WITHIN, f"{name} is done")  # type: ignore[misc]
            if name == "the mail" and _plays(place):
                _until(lambda: _received(place, work.SUBJECT), DONE_WITHIN, "the sandbox has the mail")
                yield f"the mail server got {work.SUBJECT!r}"
            else:
                yield f"{name} is done"
        if _plays(place):
            _until(lambda: _received(place, "receipt"), DONE_WITHIN, "the order is paid and its receipt is mailed")
            yield "the payment gateway was paid, the mail server got the receipt"


def _plays(place: Place) -> bool:
    """Return whether the mails go to the sandbox, and not to a server of the user's."""
    return "@" not in place.read("smtp-url") and "//sandbox:" in place.read("smtp-url")


def _ready(api: httpx.Client) -> bool:
    try:
        return api.get("/readyz").status_code == 200
    except httpx.HTTPError:
        return False


def _done(api: httpx.Client, task_id: str, name: str) -> bool:
    answer = api.get(f"/task/{task_id}")
    if answer.status_code == 503:
        return False
    told = answer.json()
    if told.get("status") == "FAILURE":
        raise Refused(f"{name} failed: {told.get('error') or told} (see docker logs of the workers).")
    return bool(told.get("status") == "SUCCESS")


def _received(place: Place, words: str) -> bool:
    return any(words.lower() in subject.lower() for subject in work.subjects(place.url("sandbox")))


def _until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Refused(f"Not within {seconds:.0f} s: {what} (docker ps and docker logs say more).")
        time.sleep(PACE)
