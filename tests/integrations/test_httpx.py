"""
Requests of httpx tell the team's own services whom they are about, and nobody else.
"""

from __future__ import annotations

import asyncio

import httpx
import pytest

import cxsdk as cx
from cxsdk.integrations._outgoing import address
from cxsdk.integrations.httpx import CX, install, uninstall
from cxsdk.scope import WireId
from tests.integrations.servers import running

KEY = b"a secret of the team, long enough"
_HANDLE = httpx.HTTPTransport.handle_request
_ASYNC_HANDLE = httpx.AsyncHTTPTransport.handle_async_request


@pytest.fixture
def pair():
    with running() as pair:
        yield pair


@pytest.fixture(autouse=True)
def client():
    """A client that tells one of the two hosts; the other is somebody else's."""
    made = cx.init(
        "web",
        collector="null:",
        privacy=cx.PrivacyOptions(key=KEY),
        context=cx.ContextOptions(carry_to=("127.0.0.1",)),
    )
    yield made
    uninstall()
    made.close()


def ask(http, *urls, **options):
    """Send GETs in the scope of a customer, by a client of either kind."""

    async def each():
        async with http:
            for url in urls:
                await http.get(url, **options)

    with cx.scope(customer="kunde-1", session="s3cret"):
        if isinstance(http, httpx.AsyncClient):
            asyncio.run(each())
        else:
            with http:
                for url in urls:
                    http.get(url, **options)


def is_about_somebody(baggage):
    """Say whether a header names our customer."""
    return baggage is not None and "cx.sub=" in baggage


@pytest.fixture(params=[httpx.Client, httpx.AsyncClient], ids=["sync", "async"])
def kind(request):
    return request.param


@pytest.fixture(params=["one", "all"])
def made(request, kind):
    """Make clients that tell: by itself, or because all of the process do."""

    def made(**options):
        http = kind(follow_redirects=True, **options)
        if request.param == "one":
            CX(http)
        else:
            install()
        return http

    return made


def test_hosts_of_the_list_are_told_and_others_not(made, pair, client):
    """The customer's pseudonym and session, signed; the receiver believes it."""
    ask(made(), f"{pair.ours}/a", f"{pair.theirs}/b")
    (_, _, here), (_, _, there) = pair.told
    assert "kunde-1" not in here["baggage"]
    assert "s3cret" not in here["baggage"]
    scope = client.received(here)
    assert isinstance(scope.who[0], WireId)
    assert scope.who[0].stands_for("kunde-1")
    assert scope.assurance == "authenticated"
    assert "baggage" not in there


def test_a_redirect_elsewhere_takes_nothing_along(made, pair):
    """Each hop is judged by itself, there and back."""
    ask(made(), f"{pair.ours}/to/theirs/to/ours/a")
    told = [(host, is_about_somebody(sent)) for host, sent in pair.baggage()]
    assert told == [("127.0.0.1", True), ("localhost", False), ("127.0.0.1", True)]


def test_baggage_of_the_hosts_own_goes_on(made, pair):
    """Only what is ours is put in and taken out."""
    ask(made(), f"{pair.ours}/to/theirs/a", headers={"baggage": "tenant=7"})
    (_, here), (_, there) = pair.baggage()
    assert here.startswith("tenant=7,cx.sub=")
    assert there == "tenant=7"


def test_what_was_put_in_by_hand_does_not_go_elsewhere(made, pair, client):
    """``headers=cx.carry(url)`` is once there, and taken out on the way to another host."""
    with cx.scope(customer="kunde-1"):
        headers = cx.carry(pair.ours)
    ask(made(), f"{pair.ours}/to/theirs/a", headers=headers)
    (_, here), (_, there) = pair.baggage()
    assert here.count("cx.sub=") == 1
    assert there is None


def test_nobody_is_told_of_nobody(kind, pair):
    """Without a scope the request is as it was, also one whose headers were made before."""
    with cx.scope(customer="kunde-1"):
        headers = cx.carry(pair.ours)
    http = kind()
    CX(http)

    async def each():
        async with http:
            await http.get(f"{pair.ours}/a")
            await http.get(f"{pair.ours}/b", headers=headers)

    if kind is httpx.AsyncClient:
        asyncio.run(each())
    else:
        with http:
            http.get(f"{pair.ours}/a")
            http.get(f"{pair.ours}/b", headers=headers)
    assert [sent for _, sent in pair.baggage()] == [None, headers["baggage"]]


def test_by_default_no_host_is_told(made, pair):
    """An empty list is nobody."""
    cx.init("web", collector="null:", privacy=cx.PrivacyOptions(key=KEY))
    ask(made(), f"{pair.ours}/a")
    assert pair.baggage() == [("127.0.0.1", None)]


def test_without_init_requests_are_as_they_were(made, pair, client):
    """Nothing is put in and nothing is taken out."""
    from cxsdk import _default

    _default.replace(None)
    ask(made(), f"{pair.ours}/a", headers={"baggage": "cx.sub=other"})
    _default.replace(client)
    assert pair.baggage() == [("127.0.0.1", "cx.sub=other")]


