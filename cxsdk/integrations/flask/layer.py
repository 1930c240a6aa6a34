"""
The outermost layer of an application: who is served, from the first byte to the last one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cxsdk.integrations.flask.front import VISIT

if TYPE_CHECKING:
    from cxsdk.integrations.flask.front import FlaskFront

__all__ = ["Layer"]


class Layer:
    """
    Takes the place of ``app.wsgi_app``. Thread-safe.

    Args:
        front: of the application.

        app: what was in this place before.
    """

    def __init__(self, front: FlaskFront, app: Any) -> None:
        self.front = front
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """
        Serve a request (PEP 3333). What is not streamed passes untouched, and so do files that the
        server sends by itself.
        """
        path = environ.get("PATH_INFO", "")
        if not path.isascii():
            path = path.encode("latin-1", "replace").decode("utf-8", "replace")  # PEP 3333
        visit = self.front.visit(environ, path)
        body: Iterable[bytes]
        if visit is None:
            body = self.app(environ, start_response)
            return body
        environ[VISIT] = visit
        try:
            with visit:
                body = self.app(environ, start_response)
        except BaseException as error:
            visit.end(error)
            raise
        # Not answered: a layer between us is a generator, which has not yet called the application.
        if visit.is_streamed or not visit.is_answered:
            return visit.body(body)
        if visit.interaction is not None:
            visit.end()
        return body
