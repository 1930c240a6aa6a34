"""
Redaction: what must go, what must stay, and that it takes linear time.
"""

from __future__ import annotations

import threading
import time
import uuid

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cxsdk.pipeline import _detect, _numbers
from cxsdk.pipeline.redact import DENY_KEYS, Redactor

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"

FOUND = [
    ("john.doe@example.com", "[email]"),
    ("mail müller+x@exämple.de.", "mail [email]."),
    ('"john doe"@example.com', "[email]"),
    ("/users/foo%40bar.com/orders", "/users/[email]/orders"),
    ("jo\u200bhn@example.com", "[email]"),
    ("john\uff20example\uff0ecom", "[email]"),
    ("+49 (0)30 1234567", "[phone]"),
    ("ring +1-555-123-4567 now", "ring [phone] now"),
    ("0049 30 1234567", "[phone]"),
    ("(030) 12 34 56 78", "[phone]"),
    ("order by phone (71) 98500-7952", "order by phone [phone]"),
    ("020 7946 0958", "[phone]"),
    ("01711234567", "[phone]"),
    ("(555) 123-4567", "[phone]"),
    ("call me at 5551234567", "call me at [phone]"),
    ("Tel.: 12345678", "Tel.: [phone]"),
    ("+\uff14\uff19 171 1234567", "[phone]"),
    ("4111111111111111", "[card]"),
    ("pay 4111 1111 1111 1111 123", "pay [card] 123"),
    ("2026 4111-1111-1111-1111", "2026 [card]"),
    ("3782-822463-10005", "[card]"),
    ("4111.1111.1111.1111", "[card]"),
    ("4222222222222", "[card]"),
    ("card_4012888888881881", "card_[card]"),
    ("卡号4012888888881881后", "卡号[card]后"),
    ("٤١١١١١١١١١١١١١١١", "[card]"),
    ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[card]"),
    ("4111 - 1111 - 1111 - 1111", "[card]"),
    ("4111\u200b1111\u200b1111\u200b1111", "[card]"),
    ("DE89 3704 0044 0532 0130 00 please", "[iban] please"),
    ("DE89370400440532013000 GB82WEST12345698765432", "[iban] [iban]"),
    ("gb82west12345698765432", "[iban]"),
    ("DE89  3704  0044  0532  0130  00", "[iban]"),
    ("MT84MALT011000012345MTLCAST001S", "[iban]"),
    ("NO9386011117947", "[iban]"),
    ("from 192.168.1.10, again", "from [ip], again"),
    ("2001:db8::8a2e:370:7334", "[ip]"),
    ("2001:0db8:85a3:0000:0000:8a2e:0370:7334", "[ip]"),
    ("::ffff:10.0.0.1", "[ip]"),
    ("Bearer abc123def456", "Bearer [secret]"),
    ("bearer bearer abc123def456", "bearer bearer [secret]"),
    ("Basic dXNlcjpwYXNz", "Basic [secret]"),
    ("Authorization: Digest abc, def", "Authorization: Digest [secret]"),
    (JWT, "[secret]"),
    (f"jwt={JWT}.", "jwt=[secret]."),
    ("sk_" + "live_abcdefgh1234", "[secret]"),
    ("AKIA" + "IOSFODNN7EXAMPLE", "[secret]"),
    ("ghp_" + "0123456789abcdefABCDEF", "[secret]"),
    ("xoxb-" + "123456789012-abcdefGHIJKL", "[secret]"),
    ("AIza" + "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY", "[secret]"),
    ("x -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- y", "x [secret] y"),
    ("-----BEGIN PRIVATE KEY-----\nMII", "[secret]"),
    ("https://x/y?token=1", "https://x/y?[redacted]"),
    ("https://x/y#part", "https://x/y#[redacted]"),
    ("https://x/y?a=1#b then", "https://x/y?[redacted] then"),
    ("https://joe:pw@shop.test/a", "https://[redacted]@shop.test/a"),
    ("redis://:pw@10.0.0.5/0", "redis://[redacted]@[ip]/0"),
    ("/reset?token=abc", "/reset?[redacted]"),
    ("password=hunter2", "password=[secret]"),
    ('{"password": "hunter2"}', '{"password": "[secret]"}'),
    ("my password: hunter2!", "my password: [secret]"),
    ("X-API-Key: abcd1234efgh", "X-API-Key: [secret]"),
    ("apikey: 'abcd1234'", "apikey: '[secret]'"),
    ("aws_secret_access_key=wJalrXUt/K7MDENG", "aws_secret_access_key=[secret]"),
]

