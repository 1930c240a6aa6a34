"""
The open interaction: what ``with cx.interaction(...)`` gives and ``cx.current()`` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from cxsdk import _fork
from cxsdk._guard import is_ours
from cxsdk._ids import new_id
from cxsdk.errors import CXError, InvalidEventError
from cxsdk.instrument.checks import FACTS, no_such_fact, refs_wire, settle
from cxsdk.instrument.outcome import IGNORED, judge
from cxsdk.instrument.remembered import ask, conclude, look_back
from cxsdk.instrument.said import Said
from cxsdk.pipeline.customers import Known
from cxsdk.pipeline.draft import Draft
from cxsdk.scope import NOBODY, Scope, Who, current_interaction, current_scope, served
from cxsdk.typing import Accepted, Dropped

if TYPE_CHECKING:
    from cxsdk.pipeline.capture import Capture

__all__ = ["Interaction", "ambient_customer", "begun"]

F = TypeVar("F")


class Interaction(Said):
    """
    One contact of one customer, from entry to exit. A context manager (also async) and, when
    called with a function, a decorator.

    Assignments are checked at once; a wrong one is counted and logged (raised in strict mode)
    and changes nothing. Used by one thread or task at a time. Nothing blocks.

    Settable: ``outcome``, ``goal_met``, ``reason``, ``customer``, ``performed_by``,
    ``attributes``, ``refs``. Readable: these and ``interaction_id``, ``result``.
    """

    __slots__ = (
        # Takes names that are no fact of the standard, so that a slip of the pen raises nothing
        # into the host; `end` reports them.
        "__dict__",
        "_began",
        "_began_ns",
        "_capture",
        "_fails",
        "_fields",
        "_held",
        "_id",
        "_options",
        "_refs",
        "_result",
        "_scope",
        "_site",
        "_source",
        "_token",
        "attributes",
        "customer",
    )

    attributes: dict[str, Any]
    """The team's own facts; on the wire under ``ext.<namespace>``, redacted."""

    customer: Any
    """The host's id of the customer; None: the scope's."""

    _source: Any
    _site: Any
    _fails: Any
    _options: Any
    _capture: Capture | None
    _id: str | None
    _refs: dict[str, Any] | None
    _result: Any
    _held: bool | None
    _fields: dict[str, Any]
    _scope: Scope | None
    _began: int
    _began_ns: int
    _token: Any

    # ---- entering and leaving -------------------------------------------------------------

    def __enter__(self) -> Interaction:
        try:
            # First, so that what happens inside of one that never begins finds its customer too.
            self._scope = current_scope.get()
            capture = self._source.capture()
            if capture is None:
                self._result = self._source.off()
            else:
                site = self._site
                if type(site) is tuple:
                    self._site = self._source.sites.get(site) or self._source.site(site)
                elif self._result is not None:
                    self._begin_again()
                if self._scope is not None and self._scope.errand is not None:
                    self._site = self._site.outbound()
                self._began_ns = capture.time_ns()
                self._began = capture.monotonic_ns()
                self._capture = capture
                if capture.says_started:
                    self._say_started(capture)
        except Exception as error:
            if not is_ours(error):
                raise
            self._source.refuse(error)
        self._token = current_interaction.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            current_interaction.reset(self._token)
        except (ValueError, RuntimeError):
            # Left in another context than entered, which ends with its own copy; or entered twice.
            if current_interaction.get() is self:
                current_interaction.set(None)
        if self._capture is not None and (self._held is None or error is not None):
            self.end(error)

    async def __aenter__(self) -> Interaction:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        """
        Decorate *function*; see `Instrument.interaction`.

        Raises:
            ConfigurationError: ``customer`` names no parameter, or this is no function.
            InvalidEventError: a fixed fact does not fit the standard.
        """
        from cxsdk.instrument.decorate import decorate

        decorated: F = decorate(self, function)
        return decorated

    def end(self, error: BaseException | None = None) -> None:
        """
        Finish and capture; *error* is what ended the call, if anything did. Once.
        """
        capture = self._capture
        if capture is None:
            return
        if _fork.page[0] != capture.generation:
            # Begun by the parent and ended here: its files are no longer ours to write to.
            capture = self._capture = self._source.capture()
            if capture is None:
                self._result = self._source.off()
                return
        try:
            if error is None or self._judge(error):
                self._result = self._finish(capture)
        except Exception as problem:
            if not is_ours(problem):
                raise
            self._result = self._failed(capture, problem, error)
        finally:
            self._capture = None

    def hold(self) -> Callable[[BaseException | None], None]:
        """
        Stay open beyond the block, until what is returned is called with what ended it.
        """
        self._held = True
        return self.end

    def _begin_again(self) -> None:
        """
        Forget the contact before: the same object was entered again, and this is another one.
        """
        self._id = self._refs = self._result = self._held = None
        self._fields.clear()
        self.attributes = {}

    def _failed(self, capture: Capture, problem: Exception, error: BaseException | None) -> Dropped:
        counted = getattr(problem, "counted", False)
        if not counted:
            capture._offer()
        try:
            if counted:
                raise problem
            return capture.reject(problem)
        except CXError:
            if error is None:
                raise
            # Strict mode, but the host's own exception is on its way and must stay the one.
            return Dropped(getattr(problem, "code", "invalid"), str(problem))

    def _say_started(self, capture: Capture) -> None:
        from cxsdk.instrument.facts import Fact

        fact = Fact(capture, "interaction", "started", customer=self.customer)
        if self._id is None:
            self._id = self._minted(capture, fact.scope, fact.draft.known)
        fact.draft.data = {**self._site.wire, "interaction_id": self._id}
        fact.capture_it()

    def _judge(self, error: BaseException) -> bool:
        """
        Take the outcome from *error*; say whether this was an interaction at all.
        """
        ignore, classify = self._options or ((), None)
        errand = None if self._scope is None else self._scope.errand
        try:
            if errand is not None and errand.is_retried(self._site.function, error):
                return False
            judged = judge(error, self._fails, ignore, classify)
        except Exception as problem:
            # The team's own classify; the host's exception is on its way and must stay the one.
            self._wrong(InvalidEventError("interaction.classify", "no error", repr(type(problem))))
            judged = judge(error, None, (), None)
        if judged is IGNORED:
            return False
        outcome, reason, error_type = judged
        if error_type is not None:
            self._fields["_error"] = {"type": error_type}
        if "outcome" not in self._fields or outcome == "failure":
            self.outcome = outcome
        if reason is not None:
            self.reason = reason
        return True

    def _finish(self, capture: Capture) -> bool | Dropped:
        elapsed = capture.monotonic_ns() - self._began
        scope, who = self._served(self._scope)
        customers = capture.customers
        try:
            known = customers.memo.get(who) or customers.resolve(who)
        except TypeError:
            known = customers.resolve(who)  # what cannot be a key: refused there by name
        if self._id is None:
            is_plain = scope is None or scope.errand is None
            self._id = (
                capture.mint(self._began_ns) if is_plain else self._minted(capture, scope, known)
            )
        fields = self._fields
        facts = len(fields)
        if (
            (not facts or facts == ("goal_met" in fields) + ("outcome" in fields))
            and self._refs is None
            and type(self.attributes) is dict
        ):
            kept = capture.contact(self, known, scope, elapsed)
            if kept is not None:
                if scope is not None:
                    scope.last, scope.done = self._id, self
                return kept
        return self._finish_with_care(capture, known, scope, elapsed)

    def _minted(self, capture: Capture, scope: Scope | None, known: Known) -> str:
        errand: Any = scope and scope.errand
        kind = f"interaction.{self._site.touchpoint}"
        made: str | None = errand and errand.id(capture.settings.source, kind, known.key)
        return made or capture.mint(self._began_ns)

    def _served(self, scope: Scope | None) -> tuple[Scope | None, Who]:
        """
        Return who is served, and *scope* as it holds for them.
        """
        customer, who = self.customer, NOBODY if scope is None else scope.who
        if customer is None:
            outer = self._token.old_value
            if type(outer) is Interaction:
                customer = ambient_customer(outer, scope)
        if customer is not None and customer != who[0]:
            return served(customer, scope)
        return scope, who

    def _finish_with_care(
        self, capture: Capture, known: Known, scope: Scope | None, elapsed: int
    ) -> bool | Dropped:
        """
        Capture what is not of the common shape, by way of a draft.
        """
        fields = self._fields
        fields.setdefault("outcome", "success")
        if (
            len(fields) > 1 + ("goal_met" in fields)
            or self._refs is not None
            or type(self.attributes) is not dict
        ):
            fields = self._complete(capture, elapsed // 1_000_000)
        where = (capture, known, self._site.touchpoint, self.interaction_id)
        is_told = capture.memory is not None and ("asked" in fields or "refs" in fields)
        if is_told or "asked" in fields:
            answers = fields.get("asked", {})
            look_back(*where, fields, answers)
            if answers:
                fields["asked"] = list(answers)
        draft = self._draft(known, scope, elapsed, fields)
        said, purposes = (None, None) if scope is None else (scope.consent, scope.purposes)
        if scope is not None:
            scope.last, scope.done = self._id, self
        kept = capture.interaction(draft, elapsed // 1_000_000, said, purposes)
        if is_told and isinstance(kept, bool):
            # As it was kept: of what consent took away nothing is remembered.
            conclude(*where, draft.data)
        return kept

    def _ask(self, question: str) -> str | None:
        capture = self._capture
        if capture is None or capture.memory is None:
            return None
        try:
            known = capture.customers.resolve(self._served(self._scope)[1])
        except Exception as error:
            self._wrong(error)
            return None
        return ask(capture, known, question, self.interaction_id)

    def _draft(
        self, known: Known, scope: Scope | None, elapsed: int, fields: dict[str, Any]
    ) -> Draft:
        # The wall clock may jump while the call runs; the length of the call is known.
        time_ns = self._began_ns + elapsed
        draft = Draft("interaction", "completed", known, time_ns, self.interaction_id, fields)
        draft.site = self._site
        draft.attributes = self.attributes
        if scope is not None:
            draft.where = scope.where
            if scope.correlation is not None:
                draft.correlation = scope.correlation
                draft.is_linked = True
        return draft

    def _complete(self, capture: Capture, duration_ms: int) -> dict[str, Any]:
        """
        Return the fields in wire form, with what was set in an unusual way.
        """
        fields = {}
        for name, item in self._fields.items():
            if name in FACTS:
                fields[name.lstrip("_")] = item
            else:
                self._wrong(no_such_fact(name))
        if self._refs:
            fields["refs"] = refs_wire(self._refs, self._wrong)
        if "expectations" in fields:
            settle(fields, duration_ms)
            fields["expectations"] = capture.words.redacted(fields["expectations"])
        if not isinstance(self.attributes, Mapping):
            self._wrong(InvalidEventError("interaction.attributes", "a mapping of names to values"))
            self.attributes = {}
        self.attributes = dict(self.attributes)
        return fields

    # ---- what the handler may say ---------------------------------------------------------

    @property
    def interaction_id(self) -> str:
        """
        Return the id that feedback and reactions refer to.
        """
        if self._id is None:
            self._id = self._early_id() or new_id()
        return self._id

    @interaction_id.setter
    def interaction_id(self, value: Any) -> None:
        self._wrong(InvalidEventError("interaction.interaction_id", "no assignment: it is given"))

    def _early_id(self) -> str | None:
        """
        Return the id for whoever asks before the end; None where any new one will do.
        """
        capture = self._capture
        if capture is None or self._scope is None or self._scope.errand is None:
            return None
        try:
            scope, who = self._served(self._scope)
            return self._minted(capture, scope, capture.customers.resolve(who))
        except Exception as error:
            if not is_ours(error):
                raise
            return None  # a wrong customer: refused at the end, by name

    @property
    def result(self) -> Accepted | Dropped | None:
        """
        Return what became of the event, after the end; None before.
        """
        result = self._result
        if isinstance(result, bool):
            return Accepted(self._id or "", result)
        dropped: Dropped | None = result
        return dropped

    @result.setter
    def result(self, value: Any) -> None:
        self._wrong(InvalidEventError("interaction.result", "no assignment; see outcome"))

    def _wrong(self, error: Exception) -> None:
        if not is_ours(error):
            raise error
        self._source.wrong(error)


_new = object.__new__


def begun(
    source: Any, site: Any, customer: Any = None, fails: Any = None, options: Any = None
) -> Interaction:
    """
    Return an interaction at *site*, not yet entered. No constructor: half the price of one.
    """
    made = _new(Interaction)
    made._source = source
    made._site = site
    made.customer = customer
    made._fails = fails
    made._options = options
    made._capture = made._id = made._refs = made._result = made._held = None
    # Facts of the standard and slips of the pen alike land here; `_complete` tells them apart.
    made._fields = made.__dict__
    made.attributes = {}
    return made


def ambient_customer(outer: Any, scope: Scope | None) -> Any:
    """
    Return the customer of the interaction around, unless a scope inside it names another.
    """
    if type(outer) is not Interaction or outer.customer is None:
        return None
    if scope is not None and scope is not outer._scope and scope.who[0] is not None:
        return None
    return outer.customer
