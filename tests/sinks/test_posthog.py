"""
The PostHog sink against a server with the answers of PostHog's capture endpoint.
"""

import json

import pytest

from cxsdk.sinks.posthog import PosthogSink
from cxsdk.testing import faults
from cxsdk.testing.faults import FaultCollector
from cxsdk.typing import Delivered, Hold, Partial, Refused, Retry
from tests.sinks.servers import KEY, read_posthog, well
from tests.sinks.test_mapped import batch_of, event


@pytest.fixture
def server():
    with FaultCollector(well("posthog"), read=read_posthog) as running:
        yield running


@pytest.fixture
def sink(server):
    made = PosthogSink(server.url, api_key=KEY)
    yield made
    made.close()


def survey(name):
    data = {"prompt_id": "nps", "offer_id": "O", "action": "shown", "customer": {"id": "u"}}
    return json.dumps({"id": name, "type": "dev.cxsdk.prompt.shown.v1", "data": data}).encode()


def test_a_retry_is_the_same_bytes(sink, server):
    """No time of sending: PostHog would move the event's time, and count it twice."""
    server.script(faults.status(503))
    batch = batch_of(event("a", 2000))
    assert isinstance(sink.send(batch), Retry)
    assert sink.send(batch) == Delivered()
    first, second = server.requests
    assert first.wire_bytes == second.wire_bytes


@pytest.mark.parametrize("body", [b'{"status": 1}', b'{"status": "Ok"}', b"", b'{"status": "1"}'])
def test_every_form_of_yes(sink, server, body):
    """Old and new servers say it differently."""
    server.always = faults.status(200, body=body)
    assert sink.send(batch_of(event("a"))) == Delivered()


def test_a_200_that_is_a_no(sink, server):
    """Held, not taken for delivered."""
    server.always = faults.status(200, body=b'{"status": 0}')
    assert isinstance(sink.send(batch_of(event("a"))), Hold)


def test_a_quota_that_is_reached_holds(sink, server):
    """PostHog answers 200 and throws the events away: they wait until somebody raises it."""
    server.always = faults.status(200, body=b'{"status": 1, "quota_limited": ["events"]}')
    assert sink.send(batch_of(event("a"))) == Hold("posthog: quota of events reached", 300.0, 900.0)


def test_a_quota_of_something_else_changes_nothing(sink, server):
    """Recordings are not ours."""
    server.always = faults.status(200, body=b'{"status": 1, "quota_limited": ["recordings"]}')
    assert sink.send(batch_of(event("a"))) == Delivered()


def test_a_quota_of_surveys_keeps_those(sink, server):
    """The others are delivered."""
    server.always = faults.status(200, body=b'{"status": 1, "quota_limited": ["surveys"]}')
    result = sink.send(batch_of(event("a"), survey("b"), event("c")))
    assert result == Partial(retry=frozenset({1}))
    assert sink.send(batch_of(event("a"))) == Delivered()


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        (400, b"maximum event size exceeded", Refused),
        (401, b"API key is not valid", Hold),
        (429, b"billing limit reached", Retry),
        (503, b"transient error, please retry", Retry),
    ],
)
def test_its_errors(sink, server, code, words, expected):
    """As its capture service answers them."""
    server.always = faults.status(code, body=words)
    assert isinstance(sink.send(batch_of(event("a"))), expected)


def test_an_event_too_large_is_refused_alone(sink, server):
    """PostHog would refuse all of the batch for it."""
    result = sink.send(batch_of(event("a"), event("b", 950_000), event("c")))
    assert list(result.refused) == [1]
    assert len(server.ids) == 2


def test_the_key_is_hidden_where_a_server_echoes_it(sink, server):
    """It travels in the body, so it is echoed more easily than a header."""
    server.always = faults.status(400, body=b"unknown key " + KEY.encode())
    assert sink.send(batch_of(event("a"))) == Refused("http 400", "unknown key ***")
