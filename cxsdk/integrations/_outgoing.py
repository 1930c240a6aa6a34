"""
The headers of a request on its way out: whom it is about is put in for a host of the list, and
taken out for every other one.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from cxsdk import _current
from cxsdk._guard import is_ours, voice
from cxsdk.client import Client
from cxsdk.sinks._invisible import in_send

__all__ = ["address"]

_HEADER = "baggage"


def address(client: Client | None, url: Any, headers: MutableMapping[str, Any]) -> None:
    """
    Make the ``baggage`` among *headers* what a request to *url* may have. Never blocks, and raises
    nothing of ours.

    Also called for each hop of a redirect, whose headers clients copy from the request before: to
    another host nothing of ours goes on.

    Args:
        client: whose list of hosts holds; by default the default one.

        url: text, or what becomes it.
    """
    client = client or _current.client()
    # Our own requests to collectors and providers are about nobody.
    if client is None or client.settings.disabled or in_send.get():
        return
    try:
        target = str(url)
        found = client.carry(target, headers).get(_HEADER)
        kept = client.knower.kept(target, headers) if found is None else found
        if kept:
            headers[_HEADER] = kept
        elif kept is not None:
            del headers[_HEADER]
    except Exception as error:
        if not is_ours(error):
            raise
        voice.say(
            logging.WARNING, "carry", "cxsdk: nobody travels with it: %s", type(error).__name__
        )
