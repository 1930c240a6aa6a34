"""
The app, so that ``manage.py migrate`` makes the table.
"""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["OutboxConfig"]


class OutboxConfig(AppConfig):
    """
    ``cxsdk_outbox``: one model, one migration.
    """

    name = "cxsdk.outbox.django"
    label = "cxsdk_outbox"
    verbose_name = "cxsdk outbox"
    default_auto_field = "django.db.models.BigAutoField"
