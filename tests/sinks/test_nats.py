"""
The NATS sink against real servers with JetStream, killed, hung and restarted by the tests.
"""

import asyncio
import collections
import json
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

import cxsdk as cx
from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError, ExtraMissingError
from cxsdk.sinks import open_sink
from cxsdk.sinks.nats import NatsSink, meaning
from cxsdk.testing.conformance.sink import SinkConformance
from cxsdk.typing import Batch, Delivered, Hold, Partial, Record, Refused, Retry, Split
from tests.sinks.brokers import GUARD_S, Mute, NatsServer, free_port, wait_until

SECRET = "s3cret-token"
INFO = b'INFO {"server_id":"x","version":"2.9.10","headers":true,"max_payload":1048576}\r\n'
QUICK = {"linger": 0.02, "retry_base": 0.02, "retry_cap": 0.2}


def event(number, pad=0):
    made = {"specversion": "1.0", "id": f"e{number}", "source": "urn:t", "type": "t"}
    return Record(json.dumps({**made, "pad": "x" * pad}).encode(), "bulk", 0)


def batch_of(numbers, pad=0):
    return Batch(tuple(event(number, pad) for number in numbers), key="k")


def ids(messages):
    return [json.loads(message.data)["id"] for message in messages]


@pytest.fixture
def server(tmp_path):
    with NatsServer(tmp_path / "jetstream") as running:
        running.add_stream("cx", "cx.>")
        yield running


@pytest.fixture
def make():
    made = []

    def make(server, subject="cx.events", **options):
        url = f"{getattr(server, 'url', server)}/{subject}"
        made.append(NatsSink(url, **{"timeout": GUARD_S, **options}))
        return made[-1]

    yield make
    for sink in made:
        sink.close()


# ---- the contract -------------------------------------------------------------------------


class TestNats(SinkConformance):
    secrets = (SECRET,)
    max_seconds = 5.0

    @pytest.fixture(autouse=True)
    def places(self, tmp_path):
        yes = b'MSG _INBOX.x 1 4\r\n{"a"\r\nPONG\r\n'
        words = [b"", b"HTTP/1.1 200 OK\r\n\r\n<html>" + SECRET.encode(), INFO, INFO + yes]
        self.mutes = [Mute(each) for each in words]
        self.hanging = Mute(INFO + b"PONG\r\n", hang=True)
        with NatsServer(tmp_path / "jetstream", "--auth", SECRET) as self.server:
            self.server.url = f"nats://{SECRET}@127.0.0.1:{self.server.port}"
            self.server.add_stream("cx", "cx.>")
            yield
        for each in (*self.mutes, self.hanging):
            each.close()

    def nats(self, port, token=SECRET, timeout=1.0):
        return NatsSink(f"nats://127.0.0.1:{port}/cx.events", token=token, timeout=timeout)

    def make_sink(self):
        return self.nats(self.server.port, timeout=GUARD_S)

    def make_mute_sinks(self):
        wrong = self.nats(self.server.port, "wrong")
        return [*(self.nats(mute.port) for mute in self.mutes), wrong]

    def make_hanging_sink(self):
        return self.nats(self.hanging.port)

    def received(self):
        return [message.data for message in self.server.messages("cx")]


# ---- what arrives -------------------------------------------------------------------------


def test_twenty_thousand_arrive_once(server, make):
    """20,000 published are 20,000 in the stream, in order."""
    sink = make(server)
    for start in range(0, 20_000, 500):
        assert sink.send(batch_of(range(start, start + 500), 300)) == Delivered()
    assert ids(server.messages("cx")) == [f"e{number}" for number in range(20_000)]


def test_a_message_is_a_structured_cloudevent(server, make):
    """Payload as spooled, content type and deduplication key in headers."""
    sent = batch_of([1])
    assert make(server, stream="cx").send(sent) == Delivered()
    (message,) = server.messages("cx")
    assert message.data == sent.records[0].payload
    assert message.subject == "cx.events"
    assert message.headers == {
        "Content-Type": "application/cloudevents+json",
        "Nats-Msg-Id": "urn:t e1",
        "Nats-Expected-Stream": "cx",
    }


def test_what_comes_again_is_there_once(server, make):
    """A duplicate is acked as one, and the stream keeps the first."""
    sink = make(server)
    for _ in range(3):
        assert sink.send(batch_of(range(100))) == Delivered()
    assert server.count("cx") == 100


