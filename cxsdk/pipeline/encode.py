"""
Drafts to bytes: the short way for interactions, the checked way for everything else.

The short way writes what never changes at a call site once and puts the rest between; a test
proves that it gives the same bytes as building the models and encoding them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import get_current

from cxsdk._clock import rfc3339_ns
from cxsdk.config import Settings
from cxsdk.events import vocabulary as v
from cxsdk.pipeline.consent import ConsentGate
from cxsdk.pipeline.customers import Known
from cxsdk.pipeline.draft import Draft
from cxsdk.pipeline.site import Site
from cxsdk.pipeline.touchpoints import Touchpoints
from cxsdk.scope import Where, current_scope

if TYPE_CHECKING:
    from cxsdk.events.model import Event

__all__ = ["Encoder", "traceparent"]

_LATE_NS = 1_000_000_000  # recordedtime is written when it is more than 1 s after time
_MOST_TEXTS = 4096

# Fields of an interaction that are rarely set, in wire order.
_RARE = (
    "reason",
    "error",
    "wait_ms",
    "effort",
    "memory",
    "expectations",
    "value",
    "refs",
    "time_precision",
)


def traceparent() -> str | None:
    """
    Return the W3C traceparent of the active span, else of whoever sent the task of a queue that
    runs here, or None.
    """
    context = get_current()
    if context:
        span = trace.get_current_span(context).get_span_context()
        if span.is_valid:
            return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    scope = current_scope.get()
    if scope is None or scope.errand is None:
        return None
    sent: str | None = scope.errand.traceparent
    return sent


class Encoder:
    """
    Everything about the wire form that is fixed for one client in one process.

    Thread-safe: the memos are dicts, and a race makes the same text twice.
    """

    def __init__(
        self,
        settings: Settings,
        gate: ConsentGate,
        touchpoints: Touchpoints,
        instance: str,
    ) -> None:
        # Here and not at the top: `import cxsdk` stays light, `init` may take a moment.
        from cxsdk.events import codec

        self._codec = codec
        self._quote = codec.encode_wire
        # The bare encoder: capture handles its errors, and a call less is a call less.
        self.json = codec.encoder.encode
        self._words = gate.words
        self._gate = gate
        self._touchpoints = touchpoints
        self._correlation = codec.kind_of("correlationid")
        self._namespace = settings.capture.namespace
        self._source = settings.source
        self._prefix = settings.capture.type_prefix
        self._service: dict[str, Any] = {"name": settings.service}
        if settings.version:
            self._service["version"] = settings.version
        self._service["environment"] = settings.environment
        self._sdk = {"instance": instance}
        self._site_texts: dict[tuple[Site, Where], str] = {}
        self._who_texts: dict[tuple[Known, str | None, str, Any], str] = {}
        self._head = self._fixed_envelope("interaction", "completed")
        self.ext = f',"ext":{{"{self._namespace}":'
        sdk = self._text({**self._sdk, "lane": "bulk", "seq": 0})
        self._tail = ',"sdk":' + sdk.removesuffix("0}")

    def _text(self, value: Any) -> str:
        return self._quote(value).decode()

    def _fixed_envelope(self, family: str, action: str) -> str:
        return self._text(self._envelope(family, action)).removesuffix("}") + ',"id":"'

    def _envelope(self, family: str, action: str) -> dict[str, Any]:
        model = v.SCHEMA_VERSION[family].split("-", 1)[0]
        return {
            "specversion": "1.0",
            "source": self._source,
            "type": f"{self._prefix}.{family}.{action}.v{model}",
            "dataschema": self._codec.schema_urn(family),
            "datacontenttype": "application/json",
        }

    # ---- the short way --------------------------------------------------------------------

    def interaction(
        self, draft: Draft, duration_ms: int, said: str | None, state: str, seq: int
    ) -> bytes:
        """
        Encode ``interaction.completed`` without the models.

        The values in *draft.data* were checked when they were set.

        Raises:
            TypeError, ValueError: an attribute holds what JSON cannot carry.
        """
        data = draft.data
        known = draft.known
        who = known.text
        if who is None or said is not None or self._words:
            who = self.who(known, said, state, draft.purposes)
        encoder, place, site = draft.site.memo
        if encoder is not self or place is not draft.where or "performed_by" in data:
            site = self.site(draft.site, draft.where, data.get("performed_by"))
        rest = data["outcome"] + '"'
        met = data.get("goal_met")
        if met is not None:
            rest += f',"goal_met":"{met}"'
        if len(data) > 1 + (met is not None):
            rest += self._rare(data)
        if "asked" in data:
            rest += f',"ext":{self.json(self._with_asked(draft)).decode()}'
        elif draft.attributes:
            rest += f"{self.ext}{self.json(draft.attributes).decode()}}}"
        links = known.links
        if draft.is_linked or get_current():
            links = self._links(draft)
        return self.write(draft.id, draft.time_ns, links, site, who, duration_ms, rest, seq)

    def write(
        self,
        event_id: str,
        time_ns: int,
        links: str,
        site: str,
        who: str,
        duration_ms: int,
        rest: str,
        seq: int,
    ) -> bytes:
        """
        Put an interaction together from its parts, each encoded and with the commas it needs.
        """
        return (
            f'{self._head}{event_id}","subject":"interaction/{event_id}","time":"'
            f'{rfc3339_ns(time_ns)}"{links},"data":{{{site},"interaction_id":"{event_id}",'
            f'{who}"duration_ms":{duration_ms},"outcome":"{rest}{self._tail}{seq}}}}}}}'
        ).encode()

    def _links(self, draft: Draft) -> str:
        """
        Return the envelope's optional attributes in wire order.
        """
        links = draft.known.links
        if draft.correlation is not None:
            self._correlation.check(draft.correlation, "correlation")
            links += ',"correlationid":' + self._text(draft.correlation)
        parent = traceparent()
        if parent is not None:
            links += f',"traceparent":"{parent}"'
        if draft.sampledrate is not None:
            links += f',"sampledrate":{draft.sampledrate}'
        return links

    def _with_asked(self, draft: Draft) -> dict[str, Any]:
        own = dict(draft.attributes or {})
        ours = {"asked": draft.data["asked"]}
        if self._namespace == "cxsdk":
            return {"cxsdk": {**own, **ours}}
        return {self._namespace: own, "cxsdk": ours} if own else {"cxsdk": ours}

    def _rare(self, data: dict[str, Any]) -> str:
        rare = {name: data[name] for name in _RARE if name in data}
        return "," + self._text(rare)[1:-1] if rare else ""

    def who(
        self, known: Known, said: str | None, state: str, purposes: tuple[str, ...] | None
    ) -> str:
        """
        Return customer, session and consent, with a comma behind them.
        """
        key = (known, said, state, purposes)
        text = self._who_texts.get(key)
        if text is not None:
            return text
        text = f'"customer":{self._text(known.block)},'
        if known.session is not None:
            text += f'"session_id":"{known.session}",'
        consent = self._gate.block(said, state, known, purposes)
        if consent is not None:
            text += f'"consent":{self._text(self._checked_consent(consent))},'
        if said is None and not purposes and not self._words:
            known.text = text
        else:
            if len(self._who_texts) >= _MOST_TEXTS:
                self._who_texts = {}
            self._who_texts[key] = text
        return text

    def _checked_consent(self, block: dict[str, Any]) -> dict[str, Any]:
        from cxsdk.events.model import Consent, dump, load

        return dump(load(Consent, block, "consent", strict=True))

    def site(self, site: Site, where: Where, party: Any = None) -> str:
        """
        Return the facts of a call site in the scope's place, and remember them there.
        """
        try:
            text = self._site_texts.get((site, where)) if party is None else None
        except TypeError:
            text = None  # the scope's place holds no text; its model refuses it by name
        if text is None:
            name = self._touchpoints.admit(site.touchpoint)
            text = self._text(site.facts(where, name, self._service, party))[1:-1]
            if party is not None:
                return text
            if len(self._site_texts) < _MOST_TEXTS:
                self._site_texts[(site, where)] = text
        site.memo = (self, where, text)
        return text

    # ---- the checked way ------------------------------------------------------------------

    def fact(self, draft: Draft, said: str | None, state: str) -> Event:
        """
        Make the `Event` of any family, which checks every field; its ``seq`` is still 0.

        Raises:
            InvalidEventError: a field does not fit the standard.
        """
        lane = "vital" if draft.is_vital else "bulk"
        return self._codec.from_wire(self.wire(draft, said, state, lane), strict=True)

    def finish(self, event: Event, seq: int) -> bytes:
        """
        Encode *event* with its place in the lane's count.

        Raises:
            EncodeError: ``ext`` holds what JSON cannot carry.
        """
        wire = self._codec.to_wire(event)
        sdk = wire["data"].get("sdk")
        if sdk is not None:
            sdk["seq"] = seq
        return self._quote(wire)

    def wire(self, draft: Draft, said: str | None, state: str, lane: str) -> dict[str, Any]:
        """
        Return the JSON object of *draft*.
        """
        data = {**draft.data, "service": self._service}
        self._place(draft, data)
        known = draft.known
        if draft.family != "loss":
            if known.block is not None:
                data.setdefault("customer", known.block)
            if known.session is not None:
                data["session_id"] = known.session
            if "consent" not in data:
                data["consent"] = self._gate.block(said, state, known, draft.purposes)
        if draft.attributes:
            ext = dict(data.get("ext") or {})
            ext[self._namespace] = draft.attributes
            data["ext"] = ext
        data["sdk"] = {**self._sdk, "lane": lane, "seq": 0}
        wire = {
            **self._envelope(draft.family, draft.action),
            "id": draft.id,
            "subject": self._codec.subject_of(draft.family, data, draft.id),
            "time": rfc3339_ns(draft.time_ns),
            "partitionkey": known.partition,
            "correlationid": draft.correlation,
            "causationid": draft.causation,
            "traceparent": traceparent(),
            "sampledrate": draft.sampledrate,
            "data": data,
        }
        recorded = draft.recorded_ns
        if recorded is not None and abs(recorded - draft.time_ns) > _LATE_NS:
            wire["recordedtime"] = rfc3339_ns(recorded)
        wire.update(draft.envelope or {})
        return wire

    def _place(self, draft: Draft, data: dict[str, Any]) -> None:
        """
        Complete ``where`` from the scope, and hold its touchpoint under the cap.
        """
        where = dict(data.get("where") or {})
        names = ("channel", "medium", "location", "locale", "tz")
        for name, value in zip(names, draft.where, strict=True):
            if value is not None and where.get(name) is None:
                where[name] = value
        touchpoint = where.get("touchpoint")
        if isinstance(touchpoint, str):
            where["touchpoint"] = self._touchpoints.admit(touchpoint)
        if draft.family == "loss" or not where:
            data.pop("where", None)
            return
        data["where"] = {"channel": "unknown", "medium": "unknown", **where}
