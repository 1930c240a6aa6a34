"""
The Kafka sink: against librdkafka's mock cluster, and against any broker that the environment
names in ``CXSDK_TEST_KAFKA`` (``host:port``).
"""

import collections
import json
import os
import threading
import time
import uuid
from pathlib import Path

import pytest

import cxsdk as cx
from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError, ExtraMissingError
from cxsdk.sinks import open_sink
from cxsdk.sinks.kafka import KafkaSink, meaning
from cxsdk.testing.conformance.sink import SinkConformance
from cxsdk.typing import Batch, Delivered, Hold, Partial, Record, Refused, Retry, Split
from tests.sinks.brokers import GUARD_S, MockKafka, Mute, Proxy, consume, wait_until

SECRET = "s3cret-password"
QUICK = {"reconnect.backoff.max.ms": 100}


def event(number, pad=0, **more):
    made = {"specversion": "1.0", "id": f"e{number}", "source": "urn:t", "type": "t", **more}
    return Record(json.dumps({**made, "pad": "x" * pad}).encode(), "bulk", 0)


def batch_of(numbers, pad=0, **more):
    return Batch(tuple(event(number, pad, **more) for number in numbers), key="k")


def ids(messages):
    return [json.loads(message.value())["id"] for message in messages]


@pytest.fixture(scope="module")
def mock():
    made = MockKafka()
    yield made
    made.close()


@pytest.fixture
def own_mock():
    """A cluster of this test's own, to be hung or killed."""
    made = MockKafka()
    yield made
    made.close()


@pytest.fixture
def proxy(mock):
    made = Proxy(mock.port)
    made.up()
    yield made
    made.down()


@pytest.fixture
def topic():
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture(params=["mock", "named"])
def servers(request):
    """Where a cluster is: ours, and the one of the environment if there is one."""
    if request.param == "mock":
        return request.getfixturevalue("mock").servers
    named = os.environ.get("CXSDK_TEST_KAFKA")
    if not named:
        pytest.skip("CXSDK_TEST_KAFKA names no broker")
    return named


@pytest.fixture
def make():
    made = []

    def make(servers, topic, **options):
        made.append(KafkaSink(f"kafka://{servers}/{topic}", **{"timeout": GUARD_S, **options}))
        return made[-1]

    yield make
    for sink in made:
        sink.close()


# ---- the contract -------------------------------------------------------------------------


class TestKafka(SinkConformance):
    secrets = (SECRET,)
    max_seconds = 5.0

    @pytest.fixture(autouse=True)
    def places(self, mock, topic):
        self.mock, self.topic = mock, topic
        self.mutes = [Mute(), Mute(b"HTTP/1.1 200 OK\r\n\r\n<html>" + SECRET.encode())]
        self.hanging = Mute(hang=True)
        yield
        for each in (*self.mutes, self.hanging):
            each.close()

    def kafka(self, servers, timeout=1.0, **more):
        secret = {"sasl.password": SECRET, **more}
        return KafkaSink(f"kafka://{servers}/{self.topic}", timeout=timeout, properties=secret)

    def make_sink(self):
        return self.kafka(self.mock.servers, GUARD_S)

    def make_mute_sinks(self):
        login = {"security.protocol": "sasl_plaintext", "sasl.username": "u"}
        places = [f"127.0.0.1:{mute.port}" for mute in self.mutes]
        return [self.kafka(place) for place in places] + [self.kafka(places[0], **login)]

    def make_hanging_sink(self):
        return self.kafka(f"127.0.0.1:{self.hanging.port}")

    def received(self):
        # Kafka keeps the order within a partition.
        found = consume(self.mock.servers, self.topic)
        return [m.value() for m in sorted(found, key=lambda m: int(ids([m])[0][1:]))]


# ---- what arrives -------------------------------------------------------------------------


def test_twenty_thousand_arrive_once(servers, topic, make):
    """20,000 produced are 20,000 consumed, with 20,000 ids."""
    sink = make(servers, topic)
    for start in range(0, 20_000, 500):
        assert sink.send(batch_of(range(start, start + 500), 300)) == Delivered()
    found = ids(consume(servers, topic))
    assert len(found) == 20_000
    assert len(set(found)) == 20_000


def test_a_message_is_a_structured_cloudevent(servers, topic, make):
    """Payload as spooled, content type in a header, key = partition key, else the id."""
    sent = Batch((event(1, partitionkey="p-1"), event(2)), key="k")
    assert make(servers, topic).send(sent) == Delivered()
    found = {m.key(): m for m in consume(servers, topic)}
    assert {key: m.value() for key, m in found.items()} == {
        b"p-1": sent.records[0].payload,
        b"e2": sent.records[1].payload,
    }
    headers = [m.headers() for m in found.values()]
    assert headers == [[("content-type", b"application/cloudevents+json")]] * 2


