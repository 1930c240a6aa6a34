"""
Prompts in a Flask application: their endpoint as a blueprint, and ``cx_prompt`` in its templates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import flask

from cxsdk import _default
from cxsdk.errors import IntegrationError
from cxsdk.integrations.flask.session import opened
from cxsdk.integrations.visit import private
from cxsdk.prompts.faces.body import MOST_BYTES
from cxsdk.prompts.faces.tag import Tag
from cxsdk.prompts.faces.web import Endpoint

if TYPE_CHECKING:
    from markupsafe import Markup

    from cxsdk.integrations.flask.front import FlaskFront

__all__ = ["mount"]

_METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE")


def mount(app: flask.Flask, front: FlaskFront) -> None:
    """
    Mount the endpoint where the options say, and give templates ``cx_prompt``.

    Raises:
        IntegrationError: the application has begun to serve requests.
    """
    at = front.options.mount
    if at is None or not _asks(front):
        return
    app.jinja_env.globals["cx_prompt"] = cx_prompt
    if "cxsdk" in app.blueprints:
        return
    blueprint = flask.Blueprint("cxsdk", __name__, url_prefix=at.rstrip("/"))
    blueprint.add_url_rule(
        "/<path:rest>",
        endpoint="prompt",
        view_func=respond,
        methods=_METHODS,
        provide_automatic_options=False,
    )
    try:
        app.register_blueprint(blueprint)
    except AssertionError:
        raise IntegrationError(
            "the endpoint of prompts cannot be mounted any more: call CX(app) before the first"
            " request, or say mount=None"
        ) from None


def respond(rest: str) -> flask.Response:
    """
    Answer a request about an offer.
    """
    front: FlaskFront = flask.current_app.extensions["cxsdk"]
    if front.is_off:
        flask.abort(404)
    request, options = flask.request, front.options
    endpoint = Endpoint(
        source=front.engine, origins=options.origins, returns=options.returns, mount=None
    )
    found = endpoint.respond(
        request.method,
        f"/{rest}",
        {name.lower(): value for name, value in request.headers.items()},
        request.query_string.decode("latin-1"),
        _body(request),
        _base(front),
    )
    response = flask.current_app.response_class(found.body, found.status)
    response.headers.clear()
    response.headers.extend(list(found.headers))
    return response


def _asks(front: FlaskFront) -> bool:
    client = front._client or _default.client()
    # A client that is made later may have prompts.
    return client is None or "prompts" in client.settings.said


def _body(request: flask.Request) -> bytes:
    """
    Return the body, at most one byte more than is taken where that is known beforehand.
    """
    if "form" in vars(request):
        # What the host does before each request has read it.
        return urlencode(list(request.form.items(multi=True))).encode()
    length = request.content_length
    if length is not None and length <= MOST_BYTES:
        return request.get_data()
    return bytes(request.stream.read(MOST_BYTES + 1))


_DUE: Any = object()


def cx_prompt(what: Any = _DUE, **how: Any) -> Markup:
    """
    Return the form of an offer, or nothing; see `Tag`. A response with a form is ``private``. Never
    raises.

    Args:
        what: an offer, or the key of a prompt; by default whichever prompt is due.

        how: as for `Tag`.
    """
    front: FlaskFront = flask.current_app.extensions["cxsdk"]
    tag = Tag(front.engine, base=_base(front))
    if front.is_off:
        return tag(None)
    session = opened()
    if session is not None:
        # Who sees the form depends on who they are, so the response varies by cookie.
        session.accessed = True
    shown = tag("" if what is _DUE else what, **how)
    if shown:
        private()
    return shown


def _base(front: FlaskFront) -> str:
    at = (front.options.mount or "").rstrip("/")
    if flask.has_request_context():
        return f"{flask.request.script_root}{at}"
    return f"{front.app.config['APPLICATION_ROOT'].rstrip('/')}{at}"
