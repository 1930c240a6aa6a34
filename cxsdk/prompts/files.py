"""
Prompts as TOML files in the host's repository: reviewed like code, one table for each prompt.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, time
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import attrs

from cxsdk.errors import ConfigurationError
from cxsdk.prompts.model import (
    Echo,
    FollowUp,
    FrequencyCap,
    Prompt,
    QuotaRule,
    Sampling,
    Trigger,
)
from cxsdk.prompts.question import Choice, Question, ShowIf, umux_lite
from cxsdk.prompts.rules import RULES, Rule, rule_from

__all__ = ["Entry", "load", "read"]

T = TypeVar("T")
_Read: TypeAlias = Callable[[Any, str], Any]
"""(value of TOML, its place) → value of the model; raises `ConfigurationError` with the place."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?([smhdw])\Z")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z")
TEMPLATES: Mapping[str, Callable[..., tuple[Question, ...]]] = {"umux_lite": umux_lite}


@attrs.define(frozen=True)
class Entry:
    """
    What one table of a file says: a prompt, or one thing that is wrong with it.
    """

    path: Path
    key: str
    """Empty where the file as a whole cannot be read."""

    prompt: Prompt | None = None
    error: ConfigurationError | None = None


def load(path: str | Path) -> list[Prompt]:
    """
    Return the prompts of a TOML file, or of all ``*.toml`` of a folder in the order of their names.

    Raises:
        ConfigurationError: the first thing that is wrong, naming file, prompt and field.
    """
    found = []
    for entry in read(path):
        if entry.error is not None:
            raise entry.error
        if entry.prompt is not None:
            found.append(entry.prompt)
    return found


def read(path: str | Path) -> list[Entry]:
    """
    Return each prompt of a file or folder, or all that is wrong with it, an entry each.

    Raises:
        ConfigurationError: there is no such file or folder, or no ``*.toml`` in it.
    """
    place = Path(path)
    files = sorted(place.glob("*.toml")) if place.is_dir() else [place]
    if not files:
        raise ConfigurationError(f"{place}: expected files *.toml, found none")
    entries: list[Entry] = []
    known: dict[str, Path] = {}
    for file in files:
        for entry in _entries(file):
            first = known.setdefault(entry.key, file) if entry.key else file
            if first != file:
                words = f"{file}: prompt {entry.key!r}: is in {first} already"
                entry = Entry(file, entry.key, error=ConfigurationError(words))  # noqa: PLW2901
            entries.append(entry)
    return entries


def _entries(file: Path) -> Iterable[Entry]:
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        yield Entry(file, "", error=ConfigurationError(f"{file}: expected UTF-8"))
        return
    except tomllib.TOMLDecodeError as error:
        yield Entry(file, "", error=ConfigurationError(f"{file}: {error}"))
        return
    for key, table in tables.items():
        try:
            yield Entry(file, key, _prompt(key, table))
        except ConfigurationError as error:
            for each in _all_of(error):
                words = str(each).removeprefix(f"prompt {key!r}: ")
                wrong = ConfigurationError(f"{file}: prompt {key!r}: {words}")
                yield Entry(file, key, error=wrong)


def _prompt(key: str, table: Any) -> Prompt:
    _need(isinstance(table, Mapping), "", f"a table [{key}] with its fields", table)
    values = _fields(table, _PROMPT, "")
    template, product = values.pop("template", None), values.pop("product", None)
    if template is not None:
        asked = TEMPLATES[template](**({} if product is None else {"product": product}))
        values["questions"] = [*asked, *values.get("questions", ())]
        values.setdefault("instrument", template)
    elif product is not None:
        raise ConfigurationError("product: expected a template beside it")
    _need("questions" in values, "questions", "[[questions]] or a template", None)
    prompt = Prompt(key=key, **values)
    for language, texts in prompt.locales.items():
        for name, words in texts.get("questions", {}).items():
            question = prompt.question(name)
            ids = [choice.id for choice in question.choices] if question else []
            for choice in words.get("choices", {}):
                where = f"locales.{language}.questions.{name}.choices"
                _need(choice in ids, where, f"some of {ids}", choice)
    return prompt


# ---- reading values -------------------------------------------------------------------------


class _SeveralError(ConfigurationError):
    """
    All that is wrong with a table; reads as the first of it.
    """

    def __init__(self, errors: list[ConfigurationError]) -> None:
        super().__init__(str(errors[0]))
        self.errors = errors