def test_the_official_sdk_reads_a_message(mock, topic, make):
    """The other side's own decoder gets the event back."""
    from cloudevents.core.bindings.kafka import KafkaMessage, from_structured_event

    make(mock.servers, topic).send(batch_of([7], partitionkey="p", subject="a/1"))
    (message,) = consume(mock.servers, topic)
    headers = dict(message.headers())
    found = from_structured_event(KafkaMessage(headers, message.key(), message.value()))
    assert found.get_attributes()["id"] == "e7"


def test_one_customer_is_one_partition(mock, topic, make):
    """Events with one partition key stay in order, since they share a partition."""
    make(mock.servers, topic).send(batch_of(range(100), partitionkey="p-1"))
    found = consume(mock.servers, topic)
    assert len({m.partition() for m in found}) == 1
    assert ids(found) == [f"e{number}" for number in range(100)]


# ---- verdicts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "uncertain"),
    [
        ("MSG_SIZE_TOO_LARGE", Split, None),
        ("RECORD_LIST_TOO_LARGE", Split, None),
        ("INVALID_RECORD", Refused, None),
        ("UNKNOWN_TOPIC_OR_PART", Hold, None),
        ("_UNKNOWN_TOPIC", Hold, None),
        ("TOPIC_AUTHORIZATION_FAILED", Hold, None),
        ("CLUSTER_AUTHORIZATION_FAILED", Hold, None),
        ("SASL_AUTHENTICATION_FAILED", Hold, None),
        ("_AUTHENTICATION", Hold, None),
        ("_SSL", Hold, None),
        ("POLICY_VIOLATION", Hold, None),
        ("_PURGE_QUEUE", Retry, False),
        ("_QUEUE_FULL", Retry, False),
        ("_PURGE_INFLIGHT", Retry, True),
        ("_MSG_TIMED_OUT", Retry, True),
        ("REQUEST_TIMED_OUT", Retry, True),
        ("NOT_ENOUGH_REPLICAS", Retry, False),
        ("NOT_ENOUGH_REPLICAS_AFTER_APPEND", Retry, True),
        ("_TRANSPORT", Retry, True),
        ("KAFKA_STORAGE_ERROR", Retry, True),
        ("_FATAL", Retry, True),
        ("A_NAME_OF_NEXT_YEAR", Retry, True),
    ],
)
def test_each_error_has_a_meaning(name, kind, uncertain):
    """The table of delivery reports, row by row."""
    found = meaning(name, "words", "t")
    assert isinstance(found, kind)
    if uncertain is not None:
        assert found.uncertain is uncertain


@pytest.mark.parametrize("name", ["TOPIC_AUTHORIZATION_FAILED", "_AUTHENTICATION"])
def test_a_refused_login_is_probed_patiently(name):
    """One minute, then up to a quarter of an hour."""
    found = meaning(name, "words", "t")
    assert (found.probe_after, found.backoff_to) == (60.0, 900.0)


def test_one_that_is_too_large_is_refused_and_the_others_go(mock, topic, make):
    """The client's own limit is about one event; alone it is the delivery's too_large."""
    sink = make(mock.servers, topic)
    sent = Batch((event(1), event(2, 2_000_000), event(3)), key="k")
    found = sink.send(sent)
    assert isinstance(found, Partial)
    assert found.retry == frozenset()
    assert found.refused[1].startswith("too_large: ")
    assert isinstance(sink.send(batch_of([2], 2_000_000)), Split)
    assert sorted(ids(consume(mock.servers, topic))) == ["e1", "e3"]


def test_an_unknown_topic_holds_and_a_new_one_is_found(mock, topic, make):
    """Nothing is dropped; after somebody made the topic, the probe goes through."""
    sink = make(mock.servers, topic, properties={"allow.auto.create.topics": False}, timeout=2.0)
    for _ in range(2):
        found = sink.send(batch_of([1]))
        assert isinstance(found, Hold)
        assert repr(topic) in found.reason
        assert sink._producer is None  # it would remember that there is none
    make(mock.servers, topic).send(batch_of([0]))
    assert sink.send(batch_of([1])) == Delivered()
    assert sorted(ids(consume(mock.servers, topic))) == ["e0", "e1"]


def test_a_refused_login_holds(mock, topic, make):
    """Nobody is asked twice with credentials that do not fit, and nobody sees them."""
    login = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.username": "shop",
        "sasl.password": SECRET,
    }
    sink = make(mock.servers, topic, properties=login)
    found = sink.send(batch_of([1]))
    assert isinstance(found, Hold)
    assert (found.probe_after, found.backoff_to) == (60.0, 900.0)
    assert SECRET not in f"{found!r} {sink!r} {sink.fingerprint}"


