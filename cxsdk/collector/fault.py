"""
What the collector does about an error of its own: one line in the log, and never what came in.
"""

from __future__ import annotations

import logging
from types import TracebackType

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxsdk._guard import voice

__all__ = ["Fault"]


class Fault:
    """
    ASGI middleware: what nobody handled is answered with 500 and logged once an hour. Stateless.

    The line names the error's type and place only. Its message, and a traceback with it, may
    repeat what an event said; the path of a page holds a customer's id.

    Args:
        app: what may fail.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def send_noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception as error:  # noqa: BLE001 - the last resort of a request
            place = f"{type(error).__name__} at {_place(error.__traceback__)}"
            voice.say(logging.ERROR, f"collector {place}", "collector: a request failed: %s", place)
            if not has_begun:
                await JSONResponse({"error": "collector: failed"}, 500)(scope, receive, send)


def _place(trace: TracebackType | None) -> str:
    """
    Return the innermost place in our code, else the innermost of all.
    """
    place = "an unknown place"
    found_own = False
    while trace is not None:
        code = trace.tb_frame.f_code
        is_own = "cxsdk" in code.co_filename
        if is_own or not found_own:
            place = f"{code.co_filename}:{trace.tb_lineno}"
        found_own = found_own or is_own
        trace = trace.tb_next
    return place
