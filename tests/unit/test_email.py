"""A mail leaves once per task, whatever is retried, and nobody can add a header to it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import AuthResult, LoginPassword
from hypothesis import given
from hypothesis import strategies as st

from app.store import Store
from app.tasks._http import HttpRefused
from app.tasks._smtp import MailDelayed, MailRefused, compose, message_id
from app.tasks.email import NotConfigured, send_email, send_notification, send_receipt
from tests.support.world import Outside

# aiosmtpd knows TLS by STARTTLS only, and warns about a login without it.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

MAIL = ("jo@example.com", "Hello", "How are you?\n")
# Everything that str.splitlines, and so some mail program, takes for the end of a line.
BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def test_a_mail_arrives_as_it_was_written(shop: Store, sandbox: Outside) -> None:
    assert send_email.apply(MAIL, task_id="t-1").get() == {"status": "sent", "to": "jo@example.com"}
    (mail,) = sandbox.world.mails
    assert (mail["to"], mail["subject"], mail["body"]) == (["jo@example.com"], "Hello", "How are you?\n")
    assert mail["from"] == "shop@example.com"
    assert mail["message_id"] == message_id("t-1")


def test_text_beyond_ascii_arrives(shop: Store, sandbox: Outside) -> None:
    send_email.apply(("jo@example.com", "订单已付款", "谢谢 ✓\n"), task_id="t-1").get()
    assert (sandbox.world.mails[0]["subject"], sandbox.world.mails[0]["body"]) == ("订单已付款", "谢谢 ✓\n")


def test_a_redelivered_task_does_not_send_its_mail_again(shop: Store, sandbox: Outside) -> None:
    for _ in range(3):
        send_email.apply(MAIL, task_id="t-1").get()
    assert len(sandbox.world.mails) == 1


def test_a_second_task_sends_the_same_mail(shop: Store, sandbox: Outside) -> None:
    send_email.apply(MAIL, task_id="t-1").get()
    send_email.apply(MAIL, task_id="t-2").get()
    assert len({mail["message_id"] for mail in sandbox.world.mails}) == 2


def test_a_mail_that_was_accepted_but_not_recorded_repeats_its_message_id(shop: Store, sandbox: Outside) -> None:
    send_email.apply(MAIL, task_id="t-1").get()
    # What a death between the server's 250 and the record leaves behind.
    shop.redis.delete(shop.keys.sent("t-1"))
    send_email.apply(MAIL, task_id="t-1").get()
    assert [mail["message_id"] for mail in sandbox.world.mails] == [message_id("t-1")] * 2


def test_the_record_of_a_mail_expires_after_the_longest_eta(shop: Store, sandbox: Outside) -> None:
    send_email.apply(MAIL, task_id="t-1").get()
    assert 31 * 86400 < shop.redis.ttl(shop.keys.sent("t-1")) <= 32 * 86400


def test_a_temporary_refusal_is_tried_again(shop: Store, sandbox: Outside) -> None:
    sandbox.fail("mails", 451, times=2)
    assert send_email.apply(MAIL, task_id="t-1").get()["status"] == "sent"
    assert len(sandbox.world.mails) == 1


def test_a_server_that_never_takes_the_mail_ends_the_tries(shop: Store, sandbox: Outside) -> None:
    sandbox.fail("mails", 451, times=100)
    with pytest.raises(MailDelayed, match="451"):
        send_email.apply(MAIL, task_id="t-1").get()
    assert sandbox.world.faults["mails"].times == 100 - 6
    assert not shop.was_sent("t-1")


def test_a_permanent_refusal_fails_at_once(shop: Store, sandbox: Outside) -> None:
    sandbox.fail("mails", 550, times=100)
    with pytest.raises(MailRefused, match="550"):
        send_email.apply(MAIL, task_id="t-1").get()
    assert sandbox.world.faults["mails"].times == 99


def test_no_server_counts_as_temporary(shop: Store, sandbox: Outside, configure: Any) -> None:
    configure(smtp_url="smtp://127.0.0.1:1")
    with pytest.raises(MailDelayed, match="refused"):
        send_email.apply(MAIL, task_id="t-1").get()


@pytest.mark.parametrize("address", ["", "jo", "@example.com", "jo@", "a@b.com, c@d.com", "jo@example.com>", "Jo <>"])
def test_what_is_not_one_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="to is"):
        compose("t-1", address, "Hello", "")


@given(st.text(max_size=20), st.sampled_from(BREAKS), st.text(max_size=20))
def test_no_text_adds_a_header(before: str, newline: str, after: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        compose("t-1", "jo@example.com", f"{before}{newline}Bcc: eve@example.com{after}", "")
    with pytest.raises(ValueError, match="line break"):
        compose("t-1", f"jo@example.com{newline}Bcc: eve@example.com", "Hello", "")


@given(st.text(st.characters(codec="utf-8", exclude_characters=BREAKS + "\0"), max_size=200))
def test_a_subject_of_any_text_stays_one_header(subject: str) -> None:
    raw = compose("t-1", "jo@example.com", subject, "body").as_bytes()
    names = {line.split(b":")[0] for line in raw.split(b"\n\n")[0].split(b"\n") if line and line[:1] not in b" \t"}
    expected = {b"To", b"From", b"Subject", b"Date", b"Message-ID", b"Content-Type"}
    assert names == {*expected, b"Content-Transfer-Encoding", b"MIME-Version"}


@given(st.text(max_size=300))
def test_a_task_id_of_any_text_makes_a_valid_message_id(task_id: str) -> None:
    local, _, domain = message_id(task_id.encode("utf-8", "replace").decode()).strip("<>").partition("@")
    assert local.isalnum()
    assert domain == "example.com"


class Collector(Message):
    def __init__(self) -> None:
        super().__init__()
        self.got: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.got.append(message)


class WithTls(Controller):
    """A server that speaks TLS from the first byte, on a port of its own choice."""

    def __init__(self, handler: Collector, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(handler, hostname="127.0.0.1", port=0, ssl_context=context, **options)

    def _trigger_server(self) -> None:
        # The base class would connect to port 0; a bare connection tells it as well that the server runs.
        self.port = self.server.sockets[0].getsockname()[1]
        socket.create_connection(("127.0.0.1", self.port), 5).close()


class WithStartTls(WithTls):
    """A server that asks for STARTTLS before anything else."""

    def __init__(self, handler: Collector, context: ssl.SSLContext, **options: Any) -> None:
        Controller.__init__(
            self, handler, hostname="127.0.0.1", port=0, tls_context=context, require_starttls=True, **options
        )


def accept_jo(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"jo", b"p@ss/word")
    return AuthResult(success=right, handled=False)


@contextmanager
def secure_server(
    kind: type[WithTls], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[int, Collector]]:
    authority, collector = trustme.CA(), Collector()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    options = {"auth_required": True, "authenticator": accept_jo, "auth_require_tls": kind is WithStartTls}
    controller = kind(collector, context, **options)
    controller.start()
    try:
        yield controller.port, collector
    finally:
        controller.stop()


SECURE = pytest.mark.parametrize(("scheme", "kind"), [("smtps", WithTls), ("smtp+starttls", WithStartTls)])


@SECURE
def test_a_mail_leaves_over_tls_with_a_login(
    scheme: str, kind: type[WithTls], shop: Store, configure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with secure_server(kind, tmp_path, monkeypatch) as (port, collector):
        configure(smtp_url=f"{scheme}://jo:p%40ss%2Fword@127.0.0.1:{port}")
        send_email.apply(MAIL, task_id="t-1").get()
        assert [mail["Message-ID"] for mail in collector.got] == [message_id("t-1")]


@SECURE
def test_a_wrong_password_is_a_permanent_refusal_that_does_not_show_it(
    scheme: str, kind: type[WithTls], shop: Store, configure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with secure_server(kind, tmp_path, monkeypatch) as (port, _):
        configure(smtp_url=f"{scheme}://jo:wrong-one@127.0.0.1:{port}")
        with pytest.raises(MailRefused, match="535") as refusal:
            send_email.apply(MAIL, task_id="t-1").get()
        assert "wrong-one" not in str(refusal.value)


@SECURE
def test_a_server_with_a_certificate_of_nobody_gets_no_password(
    scheme: str, kind: type[WithTls], shop: Store, configure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with secure_server(kind, tmp_path, monkeypatch) as (port, collector):
        monkeypatch.delenv("SSL_CERT_FILE")
        configure(smtp_url=f"{scheme}://jo:p%40ss%2Fword@127.0.0.1:{port}")
        with pytest.raises(MailRefused, match="certificate"):
            send_email.apply(MAIL, task_id="t-1").get()
        assert collector.got == []


def test_a_notification_reaches_the_webhook(shop: Store, sandbox: Outside) -> None:
    result = send_notification.apply(("u-1", "Hi"), task_id="t-1").get()
    assert result == {"status": "sent", "user_id": "u-1"}
    (told,) = sandbox.world.notifications
    assert (told["user_id"], told["message"], told["key"]) == ("u-1", "Hi", "t-1")


def test_a_notification_is_tried_four_times(shop: Store, sandbox: Outside) -> None:
    assert (send_notification.max_retries, send_notification.default_retry_delay) == (3, 60)
    sandbox.fail("notifications", 503, times=100)
    with pytest.raises(ConnectionError, match="503"):
        send_notification.apply(("u-1", "Hi")).get()
    assert sandbox.world.faults["notifications"].times == 96


def test_a_notification_that_the_webhook_refuses_fails_at_once(shop: Store, sandbox: Outside) -> None:
    sandbox.fail("notifications", 404, times=100)
    with pytest.raises(HttpRefused, match="404"):
        send_notification.apply(("u-1", "Hi")).get()
    assert sandbox.world.faults["notifications"].times == 99


def test_a_notification_without_a_webhook_says_which_setting_is_missing(shop: Store, configure: Any) -> None:
    configure(webhook_url="")
    with pytest.raises(NotConfigured, match="NOTIFICATION_WEBHOOK_URL"):
        send_notification.apply(("u-1", "Hi")).get()


def test_no_receipt_is_sent_for_an_order_that_is_not_paid(shop: Store, sandbox: Outside, order: str) -> None:
    assert send_receipt.apply((order,)).get() == {"status": "not_paid", "order_id": order}
    assert not sandbox.world.mails