def test_a_property_that_does_not_exist_holds_with_its_name(mock, topic, make):
    """Properties are checked when a producer begins."""
    found = make(mock.servers, topic, properties={"no.such": "1"}).send(batch_of([1]))
    assert isinstance(found, Hold)
    assert "no.such" in found.reason


def test_a_fatal_error_costs_a_producer_and_no_event(mock, topic, make):
    """The next send begins with another producer."""
    from confluent_kafka import KafkaError

    sink = make(mock.servers, topic)
    sink.send(batch_of([1]))
    first = sink._producer
    sink._on_error(KafkaError(KafkaError._FATAL, "out of order", fatal=True))
    assert sink._producer is None
    assert sink.send(batch_of([2])) == Delivered()
    assert sink._producer is not first


# ---- time ---------------------------------------------------------------------------------


def test_a_broker_that_hangs_is_in_doubt(own_mock, topic, make):
    """No report in time: perhaps it arrived. What comes again has the same ids."""
    sink = make(own_mock.servers, topic, timeout=GUARD_S)
    assert sink.send(batch_of(range(50))) == Delivered()
    own_mock.pause()
    sink.timeout = 1.0
    found = sink.send(batch_of(range(50, 100)))
    assert isinstance(found, Retry)
    assert found.uncertain
    own_mock.resume()
    sink.timeout = GUARD_S
    assert sink.send(batch_of(range(50, 100))) == Delivered()
    arrived = collections.Counter(ids(consume(own_mock.servers, topic)))
    assert set(arrived) == {f"e{number}" for number in range(100)}
    assert all(arrived[f"e{number}"] == 1 for number in range(50))
    assert max(arrived.values()) <= 2


def test_what_was_never_sent_is_not_sent_later(mock, proxy, topic, make):
    """A purge takes everything back: after the broker is there again, nothing comes by itself."""
    proxy.down()
    sink = make(proxy.servers, topic, timeout=1.0, properties=QUICK)
    found = sink.send(batch_of(range(100)))
    assert isinstance(found, Retry)
    assert not found.uncertain
    proxy.up()
    sink.timeout = GUARD_S
    assert sink.send(batch_of([100])) == Delivered()
    assert ids(consume(mock.servers, topic)) == ["e100"]


def test_a_lost_answer_is_in_doubt(mock, proxy, topic, make):
    """Written, but nobody said so: sent again under the same ids."""
    sink = make(proxy.servers, topic, timeout=GUARD_S)
    assert sink.send(batch_of([0])) == Delivered()
    proxy.is_deaf, sink.timeout = True, 1.0
    found = sink.send(batch_of(range(1, 11)))
    assert isinstance(found, Retry)
    assert found.uncertain
    proxy.down()
    proxy.is_deaf, sink.timeout = False, GUARD_S
    proxy.up()
    assert sink.send(batch_of(range(1, 11))) == Delivered()
    arrived = collections.Counter(ids(consume(mock.servers, topic)))
    assert arrived == {"e0": 1, **{f"e{number}": 2 for number in range(1, 11)}}


@pytest.mark.parametrize("how", ["close", "hurry"])
def test_a_send_can_be_cut_short(topic, make, how):
    """The end of a process waits for no broker."""
    hanging = Mute(hang=True)
    sink = make(f"127.0.0.1:{hanging.port}", topic, timeout=300.0)
    results = []
    sender = threading.Thread(target=lambda: results.append(sink.send(batch_of([1]))))
    sender.start()
    wait_until(lambda: sink._producer is not None, "a producer")
    sink.close() if how == "close" else sink.hurry(0.1)
    sender.join(GUARD_S)
    assert not sender.is_alive()
    assert isinstance(results[0], Retry)
    hanging.close()


def test_closing_gives_up_the_threads_of_librdkafka(mock, topic, make):
    """The last reference is ours to give back."""

    def threads():
        names = [comm.read_text() for comm in Path("/proc/self/task").glob("*/comm")]
        return len([name for name in names if name.startswith("rdk:")])

    sink = make(mock.servers, topic)
    before = threads()
    sink.send(batch_of([1]))
    assert threads() > before
    sink.close()
    wait_until(lambda: threads() <= before, "the threads to end")


# ---- forks --------------------------------------------------------------------------------

FAMILY = """
import gc, os, sys, time
from cxsdk.sinks.kafka import KafkaSink
from cxsdk.typing import Batch, Delivered, Record

sink = KafkaSink(sys.argv[1], timeout=30)

def send(name):
    payload = b'{"id":"%s","source":"urn:t"}' % name
    assert sink.send(Batch((Record(payload, "bulk", 0),), key="k")) == Delivered()

send(b"parent-1")
held = sink._producer
child = os.fork()
if child == 0:
    if sys.argv[2] == "end":
        sink, held = None, id(held)
        gc.collect()
        assert held in [id(each) for each in gc.get_objects()], "the child destroyed it"
    else:
        send(b"child-1")
        assert sink._producer is not held
        sink.close()
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
send(b"parent-2")
assert sink._producer is held
sink.close()
print("done")
"""