def test_a_client_of_its_own_has_its_own_list(kind, pair):
    """``client=`` names whose hosts and key hold."""
    with cx.Client(
        "other", collector="null:", context=cx.ContextOptions(carry_to=("localhost",))
    ) as other:
        http = kind()
        CX(http, client=other)
        ask(http, f"{pair.ours}/a", f"{pair.theirs}/b")
    assert pair.baggage()[0] == ("127.0.0.1", None)
    assert "cx.sub=kunde-1" in pair.baggage()[1][1]


def test_twice_is_once_and_uninstall_restores(kind):
    """One hook beside the host's own, and none afterwards."""
    own = lambda request: None  # noqa: E731 - never called
    http = kind(event_hooks={"request": [own]})
    first, second = CX(http), CX(http)
    assert first.install() is first
    assert len(http.event_hooks["request"]) == 2
    assert http.event_hooks["request"][0] is own
    second.uninstall()
    second.uninstall()
    assert http.event_hooks["request"] == [own]
    asyncio.run(http.aclose()) if kind is httpx.AsyncClient else http.close()


def test_for_all_twice_is_once_and_uninstall_restores():
    """The library is the same as before."""
    install()
    wrapped = httpx.HTTPTransport.handle_request
    install()
    assert httpx.HTTPTransport.handle_request is wrapped
    uninstall()
    uninstall()
    assert httpx.HTTPTransport.handle_request is _HANDLE
    assert httpx.AsyncHTTPTransport.handle_async_request is _ASYNC_HANDLE


def test_what_others_laid_over_it_stays(pair, monkeypatch):
    """Uninstalled beneath another wrapper it does nothing; installed again it is there once."""
    install()
    ours, calls = httpx.HTTPTransport.handle_request, []

    def theirs(self, request):
        calls.append(request.url.path)
        return ours(self, request)

    theirs.__wrapped__ = ours
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", theirs)
    uninstall()
    assert httpx.HTTPTransport.handle_request is theirs
    ask(httpx.Client(), f"{pair.ours}/a")
    install()
    assert httpx.HTTPTransport.handle_request is theirs
    ask(httpx.Client(), f"{pair.ours}/b")
    assert [is_about_somebody(sent) for _, sent in pair.baggage()] == [False, True]
    assert calls == ["/a", "/b"]
    monkeypatch.undo()
    uninstall()


def test_the_hosts_exceptions_and_answers_are_its_own(kind, pair):
    """The response is the one of httpx, and what the host's transport raises is that very error."""
    refused = httpx.ConnectError("no")

    def answer(request):
        if request.url.path == "/dies":
            raise refused
        return httpx.Response(204, headers={"told": request.headers.get("baggage", "")})

    http = kind(transport=httpx.MockTransport(answer))
    CX(http)
    with cx.scope(customer="kunde-1"):
        if kind is httpx.Client:
            with http:
                assert "cx.sub" in http.get(f"{pair.ours}/a").headers["told"]
                with pytest.raises(httpx.ConnectError) as raised:
                    http.get(f"{pair.ours}/dies")
        else:

            async def each():
                async with http:
                    assert "cx.sub" in (await http.get(f"{pair.ours}/a")).headers["told"]
                    await http.get(f"{pair.ours}/dies")

            with pytest.raises(httpx.ConnectError) as raised:
                asyncio.run(each())
    assert raised.value is refused


def test_a_wrong_customer_does_not_keep_a_request_from_being_sent(pair):
    """It goes, about nobody."""
    cx.init("web", collector="null:", context=cx.ContextOptions(carry_to=("127.0.0.1",)))
    http = httpx.Client()
    CX(http)
    with cx.scope(customer="anna@example.org"), http:
        assert http.get(f"{pair.ours}/a").status_code == 200
    assert pair.baggage() == [("127.0.0.1", None)]


def test_trouble_with_a_request_stays_with_us(caplog):
    """What cannot be read costs the request nothing, and is said once without anybody's id."""

    class Url:
        def __str__(self):
            raise RuntimeError("kunde-1")

    headers = {"baggage": "tenant=7"}
    for _ in range(2):
        address(None, Url(), headers)
    assert headers == {"baggage": "tenant=7"}
    lines = [r.message for r in caplog.records if "nobody travels" in r.message]
    assert lines == ["cxsdk: nobody travels with it: RuntimeError"]


def test_our_own_requests_are_about_nobody(pair):
    """What goes to collectors and providers is left alone."""
    from cxsdk.sinks._invisible import invisible

    install()
    with invisible():
        ask(httpx.Client(), f"{pair.ours}/a")
    assert pair.baggage() == [("127.0.0.1", None)]


@pytest.mark.parametrize("wrong", ["http://a", 7, object()])
def test_something_else_than_a_client_is_refused(wrong):
    """Said at once."""
    with pytest.raises(cx.ConfigurationError, match=r"an httpx\.Client or AsyncClient"):
        CX(wrong)
    with pytest.raises(cx.ConfigurationError, match=r"an httpx\.Client"):
        CX().install()
