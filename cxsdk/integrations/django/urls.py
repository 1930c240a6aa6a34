"""
The endpoint of prompts: ``path("cx/", include("cxsdk.integrations.django.urls"))``.

``returns`` and ``origins`` are those of the settings ``CXSDK``.
"""

from __future__ import annotations

from django.urls import path

from cxsdk.integrations.django.project import project
from cxsdk.integrations.django.views import view

__all__ = ["app_name", "urlpatterns"]

app_name = "cxsdk"
urlpatterns = [
    path(
        "<path:path>",
        view(origins=project().options.origins, returns=project().options.returns),
        name="prompts",
    )
]