@pytest.mark.parametrize("window", [1, 7, 1000])
def test_the_window_changes_nothing_but_time(server, make, window):
    """However many are on their way at once, all arrive in order."""
    assert make(server, max_in_flight=window).send(batch_of(range(300))) == Delivered()
    assert ids(server.messages("cx")) == [f"e{number}" for number in range(300)]


def test_no_more_than_the_window_are_on_their_way(make):
    """A server that acks nothing gets so many and no more."""
    silent = Mute(INFO + b"PONG\r\n", hang=True)
    sink = make(f"nats://127.0.0.1:{silent.port}", max_in_flight=3, timeout=0.5)
    assert isinstance(sink.send(batch_of(range(10))), Retry)
    assert silent.heard().count(b"HPUB ") == 3
    silent.close()


# ---- verdicts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "number", "words", "expected"),
    [
        (400, 10054, "message size exceeds maximum allowed", Refused),
        (400, 10060, "expected stream does not match", Hold),
        (503, 10077, "maximum bytes exceeded", Retry),
        (503, 10023, "insufficient resources", Retry),
        (500, 10047, "insufficient storage resources available", Retry),
        (503, 10076, "JetStream not enabled", Retry),
        (503, 10008, "JetStream system temporarily unavailable", Retry),
        (400, 10109, "invalid operation on sealed stream", Hold),
        (400, 10999, "something about this message", Refused),
        (404, 10059, "stream not found", Hold),
        (403, 10999, "not for you", Hold),
    ],
)
def test_each_error_has_a_meaning(code, number, words, expected):
    """The table of a stream's errors, row by row."""
    assert isinstance(meaning(code, number, words, "cx.events"), expected)


def test_without_a_stream_it_holds_and_says_what_to_do(server, make):
    """Nothing is dropped; after somebody made the stream, the probe goes through."""
    sink = make(server, "elsewhere")
    found = sink.send(batch_of([1]))
    assert isinstance(found, Hold)
    assert "create one" in found.reason
    server.add_stream("elsewhere", "elsewhere")
    assert sink.send(batch_of([1])) == Delivered()


