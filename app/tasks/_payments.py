"""Order and billing tasks -> payment gateway: a charge, made at most once per key by the gateway's Idempotency-Key."""

from __future__ import annotations

from app.config import settings
from app.tasks._http import HttpRefused, post


class PaymentError(Exception):
    """The gateway could not be asked or could not answer now: the same charge may be tried again."""


class PaymentRefused(Exception):
    """The gateway refuses this charge; another try won't change that."""


def charge(key: str, amount: int, description: str) -> str:
    """Charge `amount` cents under the Idempotency-Key `key`; return the gateway's id of the charge.

    Raises PaymentError when it is worth another try, network errors and timeouts included, else PaymentRefused.
    """
    if not settings.payment_url:
        raise PaymentRefused("PAYMENT_GATEWAY_URL is empty: set it to the gateway's address for charges")
    payload = {"amount": amount, "description": description, "reference": key}
    try:
        answer = post(settings.payment_url, payload, key=key, token=settings.payment_token)
    except (ConnectionError, TimeoutError) as error:
        raise PaymentError(str(error)) from None
    except HttpRefused as error:
        # 409: the gateway is still busy with the first request of this key.
        raise (PaymentError if error.status == 409 else PaymentRefused)(str(error)) from None
    return str(answer.get("id", key)) if isinstance(answer, dict) else key
