"""
What every integration must do, for ASGI as it is and for three frameworks on it.
"""

from __future__ import annotations

from cxsdk.integrations import asgi
from cxsdk.testing.conformance import IntegrationConformance
from tests.integrations.asgi import apps


class _Wrapped(IntegrationConformance):
    """
    Applications with a layer around them: what is installed on is a list of what servers call.
    """

    kind = "asgi"
    routes = apps.BARE

    def install(self, app, **settings):
        app[-1] = asgi.CX(app[-1], routes=self.routes, **settings)
        made = app[-1]
        return made.uninstall

    def entry(self, app):
        return app[-1]

    def user(self, request):
        return dict(request["headers"]).get(b"x-user", b"").decode() or None


class TestBare(_Wrapped):
    has_session = True

    def make(self, site):
        return [apps.bare(site)]


class TestLitestar(_Wrapped):
    loses_errors = True

    def make(self, site):
        from litestar import Litestar

        made = apps.litestar(site)
        assert isinstance(made, Litestar)
        self.routes = {
            f"{method} {route.path}": handler.fn
            for route in made.routes
            for method, (handler, _) in route.route_handler_map.items()
        }
        self.seen = []
        made.after_exception.append(self._look)
        return [made]

    async def _look(self, error, scope):
        self.seen.append(error)
        asgi.raised(error)

    def errors(self, app):
        return self.seen


class _Installed(IntegrationConformance):
    """
    Applications that the integration is installed on.
    """

    kind = "asgi"
    has_session = True

    def user(self, request):
        return request.headers.get("x-user")

    def views(self, app):
        return {route.path: route.endpoint for route in app.routes if hasattr(route, "endpoint")}


class TestStarlette(_Installed):
    def make(self, site):
        return apps.starlette(site)

    def install(self, app, **settings):
        from cxsdk.integrations.starlette import CX

        return CX(app, **settings).uninstall


class TestFastApi(_Installed):
    def make(self, site):
        return apps.fastapi(site)

    def install(self, app, **settings):
        from cxsdk.integrations.fastapi import CX

        return CX(app, **settings).uninstall
