"""Client -> API: what requests and answers look like, and which requests are refused."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.store import CATALOGUE
from app.tasks.orders import MAX_QUANTITY

# Narrower than what mail allows (no quoted names, ASCII domains) and quick: composing a mail to try its address
# cost two fifths of a request. A test holds that whatever passes here can be composed.
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*"
)


class Request(BaseModel):
    """A request's body; a misspelt field is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


def _on_one_line(text: str) -> str:
    # The splitlines set: every character that some mail program takes for the end of a header.
    if text != "".join(text.splitlines()) or "\0" in text:
        raise ValueError("it holds a line break: write it on one line")
    return text


def _one_address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("write one mail address such as jo@example.com")
    return text


Address = Annotated[str, Field(max_length=254, examples=["jo@example.com"]), AfterValidator(_one_address)]


class Mail(Request):
    """A plain-text mail to one address."""

    to: Address
    subject: Annotated[str, Field(max_length=200, examples=["Welcome"]), AfterValidator(_on_one_line)]
    body: str = Field(max_length=50_000, examples=["Good to have you here."])


def _in_catalogue(sku: str) -> str:
    if sku not in CATALOGUE:
        raise ValueError(f"there is no article {sku!r}; there are {', '.join(sorted(CATALOGUE))}")
    return sku


class Line(Request):
    """One line of an order."""

    sku: Annotated[str, Field(max_length=64, examples=["book"]), AfterValidator(_in_catalogue)]
    quantity: int = Field(ge=1, le=MAX_QUANTITY, examples=[1])


class NewOrder(Request):
    """An order of a customer."""

    customer: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["jo"])
    email: Address
    items: list[Line] = Field(min_length=1, max_length=100)


class Accepted(BaseModel):
    """The task is published, and no crash loses it."""

    task_id: str


class AcceptedOrder(Accepted):
    """The order is stored and its flow is published; the task is the flow's last one."""

    order_id: str


class TaskState(BaseModel):
    """Where a task is.

    status: PENDING (waits, runs or waits for its turn in a flow), RETRY, SUCCESS, FAILURE, REVOKED, and what else
        Celery has. A task that was cancelled and can't run on is REVOKED at once.
    result: what the task returned, with SUCCESS.
    error: a sentence, when the task failed or was cancelled.
    """

    task_id: str
    status: str
    result: Any = None
    error: str | None = None


class Cancelled(BaseModel):
    """The task will not start any more; if it runs, it is ended, except payments."""

    status: Literal["cancelled"] = "cancelled"


class Problem(BaseModel):
    """Why a request was refused: one sentence."""

    detail: str
