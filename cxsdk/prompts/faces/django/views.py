"""
The endpoint as a Django view.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

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

        re_path(r"^cx(?P<path>/.*)$", view())

    It is exempt from Django's CSRF check: no cookie is read, the token is the right to answer, and
    the origin is checked.

    Args:
        mount: where browsers find it; None: where the route is.
    """
    endpoint = Endpoint(source=engine, origins=origins, returns=returns, mount=mount)

    @csrf_exempt  # type: ignore[untyped-decorator]
    def prompts(request: HttpRequest, path: str) -> HttpResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        found = endpoint.respond(
            request.method or "",
            path,
            headers,
            request.META.get("QUERY_STRING", ""),
            request.read(MOST_BYTES + 1),
            request.path.removesuffix(path),
        )
        return HttpResponse(found.body, status=found.status, headers=dict(found.headers))

    return prompts
