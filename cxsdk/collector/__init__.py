"""
The embedded collector: takes events over HTTP, keeps them in SQLite, shows what they say.

Needs the extra ``collector``. One process and one file; past one machine an existing engine takes
over, and this one stays what it is for: development, demos, small services.
"""

from __future__ import annotations

from cxsdk.errors import ExtraMissingError

try:
    import jinja2 as _jinja2
    import starlette as _starlette
    import uvicorn as _uvicorn
except ImportError as error:
    raise ExtraMissingError(error.name or "starlette", "collector") from error

from cxsdk.collector.app import create_app
from cxsdk.collector.limits import Limits
from cxsdk.collector.server import Collector, serve
from cxsdk.collector.store import Store

__all__ = ["Collector", "Limits", "Store", "create_app", "serve"]

del _jinja2, _starlette, _uvicorn
