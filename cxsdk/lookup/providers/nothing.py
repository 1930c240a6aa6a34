"""
A provider that knows nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from cxsdk.knowing import LookupRequest, Results
from cxsdk.lookup.items import LISTS, RECORDS
from cxsdk.lookup.providers._base import Provider

__all__ = ["NoOpProvider"]


class NoOpProvider(Provider):
    """
    Answers at once that there is nothing: stands in for a source that an environment lacks. Safe
    from any thread and after a fork.

    Args:
        name: a token, unique among the providers of a client.

        sections: those that it answers for; the typed ones unless said.

    Raises:
        ConfigurationError: a name is no token.
    """

    max_batch = 1000

    def __init__(
        self, name: str = "nothing", sections: Collection[str] = (*RECORDS, *LISTS)
    ) -> None:
        self._settle(name, sections, spaces=("id", "anonymous"))

    def fetch(self, request: LookupRequest) -> Results:
        """
        Return that there is nothing. Does not block.

        Raises:
            ProviderError: it is closed.
        """
        self._asked(request)
        return {}
