"""
What ``cx.current()`` returns where no interaction is open.
"""

from __future__ import annotations

from typing import Any

__all__ = ["NOTHING_OPEN", "NoInteraction"]


class NoInteraction:
    """
    What ``cx.current()`` returns where no interaction is open: takes everything, does nothing.

    Falsy, so that ``if cx.current():`` tells the two apart.
    """

    __slots__ = ()

    interaction_id: str | None = None

    def __bool__(self) -> bool:
        return False

    def __setattr__(self, name: str, value: Any) -> None:
        return

    @property
    def attributes(self) -> dict[str, Any]:
        """
        A dict that nobody reads.
        """
        return {}

    refs = attributes

    def expect(self, *_: Any, **__: Any) -> None:
        """
        Do nothing.
        """

    effort = waited = value = end = expect

    def asks(self, *_: Any, **__: Any) -> None:
        """
        Return None: nobody can tell.
        """

    def __getattr__(self, name: str) -> None:
        return None


NOTHING_OPEN = NoInteraction()
