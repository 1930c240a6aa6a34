"""
A prompt: what is asked of whom, after what, how often, and what follows from the answer.

Reviewed code or TOML; its ``version`` is a hash of its content, so that an answer always says
which wording it answers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from cxsdk.errors import ConfigurationError
from cxsdk.prompts.question import KINDS, Question
from cxsdk.prompts.rules import Rule

__all__ = ["Echo", "FollowUp", "FrequencyCap", "Prompt", "QuotaRule", "Sampling", "Trigger"]

DAY = 86_400.0
CHANNELS = ("in_app", "email", "link", "chat", "api")
SCOPES = ("transactional", "relational")
STATUSES = ("draft", "live", "paused", "closed")
OUTCOMES = ("success", "partial", "failure", "abandoned", "unknown", "any")
_NAME = re.compile(r"[a-z][a-z0-9_.]{0,59}\Z")
_WHERE_OPS = ("eq", "ne", "in", "not_in", "gt", "lt", "exists", "contains")


def _need(ok: object, field: str, expected: str, got: Any) -> None:
    if not ok:
        raise ConfigurationError(f"{field}: expected {expected}, got {got!r:.80}")


def _listed(value: Any) -> Any:
    # What is no list stays as it is, so that its check can name the field.
    return value if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)


def _seconds(value: Any, field: str, *, zero: bool = True) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    _need(is_number and (value >= 0 if zero else value > 0), field, "seconds", value)


def _check_ops(where: Mapping[str, Any], place: str) -> None:
    for field, wanted in where.items():
        ops = wanted if isinstance(wanted, Mapping) else {"eq": wanted}
        bad = [op for op in ops if op not in _WHERE_OPS]
        _need(not bad, f"{place}.{field}", f"one of {_WHERE_OPS}", bad)


@attrs.define(frozen=True, kw_only=True)
class Trigger:
    """
    After which event somebody may be asked. Looked at on the live event only.
    """

    event: str = ""
    """Touchpoint of the interaction, such as ``checkout.pay``; empty: any, or none at all when the
    host offers by hand."""

    outcome: str = "any"
    """Outcome that the interaction must have."""

    where: Mapping[str, Any] = attrs.field(factory=dict)
    """Dotted field of the event's data → value, or ``{op: value}`` with ``eq ne in not_in gt lt
    exists contains``; all must hold."""

    count: int = 1
    """At least so many such interactions of this customer, this one included …"""

    within: float = 30 * DAY
    """… in so many seconds."""

    delay: float = 0.0
    """Seconds after it before anybody is asked; kept over restarts."""

    cancel_on: tuple[str, ...] = attrs.field(default=(), converter=_listed)
    """Touchpoints or families (``problem``) of events of this customer that call the wait off."""

    def __attrs_post_init__(self) -> None:
        _need(self.outcome in OUTCOMES, "trigger.outcome", f"one of {OUTCOMES}", self.outcome)
        _need(type(self.count) is int and self.count >= 1, "trigger.count", "1 or more", self.count)
        _seconds(self.within, "trigger.within", zero=False)
        _seconds(self.delay, "trigger.delay")
        _need(isinstance(self.event, str), "trigger.event", "a touchpoint", self.event)
        _need(isinstance(self.cancel_on, tuple), "trigger.cancel_on", "a list", self.cancel_on)
        _check_ops(self.where, "trigger.where")

    def matches(self, touchpoint: str | None, data: Mapping[str, Any]) -> bool:
        """
        Say whether an interaction with these *data* is the one waited for.
        """
        if self.event and touchpoint != self.event:
            return False
        if self.outcome not in {"any", data.get("outcome", "unknown")}:
            return False
        return all(_holds(_dig(data, field), wanted) for field, wanted in self.where.items())


def _dig(data: Any, field: str) -> Any:
    for part in field.split("."):
        if not isinstance(data, Mapping):
            return None
        data = data.get(part)
    return data


def _holds(value: Any, wanted: Any) -> bool:
    ops = wanted if isinstance(wanted, Mapping) else {"eq": wanted}
    try:
        return all(_COMPARE[op](value, against) for op, against in ops.items())
    except TypeError:  # of kinds that cannot be compared
        return False


_COMPARE: Mapping[str, Any] = {
    "eq": lambda value, wanted: value == wanted,
    "ne": lambda value, wanted: value != wanted,
    "in": lambda value, wanted: value in wanted,
    "not_in": lambda value, wanted: value not in wanted,
    "gt": lambda value, wanted: value is not None and value > wanted,
    "lt": lambda value, wanted: value is not None and value < wanted,
    "exists": lambda value, wanted: (value is not None) is bool(wanted),
    "contains": lambda value, wanted: value is not None and wanted in value,
}


@attrs.define(frozen=True, kw_only=True)
class Sampling:
    """
    Whom of those who qualify: the same people every time, by a hash, not by dice.
    """

    rate: float = 1.0
    """Share that is ever asked; recorded as the inclusion probability."""

    unit: str = "customer"
    """``customer``, ``account`` or ``interaction``: what the hash is of."""

    salt: str = ""
    """Other salts choose other people; empty: the prompt's key."""

    wave: float = 0.0
    """Seconds after which others are chosen; 0: always the same."""

    def __attrs_post_init__(self) -> None:
        is_rate = isinstance(self.rate, (int, float)) and not isinstance(self.rate, bool)
        _need(is_rate and 0 <= self.rate <= 1, "sampling.rate", "0 to 1", self.rate)
        units = ("customer", "account", "interaction")
        _need(self.unit in units, "sampling.unit", f"one of {units}", self.unit)
        _seconds(self.wave, "sampling.wave")


