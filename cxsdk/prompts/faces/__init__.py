"""
Faces: how an offer is shown and answered, as JSON, form, custom element, page, letter and chat.

Pure functions of an offer; `asgi_app` and `wsgi_app` take answers over HTTP.
"""

from __future__ import annotations

from cxsdk.prompts.faces.letter import Letter
from cxsdk.prompts.faces.tag import Tag, use
from cxsdk.prompts.faces.web import Response, asgi_app, respond, wsgi_app

__all__ = ["Letter", "Response", "Tag", "asgi_app", "respond", "use", "wsgi_app"]
