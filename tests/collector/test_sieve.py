"""
The fast look never lets pass what the codec refuses.
"""

from __future__ import annotations

import copy

import pytest
from msgspec import json

from cxsdk.collector.sieve import look
from cxsdk.errors import CXError
from cxsdk.events.codec import from_wire

ODD = [
    None,
    "",
    "x" * 9000,
    0,
    -1,
    1.5,
    2**60,
    1e400,
    True,
    [],
    {},
    [None],
    "x_own",
    "2026-05-04",
    2**53,
    "tv",
    "dev.cxsdk.reaction.observed.v1",
    "dev.cxsdk.interaction.completed.v2",
    "customer/1",
    "urn:cxsdk:schema:reaction:1-0-0",
    "2026-05-04 10:00:00Z",
    "2026-05-04T10:00:60Z",
]


def some_of_each(facts):
    return [
        facts.interaction(effort={"steps": 2}, seq=1, refs=[{"type": "order", "id": "1"}]),
        facts.problem(count=2),
        facts.promise("p", due_date="2026-05-05", where={"tz": "Europe/Vienna"}),
        facts.promise("p", "kept", fulfilled_at="2026-05-04T10:00:00Z"),
        facts.score(4),
        facts.reaction(),
        facts.identity("linked", "c1", {"anonymous_id": "a"}),
        facts.loss(3),
    ]


def mutations(value, path=()):
    for name, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, name)
        if isinstance(item, (dict, list)):
            yield from mutations(item, (*path, name))


def is_right(event):
    try:
        from_wire(json.decode(json.encode(event)), strict=False)
    except CXError:
        return False
    return True


def test_right_events_pass_without_the_codec(facts):
    """Every family's ordinary event is cleared by the fast look alone."""
    assert [bool(look(json.encode(event))) for event in some_of_each(facts)] == [True] * 8


def test_whatever_the_fast_look_takes_the_codec_takes(facts):
    """Each field replaced by each odd value, or left out: taken fast means taken by the codec."""
    wrong, taken = [], 0
    for event in some_of_each(facts):
        for path in mutations(event):
            for odd in [*ODD, ...]:
                changed = copy.deepcopy(event)
                holder = changed
                for name in path[:-1]:
                    holder = holder[name]
                if odd is ...:
                    del holder[path[-1]]
                else:
                    holder[path[-1]] = odd
                if look(json.encode(changed)) is not None:
                    taken += 1
                    if not is_right(changed):
                        wrong.append((event["type"], path, odd))
    assert wrong == []
    assert taken > 100


@pytest.mark.parametrize("text", ["caf\u00e9", "a\u202eb", "a\x7fb", 'a"b', "a\nb"])
def test_text_beyond_plain_ascii_is_left_to_the_codec(facts, text):
    """Only the model knows what is printable, so such events are never cleared fast."""
    assert look(json.encode(facts.interaction(text))) is None


def test_both_ways_give_the_same_columns(facts):
    """An event judged fast and judged by the codec is stored in the same columns."""
    import attrs

    from cxsdk.collector.limits import Limits
    from cxsdk.collector.row import judge

    for event in [*some_of_each(facts), facts.interaction(where={"channel": None})]:
        text = json.encode(event)
        fast = attrs.asdict(judge(text, Limits(), strict=False))
        slow = attrs.asdict(judge(text, Limits(), strict=True))
        assert fast == slow