def _all_of(error: ConfigurationError) -> list[ConfigurationError]:
    return error.errors if isinstance(error, _SeveralError) else [error]


def _gathered(reads: Iterable[Callable[[], T]]) -> list[T]:
    """
    Return what each of *reads* returns; what is wrong with one hides nothing of the others.
    """
    found: list[T] = []
    wrong: list[ConfigurationError] = []
    for read_one in reads:
        try:
            found.append(read_one())
        except ConfigurationError as error:
            wrong += _all_of(error)
    if wrong:
        raise _SeveralError(wrong)
    return found


def _need(ok: object, place: str, expected: str, got: Any) -> None:
    if not ok:
        said = "" if got is None else f", got {got!r:.80}"
        raise ConfigurationError(f"{place}: expected {expected}{said}".removeprefix(": "))


def _known(name: str, names: Iterable[str], place: str, what: str) -> None:
    """
    Refuse a name that is none, with the nearest that is one.
    """
    every = sorted(names)
    if name in every:
        return
    near = difflib.get_close_matches(name, every, 1, 0.5)
    said = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(every)}"
    raise ConfigurationError(f"{place}: {what} {name!r} is unknown; {said}".removeprefix(": "))


def _fields(table: Any, readers: Mapping[str, _Read], place: str) -> dict[str, Any]:
    _need(isinstance(table, Mapping), place, "a table", table)

    def field(name: str, value: Any) -> tuple[str, Any]:
        _known(name, readers, place, "field")
        return name, readers[name](value, f"{place}.{name}" if place else name)

    return dict(_gathered(partial(field, *each) for each in table.items()))


def _text(value: Any, place: str) -> str:
    _need(isinstance(value, str), place, "text", value)
    return str(value)


def _flag(value: Any, place: str) -> bool:
    _need(isinstance(value, bool), place, "true or false", value)
    return bool(value)


def _whole(value: Any, place: str) -> int:
    _need(type(value) is int, place, "a whole number", value)
    return int(value)


def _number(value: Any, place: str) -> float:
    _need(type(value) in {int, float}, place, "a number", value)
    return float(value)


def _moment(value: Any, place: str) -> datetime:
    is_aware = isinstance(value, datetime) and value.tzinfo is not None
    _need(is_aware, place, "a time with its zone, such as 2026-05-04T08:00:00Z", value)
    found: datetime = value
    return found


def _clock(value: Any, place: str) -> time:
    try:
        return value if isinstance(value, time) else time.fromisoformat(_text(value, place))
    except ValueError:
        raise ConfigurationError(f"{place}: expected a time such as 21:00, got {value!r}") from None


def _seconds(value: Any, place: str) -> float:
    """
    Read seconds, or text with a unit: ``90s``, ``30m``, ``12h``, ``7d``, ``2w``.
    """
    if isinstance(value, str):
        found = _DURATION.match(value)
        if found:
            return float(found[1]) * _UNITS[found[2]]
    _need(
        type(value) in {int, float}, place, "seconds, or text such as 90s, 30m, 12h, 7d, 2w", value
    )
    return float(value)


def _as_is(value: Any, _: str) -> Any:
    return value


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    _need(isinstance(value, Mapping), place, "a table", value)
    found: Mapping[str, Any] = value
    return found


def _list(value: Any, place: str) -> list[Any]:
    _need(isinstance(value, list), place, "a list", value)
    return list(value)


def _texts(value: Any, place: str) -> tuple[str, ...]:
    return tuple(_text(each, f"{place}[{at}]") for at, each in enumerate(_list(value, place)))


def _template(value: Any, place: str) -> str:
    _known(_text(value, place), TEMPLATES, place, "template")
    return str(value)


def _of(cls: type[Any], readers: Mapping[str, _Read]) -> _Read:
    """
    Return a reader that makes a *cls* of a table.
    """
    required = [
        each.name for each in attrs.fields(cls) if each.init and each.default is attrs.NOTHING
    ]

    def made(value: Any, place: str) -> Any:
        values = _fields(value, readers, place)
        for name in required:
            _need(name in values, place, f"its field {name}", None)
        try:
            return cls(**values)
        except ConfigurationError as error:
            # The model says `caps.most`; the file has several caps.
            words = str(error).removeprefix(re.sub(r"\[\d+\]\Z", "", place))
            raise ConfigurationError(
                f"{place}{words}" if words[:1] == "." else str(error)
            ) from None

    return made


