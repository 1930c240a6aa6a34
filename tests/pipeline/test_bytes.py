"""
The short way of encoding an interaction gives the same bytes as the models.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import cxsdk as cx
from cxsdk.events import codec
from cxsdk.pipeline import capture

TEXT = st.text(max_size=30)
SCALARS = st.one_of(
    TEXT,
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
IDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_äß漢", min_size=2, max_size=20).map(
    lambda text: "u" + text
)


@pytest.fixture
def payloads() -> Iterator[list[bytes]]:
    """Divert the raw bytes of every client."""
    taken: list[bytes] = []
    capture.diversions.append(taken.append)
    yield taken
    capture.diversions.remove(taken.append)


def _client(**options: Any) -> cx.Client:
    return cx.Client("shop", version="1.2", strict=True, **options)


CLIENTS = {
    "plain": _client(),
    "keyed": _client(privacy=cx.PrivacyOptions(key=b"k" * 32, basis="contract")),
    "granted": _client(privacy=cx.PrivacyOptions(consent="granted", redact=False)),
    "sampled": _client(capture=cx.CaptureOptions(sample=0.5, namespace="acme.shop")),
}


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    client=st.sampled_from(sorted(CLIENTS)),
    customer=IDS,
    session=st.none() | TEXT.filter(bool),
    channel=st.sampled_from([None, "web", "store", "x_kiosk"]),
    consent=st.sampled_from([None, "granted", "unknown", "denied"]),
    correlation=st.none() | st.just("case-8"),
    attributes=st.dictionaries(TEXT, VALUES, max_size=8),
    goal_met=st.sampled_from([None, "yes", "partly", "x_own"]),
    outcome=st.sampled_from([None, "partial", "deferred"]),
    extras=st.sets(
        st.sampled_from(["wait", "effort", "expect", "value", "refs", "by", "reason", "fail"])
    ),
)
@example(
    client="plain",
    customer="u1",
    session="s",
    channel=None,
    consent=None,
    correlation=None,
    attributes={"mail": "me@shop.example", "none": None, "deep": {"a": [None, {"b": None}]}},
    goal_met=None,
    outcome=None,
    extras={"wait", "effort", "expect", "value", "refs", "by", "reason", "fail"},
)
def test_same_bytes_as_the_models(payloads: list[bytes], **facts: Any) -> None:
    """Reading the event into the models and encoding these gives the bytes that were spooled."""
    payloads.clear()
    client = CLIENTS[facts["client"]]
    try:
        with (
            client.scope(
                customer=facts["customer"],
                session=facts["session"],
                channel=facts["channel"],
                consent=facts["consent"],
                correlation=facts["correlation"],
            ),
            client.interaction("checkout.pay", stage="order", goal="buy") as interaction,
        ):
            _fill(interaction, facts)
    except KeyError:
        pass

    result = interaction.result
    if isinstance(result, cx.Dropped):
        assert "sampled" == result.reason
        return
    [payload] = payloads
    event = codec.decode(payload, strict=True)
    assert payload == codec.encode(event)
    assert interaction.interaction_id == event.id == event.data.interaction_id
    assert b":null" not in payload


def _fill(interaction: Any, facts: dict[str, Any]) -> None:
    interaction.attributes = facts["attributes"]
    extras = facts["extras"]
    if facts["goal_met"]:
        interaction.goal_met = facts["goal_met"]
    if facts["outcome"]:
        interaction.outcome = facts["outcome"]
    if "expect" in extras:
        interaction.expect(wait=60, basis="sla")
        interaction.expect("price", expected=10, actual=12, unit="EUR", basis="promise")
    if "wait" in extras:
        interaction.waited(61.5)
    if "effort" in extras:
        interaction.effort(transfers=1)
        interaction.effort(steps=3)
    if "value" in extras:
        interaction.value("19.90", "EUR")
    if "refs" in extras:
        interaction.refs["order"] = "A-1"
    if "by" in extras:
        interaction.performed_by = cx.partner("carrier", org="dhl")
    if "reason" in extras:
        interaction.reason = "card_declined"
    if "fail" in extras:
        raise KeyError("x")


def test_trace_of_the_active_span_is_linked(payloads: list[bytes]) -> None:
    """An event inside a span carries its traceparent, in both ways of encoding."""
    from opentelemetry import trace

    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        with CLIENTS["plain"].interaction("a.b", customer="u1"):
            pass
        CLIENTS["plain"].feedback(csat=4, customer="u1")

    wanted = "00-00000000000000000000000000000abc-0000000000000def-01"
    assert [wanted, wanted] == [codec.decode(payload).traceparent for payload in payloads]
    assert payloads == [codec.encode(codec.decode(payload)) for payload in payloads]


@pytest.mark.parametrize("name", ["plain", "keyed"])
def test_the_common_shape_goes_the_short_way(
    payloads: list[bytes], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Scope, attributes and goal need no look with care, and give the bytes of the models."""
    client = CLIENTS[name]
    taken = client._capture
    assert taken is not None
    monkeypatch.setattr(taken, "interaction", None)
    for channel in (None, "web", "web"):
        with (
            client.scope(customer="u1", session="s", channel=channel),
            client.interaction("checkout.pay", stage="order") as interaction,
        ):
            interaction.attributes.update(plan="gold", order="A-1", amount=1.5, express=True)
            interaction.goal_met = "yes"

    assert 3 == len(payloads)
    assert payloads == [codec.encode(codec.decode(payload, strict=True)) for payload in payloads]


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_what_is_no_number_is_left_out(payloads: list[bytes], number: float) -> None:
    """JSON has no infinity: such a value is absent, and the others stay."""
    with CLIENTS["plain"].interaction("a.b", customer="u1") as interaction:
        interaction.attributes.update(odd=number, even=2)

    [payload] = payloads
    assert {"app": {"even": 2}} == codec.decode(payload).data.ext
