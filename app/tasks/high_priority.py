"""API -> queue `high`: short work that somebody waits for."""

from __future__ import annotations

from typing import Any

from app.celery_app import app
from app.store import CATALOGUE, store


class UnknownArticle(LookupError):
    """The catalogue has no such article."""


@app.task(name="tasks.high_priority.check_stock")
def check_stock(sku: str) -> dict[str, Any]:
    """Look up an article's price in cents and the pieces left.

    Returns {"sku", "price", "stock"}. Raises UnknownArticle.
    """
    if sku not in CATALOGUE:
        raise UnknownArticle(f"there is no article {sku!r}; there are {', '.join(sorted(CATALOGUE))}")
    return {"sku": sku, "price": CATALOGUE[sku][0], "stock": store().stock(sku)}


@app.task(name="tasks.high_priority.release_order")
def release_order(order_id: str) -> dict[str, Any]:
    """Give the stock of a processed, unpaid order back, so that others can buy it.

    Returns {"order_id", "status"} with the order's status then. Raises UnknownOrder.
    """
    store().release(store().order(order_id))
    return {"order_id": order_id, "status": store().order(order_id).status}