def _many(reader: _Read) -> _Read:
    """
    Return a reader of a list of what *reader* reads.
    """

    def made(value: Any, place: str) -> list[Any]:
        _need(isinstance(value, list), place, f"[[{place}]], a list of tables", value)
        items = enumerate(value)
        return _gathered(partial(reader, each, f"{place}[{at}]") for at, each in items)

    return made


def _eligibility(value: Any, place: str) -> Rule:
    table = dict(_mapping(value, place))
    _need("rule" in table, place, f"its field rule, one of {', '.join(RULES)}", None)
    name = _text(table.pop("rule"), f"{place}.rule")
    _known(name, RULES, f"{place}.rule", "rule")
    own = [each.name for each in attrs.fields(RULES[name]) if each.name != "code"]
    values = _fields(table, {each: _RULE[each] for each in own}, place)
    for each in own:
        _need(each in values, place, f"the field {each} of {name}", None)
    return rule_from(name, values)


def _locales(value: Any, place: str) -> dict[str, Any]:
    found = {}
    for language, texts in _mapping(value, place).items():
        where = f"{place}.{language}"
        _need(_LANGUAGE.match(language), where, "a language such as de or pt-BR", language)
        found[language] = _fields(texts, _LOCALE, where)
    return found


def _words(value: Any, place: str) -> dict[str, Any]:
    table = _mapping(value, place)
    return {name: _fields(texts, _WORDS, f"{place}.{name}") for name, texts in table.items()}


def _labels(value: Any, place: str) -> dict[str, str]:
    return {name: _text(label, f"{place}.{name}") for name, label in _mapping(value, place).items()}


# ---- what there is ------------------------------------------------------------------------

_WORDS: Mapping[str, _Read] = {
    **dict.fromkeys(("text", "help", "low_label", "high_label"), _text),
    "choices": _labels,
}
_LOCALE: Mapping[str, _Read] = {"title": _text, "thank_you": _text, "questions": _words}
_RULE: Mapping[str, _Read] = {
    "name": _text,
    "values": _list,
    "seconds": _seconds,
    "within": _seconds,
    "prompt": _text,
    "start": _clock,
    "end": _clock,
}
_QUESTION: Mapping[str, _Read] = {
    **dict.fromkeys(("id", "kind", "text", "help", "low_label", "high_label", "dimension"), _text),
    **dict.fromkeys(("low", "high", "max_chars"), _whole),
    **dict.fromkeys(("required", "allow_other", "shuffle"), _flag),
    "choices": _many(_of(Choice, {"id": _text, "label": _text})),
    "show_if": _of(ShowIf, {"question": _text, "op": _text, "value": _as_is}),
}
_TRIGGER: Mapping[str, _Read] = {
    "event": _text,
    "outcome": _text,
    "where": _mapping,
    "count": _whole,
    "within": _seconds,
    "delay": _seconds,
    "cancel_on": _texts,
}
_SAMPLING: Mapping[str, _Read] = {
    "rate": _number,
    "unit": _text,
    "salt": _text,
    "wave": _seconds,
}
_CAP: Mapping[str, _Read] = {
    "scope": _text,
    "most": _whole,
    **dict.fromkeys(("within", "after_dismissal", "after_answer"), _seconds),
}
_FOLLOW_UP: Mapping[str, _Read] = {
    "when": _mapping,
    "within": _seconds,
    "owner": _text,
    "kind": _text,
}
_PROMPT: Mapping[str, _Read] = {
    **dict.fromkeys(
        ("title", "scope", "group", "language", "thank_you", "status", "instrument", "product"),
        _text,
    ),
    **dict.fromkeys(("needs_consent", "needs_locale"), _flag),
    **dict.fromkeys(("channels", "context_fields"), _texts),
    **dict.fromkeys(("starts_at", "ends_at"), _moment),
    **dict.fromkeys(("offer_ttl", "revise_for"), _seconds),
    "priority": _whole,
    "template": _template,
    "questions": _many(_of(Question, _QUESTION)),
    "trigger": _of(Trigger, _TRIGGER),
    "sampling": _of(Sampling, _SAMPLING),
    "eligibility": _many(_eligibility),
    "caps": _many(_of(FrequencyCap, _CAP)),
    "quotas": _many(_of(QuotaRule, {"limit": _whole, "name": _text, "where": _mapping})),
    "echo": _of(Echo, {"after": _seconds}),
    "follow_up": _many(_of(FollowUp, _FOLLOW_UP)),
    "locales": _locales,
}
"""Field of a prompt's table → how it is read."""
