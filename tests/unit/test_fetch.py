"""A URL from outside is fetched within bounds, and never from where a machine's credentials are handed out."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from app.tasks import fetch
from app.tasks._addresses import AddressRefused, is_refused, resolve
from app.tasks._http import HttpRefused
from app.tasks.fetch import UrlRefused, unreliable_task

Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A real web server; `answers` by path, `asked` is every path in order and `hosts` the Host header of each."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.hosts: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                site.hosts.append(self.headers["Host"])
                site.answers[self.path](self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()


def test_a_page_is_fetched(site: Site) -> None:
    site.answers["/"] = answer(200, b"hello")
    result = unreliable_task.apply((site.url("/"),)).get()
    assert (result["url"], result["status"], result["bytes"], result["text"]) == (site.url("/"), 200, 5, "hello")


def test_a_name_with_several_addresses_is_fetched_from_the_one_that_answers(site: Site) -> None:
    site.answers["/"] = answer(200, b"hello")
    assert unreliable_task.apply((site.url("/", "localhost"),)).get()["bytes"] == 5
    assert site.hosts == [f"localhost:{site.port}"]


def test_the_options_are_the_ones_promised() -> None:
    task = unreliable_task
    assert (task.retry_backoff, task.retry_backoff_max, task.retry_jitter) == (5, 600, True)
    assert task.autoretry_for == (ConnectionError, TimeoutError)
    assert fetch.TIMEOUT == 10


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Applied in this process a retry runs at once; nothing to wait for, so nothing to change but the time-out."""
    monkeypatch.setattr(fetch, "TIMEOUT", 0.5)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_a_service_in_trouble_is_tried_three_times(site: Site, status: int) -> None:
    site.answers["/"] = answer(status)
    with pytest.raises(ConnectionError, match=str(status)):
        unreliable_task.apply((site.url("/"),)).get()
    assert site.asked == ["/"] * 3


def test_a_port_where_nothing_listens_is_a_connection_error() -> None:
    with pytest.raises(ConnectionError, match="can't be reached"):
        unreliable_task.apply(("http://127.0.0.1:1/",)).get()


def test_a_name_without_an_address_is_a_connection_error() -> None:
    with pytest.raises(ConnectionError, match="no address"):
        unreliable_task.apply(("http://nowhere.invalid/",)).get()


def test_a_connection_that_is_cut_is_a_connection_error(site: Site) -> None:
    site.answers["/"] = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ConnectionError):
        unreliable_task.apply((site.url("/"),)).get()
    assert len(site.asked) == 3


def test_silence_is_a_time_out(site: Site, at_once: None) -> None:
    silence = threading.Event()
    site.answers["/"] = lambda handler: silence.wait(10) and None
    try:
        with pytest.raises(TimeoutError):
            unreliable_task.apply((site.url("/"),)).get()
    finally:
        silence.set()
    assert len(site.asked) == 3


def test_an_answer_that_only_drips_is_a_time_out(site: Site, at_once: None) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        answer(200)(handler)
        end = time.monotonic() + 8
        try:
            while time.monotonic() < end:
                handler.wfile.write(b".")
                time.sleep(0.1)
        except OSError:
            pass  # the task has left, as it should

    site.answers["/"] = drip
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        unreliable_task.apply((site.url("/"),)).get()
    assert time.monotonic() - start < 5


def test_an_answer_that_another_try_will_not_change_fails_at_once(site: Site) -> None:
    site.answers["/"] = answer(404)
    with pytest.raises(HttpRefused, match="404"):
        unreliable_task.apply((site.url("/"),)).get()
    assert site.asked == ["/"]


def test_one_mebibyte_is_the_most_that_is_read(site: Site) -> None:
    site.answers["/fits"] = answer(200, b"x" * fetch.MAX_BYTES)
    site.answers["/larger"] = answer(200, b"x" * (fetch.MAX_BYTES + 1))
    assert unreliable_task.apply((site.url("/fits"),)).get()["bytes"] == fetch.MAX_BYTES
    with pytest.raises(ValueError, match="more than 1048576 bytes"):
        unreliable_task.apply((site.url("/larger"),)).get()


