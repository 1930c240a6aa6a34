"""
What is swallowed and what is not: errors are judged by where they come from.
"""

from __future__ import annotations

import pytest

import cxsdk as cx
from cxsdk.config import resolve


class LateError(Exception):
    """What a host's time limit raises."""


def test_what_the_host_throws_into_a_verb_reaches_the_host() -> None:
    """An exception raised by the host's own code inside ours passes, unchanged."""
    client = cx.Client("shop", collector="memory:")
    late = LateError()

    def out_of_time() -> int:
        raise late

    capture = client.capture()
    on_time, capture.time_ns = capture.time_ns, out_of_time
    with pytest.raises(LateError) as caught:
        client.record("a.b", customer="u1")

    assert late is caught.value
    capture.time_ns = on_time
    client.close(0)


def test_what_an_argument_raises_is_ours_to_swallow() -> None:
    """A special method of an argument that raises costs the event, not the request."""

    class Rude:
        def __str__(self) -> str:
            raise LateError

        __repr__ = __hash__ = __bool__ = __str__

    client = cx.Client("shop", collector="memory:")

    assert "internal" == client.feedback(csat=4, customer="u1", text=Rude()).reason
    client.close(0)


def test_a_named_option_wins_over_the_environment_also_as_its_default() -> None:
    """redact=True means it, whatever CXSDK_REDACT says; unnamed, the variable decides."""
    environ = {"CXSDK_SERVICE": "shop", "CXSDK_REDACT": "0"}
    named, _ = resolve({"privacy": cx.PrivacyOptions(redact=True)}, environ)
    unnamed, _ = resolve({"privacy": cx.PrivacyOptions(basis="contract")}, environ)

    assert (True, False) == (named.privacy.redact, unnamed.privacy.redact)
