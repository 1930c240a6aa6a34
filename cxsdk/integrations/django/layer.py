"""
The layer around all requests of a project.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from cxsdk.integrations.visit import Visit

__all__ = ["CX"]

_VISIT = "_cx_visit"


class CX:
    """
    ``"cxsdk.integrations.django.CX"``, one entry of ``MIDDLEWARE``, below those of sessions and
    logins. Sync and async; under ASGI it costs no change of thread. Thread-safe.

    Named twice, the outer one works.

    Raises:
        ConfigurationError: ``CXSDK`` is wrong, or the app is not in ``INSTALLED_APPS``.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        # Here: Django's own rooms are open only once the settings are read.
        from cxsdk.integrations.django.front import front

        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
            # A plain function would be called in a thread of its own.
            self.process_view = self._aprocess_view  # type: ignore[method-assign]
        self.front = front()

    def __call__(self, request: Any) -> Any:
        """
        Return the response; under ASGI a coroutine that does.
        """
        if self._is_async:
            return self._acall(request)
        visit = self._visit(request)
        if visit is None:
            return self.get_response(request)
        try:
            with visit:
                response = self.get_response(request)
        except BaseException as error:
            visit.end(error)
            raise
        self.front.ends(visit, response)
        return response

    async def _acall(self, request: Any) -> Any:
        visit = self._visit(request)
        if visit is None:
            return await self.get_response(request)
        try:
            with visit:
                response = await self.get_response(request)
        except BaseException as error:
            visit.end(error)
            raise
        self.front.ends(visit, response)
        return response

    def _visit(self, request: Any) -> Visit | None:
        if _VISIT in request.__dict__:
            return None
        visit = self.front.visit(request, request.path_info)
        request.__dict__[_VISIT] = visit
        return visit

    def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> Any:
        """
        Begin an interaction, now that the view is known.
        """
        visit = request.__dict__.get(_VISIT)
        if visit is not None:
            if iscoroutinefunction(view):
                self.front.load_now(visit)
            self.front.begins(visit, view)

    async def _aprocess_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> None:
        visit = request.__dict__.get(_VISIT)
        if visit is not None:
            if iscoroutinefunction(view):
                await self.front.load(visit)
            self.front.begins(visit, view)
            if visit.interaction is not None:
                # It ends on the event loop, also where its view is called in a thread.
                await self.front.load(visit)

    def process_exception(self, request: Any, error: Exception) -> None:
        """
        Take note of what the view raised; Django makes a response of it.
        """
        visit = request.__dict__.get(_VISIT)
        if visit is not None:
            visit.failed(error)

    def uninstall(self) -> None:
        """
        Let requests through from now on as if it were not there.
        """
        self.front.is_off = True