@attrs.define(frozen=True, kw_only=True)
class FrequencyCap:
    """
    How often at most, on one of the clocks. Elsewhere: cooldown, wait period, quarantine.
    """

    scope: str = "prompt"
    """``prompt`` (this one), ``group`` (its cap group), ``global`` (any prompt), ``session`` or
    ``account``."""

    most: int = 1
    within: float = 0.0
    """At most *most* in so many seconds, a year at the longest; 0: no such rule."""

    after_dismissal: float = 0.0
    after_answer: float = 0.0
    """Seconds after a dismissal or an answer on the same clock; 0: no such rule."""

    def __attrs_post_init__(self) -> None:
        scopes = ("prompt", "group", "global", "session", "account")
        _need(self.scope in scopes, "caps.scope", f"one of {scopes}", self.scope)
        _need(type(self.most) is int and self.most >= 1, "caps.most", "1 or more", self.most)
        for name in ("within", "after_dismissal", "after_answer"):
            _seconds(getattr(self, name), f"caps.{name}")


@attrs.define(frozen=True, kw_only=True)
class QuotaRule:
    """
    At most so many answers, of all or of one kind of interaction.
    """

    limit: int
    name: str = "all"
    where: Mapping[str, Any] = attrs.field(factory=dict)
    """As in `Trigger`: whose interactions it counts; empty: all."""

    def __attrs_post_init__(self) -> None:
        _need(type(self.limit) is int and self.limit >= 1, "quotas.limit", "1 or more", self.limit)
        _need(_NAME.match(self.name), "quotas.name", "lower-case letters, digits and _", self.name)
        _check_ops(self.where, "quotas.where")

    def counts(self, data: Mapping[str, Any]) -> bool:
        """
        Say whether an interaction with these *data* is one of those it counts.
        """
        return all(_holds(_dig(data, field), wanted) for field, wanted in self.where.items())


@attrs.define(frozen=True, kw_only=True)
class Echo:
    """
    Ask again later with the same wording, so that experienced and remembered are a pair.
    """

    after: float
    """Seconds after the first answer."""

    def __attrs_post_init__(self) -> None:
        _seconds(self.after, "echo.after", zero=False)


