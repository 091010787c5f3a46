"""Producer -> queue `email` -> SMTP server or webhook: what the shop tells people."""

from __future__ import annotations

from typing import Any

from app.celery_app import app
from app.config import settings
from app.store import CLOSED, PAID, store
from app.tasks._http import post
from app.tasks._smtp import MailDelayed, deliver


class NotConfigured(Exception):
    """A setting that the task needs is empty."""


@app.task(name="tasks.email.send_email", bind=True, max_retries=5, default_retry_delay=60)
def send_email(self: Any, to: str, subject: str, body: str) -> dict[str, str]:
    """Send a plain-text mail over SMTP, once per task id.

    Returns {"status": "sent", "to": to}. Raises ValueError for a line break in `to` or `subject` and for what is not
    one address, MailRefused when the server refuses for good; retries while it does not take the mail.
    """
    try:
        deliver(self.request.id, to, subject, body)
    except MailDelayed as error:
        raise self.retry(exc=error) from None
    return {"status": "sent", "to": to}


@app.task(name="tasks.email.send_notification", bind=True, max_retries=3, default_retry_delay=60)
def send_notification(self: Any, user_id: str | int, message: str) -> dict[str, str | int]:
    """Deliver a message for a user to the configured webhook.

    Returns {"status": "sent", "user_id": user_id}. Raises NotConfigured without NOTIFICATION_WEBHOOK_URL and
    HttpRefused for an answer that another try won't change; retries on ConnectionError and TimeoutError.
    """
    if not settings.webhook_url:
        raise NotConfigured("NOTIFICATION_WEBHOOK_URL is empty: set it to the webhook that takes notifications")
    try:
        # The receiver can drop a repeat by this key.
        post(settings.webhook_url, {"user_id": user_id, "message": message}, key=self.request.id)
    except (ConnectionError, TimeoutError) as error:
        raise self.retry(exc=error) from None
    return {"status": "sent", "user_id": user_id}


@app.task(name="tasks.email.send_receipt", bind=True, max_retries=5, default_retry_delay=60)
def send_receipt(self: Any, order_id: str) -> dict[str, str]:
    """Mail the receipt of a paid order, once per order.

    Returns {"status": "sent", "order_id": order_id}, or "not_paid" for an order that was never paid.
    Raises UnknownOrder and what send_email raises.
    """
    order = store().order(order_id)
    if order.status not in (PAID, CLOSED):
        return {"status": "not_paid", "order_id": order_id}
    lines = "\n".join(f"{item.quantity} x {item.sku}" for item in order.items)
    body = f"Thank you for your order {order_id}.\n\n{lines}\n\nPaid: {order.total / 100:.2f}\n"
    try:
        deliver(f"receipt:{order_id}", order.email, f"Receipt for order {order_id}", body)
    except MailDelayed as error:
        raise self.retry(exc=error) from None
    store().move(order_id, CLOSED, only_from=[PAID])
    return {"status": "sent", "order_id": order_id}
