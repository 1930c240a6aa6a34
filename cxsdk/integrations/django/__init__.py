"""
cxsdk as a Django app: ``"cxsdk.integrations.django"`` in ``INSTALLED_APPS``, and
``"cxsdk.integrations.django.CX"`` in ``MIDDLEWARE``, below those of sessions and logins.

The settings are ``CXSDK``, a mapping: names of `Options` and of ``cx.init`` in lower case, and those
of `Project`.
"""

from __future__ import annotations

from cxsdk.integrations.floors import need

need("django")

from cxsdk.integrations.django.layer import CX  # noqa: E402 - says what is missing before it is

__all__ = ["CX"]
