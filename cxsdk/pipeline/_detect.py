"""
Where personal data and secrets stand in a text: one finder per kind, each linear in the text.

Imported by `Redactor` when one is made, not before: compiling the patterns takes milliseconds.
Every pattern either has a bound on what it repeats or consumes what it has looked at, so that no
hostile text makes it look twice.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator

from cxsdk.pipeline import _numbers
from cxsdk.pipeline._numbers import Span

__all__ = ["fold", "scan", "unmarked"]

Finder = Callable[[str], Iterator[Span]]
Gate = Callable[[str], object]

_REDACTED = "[redacted]"
_SECRET = "[secret]"  # noqa: S105 - the word that stands where a secret was

# --------------------------------------------------------------------------- secrets and addresses
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:.*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|.*)",
    re.DOTALL,
)
_URL = re.compile(r"://([^\s/?#<>\"]*)[^\s?#<>\"]*(?:[?#]([^\s<>\"]*))?", re.ASCII)
_QUERY = re.compile(r"[?#]([\w.~%\[\]-]{1,64}=[^\s<>\"]*)", re.ASCII)
_JWT = re.compile(r"eyJ[\w-]*(?:\.[\w-]*){0,4}", re.ASCII)
_SCHEME = re.compile(
    r"(?<![a-z0-9])(bearer|basic)\s{1,8}(?=([\w.~+/=:-]{6,}))", re.ASCII | re.IGNORECASE
)
_HEADER = re.compile(
    r"(?<![a-z0-9])authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?"
    r"(?:bearer|basic|digest|token|api-?key|negotiate|ntlm|hawk|aws4-hmac-sha256)"
    r"\s{1,8}([^\s\",]+(?:,\s{0,4}[^\s\",]+)*)",
    re.ASCII | re.IGNORECASE,
)
_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{8,}"
    r"|whsec_[A-Za-z0-9+/=]{16,}"
    r"|(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{16,}"
    r"|github_pat_\w{16,}"
    r"|glpat-[\w-]{16,}"
    r"|xox[a-z](?:\.xox[a-z])?-[\w-]{11,}"
    r"|AIza[\w-]{30,}"
    r"|ya29\.[\w-]{20,}"
    r"|sk-(?:[a-z0-9]{2,10}-){0,2}\w{20,}[\w-]*"
    r"|SG\.[\w-]{16,128}\.[\w-]{16,}"
    r"|(?:npm|hf|shpat|shpss|dop_v1|dckr_pat)_[A-Za-z0-9-]{20,}"
    r"|pypi-[\w-]{32,}"
    r")",
    re.ASCII,
)
_PAIR = re.compile(
    r"(?<![a-z])(?:pass(?:word|wd|phrase)|pwd|secret(?:[_-]?(?:access[_-]?)?key)?|token"
    r"|(?:api|access|private)[_-]?key)"
    r"(?:[\"']\s{0,4}:|\s{0,2}=|(\s{0,2}:))\s{0,4}[\"']?([^\s\"'&,;]+)",
    re.ASCII | re.IGNORECASE,
)
_EMAIL = re.compile(
    r"(?:[\w.!#$%&'*+^`~\-\u0080-\U0010ffff]{1,64}|\"[^\"\n]{1,64}\")(?:@|%40)"
    r"(?:[a-zA-Z0-9\u0080-\U0010ffff-]{1,63}\.)+[a-zA-Z0-9\u0080-\U0010ffff-]{2,63}",
    re.ASCII,
)


def _pem(text: str) -> Iterator[Span]:
    for found in _PEM.finditer(text):
        yield found.start(), found.end(), _SECRET


def _url(text: str) -> Iterator[Span]:
    for found in _URL.finditer(text):
        at = found[1].rfind("@")
        if at > 0:
            yield found.start(1), found.start(1) + at, _REDACTED
        if found[2]:
            yield found.start(2), found.end(2), _REDACTED


def _query(text: str) -> Iterator[Span]:
    for found in _QUERY.finditer(text):
        yield found.start(1), found.end(1), _REDACTED


def _jwt(text: str) -> Iterator[Span]:
    for found in _JWT.finditer(text):
        token = found[0].rstrip(".")
        if len(token) >= 20 and "." in token:
            yield found.start(), found.start() + len(token), _SECRET


def _scheme(text: str) -> Iterator[Span]:
    for found in _SCHEME.finditer(text):
        token = found[2].rstrip(".:")
        judge = _is_basic if found[1].lower() == "basic" else _is_token
        if judge(token):
            yield found.start(2), found.start(2) + len(token), _SECRET


def _is_token(token: str) -> bool:
    # "bearer certificates" is a word, "bearer mF_9.B5f-4.1JqM" is none.
    return len(token) >= 8 and (not (token.islower() and token.isalpha()) or len(token) >= 24)


def _is_basic(token: str) -> bool:
    try:
        return b":" in binascii.a2b_base64(token + "==")
    except ValueError:
        return False


def _header(text: str) -> Iterator[Span]:
    for found in _HEADER.finditer(text):
        yield found.start(1), found.end(1), _SECRET


def _key(text: str) -> Iterator[Span]:
    for found in _KEY.finditer(text):
        yield found.start(), found.end(), _SECRET


def _pair(text: str) -> Iterator[Span]:
    for found in _PAIR.finditer(text):
        said = found[2]
        # "password: forgotten" is a sentence; what a colon names has a digit in it.
        if said[0] != "[" and (found[1] is None or _is_named(said)):
            yield found.start(2), found.end(2), _SECRET


def _is_named(said: str) -> bool:
    return len(said) >= 4 and _DIGIT.search(said) is not None


def _email(text: str) -> Iterator[Span]:
    for found in _EMAIL.finditer(text):
        yield found.start(), found.end(), "[email]"


# ------------------------------------------------------------------------------------------- a scan
def _has(*marks: str) -> Gate:
    return lambda text: any(mark in text for mark in marks)


def _has_number(text: str) -> object:
    return _SIX_DIGITS.search(text)


_DIGIT = re.compile(r"\d", re.ASCII)
_SIX_DIGITS = re.compile(r"\d(?:[ ()./-]{0,3}\d){5}", re.ASCII)
_TWO_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:", re.ASCII)
_SCHEME_WORD = re.compile(r"bearer\s|basic\s", re.ASCII | re.IGNORECASE)

# In this order: what holds others (a URL its query, a header its token) goes first.
_FINDERS: tuple[tuple[Gate, Finder], ...] = (
    (_has("-----BEGIN "), _pem),
    (_has("://"), _url),
    (_has("="), _query),
    (_has("eyJ"), _jwt),
    (_HEADER.search, _header),
    (_SCHEME_WORD.search, _scheme),
    (_KEY.search, _key),
    (_has("=", ":"), _pair),
    (_has("@", "%40"), _email),
    (_TWO_COLONS.search, _numbers.ipv6),
)
_NUMBER_FINDERS: tuple[tuple[Gate, Finder], ...] = (
    (_numbers.IBAN_HEAD.search, _numbers.iban),
    (_has("."), _numbers.ipv4),
    (_has_number, _numbers.card),
    (_has_number, _numbers.phone),
    (_has_number, _numbers.called),
)


def unmarked(text: str) -> bool:
    """
    Say that no secret with a shape of its own stands in *text*; for texts without a space.
    """
    return "eyJ" not in text and _KEY.search(text) is None


def scan(text: str, *, gated: bool = True) -> str:
    """
    Replace what any finder finds; the same object if none does. Linear in ``len(text)``.

    Args:
        text: of any length; read to its end.
        gated: skip finders whose cheap necessary condition fails. Off in tests, same result.
    """
    seen = text if text.isascii() else text.translate(fold)
    kept = text
    for gate, finder in _FINDERS:
        if not gated or gate(seen):
            seen, kept = _replace(finder(seen), seen, kept)
    if not gated or _DIGIT.search(seen):
        kept = _cut_numbers(seen, kept, gated=gated)
    return text if kept == text else kept


def _cut_numbers(seen: str, kept: str, *, gated: bool) -> str:
    masked = _numbers.PLAIN.sub(lambda found: "\x00" * len(found[0]), seen)
    for gate, finder in _NUMBER_FINDERS:
        if not gated or gate(masked):
            masked, kept = _replace(finder(masked), masked, kept)
    return kept


def _replace(spans: Iterable[Span], seen: str, kept: str) -> tuple[str, str]:
    """
    Cut *spans* of *seen* out of both texts, which stay equally long.
    """
    new_seen: list[str] = []
    new_kept: list[str] = []
    at = 0
    for start, end, word in spans:
        new_seen += (seen[at:start], word)
        new_kept += (kept[at:start], word)
        at = end
    if not new_seen:
        return seen, kept
    new_seen.append(seen[at:])
    new_kept.append(kept[at:])
    return "".join(new_seen), "".join(new_kept)


class _Fold(dict[int, int]):
    """
    One character to its plain twin: any script's digits, full-width forms, dashes, blanks.

    One to one, so that places in the folded text are places in the text. What is invisible
    counts as a hyphen, a separator in every number. Bounded.
    """

    def __missing__(self, code: int) -> int:
        plain = ord(_plain_of(chr(code)))
        if len(self) > 4096:
            self.clear()
        self[code] = plain
        return plain


def _plain_of(char: str) -> str:
    if char.isascii():
        return char
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    if "\uff01" <= char <= "\uff5e":
        return chr(ord(char) - 0xFEE0)
    if char.isspace():
        return " "
    if unicodedata.category(char) in ("Pd", "Cf") or char == "\u2212":
        return "-"
    return _TWINS.get(char, char)


_TWINS = {"\ufe6b": "@", "\u3002": ".", "\uff61": ".", "\u00b7": ".", "\u2022": "."}


fold = _Fold()