KEPT = [
    "A-2026-000123",
    "ORD-20261122-0001",
    "order 100234567 of 2026-11-22",
    "INV/2026/11/000042",
    "SKU-12345-XL",
    "B07XJ8C8F5",
    "ABC-1234-DE-56",
    "4006381333931",
    "0012345678",
    "Pedido: 02-663013657, order no. 0171 1234567",
    "ISBN 978-3-16-148410-0",
    "550e8400-e29b-41d4-a716-446655440000",
    "12345678-1234-4234-8234-123456789012",
    "deadbeef",
    "12345678",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "2026-11-22",
    "2026-11-22T14:33:05.123456Z",
    "2026-11-22T14:33:05+01:00",
    "20261122143305",
    "1764000000000",
    "1764000000000000000",
    "22.11.2026 14:30",
    "03/11/2026 14:30",
    "14:33:05",
    "19.99",
    "EUR 1,234,567.89",
    "1.234.567,89 €",
    "$1,299",
    "-0.0123456789",
    "3.141592653589793",
    "1234567.8901234567",
    "1.2.3",
    "v10.11.12-rc1",
    "version 1.2.3.4",
    "Release: 10.0.0.1",
    "594-0487511-0005736",
    "4836000000094",
    "Password: forgotten again",
    "token: 5 minutes",
    "Mozilla 5.0, Chrome 120.0.0",
    "gold",
    "Zürich",
    "credit_card",
    "checkout.pay",
    "summer-campaign-2026-email",
    "std::vector a::b",
    "aa:bb:cc:dd:ee:ff",
    "Basic subscription for 12 months",
    "basic authentication",
    "bearer certificates",
    "I ordered 3 shirts in 2025 and 12 in 2026, for 45 euros each.",
    "The delivery took 14 days; promised were 2-3.",
    "Between 1998 and 2004 we had 150,000 customers and 1200 staff.",
    "rated 9/10, order arrived 5 days late @ the door",
    "Did you see https://example.com/help? Yes",
    "https://example.com/a/b/c",
    "Size 38/40, colour #ff0000, 100% cotton, 2 x 1.5 m",
    "sk-bratislava-old-town-hotel",
    "task_live_streaming2026",
    "R&D = great; 1 + 1 = 2",
    "Room 101, floor 12, seats 14 15 16",
    "-1234567890",
    "1e10",
    "",
]


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor()


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_replaces_personal_data(redactor, text, expected):
    """Each kind of personal data or secret becomes the word for it."""
    assert expected == redactor.text(text)
    assert expected == redactor.text(expected)


@pytest.mark.parametrize("text", KEPT)
def test_keeps_ordinary_text(redactor, text):
    """Ids, dates, prices, versions and sentences come back as the same object."""
    assert redactor.text(text) is text
    assert _detect.scan(text, gated=False) is text


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_finds_at_the_end_of_long_text(redactor, text, expected):
    """A long text is scanned to its end."""
    assert redactor.text("all well. " * 20_000 + text).endswith(" " + expected)