def test_a_small_answer_is_not_unpacked_to_a_large_one(site: Site) -> None:
    packed = gzip.compress(b"x" * 50 * fetch.MAX_BYTES)
    site.answers["/"] = answer(200, packed, Content_Encoding="gzip")
    assert unreliable_task.apply((site.url("/"),)).get()["bytes"] == len(packed)


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "file:///etc/passwd", "example.com", "http://", "", "http://[::1"]
)
def test_what_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        unreliable_task.apply((url,)).get()


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.170.2",
        # Other ways to write the same address, which a resolver understands.
        "2852039166",
        "0xa9fea9fe",
        "169.254.43518",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[::a9fe:a9fe]",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "0",
        "[::]",
        "224.0.0.1",
        "[ff02::1]",
        "255.255.255.255",
    ],
)
def test_link_local_metadata_and_unusable_addresses_are_refused(host: str) -> None:
    with pytest.raises(AddressRefused, match="not fetched"):
        unreliable_task.apply((f"http://{host}/latest/meta-data/",)).get()


def test_every_redirect_is_checked(site: Site) -> None:
    site.answers["/away"] = answer(302, Location="http://169.254.169.254/latest/meta-data/")
    with pytest.raises(AddressRefused):
        unreliable_task.apply((site.url("/away"),)).get()
    site.answers["/file"] = answer(302, Location="file:///etc/passwd")
    with pytest.raises(UrlRefused):
        unreliable_task.apply((site.url("/file"),)).get()


def test_a_redirect_is_followed_but_not_without_end(site: Site) -> None:
    site.answers["/old"] = answer(301, Location="/new")
    site.answers["/new"] = answer(200, b"hello")
    assert unreliable_task.apply((site.url("/old"),)).get()["url"] == site.url("/new")
    site.answers["/loop"] = answer(302, Location="/loop")
    with pytest.raises(HttpRefused, match="more than 5 redirects"):
        unreliable_task.apply((site.url("/loop"),)).get()


def test_a_proxy_from_the_environment_is_not_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    site.answers["/"] = answer(200, b"hello")
    assert unreliable_task.apply((site.url("/"),)).get()["bytes"] == 5


def test_https_is_checked_against_the_name_though_the_connection_goes_to_the_address(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
    site.answers["/"] = answer(200, b"hello")
    assert unreliable_task.apply((f"https://localhost:{site.port}/",)).get()["bytes"] == 5
    with pytest.raises(ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        unreliable_task.apply((f"https://127.0.0.1:{site.port}/",)).get()


LINK_LOCAL = st.integers(int(IPv4Address("169.254.0.0")), int(IPv4Address("169.254.255.255"))).map(IPv4Address)


@given(LINK_LOCAL)
def test_no_form_of_a_link_local_address_gets_through(address: IPv4Address) -> None:
    number = int(address)
    for prefix, shift in ((0xFFFF << 32, 0), (0x64FF9B << 96, 0), (0x2002 << 112, 80)):
        assert is_refused(IPv6Address(prefix | number << shift))
    assert is_refused(address)
    for form in (str(number), hex(number)):
        with pytest.raises(AddressRefused):
            resolve(form, 80)


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_loopback_and_private_addresses_are_allowed(address: IPv4Address) -> None:
    assert not is_refused(address)
    assert not is_refused(IPv6Address(f"::ffff:{address}"))


def test_the_ends_of_the_link_local_range_are_exact() -> None:
    network = IPv4Network("169.254.0.0/16")
    for outside in (network.network_address - 1, network.broadcast_address + 1):
        assert not is_refused(outside)
    assert not is_refused(ip_address("::1"))
    assert is_refused(ip_address("fe80::1%eth0"))
