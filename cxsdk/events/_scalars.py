"""
Kinds of single values: text, choices, numbers, flags.
"""

from __future__ import annotations

import re
from typing import Any

from cxsdk.errors import InvalidEventError
from cxsdk.events._kind import EXACT, Plain, describe, is_word
from cxsdk.events.vocabulary import OWN_VALUE, Vocabulary

__all__ = ["SURROGATE", "Choice", "Flag", "Number", "Scalar", "Text", "Whole"]

# CloudEvents 1.0 §3.3: a string holds no control characters, lone surrogates or noncharacters.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
SURROGATE = re.compile("[\ud800-\udfff]")


class Text(Plain):
    """
    A string.

    Args:
        longest: at most so many characters.

        pattern: a regular expression that matches all of it.

        expected: the pattern in words.

        pii: the class of personal data it may hold: ``free_text`` or ``pseudonym``.

        is_id: an identifier: no invisible characters, and no space but the plain one.
    """

    __slots__ = ("expected", "is_id", "longest", "pattern", "pii")

    def __init__(
        self,
        longest: int = 200,
        pattern: str | None = None,
        expected: str = "",
        *,
        pii: str | None = None,
        is_id: bool = False,
    ) -> None:
        self.longest = longest
        self.pattern = pattern
        self.expected = expected
        self.pii = pii
        self.is_id = is_id

    def check(self, value: Any, path: str) -> None:
        """
        Raise `InvalidEventError` naming *path* unless *value* is such a text.
        """
        if not isinstance(value, str) or not 0 < len(value) <= self.longest:
            raise InvalidEventError(path, self.words(), describe(value))
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise InvalidEventError(path, self.words(), describe(value))
        if value.isascii() and value.isprintable():
            return
        if self.pii == "free_text":
            if SURROGATE.search(value):
                raise InvalidEventError(path, "text that UTF-8 can carry", "lone surrogates")
        elif _UNFIT.search(value) or (self.is_id and not value.isprintable()):
            raise InvalidEventError(path, "printable text without control characters")

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema of the wire form.
        """
        out: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": self.longest}
        if self.pattern:
            out["pattern"] = f"^(?:{self.pattern})$"
        if self.pii:
            out["x-pii"] = self.pii
        return out

    def words(self) -> str:
        """
        Say what is expected.
        """
        return self.expected or f"text of 1 to {self.longest} characters"


class Choice(Plain):
    """
    One value of a vocabulary.
    """

    __slots__ = ("vocabulary",)

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def check(self, value: Any, path: str) -> None:
        """
        Raise `InvalidEventError` naming *path* unless *value* is of the vocabulary.
        """
        if value not in self.vocabulary:
            self._refuse(value, path)

    def _refuse(self, value: Any, path: str) -> None:
        expected = self.vocabulary.expected()
        if value in self.vocabulary.refused:
            expected = self.vocabulary.instead
        raise InvalidEventError(path, expected, repr(value) if is_word(value) else describe(value))

    def load(self, value: Any, path: str, *, strict: bool) -> Any:
        """
        Read a value; lenient reading maps one it does not know to ``unknown`` or ``x_unknown``.

        Raises:
            InvalidEventError: the value is wrong for every reader, such as a mass medium.
        """
        vocabulary = self.vocabulary
        if strict or value in vocabulary or not isinstance(value, str):
            return value
        if value in vocabulary.refused:
            self._refuse(value, path)
        if "unknown" in vocabulary.values:
            return "unknown"
        return "x_unknown" if vocabulary.is_open else value

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema; the lenient one of an open vocabulary is any text not refused.
        """
        listed: dict[str, Any] = {"enum": list(self.vocabulary.values)}
        if not self.vocabulary.is_open:
            return listed
        if strict:
            own = {"type": "string", "pattern": "^" + OWN_VALUE.pattern.removesuffix(r"\Z") + "$"}
            return {"anyOf": [listed, own]}
        if self.vocabulary.refused:
            return {"type": "string", "not": {"enum": list(self.vocabulary.refused)}}
        return {"type": "string"}

    def words(self) -> str:
        """
        Say what is expected.
        """
        return self.vocabulary.expected()


class Whole(Plain):
    """
    A whole number from *least* to *most*; never more than JSON carries exactly (2^53 - 1).
    """

    __slots__ = ("least", "most")

    def __init__(self, least: int = 0, most: int = EXACT - 1) -> None:
        self.least = least
        self.most = most

    def check(self, value: Any, path: str) -> None:
        """
        Raise `InvalidEventError` naming *path* unless *value* is such a number.
        """
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidEventError(path, self.words(), describe(value))
        if not self.least <= value <= self.most:
            raise InvalidEventError(path, self.words(), describe(value))

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema of the wire form.
        """
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    def words(self) -> str:
        """
        Say what is expected.
        """
        if self.most < EXACT - 1:
            return f"a whole number from {self.least} to {self.most}"
        return f"a whole number from {self.least}"


class Number(Plain):
    """
    A finite number between *least* and *most*; whole ones within what JSON carries exactly.
    """

    __slots__ = ("least", "most")

    def __init__(self, least: float | None = None, most: float | None = None) -> None:
        self.least = least
        self.most = most

    def check(self, value: Any, path: str) -> None:
        """
        Raise `InvalidEventError` naming *path* unless *value* is such a number.
        """
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InvalidEventError(path, self.words(), describe(value))
        if isinstance(value, int) and abs(value) > EXACT:
            raise InvalidEventError(path, self.words(), describe(value))
        low = self.least if self.least is not None else -1e308
        high = self.most if self.most is not None else 1e308
        if not low <= value <= high:  # also False for NaN
            raise InvalidEventError(path, self.words(), describe(value))

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema of the wire form.
        """
        out: dict[str, Any] = {"type": "number"}
        if self.least is not None:
            out["minimum"] = self.least
        if self.most is not None:
            out["maximum"] = self.most
        return out

    def words(self) -> str:
        """
        Say what is expected.
        """
        if self.least is None:
            return "a finite number"
        if self.most is None:
            return f"a number from {self.least:g}"
        return f"a number from {self.least:g} to {self.most:g}"


class Flag(Plain):
    """
    True or False; absent is neither.
    """

    __slots__ = ()

    def check(self, value: Any, path: str) -> None:
        """
        Raise `InvalidEventError` naming *path* unless *value* is True or False.
        """
        if not isinstance(value, bool):
            raise InvalidEventError(path, self.words(), describe(value))

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema of the wire form.
        """
        return {"type": "boolean"}

    def words(self) -> str:
        """
        Say what is expected.
        """
        return "true or false"


class Scalar(Plain):
    """
    Text, a number or a flag, where the standard leaves it open (an answer, an expected value).
    """

    __slots__ = ("_number", "_text", "longest")

    def __init__(self, longest: int = 500) -> None:
        self.longest = longest
        self._text = Text(longest)
        self._number = Number()

    def check(self, value: Any, path: str) -> None:
        """
        Raise `InvalidEventError` naming *path* unless *value* is such a scalar.
        """
        if isinstance(value, str):
            self._text.check(value, path)
        elif not isinstance(value, (bool, int, float)):
            raise InvalidEventError(path, self.words(), describe(value))
        elif not isinstance(value, bool):
            self._number.check(value, path)

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """
        Return the JSON Schema of the wire form.
        """
        return {
            "type": ["string", "number", "boolean"],
            "minLength": 1,
            "maxLength": self.longest,
        }

    def words(self) -> str:
        """
        Say what is expected.
        """
        return f"text (at most {self.longest}), a number, true or false"