def _luhn_completed(digits: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * 2 if place % 2 == 0 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled
    return digits + str(-total % 10)


def _is_article(digits: str) -> bool:
    """Say whether this is an EAN-13, as the check digit on a product's packing has it."""
    weights = [1, 3] * 6 + [1]
    return len(digits) == 13 and sum(map(int.__mul__, weights, map(int, digits))) % 10 == 0


cards = (
    st.from_regex(r"[456][0-9]{11,17}", fullmatch=True)
    .map(_luhn_completed)
    .filter(lambda digits: not _is_article(digits))
)


@given(cards, st.data())
def test_finds_any_card_with_any_separators(card, data):
    """A number of 13 to 19 digits that passes Luhn is found, whole, however it is grouped; but a
    date that its last digits are written as stays one.
    """
    written = card[0] + "".join(
        data.draw(st.sampled_from(["", "", " ", "-"])) + c for c in card[1:]
    )
    assume(_numbers.PLAIN.search(written) is None)
    assert Redactor().text(written) == "[card]"
    assert Redactor().value([int(card)]) == ["[card]"]


@given(st.from_regex(r"[456][0-9]{12,18}", fullmatch=True))
def test_keeps_what_fails_luhn(digits):
    """A number that fails Luhn is no card, as text or as an integer."""
    wrong = _luhn_completed(digits[:-1])[:-1] + str(
        (int(_luhn_completed(digits[:-1])[-1]) + 1) % 10
    )
    values = {"text": wrong, "number": int(wrong)}
    assert Redactor().attributes(values) is values


PII = st.sampled_from([text for text, _ in FOUND]) | cards
PLAIN = st.sampled_from(KEPT)
NUMBERISH = st.text("0123456789 -./():+aDEx@=%_\x00|", max_size=40)


def _agree(text: str) -> None:
    full = _detect.scan(text, gated=False)
    fresh = Redactor()
    assert full == _detect.scan(text)
    assert full == fresh.text(text)
    assert full == fresh.text(text), "remembered"
    assert full == fresh.attributes({"k": text, "other": "gold"})["k"]
    assert [full] == fresh.value([text])


@settings(max_examples=600, deadline=None)
@given(st.text() | NUMBERISH | st.lists(PII | PLAIN | st.text(max_size=8)).map(" ".join))
@example("tel.1234567")
@example("NO12ABCD1234567")
@example("\ud800a@b.de")
def test_fast_and_full_path_agree(text):
    """The prefilter never hides what the patterns would find."""
    _agree(text)


@settings(max_examples=300, deadline=None)
@given(PII, st.text(max_size=12), st.text(max_size=12))
def test_fast_and_full_path_agree_on_embedded(pii, before, after):
    """The same with personal data glued into arbitrary text."""
    _agree(before + pii + after)


@settings(max_examples=300, deadline=None)
@given(st.lists(PII | PLAIN | NUMBERISH, max_size=6).map(" ".join))
def test_is_idempotent(text):
    """What was redacted once stays as it is."""
    once = Redactor().text(text)
    assert once == Redactor().text(once)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=6), PII | PLAIN | st.floats() | st.integers() | st.none()))
def test_attributes_and_value_agree(values):
    """The hot path for attributes gives what the recursive path gives."""
    fast, slow = Redactor().attributes(values), Redactor().value(values)
    assert repr(slow) == repr(fast)
    assert (fast is values) == (slow is values)


def test_clean_attributes_are_the_same_object(redactor):
    """Nothing is copied where nothing had to change, call after call."""
    for count in range(50):
        values = {"plan": "gold", "order": f"A-{count:06d}", "cart": str(uuid.uuid4()), "n": 1.5}
        assert redactor.attributes(values) is values


@pytest.mark.parametrize("key", DENY_KEYS)
def test_denies_keys(redactor, key):
    """The value of each denied key goes, whatever it is."""
    assert {key: "[redacted]"} == redactor.attributes({key: 7})


@pytest.mark.parametrize(
    "key",
    [
        *["userPassword", "X-Api-Key", "APIKey", "api key", "API_KEY", "cardNumber", "Set-Cookie"],
        *["password2", "PIN", "my.secret.value", "\uff50\uff49\uff4e", "CVV2"],
    ],
)
def test_denies_keys_in_any_spelling(redactor, key):
    """Case, separators, camel case and width make no difference to a denied key."""
    values = list(redactor.attributes({"a": 1, key: ["x"]}).values())
    assert values == [1, "[redacted]"]


@pytest.mark.parametrize(
    "key", ["shipping", "company", "author", "spinner", "tokens_used", "expand"]
)
def test_keeps_keys_that_only_contain_a_denied_word(redactor, key):
    """A denied word counts as a whole word only."""
    values = {key: "gold"}
    assert redactor.attributes(values) is values


def test_denies_further_keys():
    """A team adds its own words, in one spelling for all."""
    redactor = Redactor(["loyalty_number"])
    expected = {"loyaltyNumber": "[redacted]", "X-Loyalty-Number": "[redacted]", "loyalty": 1}
    assert expected == redactor.attributes(
        {"loyaltyNumber": 5, "X-Loyalty-Number": 6, "loyalty": 1}
    )


