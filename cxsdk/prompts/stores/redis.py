"""
A cap store in Redis or Valkey, for all machines of a service. Extra ``redis``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cxsdk._redis import Server
from cxsdk.asking import Answered, Denied, Due, History, OfferState, Request, Reserved, StoredOffer
from cxsdk.prompts.stores._decision import newest

__all__ = ["RedisCapStore"]


def _offer(row: Sequence[bytes]) -> StoredOffer:
    name, prompt, subject, state, record, *numbers = row
    reserved, expires, shown, ended, revision, now = numbers
    told: Any = state.decode()
    return StoredOffer(
        name.decode(),
        prompt.decode(),
        subject.decode(),
        told,
        record,
        float(reserved),
        float(expires),
        float(shown) if shown else None,
        float(ended) if ended else None,
        int(revision),
        float(now),
    )


class RedisCapStore:
    """
    A `CapStore` in Redis (6 and later) or Valkey. Safe from any thread; a forked child connects
    anew. At most four connections per process, made when needed and again when they were lost.

    Every call is one script and so one atomic step; the time is the server's. All keys begin with
    one hash tag, so that they are on one node of a cluster, and all but the names of those who
    opted out expire by themselves. The server must write to disk (``appendonly yes``) and must
    not evict (``maxmemory-policy noeviction``), or caps vanish without a word.

    Args:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, as redis-py takes it.

        timeout: seconds that a call takes at most: half of it for a connection, half for the
            answer.

        namespace: what the keys begin with; services that share a server but not their caps have
            one each.

        shift_s: seconds added to the server's clock, for tests.

    Raises:
        ConfigurationError: the URL or the namespace is wrong.
        ExtraMissingError: redis is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 0.25,
        namespace: str = "cxsdk_caps",
        shift_s: Callable[[], float] = float,
    ) -> None:
        halves = ("caps_offers.lua", "caps_subjects.lua")
        script = "\n".join(Path(__file__).with_name(n).read_text("utf-8") for n in halves)
        self._server = Server(url, namespace, script, timeout=timeout, setting="prompts")
        self.timeout = timeout
        self.namespace = namespace
        self._shift_s = shift_s

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        timeout: float = 0.25,
        namespace: str = "cxsdk_caps",
        **options: Any,  # noqa: ARG003 - those of other stores
    ) -> RedisCapStore:
        """
        Return a store for ``redis://host:6379/0`` or ``rediss://…``.

        Raises:
            ConfigurationError: the URL is wrong.
            ExtraMissingError: redis is not installed.
        """
        return cls(url, timeout=timeout, namespace=namespace)

    def __repr__(self) -> str:
        return f"RedisCapStore({self._server.shown!r}, namespace={self.namespace!r})"

    # ---- calls

    def _call(self, method: str, *values: Any) -> Any:
        """
        Run a method of the script.

        Raises:
            StoreUnavailableError: the server cannot be asked.
        """
        return self._server.call(method, repr(float(self._shift_s())), *values)

    def reserve(self, request: Request) -> Reserved | Denied:
        """
        Reserve an offer, if all rules allow it.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        asked = msgspec.json.encode(
            {
                "offer_id": request.offer_id,
                "prompt": request.prompt,
                "subject": request.subject,
                "expires_in": request.expires_in,
                "unique": request.unique,
                "caps": list(request.caps),
                "quotas": list(request.quotas),
            }
        )
        outcome, *why = self._call("reserve", asked, request.record)
        if outcome == b"reserved":
            return Reserved(request.offer_id)
        return Denied(why[0].decode(), float(why[1]) if why[1] else None)

    def release(self, offer_id: str) -> None:
        """
        Take a reservation back as if it had never been; one that was shown stays.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        self._call("release", offer_id)

    def find(self, offer_id: str) -> StoredOffer | None:
        """
        Return an offer, or None where there is none.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        found = self._call("find", offer_id)
        return _offer(found) if found else None

    def advance(self, offer_id: str, to: OfferState) -> StoredOffer | None:
        """
        Move an open offer on; return it if this call did.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        found = self._call("advance", offer_id, to)
        return _offer(found) if found else None

    def answer(
        self, offer_id: str, digest: bytes, *, complete: bool, revise_for: float = 0.0
    ) -> Answered:
        """
        Take an answer whose content has *digest*.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        outcome, over, *rows = self._call(
            "answer", offer_id, digest, "1" if complete else "0", repr(float(revise_for))
        )
        offer = _offer(rows[0]) if rows else None
        said: Any = outcome.decode()
        return Answered(said, offer.revision if offer else 0, offer, over_quota=over == b"1")

    def history(self, subject: str) -> History:
        """
        Return what is known of a subject.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        offers, out, marks, now = self._call("history", subject)
        return History(
            tuple(_offer(row) for row in offers),
            bool(out),
            {topic.decode(): newest([float(each) for each in found]) for topic, *found in marks},
            float(now),
        )

    def mark(self, subject: str, topic: str, unique: str, keep: float) -> None:
        """
        Enter that something happened to a subject now.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        self._call("mark", subject, topic, unique, repr(float(keep)))

    def opt_out(self, subject: str) -> None:
        """
        Never ask this subject again.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        self._call("opt_out", subject)

    def merge(self, subject: str, into: str) -> None:
        """
        Join the history of *subject* to that of *into*.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        self._call("merge", subject, into)

    def forget(self, subject: str) -> int:
        """
        Erase offers, clocks and what is due of a subject.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        return int(self._call("forget", subject))

    def sweep(self, limit: int = 500) -> Sequence[StoredOffer]:
        """
        End open offers whose time is over; return them as they were before.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        return [_offer(row) for row in self._call("sweep", limit)]

    def schedule(self, due: Due) -> bool:
        """
        Keep something for later; return False where its id is known already.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        values = (due.due_id, due.subject, repr(float(due.in_s)), due.record, due.topic)
        return bool(self._call("schedule", *values) == b"1")

    def cancel(self, subject: str, topic: str = "") -> int:
        """
        Drop what is due of *subject*, all of it or that of *topic*.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        return int(self._call("cancel", subject, topic))

    def take_due(
        self,
        subject: str | None = None,
        limit: int = 50,
        topics: Collection[str] | None = None,
    ) -> Sequence[Due]:
        """
        Take out what has come due, of one subject or of all, about *topics* or anything.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        is_one = "0" if subject is None else "1"
        wanted = b"" if topics is None else msgspec.json.encode(dict.fromkeys(topics, True))
        return [
            Due(name.decode(), whose.decode(), float(late), record, topic.decode())
            for name, whose, late, record, topic in self._call(
                "take_due", is_one, subject or "", limit, wanted
            )
        ]

    def counts(self) -> Mapping[str, Any]:
        """
        Return figures for ``cxsdk doctor``.

        Raises:
            StoreUnavailableError: the store cannot be asked.
        """
        states, due, answers = self._call("counts")
        return {
            "offers": {state.decode(): count for state, count in states if count},
            "due": due,
            "answers": {quota.decode(): count for quota, count in answers if count},
        }

    def close(self) -> None:
        """
        Close the connections. Idempotent; later calls raise `StoreUnavailableError`.
        """
        self._server.close()
