"""
What a URL's scheme stands for: a table of our own, then whatever is installed beside us.

One mechanism for everything that is chosen by URL: destinations, cap stores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from cxsdk.errors import ConfigurationError, ExtraMissingError

__all__ = ["Schemes"]


class Schemes:
    """
    Finds what makes something of a URL.

    Args:
        setting: what the error begins with, such as ``collector``.

        noun: what is made, such as ``sink``.

        group: entry points where others add schemes.

        built_in: scheme → ``module:attribute.path``. A table, so that the usual ones cost no scan
            of every installed package's metadata.
    """

    def __init__(self, setting: str, noun: str, group: str, built_in: Mapping[str, str]) -> None:
        self._setting = setting
        self._noun = noun
        self._group = group
        self._built_in = built_in

    def known(self) -> list[str]:
        """
        Return every scheme there is, sorted. Scans installed packages (milliseconds).
        """
        from importlib.metadata import entry_points

        return sorted({*self._built_in, *(point.name for point in entry_points(group=self._group))})

    def maker(self, url: str) -> Callable[..., Any]:
        """
        Return what makes something of *url*.

        Raises:
            ConfigurationError: it has no scheme, or nobody knows it.
            ExtraMissingError: what would make it needs a package that is not installed.
        """
        scheme, colon, _ = url.partition(":")
        scheme = scheme.lower()
        if not colon:
            known = ", ".join(self.known())
            raise ConfigurationError(
                f"{self._setting}: expected a URL with one of the schemes {known}"
            )
        if scheme in self._built_in:
            module, _, path = self._built_in[scheme].partition(":")
            found: Any = import_module(module)
            for name in path.split("."):
                found = getattr(found, name)
            return found  # type: ignore[no-any-return]
        return self._installed(scheme)

    def _installed(self, scheme: str) -> Callable[..., Any]:
        from importlib.metadata import entry_points

        for point in entry_points(group=self._group, name=scheme):
            try:
                loaded: Callable[..., Any] = point.load()
            except ExtraMissingError:
                raise
            except ImportError as error:
                raise ExtraMissingError(error.name or scheme, scheme) from error
            return loaded
        # What stands before the colon may be a part of a secret, where a URL was not meant.
        is_word = scheme.replace("+", "").replace("-", "").isalnum() and len(scheme) <= 20
        shown = scheme if is_word else "this"
        known = ", ".join(self.known())
        raise ConfigurationError(
            f"{self._setting}: no {self._noun} for {shown!r}; known are {known}"
        )
