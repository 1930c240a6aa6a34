"""
Tokens: whoever holds one may answer once, on its channel, in its time, at its service.
"""

from __future__ import annotations

import random
import string

import pytest

from cxsdk._ids import new_id
from cxsdk.errors import ConfigurationError
from cxsdk.prompts.token import Seal, TokenCodec
from tests.prompts.conftest import KEYS

AUDIENCE = "urn:service:shop|production"
ALPHABET = string.ascii_letters + string.digits + "-_."


@pytest.fixture
def codec():
    return TokenCodec(KEYS, AUDIENCE)


def test_a_token_says_which_offer_and_no_more(codec):
    """It can be read by us until it ends, and is short enough for a link."""
    offer_id = new_id()
    token = codec.sign(offer_id, "in_app", 1000.0)
    assert codec.read(token, 999.0).offer_id == offer_id
    assert codec.read(token, 999.0).fault is None
    assert len(token) < 160
    assert set(token) <= set(ALPHABET)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: t[:-1] + ("A" if t[-1] != "A" else "E"), "forged"),
        (lambda t: "e" + t[1:], "forged"),
        (lambda t: "z" + t[1:], "malformed"),
        (lambda t: t + "=", "malformed"),
        (lambda t: t + " ", "malformed"),
        (lambda t: t * 9, "malformed"),
        (lambda t: "", "malformed"),
        (lambda t: None, "malformed"),
        (lambda t: 5, "malformed"),
        (lambda t: "i.é" + t[2:], "malformed"),
    ],
)
def test_each_fault_has_its_own_outcome(codec, change, fault):
    """Tampered, truncated, of another type: named, never raised."""
    token = codec.sign(new_id(), "in_app", 1000.0)
    assert codec.read(change(token), 10.0).fault == fault


def test_time_channel_and_audience_are_told_apart(codec):
    """Each is another refusal."""
    token = codec.sign(new_id(), "email", 1000.0)
    assert codec.read(token, 1001.0).fault == "expired"
    assert codec.read(token, 10.0, ("in_app",)).fault == "wrong_channel"
    other = TokenCodec(KEYS, "urn:service:shop|staging")
    assert other.read(token, 10.0).fault == "wrong_audience"


def test_keys_are_rotated(codec):
    """The newest signs, the older ones are still accepted, a removed one is not."""
    old = TokenCodec(KEYS[:1], AUDIENCE)
    offer_id = new_id()
    before = old.sign(offer_id, "in_app", 1000.0)
    assert codec.read(before, 10.0).offer_id == offer_id
    assert old.read(codec.sign(offer_id, "in_app", 1000.0), 10.0).fault == "forged"
    assert TokenCodec(KEYS[1:], AUDIENCE).read(before, 10.0).fault == "forged"


def test_no_mutation_of_a_token_is_accepted(codec):
    """A hundred thousand random changes, none of which is another spelling of the same token."""
    rng = random.Random(20261126)
    token = codec.sign(new_id(), "in_app", 1e12)
    accepted = []
    for _ in range(100_000):
        letters = list(token)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            at = rng.randrange(len(letters))
            kind = rng.random()
            if kind < 0.8:
                letters[at] = rng.choice(ALPHABET)
            elif kind < 0.9:
                letters.insert(at, rng.choice(ALPHABET))
            else:
                del letters[at]
        changed = "".join(letters)
        if changed != token and codec.read(changed, 10.0).fault is None:
            accepted.append(changed)
    assert accepted == []


@pytest.mark.parametrize("keys", [(), (b"short",), ("text of enough length",)])
def test_weak_keys_are_refused_early(keys):
    """A key that can be guessed is no key."""
    with pytest.raises(ConfigurationError, match="16 bytes"):
        TokenCodec(keys, AUDIENCE)


def test_a_seal_opens_only_what_it_closed():
    """What one purpose signed, another does not accept."""
    seal, other = Seal(KEYS, "about"), Seal(KEYS, "state")
    text = seal.close(["a", 1])
    assert seal.open(text) == ["a", 1]
    assert other.open(text) is None
    assert seal.open(text[:-4]) is None
    assert seal.open("x" * 100_000) is None
