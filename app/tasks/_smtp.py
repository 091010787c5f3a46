"""Mail tasks -> SMTP server: one mail, sent once per key.

The key makes the Message-ID, and is recorded after the server's 250. A mail that is recorded is never sent again;
a death between the 250 and the record repeats the same Message-ID, by which a receiver can drop it.
"""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

from app.config import settings
from app.store import store

# Seconds without an answer from the server.
TIMEOUT = 30.0
_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


class MailRefused(Exception):
    """The server refuses this mail for good (a 5xx answer, or a login that it does not accept)."""


class MailDelayed(ConnectionError):
    """The mail was not accepted now (a 4xx answer, no connection, no answer): worth another try."""


def deliver(key: str, to: str, subject: str, body: str) -> bool:
    """Send a plain-text mail unless the one with this key was sent before; return whether this call sent it.

    Raises ValueError for an address or a subject that can't stand in a header, MailRefused, MailDelayed.
    """
    message = compose(key, to, subject, body)
    if store().was_sent(key):
        return False
    _send(message)
    store().record_sent(key)
    return True


def compose(key: str, to: str, subject: str, body: str) -> EmailMessage:
    """Return the mail with the Message-ID that belongs to `key`. Raises ValueError as `deliver` does."""
    for name, value in (("to", to), ("subject", subject)):
        # The splitlines set: every character that some mail program takes for the end of a header.
        if len(value.splitlines()) > 1 or value != "".join(value.splitlines()) or "\0" in value:
            raise ValueError(f"{name} holds a line break, which would add a header to the mail: write it on one line")
    message = EmailMessage()
    message["To"] = _address(to)
    message["From"] = settings.mail_from
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = message_id(key)
    message.set_content(body)
    return message


def message_id(key: str) -> str:
    """Return the Message-ID of the mail with this key, angle brackets included."""
    # A task id is whatever a producer chose: hashed, it is safe in a header.
    domain = settings.mail_from.rpartition("@")[2].rstrip("> ") or "localhost"
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{domain}>"


def _address(text: str) -> Address:
    try:
        address = Address(addr_spec=text.strip())
    except Exception:  # the parser's own errors are of many kinds (HeaderParseError, IndexError, ValueError)
        address = Address()
    if not address.username or not address.domain:
        raise ValueError(f"to is {text!r}: write one mail address such as jo@example.com")
    return address


def _send(message: EmailMessage) -> None:
    try:
        with _connect() as server:
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        code, reason = next(iter(error.recipients.values()))
        raise _refusal(code, reason) from None
    except smtplib.SMTPNotSupportedError as error:
        raise MailRefused(f"the mail server can't do what SMTP_URL asks for: {error}") from None
    except smtplib.SMTPResponseException as error:
        raise _refusal(error.smtp_code, error.smtp_error) from None
    except ssl.SSLCertVerificationError as error:
        raise MailRefused(f"the mail server's certificate is not valid: {error.verify_message}") from None
    except (OSError, smtplib.SMTPException) as error:
        raise MailDelayed(f"the mail server did not take the mail: {error}") from None


def _connect() -> smtplib.SMTP:
    url = urlsplit(settings.smtp_url)
    host, port = url.hostname or "", url.port or _PORTS[url.scheme]
    context = ssl.create_default_context()
    server: smtplib.SMTP
    if url.scheme == "smtps":
        server = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=TIMEOUT)
    try:
        if url.scheme == "smtp+starttls":
            server.starttls(context=context)
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
    except BaseException:
        server.close()
        raise
    return server


def _refusal(code: int, reason: bytes | str) -> Exception:
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
    if 400 <= code < 500:
        return MailDelayed(f"the mail server answered {code} {text}")
    return MailRefused(f"the mail server answered {code} {text}")
