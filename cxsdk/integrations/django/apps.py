"""
The app, so that ``manage.py migrate`` makes its tables.
"""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["CxsdkConfig"]


class CxsdkConfig(AppConfig):
    """
    ``cxsdk``: the tables of `DjangoCapStore`.
    """

    name = "cxsdk.integrations.django"
    label = "cxsdk"
    verbose_name = "cxsdk"
    default_auto_field = "django.db.models.BigAutoField"
