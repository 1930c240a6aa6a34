"""
Its pages.
"""

from datetime import date

from django.contrib.auth import authenticate, login
from django.db import transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

import cxsdk as cx


def basket(request):
    request.session["basket"] = [1]
    return HttpResponse("basket")


def enter(request):
    login(request, authenticate(request, username="anna", password="secret"))
    return HttpResponse("entered")


def order(request, order):
    cx.promise("delivery", key=f"order-{order}", due_date=date(2027, 1, 1), tz="UTC")
    if "fail" in request.GET:
        raise LookupError("the order is rolled back")
    return HttpResponse(f"{order}")


def stream(request):
    return StreamingHttpResponse(f"{n};" for n in range(1000))


@transaction.non_atomic_requests
async def astream(request):
    async def chunks():
        for n in range(1000):
            yield f"{n};"

    return StreamingHttpResponse(chunks())


urlpatterns = [
    path("basket", basket),
    path("enter", enter),
    path("orders/<int:order>", order),
    path("stream", stream),
]