@attrs.define(frozen=True, kw_only=True)
class FollowUp:
    """
    A promise that an answer makes: a call back to whoever was disappointed.
    """

    when: Mapping[str, Any]
    """Question id → value, or ``{op: value}`` as in `Trigger`; all must hold."""

    within: float
    """Seconds until it is due."""

    owner: str
    """Who keeps it, such as ``care-team``."""

    kind: str = "callback"

    def __attrs_post_init__(self) -> None:
        _need(self.when, "follow_up.when", "question: value", self.when)
        _check_ops(self.when, "follow_up.when")
        _seconds(self.within, "follow_up.within", zero=False)
        _need(isinstance(self.owner, str) and self.owner, "follow_up.owner", "a name", self.owner)

    def is_due(self, answers: Mapping[str, Any]) -> bool:
        """
        Say whether these answers (question id → value) ask for it.
        """
        return all(
            answers.get(name) is not None and _holds(answers[name], wanted)
            for name, wanted in self.when.items()
        )


_LISTS: Mapping[str, type] = {
    "questions": Question,
    "eligibility": object,
    "caps": FrequencyCap,
    "quotas": QuotaRule,
    "follow_up": FollowUp,
    "channels": str,
    "context_fields": str,
}


@attrs.define(frozen=True, kw_only=True)
class Prompt:
    """
    One prompt. Immutable; checked when made.

    Raises:
        ConfigurationError: naming the prompt and the field.
    """

    key: str
    """Its name for good, such as ``checkout_effort``; answers refer to it."""

    questions: Sequence[Question] = attrs.field(converter=_listed)
    """One to five; the first is what rates and scores are told by."""

    title: str = ""
    """Heading; empty: none is shown."""

    scope: str = "transactional"
    """``transactional`` (about one interaction) or ``relational`` (about us as a whole); each is
    a cap group of its own unless *group* says another."""

    group: str = ""
    channels: tuple[str, ...] = attrs.field(default=("in_app",), converter=_listed)
    """Of ``in_app email link chat api``."""

    trigger: Trigger = attrs.Factory(Trigger)
    eligibility: Sequence[Rule] = attrs.field(default=(), converter=_listed)
    sampling: Sampling = attrs.Factory(Sampling)
    caps: Sequence[FrequencyCap] = attrs.field(default=(), converter=_listed)
    """Take the place of the defaults of the same scope (`default_caps`)."""

    priority: int = 0
    """Of several that may ask, the highest does."""

    starts_at: datetime | None = None
    ends_at: datetime | None = None
    quotas: Sequence[QuotaRule] = attrs.field(default=(), converter=_listed)
    offer_ttl: float | None = None
    """Seconds in which it can be answered; None: half an hour, on ``email`` and ``link`` 14 days."""

    revise_for: float = 0.0
    """Seconds in which an answer may still be changed."""

    echo: Echo | None = None
    follow_up: Sequence[FollowUp] = attrs.field(default=(), converter=_listed)
    context_fields: tuple[str, ...] = attrs.field(default=(), converter=_listed)
    """Names of values that the host may pass to `offer` and texts may show as ``{name}``."""

    needs_consent: bool = False
    """Ask only who granted consent; otherwise who did not deny it."""

    language: str = "en"
    """BCP 47 tag of the texts as written."""

    locales: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    """Language → ``{title, thank_you, questions: {id: {text, help, low_label, high_label,
    choices: {id: label}}}}``."""

    needs_locale: bool = False
    """True: nobody is asked in a language that is not theirs (``no_locale``)."""

    thank_you: str = ""
    status: str = "live"
    instrument: str = ""
    """As in the event standard; empty: that of the first question."""

    version: str = attrs.field(init=False, default="")
    """First 12 hex digits of a hash over everything that is asked."""

    def __attrs_post_init__(self) -> None:
        try:
            self._check()
        except ConfigurationError as error:
            raise ConfigurationError(f"prompt {self.key!r}: {error}") from None
        object.__setattr__(self, "version", self._hash())

    def _check(self) -> None:
        _need(isinstance(self.key, str) and _NAME.match(self.key), "key", "a-z, 0-9, _", self.key)
        self._check_parts()
        _need(0 < len(self.questions) <= 5, "questions", "1 to 5", len(self.questions))
        names = [question.id for question in self.questions]
        _need(len(set(names)) == len(names), "questions", "each id once", names)
        fields = [f"{question.id}_other" for question in self.questions if question.allow_other]
        taken = [name for name in fields if name in names]
        _need(not taken, "questions", "another id than that of a free field", taken)
        for at, question in enumerate(self.questions):
            condition = question.show_if
            if condition is not None:
                earlier = names[:at]
                place = f"question {question.id!r}: show_if.question"
                known = condition.question in earlier
                _need(known, place, f"an earlier question of {earlier}", condition.question)
        _need(self.scope in SCOPES, "scope", f"one of {SCOPES}", self.scope)
        _need(self.status in STATUSES, "status", f"one of {STATUSES}", self.status)
        bad = [name for name in self.channels if name not in CHANNELS]
        _need(self.channels and not bad, "channels", f"some of {CHANNELS}", bad)
        for name in ("starts_at", "ends_at"):
            at_ = getattr(self, name)
            aware = at_ is None or (isinstance(at_, datetime) and at_.utcoffset() is not None)
            _need(aware, name, "a time with its zone", at_)
        _seconds(self.ttl(""), "offer_ttl", zero=False)
        _seconds(self.revise_for, "revise_for")
        _need(type(self.priority) is int, "priority", "a whole number", self.priority)
        for follow in self.follow_up:
            unknown = [name for name in follow.when if name not in names]
            _need(not unknown, "follow_up.when", f"questions of {names}", unknown)
        self._check_locales(set(names))

    def _check_parts(self) -> None:
        for name, kind in _LISTS.items():
            value = getattr(self, name)
            fits = isinstance(value, tuple) and all(isinstance(each, kind) for each in value)
            _need(fits, name, f"a list of {kind.__name__}", value)
        bad = [each for each in self.eligibility if not hasattr(each, "allows")]
        _need(not bad, "eligibility", "rules of cxsdk.prompts.rules", bad)
        for name, one in (("trigger", Trigger), ("sampling", Sampling), ("echo", Echo | None)):
            value = getattr(self, name)
            _need(isinstance(value, one), name, f"{name.title()}(…)", value)

    def _check_locales(self, names: set[str]) -> None:
        for language, texts in self.locales.items():
            place = f"locales.{language}"
            _need(isinstance(texts, Mapping), place, "texts", texts)
            unknown = texts.keys() - {"title", "thank_you", "questions"}
            _need(not unknown, place, "title, thank_you, questions", sorted(unknown))
            questions = texts.get("questions", {})
            unknown = questions.keys() - names
            _need(not unknown, f"{place}.questions", f"some of {sorted(names)}", sorted(unknown))
            for name, words in questions.items():
                allowed = {"text", "help", "low_label", "high_label", "choices"}
                unknown = words.keys() - allowed
                where = f"{place}.questions.{name}"
                _need(not unknown, where, f"some of {sorted(allowed)}", sorted(unknown))

    def _hash(self) -> str:
        # What somebody reads and answers; who is asked, and how often, is no new version.
        asked = {
            "questions": [attrs.asdict(question) for question in self.questions],
            "title": self.title,
            "language": self.language,
            "locales": self.locales,
            "scope": self.scope,
        }
        text = json.dumps(asked, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def cap_group(self) -> str:
        """
        Return the name of the clock that it shares with others of its kind.
        """
        return self.group or self.scope

    @property
    def told_instrument(self) -> str:
        """
        Return the instrument that its events name.
        """
        return self.instrument or KINDS[self.questions[0].kind].instrument

    def question(self, name: str) -> Question | None:
        """
        Return the question of this id.
        """
        return next((each for each in self.questions if each.id == name), None)

    def ttl(self, channel: str) -> float:
        """
        Return how many seconds an offer on *channel* can be answered.
        """
        usual = 14 * DAY if channel in {"email", "link"} else 1800.0
        return usual if self.offer_ttl is None else self.offer_ttl


def default_caps(scope: str) -> tuple[FrequencyCap, ...]:
    """
    Return the caps of a prompt that says none: fair to somebody who is asked by several.
    """
    gap = 30 * DAY if scope == "transactional" else 90 * DAY
    return (
        FrequencyCap(scope="global", within=7 * DAY),
        FrequencyCap(scope="prompt", within=gap, after_dismissal=30 * DAY),
        FrequencyCap(scope="group"),
        FrequencyCap(scope="session", within=DAY),
    )