@pytest.mark.parametrize("what", ["send", "end"])
def test_a_forked_child_leaves_the_parents_producer_alone(mock, topic, run_python, what):
    """It sends by its own, or just ends; neither crashes, and the parent goes on."""
    assert run_python(FAMILY, f"kafka://{mock.servers}/{topic}", what) == "done\n"
    expected = {"parent-1", "parent-2", *(["child-1"] if what == "send" else [])}
    assert sorted(ids(consume(mock.servers, topic))) == sorted(expected)


# ---- through a client ---------------------------------------------------------------------


def test_a_broker_that_goes_and_comes_mid_stream(mock, proxy, topic, tmp_path, capsys):
    """Cut off four times while a client emits: nothing is lost, what came twice has one id."""
    url = f"kafka://{proxy.servers}/{topic}"
    accepted = []
    with cx.Client(
        "shop",
        collector=KafkaSink(url, timeout=2.0, properties=QUICK),
        spool=cx.SpoolOptions(mode="mmap", directory=tmp_path, min_free_bytes=0),
        delivery=cx.DeliveryOptions(linger=0.02, retry_base=0.02, retry_cap=0.2),
    ) as client:
        for cut in range(5):
            for number in range(400):
                accepted.append(client.record("parcel.handover", customer=f"u-{number % 50}").id)
                if number == 200:
                    proxy.down() if cut % 2 else setattr(proxy, "is_deaf", cut > 0)
                time.sleep(0.0005)
            proxy.down()
            proxy.is_deaf = False
            proxy.up()
        end = time.monotonic() + GUARD_S
        while client.flush(5).pending and time.monotonic() < end:
            pass
        counts = client.stats()["sinks"]["default"]
    arrived = collections.Counter(ids(consume(mock.servers, topic)))
    twice = sum(count - 1 for count in arrived.values())
    with capsys.disabled():
        print(f"\nkafka: {len(accepted)} accepted, {len(arrived)} arrived, {twice} duplicates")
    assert set(arrived) == set(accepted)
    assert (counts["delivered"], counts["spooled"]) == (len(accepted), 0)


# ---- configuration ------------------------------------------------------------------------


def test_a_url_may_say_everything(topic):
    """Hosts, topic, login and properties of librdkafka; a login means TLS unless said."""
    url = f"kafka://shop:{SECRET}@one:9092,two/{topic}?linger.ms=50&sasl.mechanism=SCRAM-SHA-512"
    sink = open_sink(url, settings=Settings(service="shop"))
    assert sink._conf["bootstrap.servers"] == "one:9092,two:9092"
    assert sink._conf["security.protocol"] == "sasl_ssl"
    assert sink._conf["sasl.password"] == SECRET
    assert sink._conf["sasl.mechanism"] == "SCRAM-SHA-512"
    assert (sink._conf["acks"], sink._conf["enable.idempotence"]) == ("all", True)
    assert sink.fingerprint == f"kafka://one:9092,two:9092/{topic}"
    assert SECRET not in repr(sink)


def test_the_api_key_is_the_password_of_a_user_without_one():
    """So that no secret needs to stand in a URL."""
    sink = KafkaSink("kafka://shop@one/t", api_key=SECRET)
    assert sink._conf["sasl.password"] == SECRET
    assert sink._hide(f"wrong: {SECRET}") == "wrong: ***"
    assert "sasl.password" not in KafkaSink("kafka://one/t", api_key=SECRET)._conf


@pytest.mark.parametrize("name", ["acks", "bootstrap.servers", "request.required.acks"])
def test_what_the_promise_rests_on_cannot_be_set(name):
    """acks=1 would make an ack mean less than it says."""
    with pytest.raises(ConfigurationError, match=name):
        KafkaSink("kafka://one/t", properties={name: "1"})


@pytest.mark.parametrize("timeout", [0, -1, 301])
def test_a_timeout_has_bounds(timeout):
    """A send must come back."""
    with pytest.raises(ConfigurationError):
        KafkaSink("kafka://one/t", timeout=timeout)


def test_a_missing_package_is_named(monkeypatch):
    """With the command that installs it, when the sink is made."""
    monkeypatch.setattr("cxsdk.sinks._broker.find_spec", lambda name: None)
    with pytest.raises(ExtraMissingError, match=r"pip install 'cxsdk\[kafka\]'"):
        open_sink("kafka://one/t", settings=Settings(service="shop"))
