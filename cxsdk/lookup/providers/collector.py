"""
The embedded collector as a provider: what it heard of a customer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxsdk.errors import ConfigurationError, ProviderError
from cxsdk.knowing import ErrorCode, Found, LookupRequest, Results, Subject
from cxsdk.lookup.items import LISTS, RECORDS
from cxsdk.lookup.providers._base import INVALID, Provider, is_sound, moment
from cxsdk.lookup.providers._http import HttpCaller, checked_place

__all__ = ["CollectorProvider"]


class CollectorProvider(Provider):
    """
    Asks the collector of cxsdk what events said of a customer, in one POST to ``/context``. Safe
    from any thread; a forked child has connections of its own. Blocks until the request's
    deadline at most.

    It knows customers as events name them, so no id of the host's leaves the process where
    `PrivacyOptions(key=…)` is set. A profile is what ``identify`` said, and may be partial.

    Args:
        url: of the collector, such as ``http://127.0.0.1:4180``.

        api_key: sent as ``Authorization: Bearer …``.

        name: a token, unique among the providers of a client.

        visibility_lag: seconds until an event shows in the answers: delivery waits for a batch.

        ca: a file of PEM certificates to trust instead of certifi's.

        connect_timeout: seconds for name lookup, connect and TLS handshake together, where the
            deadline is later.

    Raises:
        ConfigurationError: an argument is wrong.
    """

    max_batch = 50

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        name: str = "collector",
        visibility_lag: float = 30.0,
        ca: Path | str | None = None,
        connect_timeout: float = 3.0,
    ) -> None:
        self._settle(name, (*RECORDS, *LISTS), "wire", ("id", "anonymous"), visibility_lag)
        parts = checked_place(url, f"{name}.url")
        if parts.query:
            raise ConfigurationError(f"{name}.url: expected a URL without a query")
        host = parts.netloc.rpartition("@")[2]
        self._url = f"{parts.scheme}://{host}{parts.path.rstrip('/')}/context"
        self._caller = HttpCaller(
            name, api_key=api_key, user=parts, ca=ca, connect_timeout=connect_timeout
        )

    def fetch(self, request: LookupRequest) -> Results:
        """
        Ask the collector. Blocks until the deadline at most.

        Raises:
            ProviderError: it does not answer, or not as expected.
        """
        wanted = self._asked(request)
        sound = [each for each in request.subjects if is_sound(each.id)]
        results: dict[str, Mapping[str, Any]] = {
            each.id: dict.fromkeys(wanted, INVALID)
            for each in request.subjects
            if not is_sound(each.id)
        }
        if not sound:
            return results
        lists = wanted & LISTS.keys()  # of others the collector takes no limit
        body = {
            "customers": [{"id": each.id, "space": each.space} for each in sound],
            "sections": sorted(wanted),
            "limits": {name: most for name, most in request.limits.items() if name in lists},
            "purpose": request.purpose,
        }
        answer = self._caller.ask("POST", self._url, request.deadline, body=body)
        document = self._caller.document(answer)
        try:
            return {**results, **_read(document, sound, wanted)}
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ProviderError(
                ErrorCode.PARSE_ERROR, f"{self.name}: an answer of another form"
            ) from None

    def close(self) -> None:
        """
        Close connections, ending requests of other threads. Idempotent.
        """
        super().close()
        self._caller.close()


def _read(
    document: Any, subjects: list[Subject], wanted: frozenset[str]
) -> dict[str, dict[str, Any]]:
    told = {(each["id"], each["space"]): each["sections"] for each in document["customers"]}
    found: dict[str, dict[str, Any]] = {}
    for subject in subjects:
        # What is not mentioned was not looked up: "nothing" is said with empty sections.
        sections = told[subject.id, subject.space]
        found[subject.id] = {
            name: Found(
                said["value"], moment(said.get("as_of")), None, said.get("truncated", False)
            )
            for name, said in sections.items()
            if name in wanted and said["value"] is not None
        }
    return found
