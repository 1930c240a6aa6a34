"""
The verdict table, row by row, and what servers say about single events.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxsdk.sinks._verdict import Answer, clean, retry_after, verdict
from cxsdk.typing import Delivered, Hold, Partial, Record, Refused, Retry, Split

NOW = 1_800_000_000.0
HTTP_NOW = "Fri, 15 Jan 2027 08:00:00 GMT"

RETRY = {408, 425, 500, 502, 503, 504, 507, 509, *range(520, 531)}
THROTTLED = {402, 429}
AUTH = {401, 403, 407}


def records(count):
    return [Record(payload=b'{"id":"e%d"}' % n, lane="bulk", kind=0) for n in range(count)]


def judge(status, body=b"", count=3, headers=(), **options):
    answer = Answer(status=status, headers=headers, body=body)
    return verdict(answer, records(count), now=lambda: NOW, **options)


def expected_kind(status):
    if status == 207:
        return Hold
    if 200 <= status < 300 or status == 409:
        return Delivered
    if status in RETRY | THROTTLED:
        return Retry
    return {413: Split, 400: Refused, 422: Refused}.get(status, Hold)


@pytest.mark.parametrize("status", [0, *range(100, 600), 600, 799, 999])
def test_every_status_has_its_row(status):
    """Each status from 100 to 599, and some that do not exist, gets the verdict of the table."""
    result = judge(status)
    assert type(result) is expected_kind(status)
    if isinstance(result, Retry):
        assert result.throttled == (status in THROTTLED)
    if isinstance(result, Hold) and status in AUTH:
        assert (result.probe_after, result.backoff_to) == (60.0, 900.0)
    elif isinstance(result, Hold):
        assert (result.probe_after, result.backoff_to) == (300.0, 300.0)


def test_conflict_may_mean_retry():
    """A destination whose 409 means "in use" is asked again."""
    assert judge(409, conflict="retry") == Retry("http 409")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"<!DOCTYPE html><p>sign in", ()),
        (b"  \n<html>", ()),
        (b"ok", (("content-type", "text/html; charset=utf-8"),)),
    ],
)
def test_a_page_is_no_answer(body, headers):
    """HTML with 200 is a login page in the way: hold."""
    assert isinstance(judge(200, body, headers=headers), Hold)


@pytest.mark.parametrize(
    "body", [b"", b"OK", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 5000, b'{"rejected":"x"}']
)
def test_a_success_needs_no_body(body):
    """2xx with nothing readable is a success: the status decides."""
    assert judge(200, body) == Delivered()


def test_our_own_answer_names_rejected_events():
    """`rejected` gives each named event the server's words; unknown ids are nobody's."""
    body = {"accepted": 2, "rejected": [{"id": "e1", "reason": "no scale"}, {"id": "zz"}]}
    assert judge(202, json.dumps(body).encode()) == Partial(refused={1: "no scale"})


def test_rejected_by_index():
    """An event whose id cannot be told apart is named by its index; one out of range is not."""
    body = {"rejected": [{"index": 2, "reason": "x"}, {"index": 9}, {"index": True}, {"index": -1}]}
    assert judge(200, json.dumps(body).encode()) == Partial(refused={2: "x"})


@pytest.mark.parametrize("item", [{"id": "zz", "reason": "no"}, {"id": None, "reason": "no"}])
def test_rejected_under_unknown_names_is_no_success(item):
    """Something was rejected: delivery halves the batch until it is clear what."""
    body = json.dumps({"accepted": 2, "rejected": [item]}).encode()
    assert judge(200, body) == Refused("rejected", "no")
    assert judge(200, body, count=1) == Partial(refused={0: "no"})


def test_multi_status_is_read_per_event():
    """207: 2xx and 409 are in, other 4xx are refused, the rest and the unnamed come again."""
    listed = [
        {"id": "e0", "status": 201},
        {"id": "e1", "status": 409},
        {"id": "e2", "status": 422, "error": {"message": "bad"}},
        {"id": "e3", "status": 503},
        {"id": "e4", "status": "429"},
    ]
    result = judge(207, json.dumps({"results": listed}).encode(), count=6)
    assert result == Partial(refused={2: "bad"}, retry=frozenset({3, 4, 5}))


def test_multi_status_by_position():
    """A list as long as the batch, without names, is read by position."""
    body = json.dumps([{"status": 200}, {"status": 400}, {"status": 500}]).encode()
    assert judge(207, body) == Partial(refused={1: "rejected"}, retry=frozenset({2}))


@pytest.mark.parametrize("body", [b"", b"<x/>", b"{}", b"[]", b'[{"id":1}]', b'["e0"]'])
def test_unreadable_multi_status_holds(body):
    """207 promises an answer per event; if none can be read, nobody guesses."""
    assert isinstance(judge(207, body), Hold)


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ({"rejectedLogRecords": "0"}, Delivered()),
        (
            {"rejectedLogRecords": 3, "errorMessage": "m"},
            Partial(refused=dict.fromkeys(range(3), "m")),
        ),
        ({"rejected_events": 1, "error_message": "m"}, Refused("partial_success", "m")),
        ({"rejected": [{"id": "e0", "reason": "r"}]}, Partial(refused={0: "r"})),
    ],
)
def test_partial_success(said, result):
    """OTLP's partial_success: all, none, named ones, or delivery finds out which."""
    key = "partial_success" if "error_message" in said else "partialSuccess"
    assert judge(200, json.dumps({key: said}).encode()) == result


