"""
The URLs of the test run's Django; most tests have handlers with their own.
"""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("cx/", include("cxsdk.integrations.django.urls")),
]
