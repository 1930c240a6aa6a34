"""
Flask: ``CX(app)``, or ``CX()`` and ``init_app`` where applications come from a factory.

::

    app.config["CXSDK"] = {"collector": "http://127.0.0.1:4180"}
    CX(app)
"""

from __future__ import annotations

from cxsdk.integrations.floors import need

need("flask")

from cxsdk.integrations.flask.extension import CX  # noqa: E402 - after the look at its version
from cxsdk.integrations.rule import Rule, as_interaction  # noqa: E402
from cxsdk.integrations.visit import serving  # noqa: E402

__all__ = ["CX", "Rule", "as_interaction", "serving"]