def test_goes_through_all_levels(redactor):
    """Lists, tuples, mappings and their keys are searched; clean branches stay themselves."""
    clean = {"c": [1, "two"]}
    value = {"a": [{"b@c.de": ("x", "d@e.de")}], "clean": clean, "deep": {"auth": {"token": {}}}}
    redacted = redactor.attributes(value)
    assert redacted["a"] == [{"[email]": ("x", "[email]")}]
    assert redacted["clean"] is clean
    assert redacted["deep"] == {"auth": {"token": "[redacted]"}}
    assert "b@c.de" in value["a"][0]
    assert {"x", "[email]"} == redactor.value({"x", "d@e.de"})


def test_keys_that_become_alike_are_numbered(redactor):
    """No value is lost because two keys are redacted to the same word."""
    assert redactor.attributes({"a@b.de": 1, "c@d.de": 2}) == {"[email]": 1, "[email] 2": 2}


def test_too_deep_and_circular_values_end(redactor):
    """A value that contains itself ends in a redacted leaf."""
    circle: list[object] = []
    circle.append(circle)
    assert "[redacted]" in repr(redactor.value(circle))


@pytest.mark.parametrize("value", [True, None, 10**30, -4111111111111111, float("nan"), b"x", 1e13])
def test_keeps_other_values(redactor, value):
    """Numbers that are no card and types that JSON does not know stay."""
    values = {"v": value}
    assert redactor.attributes(values) is values


def test_memory_stays_bounded():
    """However many different strings and keys pass, few are remembered."""
    redactor = Redactor()
    for count in range(50_000):
        redactor.text(f"id-{count}")
        redactor.attributes({f"key{count}x": "a" * 100})
    assert len(redactor._clean) <= 4096
    assert len(redactor._clean_keys) <= 4096


def test_is_safe_between_threads():
    """Threads that share a redactor get what each alone would get."""
    redactor, wrong = Redactor(), []

    def work(seed: int) -> None:
        for count in range(3000):
            values = {"a": f"w{seed}-{count}", "b": f"u{count}@example.com"}
            if redactor.attributes(values) != {"a": f"w{seed}-{count}", "b": "[email]"}:
                wrong.append(values)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


HOSTILE = [
    *list("a1.-@:/=?#%+()\"'_\u0661\u00e90[]{|\x00\n"),
    *[
        "a@",
        "a.",
        "1.",
        "1-",
        "1:",
        "a:",
        "::",
        ":/",
        "://",
        "//:",
        "://a",
        "://@",
        "?a",
        "#a=",
        "a=b",
    ],
    *[
        "11:11",
        "1.1.1.1.",
        "1.1.1",
        "01",
        "00",
        "+1",
        "(1",
        "1(",
        "4-",
        "4111",
        "411",
        "41",
        "1.1/",
    ],
    *["eyJ", "eyJ.", "eyJa.", "a.eyJ", "sk_live_", "sk-", "sk-a-", "xoxb-", "AKIA", "gh", "ghp_"],
    *[
        "SG.",
        "SG.a",
        "AIza",
        "DE89",
        "DE89-",
        "GB82W",
        "aa11",
        "2026-11",
        "2026-11-22-",
        "22.11.2026",
    ],
    *["deadbeef-", "%40", "a%40", "a@a.", "a@a.a", '"a"@', "4111 ", "1 ", "12 34 ", "\u200b1"],
    *[
        "bearer ",
        "basic ",
        "bearer  ",
        "authorization: ",
        "authorization: bearer a, ",
        "tel ",
        "call ",
    ],
    *[
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "-----END ",
        "password",
        "password=",
        "token = ",
    ],
    *["4111 1111 1111 1111", "(030) ", "+49 ", "0049 ", "tel.: 12 "],
]


_SMALL = 40_000


def _seconds(text: str) -> float:
    start = time.process_time()
    _detect.scan(text, gated=False)
    return time.process_time() - start


def _is_linear(piece: str) -> bool:
    small = (piece * (_SMALL // len(piece) + 1))[:_SMALL]
    return _seconds(small * 2 + "@") < 3.2 * _seconds(small + "@") + 0.05


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_linear(piece):
    """Twice the hostile text takes about twice the time: 40 kB, then 80 kB."""
    assert any(_is_linear(piece) for _ in range(4))
