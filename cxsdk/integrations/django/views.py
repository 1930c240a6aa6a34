"""
The endpoint of prompts as a Django view.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from cxsdk.integrations.rule import METHODS, as_interaction
from cxsdk.prompts import default_engine
from cxsdk.prompts.faces.body import MOST_BYTES
from cxsdk.prompts.faces.web import Endpoint, Source

__all__ = ["view"]


def view(
    engine: Source = default_engine,
    *,
    origins: Collection[str] = (),
    returns: Collection[str] = (),
    mount: str | None = None,
) -> Callable[[HttpRequest, str], HttpResponse]:
    """
    Return the endpoint as a view; see `respond`. Its route names the path below the mount::

        path("questions/<path:path>", view(returns=["/thanks"]))

    It is exempt from Django's CSRF check: no cookie is read, the token is the right to answer, and
    the origin is checked. ``ATOMIC_REQUESTS`` does not hold for it, and it is no interaction.

    Args:
        mount: where browsers find it; None: where the route is.
    """
    endpoint = Endpoint(source=engine, origins=origins, returns=returns, mount=mount)

    @as_interaction(methods=METHODS, skip=True)
    @csrf_exempt  # type: ignore[untyped-decorator]
    def prompts(request: HttpRequest, path: str) -> HttpResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        found = endpoint.respond(
            request.method or "",
            f"/{path.lstrip('/')}",
            headers,
            request.META.get("QUERY_STRING", ""),
            request.read(MOST_BYTES + 1),
            request.path.removesuffix(path).rstrip("/"),
        )
        return HttpResponse(found.body, status=found.status, headers=dict(found.headers))

    for alias in connections:
        transaction.non_atomic_requests(alias)(prompts)
    return prompts
