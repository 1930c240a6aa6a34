"""
From an answer per event to one result, and how brokers' addresses are read.
"""

import gc
import weakref

import pytest

from cxsdk.errors import ConfigurationError
from cxsdk.sinks._broker import Address, attributes, pin, unpin
from cxsdk.sinks._outcomes import Outcomes
from cxsdk.typing import Delivered, Hold, Partial, Record, Refused, Retry, Split

LOST = Retry("network: gone")


def outcomes(size, *, took=(), refuse=(), fail=None, waiting=()):
    made = Outcomes(size)
    for index in {*took, *refuse, *(fail or {}), *waiting}:
        made.sent(index)
    for index in took:
        made.took(index)
    for index in refuse:
        made.refuse(index, "too_large: 9 bytes")
    for index, result in (fail or {}).items():
        made.fail(index, result)
    return made


@pytest.mark.parametrize(
    ("given", "trouble", "expected"),
    [
        (outcomes(2, took=[0, 1]), None, Delivered()),
        (outcomes(2, took=[0, 1]), LOST, Delivered()),
        (outcomes(2, waiting=[0, 1]), None, Retry("timeout: no answer in time", uncertain=True)),
        (outcomes(2), None, Retry("timeout: not sent in time")),
        (outcomes(2), LOST, LOST),
        (outcomes(2, waiting=[1]), LOST, Retry("network: gone", uncertain=True)),
        (outcomes(3, took=[0], waiting=[1]), LOST, Partial(retry=frozenset({1, 2}))),
        (
            outcomes(3, took=[0], refuse=[1], fail={2: LOST}),
            None,
            Partial(refused={1: "too_large: 9 bytes"}, retry=frozenset({2})),
        ),
        (outcomes(1, refuse=[0]), None, Split("too_large: 9 bytes")),
        (outcomes(2, fail={0: Hold("repair"), 1: LOST}), None, Hold("repair")),
        (outcomes(2, fail={0: Split("large"), 1: Split("large")}), None, Split("large")),
        (outcomes(2, fail={0: Split("large"), 1: Refused("bad")}), None, Refused("bad")),
        (outcomes(2, fail={0: Split("large"), 1: LOST}), None, LOST),
        (outcomes(1), Hold("no way in"), Hold("no way in")),
        (
            outcomes(2, fail={0: Retry("full", throttled=True), 1: Retry("full", throttled=True)}),
            None,
            Retry("full", throttled=True),
        ),
        (outcomes(2, fail={0: Retry("full", throttled=True), 1: LOST}), None, Retry("full")),
    ],
)
def test_what_became_of_the_events_is_one_result(given, trouble, expected):
    """Taken ones are never sent again, unanswered ones never count as taken."""
    assert given.verdict(trouble) == expected


def test_an_answer_counts_once_and_a_failure_takes_nothing_back():
    """Acks may come twice, and an error after an ack is about something else."""
    made = outcomes(2, took=[0])
    made.took(0)
    made.fail(0, LOST)
    assert made.verdict() == Partial(retry=frozenset({1}))


def test_words_are_short_clean_and_without_secrets():
    """A destination's words go into logs."""
    made = Outcomes(1, lambda text: text.replace("s3cret", "***"))
    assert made.cut("no\nway s3cret") == "no way ***"
    assert len(made.cut("x" * 1000)) == 160


def test_what_is_pinned_lives_until_it_is_given_back():
    """Also when nobody has it any more, as at the end of a forked child."""

    class Connection:
        pass

    made = Connection()
    seen = weakref.ref(made)
    pin(made)
    del made
    gc.collect()
    assert seen() is not None
    unpin(seen())
    gc.collect()
    assert seen() is None


# ---- addresses ----------------------------------------------------------------------------


def test_an_address_is_taken_apart():
    """Several hosts, a default port, credentials, options."""
    url = "kafka://us%40er:pa%3Ass@one,two:9093,[::1]:1/a.b?linger.ms=5&x="
    found = Address.of(url, "example", 9092)
    assert (found.user, found.password) == ("us@er", "pa:ss")
    assert found.hosts == (("one", 9092), ("two", 9093), ("::1", 1))
    assert found.servers == "one:9092,two:9093,[::1]:1"
    assert found.options == {"linger.ms": "5", "x": ""}
    assert found.place == "kafka://one:9092,two:9093,[::1]:1/a.b"
    assert not found.is_local
    assert "pa:ss" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "kafka://host:9092",
        "kafka://host:9092/",
        "kafka:///topic",
        "kafka://host:0/topic",
        "kafka://host:99999/topic",
        "kafka://ho st/topic",
        "kafka://hö/topic",
        "kafka://host,/topic",
        "kafka://s3cret@host/topic?a=1&a=2",
        "kafka://s3cret@host/topic#part",
        "kafka://s3cret@host/to\npic",
    ],
)
def test_a_wrong_address_is_refused_without_being_repeated(url):
    """What is wrong is said with an example, not with a password."""
    with pytest.raises(ConfigurationError) as caught:
        Address.of(url, "kafka://example", 9092)
    assert "s3cret" not in str(caught.value)


def test_attributes_are_read_and_the_rest_is_not():
    """Only keys are decoded; what cannot be read gets a stable id."""
    whole = b'{"id":"e1","source":"urn:t","partitionkey":"p","data":{"id":"x","n":[1,{}]}}'
    found = attributes(Record(whole, "bulk", 0))
    assert (found.id, found.source, found.partitionkey) == ("e1", "urn:t", "p")
    broken = Record(b'{"id":', "bulk", 0)
    assert attributes(broken).id == attributes(broken).id != attributes(Record(b"{", "bulk", 0)).id
