"""
What is known of one customer, section by section.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cxsdk.errors import SectionUnknownError
from cxsdk.knowing import Reason
from cxsdk.lookup.section import Commitments, Section, section_of

if TYPE_CHECKING:
    from cxsdk.lookup.items import (
        Consent,
        Feedback,
        Identity,
        Interaction,
        Problem,
        Profile,
        Reaction,
    )

__all__ = ["CustomerContext"]


class CustomerContext:
    """
    What a lookup found. Immutable, safe to share; made within the deadline, whatever happened.

    Each section answers for itself: ``ctx.problems``, ``ctx["orders"]``; one that was not asked
    for is there too, as `Reason.NOT_REQUESTED`.
    """

    __slots__ = (
        "_on_read",
        "_sections",
        "_strict",
        "assurance",
        "customer",
        "elapsed",
        "purpose",
        "wire_id",
    )

    customer: Any
    """The id that was asked for."""

    purpose: str
    assurance: str
    elapsed: float
    """Seconds that the lookup took; 0 where all was in memory."""

    wire_id: str
    """The id as events carry it, a pseudonym where a key is set; empty where there is none."""

    def __init__(
        self,
        customer: Any,
        purpose: str,
        assurance: str,
        sections: dict[str, Section[Any]],
        *,
        elapsed: float = 0.0,
        strict: bool = False,
        on_read: Callable[[], None] | None = None,
        wire_id: str = "",
    ) -> None:
        self.customer = customer
        self.purpose = purpose
        self.assurance = assurance
        self.elapsed = elapsed
        self._sections = sections
        self._strict = strict
        self._on_read = on_read
        self.wire_id = wire_id

    # ---- sections --------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Section[Any]:
        section = self._sections.get(name)
        if section is None:
            return section_of(name)(name, None, Reason.NOT_REQUESTED, strict=self._strict)
        if self._on_read is not None and section._value is not None:
            self._on_read()
        return section

    def __iter__(self) -> Iterator[str]:
        return iter(self._sections)

    def __contains__(self, name: object) -> bool:
        return name in self._sections

    def __len__(self) -> int:
        return len(self._sections)

    @property
    def identity(self) -> Section[Identity]:
        """
        Return which ids the customer has.
        """
        return self["identity"]

    @property
    def profile(self) -> Section[Profile]:
        """
        Return name, locale, attributes such as plan and segments.
        """
        return self["profile"]

    @property
    def interactions(self) -> Section[tuple[Interaction, ...]]:
        """
        Return the latest contacts, the newest first.
        """
        return self["interactions"]

    @property
    def feedback(self) -> Section[tuple[Feedback, ...]]:
        """
        Return what the customer said of it, the newest first.
        """
        return self["feedback"]

    @property
    def problems(self) -> Section[tuple[Problem, ...]]:
        """
        Return open problems, the newest first.
        """
        return self["problems"]

    @property
    def commitments(self) -> Commitments:
        """
        Return promises made to the customer, the newest first.
        """
        found = self["commitments"]
        assert isinstance(found, Commitments)  # noqa: S101 - for the type; see `section_of`
        return found

    @property
    def reactions(self) -> Section[tuple[Reaction, ...]]:
        """
        Return what the customer then did, the newest first.
        """
        return self["reactions"]

    @property
    def consent(self) -> Section[Consent]:
        """
        Return what the customer agreed to.
        """
        return self["consent"]

    def last(self, *, ref: str | None = None, touchpoint: str | None = None) -> Any:
        """
        Return the latest interaction about a thing of type *ref*, or at *touchpoint*.

        Returns:
            An `items.Interaction`, or None where there is none. Where interactions are not known:
            as reading them is, see `Section`.
        """
        for one in self.interactions:
            if ref is not None and ref not in one.refs:
                continue
            if touchpoint is not None and one.touchpoint != touchpoint:
                continue
            return one
        return None

    def read_by(self, on_read: Callable[[], None] | None) -> CustomerContext:
        """
        Return the same with another to be told when a section is read.
        """
        return CustomerContext(
            self.customer,
            self.purpose,
            self.assurance,
            self._sections,
            elapsed=self.elapsed,
            strict=self._strict,
            on_read=on_read,
            wire_id=self.wire_id,
        )

    # ---- how it came about -----------------------------------------------------------------

    @property
    def partial(self) -> bool:
        """
        Say whether a section that was asked for is not known.
        """
        return any(not section.known for section in self._sections.values())

    @property
    def reasons(self) -> Mapping[str, Reason]:
        """
        Return section → reason.
        """
        return MappingProxyType({name: one.reason for name, one in self._sections.items()})

    def provenance(self, section: str, field: str) -> str | None:
        """
        Return the provider that a field of a merged record, or an item of a merged list by its
        id, came from; None where that is not known.
        """
        found = self._sections.get(section)
        if found is None:
            return None
        return found.provenance.get(field, found.source if found._value is not None else None)

    def raise_for_error(self) -> CustomerContext:
        """
        Return self where every section that was asked for is known.

        Raises:
            SectionUnknownError: one is not; it names all of them.
        """
        missing = [(name, one) for name, one in self._sections.items() if not one.known]
        if missing:
            words = ", ".join(f"{name} ({one.reason.value})" for name, one in missing)
            raise SectionUnknownError(f"not known: {words}")
        return self

    def explain(self) -> str:
        """
        Return a table in words: section, reason, source, age, what went wrong. No values.
        """
        rows = [("section", "reason", "source", "age", "more")]
        for name, one in self._sections.items():
            age = "" if one.age is None else f"{max(0.0, one.age):.1f} s"
            more = [one.error_code.value] if one.error_code else []
            more += ["stale"] if one.stale else []
            more += ["truncated"] if one.truncated else []
            more += [one.error_message] if one.error_message else []
            rows.append((name, one.reason.value, one.source, age, ", ".join(more)))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join(
            [
                f"purpose {self.purpose}, assurance {self.assurance}, {self.elapsed * 1000:.1f} ms",
                *lines,
            ]
        )

    def __repr__(self) -> str:
        # Neither who nor what: contexts end up in logs.
        said = ", ".join(f"{name}={one.reason.value}" for name, one in self._sections.items())
        return f"<CustomerContext {said}>"
