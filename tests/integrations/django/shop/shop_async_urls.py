"""
The same for a server that speaks ASGI: streams are async there.
"""

from django.urls import path
from shop_urls import astream
from shop_urls import urlpatterns as sync

urlpatterns = [*sync[:-1], path("stream", astream)]
