"""
The HTTP sink against destinations that misbehave, over real sockets.
"""

import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from cxsdk.testing import faults
from cxsdk.testing.faults import FaultCollector
from cxsdk.typing import Delivered, Hold, Retry

WELL_BEFORE_TEN_SECONDS = 5.0


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1, as (certificate, key) paths."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    place = tmp_path_factory.mktemp("tls")
    cert, key = place / "cert.pem", place / "key.pem"
    subprocess.run(
        [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(cert),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.fixture
def tls_collector(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with FaultCollector(tls=context) as running:
        yield running


class Deaf:
    """Listens, keeps what comes, and never answers; the backlog may be full."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.got = bytearray()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        try:
            connection, _ = self.server.accept()
        except OSError:
            return
        with connection:
            while data := connection.recv(65536):
                self.got += data

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join(5)


def test_slow_loris_ends_at_the_total(collector, make_sink, make_batch):
    """One byte a second keeps every single read short, and still the total holds."""
    collector.always = faults.slow(4)
    began = time.monotonic()
    result = make_sink(collector.url, timeout=0.6).send(make_batch())
    assert isinstance(result, Retry)
    assert result.uncertain
    assert time.monotonic() - began < WELL_BEFORE_TEN_SECONDS


def test_a_hang_ends_at_the_total(collector, make_sink, make_batch):
    """A destination that says nothing costs the total and no more."""
    collector.always = faults.hang()
    result = make_sink(collector.url, timeout=0.3).send(make_batch())
    assert isinstance(result, Retry)
    assert result.reason.startswith("timeout")


def test_a_destination_that_does_not_read(make_sink, make_batch):
    """A body that nobody takes off the wire ends at the total too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = make_sink(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.3)
        assert isinstance(sink.send(make_batch(2, pad=1000)), Retry)


def test_a_black_hole_ends_at_the_connect_timeout(make_sink, make_batch):
    """An address that drops packets costs the connect timeout."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        filler = [socket.socket() for _ in range(4)]
        try:
            for each in filler:
                each.setblocking(False)
                each.connect_ex(("127.0.0.1", port))
            sink = make_sink(f"http://127.0.0.1:{port}", connect_timeout=0.3, timeout=0.8)
            result = sink.send(make_batch())
        finally:
            for each in filler:
                each.close()
    assert isinstance(result, Retry)
    assert result.reason.startswith("timeout")


def test_a_hanging_name_lookup_is_left_alone(make_sink, make_batch, monkeypatch):
    """Getaddrinfo has no timeout: the wait for it has, and a second one is not begun meanwhile."""
    free = threading.Event()
    asked = []

    def hang(*args, **kwargs):
        asked.append(args)
        free.wait(30)
        raise socket.gaierror(-3, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    sink = make_sink("http://collector.invalid", connect_timeout=0.2)
    first, second = sink.send(make_batch()), sink.send(make_batch())
    free.set()
    assert isinstance(first, Retry)
    assert isinstance(second, Retry)
    assert not first.uncertain
    assert len(asked) == 1


def test_refused_connections_are_a_retry(make_sink, make_batch):
    """Nobody listens: a retry, and certain that nothing arrived."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    result = make_sink(f"http://127.0.0.1:{port}").send(make_batch())
    assert isinstance(result, Retry)
    assert not result.uncertain


def test_a_torn_answer_is_a_retry(collector, make_sink, make_batch):
    """A 200 whose body breaks off may have named refused events: ask again."""
    collector.script(faults.close_mid_body())
    sink = make_sink(collector.url)
    assert isinstance(sink.send(make_batch()), Retry)
    assert sink.send(make_batch()) == Delivered()
    assert collector.duplicates == 3


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 abc Huh\r\n\r\n",
        b"HTTP/1.1 99 No\r\n\r\n",
        b"\x00" * 70000,
        b"",
    ],
)
def test_garbage_is_a_retry(collector, make_sink, make_batch, garbage):
    """What is no HTTP at all says nothing about the events."""
    collector.script(faults.raw(garbage))
    assert isinstance(make_sink(collector.url).send(make_batch()), Retry)


def test_a_giant_answer_is_not_read(collector, make_sink, make_batch):
    """Of an endless answer no more than the cap is read; the status decides."""
    collector.script(
        faults.status(200, body=b"x" * (5 << 20)), faults.status(400, body=b"y" * (5 << 20))
    )
    sink = make_sink(collector.url)
    assert sink.send(make_batch()) == Delivered()
    assert sink.send(make_batch()).detail == ""


def test_a_compressed_bomb_is_not_inflated(collector, make_sink, make_batch):
    """A gzip answer is inflated up to the cap, and dropped above it."""
    import gzip

    bomb = gzip.compress(b" " * (40 << 20))
    collector.script(faults.status(200, body=bomb, headers={"Content-Encoding": "gzip"}))
    assert make_sink(collector.url).send(make_batch()) == Delivered()


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(collector, make_sink, make_batch, code):
    """A redirect is a hold, and the place it names gets nothing, least of all credentials."""
    with FaultCollector() as other:
        collector.always = faults.redirect(other.url, code)
        assert isinstance(make_sink(collector.url, api_key="s3cret").send(make_batch()), Hold)
        assert other.connections == 0


def test_a_login_page_is_a_hold(collector, make_sink, make_batch):
    """A captive portal's 200 delivers nothing."""
    collector.always = faults.html_login()
    assert isinstance(make_sink(collector.url).send(make_batch()), Hold)


def test_an_untrusted_certificate_gets_no_payload(tls_collector, make_sink, make_batch):
    """A self-signed certificate is a hold, and not one request arrives."""
    result = make_sink(tls_collector.url).send(make_batch())
    assert isinstance(result, Hold)
    assert result.reason.startswith("tls: CERTIFICATE_VERIFY_FAILED")
    assert tls_collector.requests == []


def test_a_custom_ca_is_trusted(tls_collector, certificate, make_sink, make_batch):
    """With its certificate as CA the same server is taken."""
    sink = make_sink(tls_collector.url, ca=certificate[0])
    assert sink.send(make_batch()) == Delivered()
    assert sink.send(make_batch()) == Delivered()
    assert tls_collector.connections == 1


def test_a_certificate_of_another_host_is_not_trusted(
    tls_collector, certificate, make_sink, make_batch
):
    """The right CA with the wrong name is a hold."""
    url = tls_collector.url.replace("127.0.0.1", "localhost")
    assert isinstance(make_sink(url, ca=certificate[0]).send(make_batch()), Hold)
    assert tls_collector.requests == []


def test_tls_to_a_plain_port_sends_no_payload(make_sink, make_batch):
    """Https to a server that speaks none never falls back to plain text."""
    deaf = Deaf()
    result = make_sink(f"https://127.0.0.1:{deaf.port}", connect_timeout=0.3).send(make_batch())
    deaf.close()
    assert isinstance(result, (Retry, Hold))
    assert b"specversion" not in deaf.got


def test_tls_to_an_http_server_is_a_hold(collector, make_sink, make_batch):
    """A plain HTTP server behind an https URL is a wrong URL, not an outage."""
    result = make_sink(collector.url.replace("http:", "https:")).send(make_batch())
    assert isinstance(result, Hold)
    assert collector.requests == []


def test_a_collector_comes_back_on_its_port(collector, make_sink, make_batch):
    """After stop and start on the same port, the same sink delivers again."""
    sink = make_sink(collector.url)
    sink.send(make_batch())
    collector.stop()
    assert isinstance(sink.send(make_batch()), Retry)
    collector.start()
    assert sink.send(make_batch()) == Delivered()
