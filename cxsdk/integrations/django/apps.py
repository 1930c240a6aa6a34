"""
The app: its tables, its checks, and the client of the project.
"""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["CxsdkConfig"]


class CxsdkConfig(AppConfig):
    """
    ``cxsdk``: the tables of `DjangoCapStore`, the template tag, the command ``cx``.
    """

    name = "cxsdk.integrations.django"
    label = "cxsdk"
    verbose_name = "cxsdk"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """
        Make the client of ``CXSDK``, hear of logins and commits, and register the checks.
        """
        from cxsdk.integrations.django import checks, login
        from cxsdk.integrations.django.atomic import Atomic
        from cxsdk.integrations.django.project import begin
        from cxsdk.pipeline.commits import commits

        checks.registered()
        login.connected()
        if not any(isinstance(each, Atomic) for each in commits):
            commits.append(Atomic())
        begin()
