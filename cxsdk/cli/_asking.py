"""
What ``cxsdk doctor`` says of prompts: can they be read, and does their store answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cxsdk.cli._checks import Finding, without_credentials
from cxsdk.config import Settings
from cxsdk.errors import ConfigurationError, ExtraMissingError, StoreUnavailableError

__all__ = ["prompts"]


def prompts(settings: Settings) -> Iterator[Finding]:
    """
    Read the prompts' files and ask the cap store for its figures, where either is named.
    """
    if "prompts" not in settings.said:
        return
    options = settings.prompts
    if options.files is not None:
        yield _files(options.files)
    if isinstance(options.store, str) and options.store:
        yield _store(settings)


def _files(path: Path) -> Finding:
    from cxsdk.prompts.files import load

    try:
        found = load(path)
    except (ConfigurationError, OSError) as error:
        return Finding("problem", "prompts", str(error), "cxsdk prompts check says the same")
    live = sum(prompt.status == "live" for prompt in found)
    return Finding("ok", "prompts", f"{len(found)} read from {path}, {live} live")


def _store(settings: Settings) -> Finding:
    from cxsdk.prompts.setup import open_cap_store

    shown = without_credentials(settings.prompts.store)
    try:
        store = open_cap_store(settings)
        try:
            counts = store.counts()
        finally:
            store.close()
    except (ConfigurationError, ExtraMissingError) as error:
        return Finding("problem", "cap store", str(error), "set CXSDK_CAP_STORE")
    except StoreUnavailableError as error:
        words = f"{shown} does not answer ({error}), so nobody is asked"
        return Finding("problem", "cap store", words, "start it, or name another")
    offers = sum(counts.get("offers", {}).values())
    return Finding("ok", "cap store", f"{shown} knows {offers} offers")
