"""
Whom a lookup is about, and what exactly is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cxsdk.errors import InvalidEventError
from cxsdk.knowing import ASSURANCES, Subject
from cxsdk.lookup.answers import Plan
from cxsdk.lookup.gate import Look
from cxsdk.lookup.people import Key, People, Person
from cxsdk.pipeline.customers import Customers
from cxsdk.scope import WireId

if TYPE_CHECKING:
    from cxsdk.config import Settings
    from cxsdk.lookup.knowledge import Knowledge

__all__ = ["Whom"]

_MOST_LOOKS = 512


class Whom:
    """
    Finds the person behind an id, and prepares questions. Safe from any thread.
    """

    def __init__(
        self, settings: Settings, plans: dict[str, Plan], knowledge: Knowledge, people: People
    ) -> None:
        self._settings = settings
        self._strict = settings.strict
        self.plans = plans
        self._knowledge = knowledge
        self._people = people
        self._looks: dict[Any, Look] = {}
        self.customers = Customers(settings.privacy.key)

    def person(self, customer: Any, anonymous: str | None, scope: Any) -> tuple[Person, Any]:
        """
        Return whom a call is about: who is named, else whom the scope serves.

        Raises:
            InvalidEventError: an id is wrong, or there is nobody.
        """
        session = None
        if customer is None and anonymous is None and scope is not None:
            customer, anonymous, _, session = scope.who
        known = self.customers.resolve((customer, anonymous, None, session))
        block = known.block or {}
        if "id" in block:
            # Of somebody whom another service named only their wire form is known.
            raw = "" if type(customer) is WireId else str(customer).strip()
            key = ("id", block["id"])
        elif "anonymous_id" in block:
            key, raw = ("anonymous", block["anonymous_id"]), block["anonymous_id"]
        else:
            raise InvalidEventError(
                "context.customer", "the id of a customer, or one in cx.scope()", "nobody"
            )
        person = self._people.find(key) or self._people.hold(Person(key, raw, known))
        if raw and not person.raw:
            self._people.name(person, raw)
        return person, raw if customer is None else customer

    def canonical(self, person: Person) -> Person:
        """
        Return who *person* was absorbed by, or that one itself.
        """
        keep = self._knowledge.canonical(person.key)
        if keep is None:
            return person
        found = self._people.find(keep.key)
        if found is not None:
            return found
        return self._people.hold(
            Person(keep.key, keep.raw or person.raw, keep.wire or person.known)
        )

    def serves(self, scope: Any, person: Person) -> bool:
        """
        Say whether *person*, or who was linked to them, is whom *scope* serves; a scope that names
        nobody serves any visitor.
        """
        customer, anonymous, _, session = scope.who
        try:
            key = self.customers.resolve((customer, anonymous, None, session)).key
        except InvalidEventError:
            return False
        if key is None:
            return person.space != "id"
        keep = self._knowledge.canonical(key)
        return person.key == (key if keep is None else keep.key)

    def speaking(self, scope: Any, person: Person) -> Any:
        """
        Return *scope* where it says something of the consent of *person*, else None.
        """
        if scope is None or scope.consent is None:
            return None
        return scope if self.serves(scope, person) else None

    def assurance_of(self, person: Person, scope: Any) -> str:
        """
        Return how sure it is that *person* is served: what the scope says where it serves them,
        else that the host knows whom it names.
        """
        if person.space != "id":
            return "anonymous"
        if scope is not None and scope.assurance is not None and self.serves(scope, person):
            return str(scope.assurance)
        return "authenticated"

    def subject(self, person: Person, takes: str) -> Subject:
        """
        Return *person* in the form that a provider takes, ``raw`` or ``wire``.
        """
        is_raw = takes == "raw" and person.space == "id"
        also = self._knowledge.also(person.key, raw=is_raw) if self._knowledge.absorbed else ()
        return Subject(person.raw if is_raw else person.key[1], person.space, also)

    def keys_of(self, subject: str, takes: str) -> list[Key]:
        """
        Return under which keys a provider's *subject* may be held.
        """
        keys: list[Key] = [("anonymous", subject)]
        if takes == "wire":
            key: Key | None = ("id", subject)
        else:
            try:
                key = self.customers.resolve((subject, None, None, None)).key
            except InvalidEventError:
                return keys
        if key is None:
            return keys
        keep = self._knowledge.canonical(key)
        return [*keys, key] if keep is None else [*keys, key, keep.key]

    def look(self, sections: Any, purpose: Any, assurance: Any, space: str) -> Look:
        """
        Return the question, prepared once for each combination.

        Raises:
            InvalidEventError: the purpose, the assurance or the sections are wrong.
        """
        try:
            look = self._looks.get((sections, purpose, assurance, space))
        except TypeError:  # a list
            sections = tuple(sections)
            look = self._looks.get((sections, purpose, assurance, space))
        return look or self._prepared(sections, purpose, assurance, space)

    def _prepared(self, sections: Any, purpose: Any, assurance: Any, space: str) -> Look:
        named = purpose or self._settings.purpose
        if not isinstance(named, str) or len(named) > 40 or not named.isidentifier():
            raise InvalidEventError("context.purpose", "a lower-case word such as support")
        if assurance not in ASSURANCES:
            raise InvalidEventError("context.assurance", f"one of {', '.join(ASSURANCES)}")
        if isinstance(sections, str):
            raise InvalidEventError("context.sections", f"a list of names, as in ({sections!r},)")
        names = tuple(dict.fromkeys(self.plans if sections is None else sections))
        if not all(isinstance(name, str) for name in names):
            raise InvalidEventError("context.sections", "names as text")
        consent = self.plans.get("consent")
        exempt = self._settings.context.without_consent
        look = Look(
            names,
            self.plans,
            named,
            assurance,
            space,
            checks_consent=named not in exempt or bool(consent is not None and consent.sources),
            strict=self._strict,
        )
        if len(self._looks) >= _MOST_LOOKS:
            self._looks.clear()
        self._looks[sections, purpose, assurance, space] = look
        return look