def test_without_jetstream_it_holds(tmp_path, make):
    """A server that only passes messages on keeps none, so nothing counts as delivered."""
    with NatsServer(tmp_path) as server:
        server.kill()
        config = tmp_path / "plain.conf"
        config.write_text(f"listen: 127.0.0.1:{server.port}\n")
        plain = subprocess.Popen([server.binary, "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            sink = make(server)
            found = sink.send(batch_of([1]))
            wait_until(lambda: isinstance(sink.send(batch_of([1])), Hold), "the server")
            assert not isinstance(found, Delivered)
        finally:
            plain.kill()
            plain.wait()


@pytest.mark.parametrize("answer", [b"", b"+OK", b"{}", b'{"stream":"cx"}', b'{"seq":1}', b"[]"])
def test_an_answer_of_somebody_else_is_no_ack(server, make, answer):
    """A service that happens to reply on the subject stores nothing."""
    import nats

    ready, done = threading.Event(), threading.Event()

    async def reply():
        async def respond(msg):
            await msg.respond(answer)

        client = await nats.connect(server.url)
        await client.subscribe("service", cb=respond)
        await client.flush()
        ready.set()
        while not done.is_set():  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0.01)
        await client.close()

    service = threading.Thread(target=lambda: asyncio.run(reply()))
    service.start()
    assert ready.wait(GUARD_S)
    found = make(server, "service", timeout=0.5).send(batch_of([1]))
    done.set()
    service.join(GUARD_S)
    assert found == Retry("timeout: no answer in time", uncertain=True)


def test_a_full_stream_is_well_and_slower(server, make):
    """What has room is taken, the rest waits; that is no failure for the breaker."""
    server.add_stream("small", "small", max_msgs=5, discard="new")
    sink = make(server, "small")
    assert sink.send(batch_of(range(8))) == Partial(retry=frozenset({5, 6, 7}))
    found = sink.send(batch_of([5, 6, 7]))
    assert isinstance(found, Retry)
    assert (found.throttled, found.uncertain) == (True, False)
    server.ask(lambda js: js.purge_stream("small"))
    assert sink.send(batch_of([5, 6, 7])) == Delivered()


def test_one_that_is_too_large_for_the_stream_is_refused(server, make):
    """Per event; alone it is the delivery's too_large."""
    server.add_stream("narrow", "narrow", max_msg_size=1000)
    sink = make(server, "narrow")
    found = sink.send(Batch((event(1), event(2, 2000), event(3)), key="k"))
    assert found == Partial(refused={1: "too_large: message size exceeds maximum allowed"})
    assert isinstance(sink.send(batch_of([2], 2000)), Split)
    assert server.count("narrow") == 2


@pytest.mark.parametrize("pad", [1_048_576, 1_048_576 - 120])
def test_one_that_is_too_large_for_the_server_is_not_sent(server, make, pad):
    """Headers count as well: the server would hang up, and take the others with it."""
    sink = make(server)
    found = sink.send(Batch((event(1), event(2, pad), event(3)), key="k"))
    assert isinstance(found, Partial)
    assert list(found.refused) == [1]
    assert found.refused[1].startswith("too_large: ")
    assert ids(server.messages("cx")) == ["e1", "e3"]


def test_the_largest_that_fits_is_sent(server, make):
    """The limit is computed to the byte."""
    sink = make(server)
    low, high = 1_048_576 - 1000, 1_048_576
    while high - low > 1:
        middle = (low + high) // 2
        size = sink_size(middle)
        low, high = (middle, high) if size <= 1_048_576 else (low, middle)
    assert sink.send(batch_of([1], low)) == Delivered()
    assert isinstance(sink.send(batch_of([2], low + 1)), Split)
    assert server.count("cx") == 1


def sink_size(pad):
    head = "NATS/1.0\r\nContent-Type: application/cloudevents+json\r\nNats-Msg-Id: urn:t e1\r\n\r\n"
    return len(head) + len(event(1, pad).payload)


def test_another_stream_than_the_one_asked_for_holds(server, make):
    """``?stream=`` says whose acks count."""
    found = make(server, "cx.events?stream=other").send(batch_of([1]))
    assert isinstance(found, Hold)
    assert server.count("cx") == 0


def test_a_subject_that_may_not_be_used_holds_at_once(tmp_path, make):
    """The server says so beside the answers; nobody waits for acks that cannot come."""
    config = tmp_path / "nats.conf"
    permissions = '{ publish: ["other", "$JS.>"] }'
    user = f'{{ user: "shop", password: "{SECRET}", permissions: {permissions} }}'
    config.write_text(f"authorization {{ users = [ {user} ] }}")
    with NatsServer(tmp_path / "jetstream", "-c", str(config)) as server:
        url = f"nats://shop:{SECRET}@127.0.0.1:{server.port}"
        found = make(url, timeout=300.0).send(batch_of(range(5)))
    assert isinstance(found, Hold)
    assert "ermissions" in found.reason
    assert SECRET not in found.reason


def test_a_refused_login_holds(tmp_path, make):
    """Probed after a minute, then rarer."""
    with NatsServer(tmp_path / "jetstream", "--auth", SECRET) as server:
        found = make(server, token="wrong").send(batch_of([1]))
        assert isinstance(found, Hold)
        assert (found.probe_after, found.backoff_to) == (60.0, 900.0)


# ---- TLS ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost that nobody else trusts, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *(*names, "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def encrypted(tmp_path, certificate):
    cert, key = certificate
    options = ["--tls", f"--tlscert={cert}", f"--tlskey={key}", "--auth", SECRET]
    with NatsServer(tmp_path / "jetstream", *options) as running:
        yield running


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_an_encrypted_connection(encrypted, certificate, make, host):
    """The certificate is checked against the host of the URL."""
    sink = make(f"tls://{host}:{encrypted.port}", ca=certificate[0], token=SECRET)
    found = sink.send(batch_of([1]))
    assert isinstance(found, Hold)
    assert "no stream" in found.reason  # that is: connected, logged in and answered


def test_a_certificate_that_nobody_vouches_for_holds(encrypted, make):
    """A person must repair that."""
    found = make(f"tls://127.0.0.1:{encrypted.port}", token=SECRET).send(batch_of([1]))
    assert isinstance(found, Hold)
    assert found.reason.startswith("tls: ")


@pytest.mark.parametrize("options", [{"ca": "missing.pem"}, {"ca": __file__}])
def test_certificates_that_cannot_be_read_hold(make, options):
    """They are ours to repair; nobody was asked."""
    found = make("tls://127.0.0.1:1", **options).send(batch_of([1]))
    assert isinstance(found, Hold)


def test_a_server_without_tls_gets_no_password(make):
    """Somebody between us and the server could say that there is no TLS."""
    with_ears = Mute(INFO + b"PONG\r\n", hang=True)
    found = make(f"tls://127.0.0.1:{with_ears.port}", token=SECRET).send(batch_of([1]))
    assert isinstance(found, Hold)
    assert "TLS" in found.reason
    heard = with_ears.heard()
    with_ears.close()
    assert b"CONNECT" not in heard
    assert SECRET.encode() not in heard


def test_a_server_without_tls_gets_no_event(server, make):
    """Nor is anything sent where there is no login to protect."""
    found = make(f"tls://127.0.0.1:{server.port}").send(batch_of([1]))
    assert isinstance(found, Hold)
    assert server.count("cx") == 0


def test_the_trust_obeys_no_environment(monkeypatch, tmp_path, make):
    """SSLKEYLOGFILE would write session keys down."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert make("tls://localhost:1")._trust().keylog_filename is None
    assert make("tls://localhost:1")._trust().verify_mode == ssl.CERT_REQUIRED


# ---- time ---------------------------------------------------------------------------------


def test_a_server_that_hangs_is_in_doubt(server, make):
    """No ack in time: perhaps it arrived. What comes again is there once."""
    sink = make(server)
    assert sink.send(batch_of(range(50))) == Delivered()
    server.pause()
    sink.timeout = 1.0
    found = sink.send(batch_of(range(50, 100)))
    assert isinstance(found, Retry)
    assert found.uncertain
    assert sink._link is None  # what it still had to write is gone with it
    server.resume()
    sink.timeout = GUARD_S
    assert sink.send(batch_of(range(50, 100))) == Delivered()
    assert ids(server.messages("cx")) == [f"e{number}" for number in range(100)]


def test_a_connection_that_was_gone_is_made_anew(server, make):
    """One more try on a fresh connection, as for any kept-alive one."""
    sink = make(server)
    assert sink.send(batch_of([1])) == Delivered()
    server.kill()
    server.start()
    assert sink.send(batch_of([2])) == Delivered()
    assert ids(server.messages("cx")) == ["e1", "e2"]


def test_after_a_pause_it_asks_first(server, make, monkeypatch):
    """A connection that leads nowhere costs a sign of life, not a whole timeout."""
    monkeypatch.setattr("cxsdk.sinks.nats._IDLE_S", 0.0)
    sink = make(server, timeout=GUARD_S, connect_timeout=GUARD_S)
    assert sink.send(batch_of([1])) == Delivered()
    link = sink._link
    assert sink.send(batch_of([2])) == Delivered()
    assert sink._link is link
    server.kill()
    server.start()
    assert sink.send(batch_of([3])) == Delivered()
    server.pause()
    sink.connect_timeout, sink.timeout = 0.3, 1.0
    found = sink.send(batch_of([4]))
    assert isinstance(found, Retry)
    assert not found.uncertain  # the question was sent, the event was not
    server.resume()
    sink.connect_timeout, sink.timeout = GUARD_S, GUARD_S
    assert sink.send(batch_of([4])) == Delivered()
    assert ids(server.messages("cx")) == ["e1", "e2", "e3", "e4"]


def test_the_next_server_is_asked(server, make):
    """One of two is away; which one is remembered."""
    sink = make(f"nats://127.0.0.1:{free_port()},127.0.0.1:{server.port}")
    assert sink.send(batch_of([1])) == Delivered()
    assert sink._turn == 1


@pytest.mark.parametrize("how", ["close", "hurry"])
def test_a_send_can_be_cut_short(make, how):
    """The end of a process waits for no broker."""
    hanging = Mute(INFO + b"PONG\r\n", hang=True)
    sink = make(f"nats://127.0.0.1:{hanging.port}", timeout=300.0)
    results = []
    sender = threading.Thread(target=lambda: results.append(sink.send(batch_of([1]))))
    sender.start()
    wait_until(lambda: sink._link is not None and sink._link._open, "a message on its way")
    sink.close() if how == "close" else sink.hurry(0.1)
    sender.join(GUARD_S)
    assert not sender.is_alive()
    assert isinstance(results[0], Retry)
    assert results[0].uncertain
    hanging.close()


def test_a_name_that_nobody_knows_is_a_retry(make):
    """Name servers come back."""
    found = make("nats://nowhere.invalid:4222").send(batch_of([1]))
    assert isinstance(found, Retry)
    assert not found.uncertain


def test_a_name_lookup_that_hangs_ends(make, monkeypatch):
    """A lookup obeys no timeout, the send does; the thread it hangs in holds up no exit."""
    freed = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_a, **_o: freed.wait(GUARD_S) and [])
    sink = make("nats://broker.example:4222", connect_timeout=0.2)
    for _ in range(2):
        found = sink.send(batch_of([1]))
        assert isinstance(found, Retry)
        assert not found.uncertain
    (asking,) = [each for each in threading.enumerate() if each.name == "cxsdk-lookup"]
    assert asking.daemon
    freed.set()
    asking.join(GUARD_S)


# ---- threads, loops, forks ----------------------------------------------------------------


def test_it_has_no_thread_and_works_from_any(server, make):
    """The loop runs on whoever sends, one after the other."""
    sink = make(server)
    before = threading.active_count()
    results = [sink.send(batch_of([0]))]
    assert threading.active_count() == before
    for number in range(1, 4):
        sender = threading.Thread(target=lambda n=number: results.append(sink.send(batch_of([n]))))
        sender.start()
        sender.join(GUARD_S)
    assert results == [Delivered()] * 4


def test_it_works_inside_a_loop_of_the_hosts(server, make):
    """As when ``aclose`` drains where no thread can be started."""
    sink = make(server)

    async def host():
        loop = asyncio.get_running_loop()
        assert sink.send(batch_of([1])) == Delivered()
        assert asyncio.get_running_loop() is loop
        await asyncio.sleep(0)

    asyncio.run(host())
    assert sink.send(batch_of([2])) == Delivered()


def test_an_interrupt_leaves_no_connection_in_the_middle(server, make, monkeypatch):
    """A host's exception passes through, and the next send begins afresh."""
    sink = make(server)
    assert sink.send(batch_of([1])) == Delivered()

    def interrupted(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sink, "_on_answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sink.send(batch_of([2]))
    assert sink._link is None
    assert sink.send(batch_of([2])) == Delivered()


def test_closing_leaves_nothing_open(server, make):
    """No file, no task, no warning: warnings are errors here."""

    def files():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = files()
    sink = make(server)
    sink.send(batch_of([1]))
    assert before < files() <= before + 4
    sink.close()
    wait_until(lambda: files() == before, "the files to be closed")


FAMILY = """
import os, sys
from cxsdk.sinks.nats import NatsSink
from cxsdk.typing import Batch, Delivered, Record

sink = NatsSink(sys.argv[1], token=sys.argv[3], ca=sys.argv[4] or None, timeout=30)

def send(name):
    payload = b'{"id":"%s","source":"urn:t"}' % name
    found = sink.send(Batch((Record(payload, "bulk", 0),), key="k"))
    assert found == Delivered(), found

send(b"parent-1")
held = sink._link
child = os.fork()
if child == 0:
    if sys.argv[2] == "send":
        send(b"child-1")
        assert sink._link is not held
        sink.close()
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
send(b"parent-2")
assert sink._link is held and not held.lost
sink.close()
print("done")
"""


@pytest.mark.parametrize("what", ["send", "end"])
@pytest.mark.parametrize("scheme", ["nats", "tls"])
def test_a_forked_child_leaves_the_parents_connection_alone(
    tmp_path, certificate, run_python, what, scheme
):
    """It makes its own, or just ends; the parent's connection goes on, encrypted or not."""
    cert, key = certificate
    tls = ["--tls", f"--tlscert={cert}", f"--tlskey={key}"] if scheme == "tls" else []
    with NatsServer(tmp_path / "jetstream") as server:
        server.add_stream("cx", "cx.>")
        server.kill()
        server.start("--auth", SECRET, *tls)
        url = f"{scheme}://127.0.0.1:{server.port}/cx.events"
        ca = str(cert) if scheme == "tls" else ""
        assert run_python(FAMILY, url, what, SECRET, ca) == "done\n"
        server.kill()
        server.start()
        expected = {"parent-1", "parent-2", *(["child-1"] if what == "send" else [])}
        assert sorted(ids(server.messages("cx"))) == sorted(expected)


# ---- through a client ---------------------------------------------------------------------


@pytest.fixture
def client(server, tmp_path):
    made = []

    def client(**options):
        collector = NatsSink(f"{server.url}/cx.events", timeout=2.0, **options)
        spool = cx.SpoolOptions(mode="mmap", directory=tmp_path / "root", min_free_bytes=0)
        delivery = cx.DeliveryOptions(**QUICK)
        made.append(cx.Client("shop", collector=collector, spool=spool, delivery=delivery))
        return made[-1]

    yield client
    for each in made:
        each.close(1)


def settle(client):
    end = time.monotonic() + GUARD_S
    while client.flush(5).pending and time.monotonic() < end:
        pass
    return client.stats()["sinks"]["default"]


def test_a_server_killed_and_restarted_mid_stream(server, client, capsys):
    """SIGKILL four times while a client emits: every accepted event is in the stream, once."""
    shop = client()
    accepted = []
    for _ in range(5):
        for number in range(400):
            accepted.append(shop.record("parcel.handover", customer=f"u-{number % 50}").id)
            if number == 200:
                server.kill()
            time.sleep(0.0005)
        if server.process.poll() is not None:
            server.start()
    counts = settle(shop)
    arrived = collections.Counter(ids(server.messages("cx")))
    twice = sum(count - 1 for count in arrived.values())
    with capsys.disabled():
        print(f"\nnats: {len(accepted)} accepted, {len(arrived)} arrived, {twice} duplicates")
    assert set(arrived) == set(accepted)
    assert twice == 0
    assert (counts["delivered"], counts["spooled"]) == (len(accepted), 0)


def test_a_server_that_is_away_at_the_start(server, client):
    """Everything waits in the spool, and is there once the server is."""
    server.kill()
    shop = client()
    accepted = [shop.record("parcel.handover", customer="u-1").id for _ in range(50)]
    assert shop.flush(0.5).pending == 50
    server.start()
    settle(shop)
    assert sorted(ids(server.messages("cx"))) == sorted(accepted)


def test_a_stream_that_nobody_made_holds_everything(server, client):
    """The report and the health say so, and no event is given up."""
    server.ask(lambda js: js.delete_stream("cx"))
    shop = client()
    for _ in range(20):
        assert shop.record("parcel.handover", customer="u-1")
    report = shop.flush(5)
    assert (report.pending, report.reason) == (20, "holding")
    assert shop.health().status == "holding"
    assert "create one" in shop.health().reason


# ---- configuration ------------------------------------------------------------------------


def test_a_url_may_say_everything():
    """Hosts, subject, credentials, stream."""
    url = f"nats://shop:{SECRET}@one,two:4223/cx.events?stream=cx"
    sink = open_sink(url, settings=Settings(service="shop", api_key="unused"))
    assert sink._login == {"user": "shop", "password": SECRET}
    assert sink.fingerprint == "nats://one:4222,two:4223/cx.events"
    assert sink._stream == "cx"
    assert SECRET not in repr(sink)
    assert sink._hide(f"wrong: {SECRET}") == "wrong: ***"


@pytest.mark.parametrize(
    ("url", "key", "login"),
    [
        ("nats://one/cx", None, {}),
        ("nats://one/cx", "key", {"token": "key"}),
        ("nats://tok@one/cx", "key", {"token": "tok"}),
        ("tls://one/cx", "key", {"token": "key"}),
    ],
)
def test_the_api_key_is_the_token(url, key, login):
    """So that no secret needs to stand in a URL."""
    assert open_sink(url, settings=Settings(service="shop", api_key=key))._login == login


@pytest.mark.parametrize(
    "url",
    ["nats://one/cx.*", "nats://one/cx.>", "nats://one/a..b", "nats://one/c?strem=x", "http://a/b"],
)
def test_a_wrong_url_is_refused(url):
    """At once, with an example."""
    with pytest.raises(ConfigurationError, match="expected"):
        NatsSink(url)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": 301}, {"max_in_flight": 0}])
def test_options_have_bounds(options):
    """A send must come back."""
    with pytest.raises(ConfigurationError):
        NatsSink("nats://one/cx", **options)


@pytest.mark.parametrize("missing", ["nats", "nkeys"])
def test_a_missing_package_is_named(monkeypatch, missing):
    """With the command that installs it, when the sink is made."""
    monkeypatch.setattr("cxsdk.sinks._broker.find_spec", lambda name: name != missing or None)
    with pytest.raises(ExtraMissingError, match=r"pip install 'cxsdk\[nats\]'"):
        NatsSink("nats://one/cx", credentials="shop.creds")
