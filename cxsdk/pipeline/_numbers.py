"""
Where numbers that name a person stand in a text: cards, accounts, telephones, addresses of hosts.

As in `_detect`, every finder is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate

__all__ = [
    "IBAN_HEAD",
    "PLAIN",
    "Span",
    "called",
    "card",
    "iban",
    "ipv4",
    "ipv6",
    "is_card",
    "phone",
]

Span = tuple[int, int, str]

_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![A-Za-z0-9]|\.\d)", re.ASCII)
_VERSIONED = re.compile(r"(?:version|release|build)\W{1,3}\Z", re.IGNORECASE)
_IPV6 = re.compile(
    r"(?<![\w:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:(?:\.\d{1,3}){3})?(?![\w:])",
    re.ASCII,
)
_IBAN_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 "
    "DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 "
    "IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 "
    "MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 "
    "SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
_IBAN_LENGTH = {entry[:2]: int(entry[2:]) for entry in _IBAN_LENGTHS.split()}
IBAN_HEAD = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d", re.ASCII)
_IBAN_BODY = re.compile(r"(?:[ -]{0,3}[A-Za-z0-9]){11,30}", re.ASCII)
_FOUR_DIGITS = re.compile(r"\d{4}", re.ASCII)
_NOT_ALNUM = re.compile(r"[^A-Za-z0-9]+", re.ASCII)

# What looks like a number to keep: no card and no telephone reaches into it.
PLAIN = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    r"|(?:19|20)\d\d([-./])(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])([-./])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d"
    # Order numbers of the largest market place; no card is grouped like that.
    r"|\d{3}-\d{7}-\d{7}"
    r")(?![A-SU-Za-su-z0-9])",
    re.ASCII,
)
_RUN = re.compile(r"\d(?:[ ./-]{0,3}\d){12,}", re.ASCII)
_GROUP = re.compile(r"\d+", re.ASCII)
_EDGE = r"(?<![A-Za-z0-9.,/+#-])"
_PHONE = re.compile(
    # +49 (0)30 1234567; 0049 30 1234567
    r"(?:(?<!\d)\+ ?\(?[1-9](?:[ ()./-]{0,3}\d){7,14}"
    rf"|{_EDGE}00[ ]?[1-9](?:[ ()./-]{{0,3}}\d){{8,13}}"
    # 030 1234567; (030) 12 34 56; 01 23 45 67 89; 01711234567
    rf"|{_EDGE}\(0[1-9]\d{{0,4}}\)(?:[ /-]{{0,2}}\d){{5,9}}"
    rf"|{_EDGE}0[1-9](?:[ /-]{{0,2}}\d){{7,9}}"
    # (555) 123-4567; 1-800-555-1234; (11) 91234-5678; 98765 43210
    rf"|{_EDGE}(?:1[ .-])?\(?[2-9]\d\d\)?[ .-]{{1,2}}\d{{3}}[ .-]\d{{4}}"
    rf"|{_EDGE}\(\d{{2,4}}\) ?\d{{3,5}}[ -]\d{{3,4}}"
    rf"|{_EDGE}[6-9]\d{{4}}[ -]\d{{5}}"
    r")(?![A-Za-z0-9]|[-/]\d)",
    re.ASCII,
)
# "order 02-663013657": what is written like a telephone of this country may be called otherwise.
_ORDERED = re.compile(
    r"(?:order|pedido|bestell\w{0,10}|commande|ordine|invoice|rechnung\w{0,8}|ticket|tracking|ref|sku)"
    r"\W{0,4}(?:no|nr|num\w{0,6}|id)?\W{0,4}\Z",
    re.IGNORECASE,
)
_CALLED = re.compile(
    r"(?<![a-z])(?:tel|tele(?:phone|fon)|phone|mobile?|handy|cell|fax|whatsapp|call)"
    r"(?:\.?[ :=#(]{1,3}(?:me|us|at|on|is|no|nr|number|nummer)?){1,4}"
    r"(\d(?:[ ()./-]{0,3}\d){6,14})(?![A-Za-z0-9])",
    re.ASCII | re.IGNORECASE,
)


def ipv4(text: str) -> Iterator[Span]:
    for found in _IPV4.finditer(text):
        start = found.start()
        if all(int(part) < 256 for part in found[0].split(".")) and not _VERSIONED.search(
            text, max(0, start - 16), start
        ):
            yield found.start(), found.end(), "[ip]"


def ipv6(text: str) -> Iterator[Span]:
    for found in _IPV6.finditer(text):
        if _is_ipv6(found[0]):
            yield found.start(), found.end(), "[ip]"


def _is_ipv6(candidate: str) -> bool:
    groups = candidate.split(":")
    count = len(groups) + ("." in candidate)
    if "::" not in candidate:
        return count == 8 and all(groups)
    named = [group for group in groups if group]
    # The paths of some languages (`std::abc`) are spelled like addresses; ours have a digit.
    plausible = len(named) >= 3 or any(char.isdigit() for char in candidate)
    return candidate.count("::") == 1 and ":::" not in candidate and count <= 9 and plausible


def iban(text: str) -> Iterator[Span]:
    done = 0
    for found in IBAN_HEAD.finditer(text):
        start = found.start()
        end = 0 if start < done else _iban_end(text, start)
        if end:
            done = end
            yield start, end, "[iban]"


def _iban_end(text: str, start: int) -> int:
    length = _IBAN_LENGTH.get(text[start : start + 2].upper(), 0)
    body = _IBAN_BODY.match(text, start + 4) if length else None
    if body is None:
        return 0
    end, left = start + 4, length - 4
    while left and end < body.end():
        left -= text[end] not in " -"
        end += 1
    code = _NOT_ALNUM.sub("", text[start:end])
    if left or text[end : end + 1].isalnum() or not _FOUR_DIGITS.search(code):
        return 0
    # The shortest are all digits; that an account has letters, longer ones show by four digits.
    if length <= 15 and not code[2:].isdigit():
        return 0
    digits = "".join(str(int(char, 36)) for char in code[4:] + code[:4])
    return end if int(digits) % 97 == 1 else 0


def is_card(digits: str) -> bool:
    """
    Say whether 13 to 19 digits are a payment card: a first digit that issuers use, then Luhn.

    Times since 1970 (1…), compact dates (19…, 20…) and snowflake ids (1…) begin with what no
    issuer has, and one in ten of them would pass Luhn.
    """
    return _is_issued(digits, len(digits)) and not _luhn(digits) and not _is_article(digits)


def _is_issued(head: str, count: int) -> bool:
    first = head[0]
    if first in "456":
        return 13 <= count <= 19
    if first == "2":
        return (head[1] in "234567" or head[:4] in ("2131", "2014", "2149")) and 15 <= count <= 19
    if first == "3":
        return head[1] not in "123" and 14 <= count <= 19
    return (first == "1" and count == 15) or (first in "89" and count in (16, 19))


def _is_article(digits: str) -> bool:
    """
    Say whether this is the number of an article in trade (EAN-13), which one in ten cards of 13
    digits would be too: there are none any more.
    """
    weighed = sum(map(int, digits[0::2])) + 3 * sum(map(int, digits[1::2]))
    return len(digits) == 13 and weighed % 10 == 0


def _luhn(digits: str) -> int:
    doubled = digits[-2::-2].translate(_DOUBLED)
    return sum(map(int, digits[-1::-2] + doubled)) % 10


_DOUBLED = str.maketrans("0123456789", "0246813579")


def card(text: str) -> Iterator[Span]:
    for run in _RUN.finditer(text):
        yield from _cards_in(text, run.start(), run.end())


def _cards_in(text: str, start: int, end: int) -> Iterator[Span]:
    groups = [found.span() for found in _GROUP.finditer(text, start, end)]
    if text[start - 1 : start].isascii() and text[start - 1 : start].isalpha():
        groups = groups[1:]
    if text[end : end + 1].isascii() and text[end : end + 1].isalpha():
        groups = groups[:-1]
    sums = _Sums(text, groups)
    at = 0
    while at < len(groups):
        stop = sums.card_from(at)
        if stop:
            yield groups[at][0], groups[stop - 1][1], "[card]"
        at = stop or at + 1


class _Sums:
    """
    Luhn sums of any row of digit groups in constant time, so that a long run stays linear.
    """

    def __init__(self, text: str, groups: list[tuple[int, int]]) -> None:
        self.text, self.groups = text, groups
        digits = "".join(text[start:end] for start, end in groups)
        doubled = digits.translate(_DOUBLED)
        self.digits = digits
        self.ends = list(accumulate((end - start for start, end in groups), initial=0))
        self.even = list(accumulate(map(int, _woven(digits, doubled)), initial=0))
        self.odd = list(accumulate(map(int, _woven(doubled, digits)), initial=0))

    def card_from(self, first: int) -> int:
        """
        Return the index after the last group of the longest card that begins at *first*, or 0.
        """
        begin, best = self.ends[first], 0
        for stop in range(first + 1, min(first + 20, len(self.ends))):
            end = self.ends[stop]
            if end - begin > 19:
                break
            if end - begin >= 13 and self._is_card(begin, end) and self._is_spaced(first, stop):
                best = stop
        return best

    def _is_card(self, begin: int, end: int) -> bool:
        sums = self.odd if end % 2 == 0 else self.even
        passes = (sums[end] - sums[begin]) % 10 == 0
        return (
            passes
            and _is_issued(self.digits[begin : begin + 4], end - begin)
            and not _is_article(self.digits[begin : min(end, begin + 14)])
        )

    def _is_spaced(self, first: int, stop: int) -> bool:
        between = self.text[self.groups[first][0] : self.groups[stop - 1][1]]
        if "." not in between and "/" not in between:
            return True
        # 3.141592653589793 is a number, 4111.1111.1111.1111 is a card.
        return stop - first >= 3 and all(
            end - start >= 4 for start, end in self.groups[first : stop - 1]
        )


def _woven(even: str, odd: str) -> str:
    mixed = [""] * len(even)
    mixed[0::2], mixed[1::2] = even[0::2], odd[1::2]
    return "".join(mixed)


def phone(text: str) -> Iterator[Span]:
    for found in _PHONE.finditer(text):
        start = found.start()
        if found[0][0] in "+(" or not _ORDERED.search(text, max(0, start - 32), start):
            yield start, found.end(), "[phone]"


def called(text: str) -> Iterator[Span]:
    for found in _CALLED.finditer(text):
        yield found.start(1), found.end(1), "[phone]"