@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from([200, 202, 409, 400, 422, 413, 429, 500, 503, 401]), min_size=1, max_size=40
    )
)
def test_multi_status_conserves_events(codes):
    """Whatever the mix, each event is delivered, refused or retried, and exactly one of them."""
    listed = [{"id": f"e{n}", "status": code} for n, code in enumerate(codes)]
    result = judge(207, json.dumps({"results": listed}).encode(), count=len(codes))
    for index, code in enumerate(codes):
        assert (index in result.refused) == (code in {400, 422, 413})
        assert (index in result.retry) == (code in {429, 500, 503, 401})


@settings(max_examples=300)
@given(st.integers(200, 299), st.binary(max_size=200))
def test_no_body_breaks_the_verdict(status, body):
    """Garbage in a success never raises."""
    assert isinstance(judge(status, body), (Delivered, Partial, Hold, Refused))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["id", "status", "index", "reason", "rejected", "results", "partial_success"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(st.sampled_from([200, 207]), json_values)
def test_no_json_breaks_the_verdict(status, said):
    """JSON of any shape gives a verdict whose indices are within the batch."""
    result = judge(status, json.dumps(said).encode())
    if isinstance(result, Partial):
        assert set(result.refused) | result.retry <= {0, 1, 2}


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["2"], 2.0),
        (["1.5"], 1.5),
        ([" 7 "], 7.0),
        (["0"], 0.0),
        (["-5"], None),
        (["nan"], None),
        (["inf"], None),
        (["-inf"], None),
        (["1e308"], 900.0),
        (["1e309"], None),
        (["3600"], 900.0),
        (["soon"], None),
        ([""], None),
        (["Fri, 15 Jan 2027 08:02:00 GMT"], 120.0),
        (["Fri, 15 Jan 2027 07:00:00 GMT"], 0.0),
        (["Sun, 15 Jan 2040 08:00:00 GMT"], 900.0),
        (["Fri, 99 Jan 2027 08:00:00 GMT"], None),
        (["5", "10"], 10.0),
        (["nan", "3"], 3.0),
        ([], None),
    ],
)
@pytest.mark.parametrize("skew", [0.0, 86_400.0, -86_400.0])
def test_retry_after(values, seconds, skew):
    """Seconds and dates are heeded and clamped, nonsense is not, whatever this side's clock."""
    headers = [("date", HTTP_NOW), *(("retry-after", value) for value in values)]
    assert retry_after(Answer(503, headers), NOW + skew) == seconds


def test_retry_after_date_without_date():
    """Without a Date header, this side's clock is all there is."""
    answer = Answer(429, [("retry-after", "Fri, 15 Jan 2027 08:01:00 GMT")])
    assert retry_after(answer, NOW) == 60.0


def test_words_are_clean():
    """The server's words lose control characters, line ends, bidi marks and length."""
    assert clean("a\r\nb\x1b[31mc\u202ed" + "x" * 900) == "a b [31mc d" + "x" * 501


def test_secrets_in_the_servers_words_are_hidden():
    """A server that echoes a credential does not get it into a result."""
    result = judge(400, b'{"got":"Bearer s3cret"}', hide=lambda text: text.replace("s3cret", "***"))
    assert result == Refused("http 400", '{"got":"Bearer ***"}')


def test_a_count_alone_is_counted_where_that_is_asked_for(make_batch):
    """OTLP forbids to send again what was partially taken."""
    body = b'{"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": "old"}}'
    answer = Answer(status=200, body=body)
    records = make_batch(5).records
    assert verdict(answer, records, unnamed="count") == Partial(unnamed=2, words="old")
    assert verdict(answer, records) == Refused("partial_success", "old")
    assert len(verdict(answer, records[:2], unnamed="count").refused) == 2
