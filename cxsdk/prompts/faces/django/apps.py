"""
The app that brings the template tag.
"""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["PromptsConfig"]


class PromptsConfig(AppConfig):
    """
    No models, no settings: see ``cxsdk.prompts.faces.use``.
    """

    name = "cxsdk.prompts.faces.django"
    label = "cxsdk_prompts"
    verbose_name = "cxsdk: prompts"
