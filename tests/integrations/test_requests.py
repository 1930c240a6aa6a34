"""
Requests of requests tell the team's own services whom they are about, and nobody else.
"""

from __future__ import annotations

import pytest
import requests

import cxsdk as cx
from cxsdk.integrations.requests import CX, install, uninstall
from tests.integrations.servers import running

KEY = b"a secret of the team, long enough"
_SEND = requests.Session.send


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


@pytest.fixture(params=["one", "all"])
def made(request):
    """Make sessions that tell: by themselves, or because all of the process do."""

    def made():
        session = requests.Session()
        if request.param == "one":
            CX(session)
        else:
            install()
        return session

    return made


def ask(session, *urls, **options):
    """Send GETs in the scope of a customer."""
    with session, cx.scope(customer="kunde-1", session="s3cret"):
        for url in urls:
            session.get(url, **options)


def is_about_somebody(baggage):
    """Say whether a header names our customer."""
    return baggage is not None and "cx.sub=" in baggage


def test_hosts_of_the_list_are_told_and_others_not(made, pair, client):
    """The customer's pseudonym and session, signed; the receiver believes it."""
    ask(made(), f"{pair.ours}/a", f"{pair.theirs}/b")
    (_, _, here), (_, _, there) = pair.told
    assert "kunde-1" not in here["baggage"]
    assert "s3cret" not in here["baggage"]
    scope = client.received(here)
    assert scope.who[0].stands_for("kunde-1")
    assert scope.assurance == "authenticated"
    assert "baggage" not in there


def test_a_redirect_elsewhere_takes_nothing_along(made, pair):
    """Each hop is judged by itself, there and back, although requests copies the headers."""
    ask(made(), f"{pair.ours}/to/theirs/to/ours/a")
    told = [(host, is_about_somebody(sent)) for host, sent in pair.baggage()]
    assert told == [("127.0.0.1", True), ("localhost", False), ("127.0.0.1", True)]


def test_baggage_of_the_hosts_own_goes_on(made, pair):
    """Only what is ours is put in and taken out, also of a prepared request."""
    session = made()
    prepared = session.prepare_request(
        requests.Request("GET", f"{pair.ours}/to/theirs/a", headers={"Baggage": "tenant=7"})
    )
    with session, cx.scope(customer="kunde-1"):
        session.send(prepared, allow_redirects=True)
    (_, here), (_, there) = pair.baggage()
    assert here.startswith("tenant=7,cx.sub=")
    assert there == "tenant=7"


def test_functions_of_the_module_are_told_to_as_well(pair):
    """``requests.get`` makes a session of its own: for all means these too."""
    install()
    with cx.scope(customer="kunde-1"):
        requests.get(f"{pair.ours}/a", timeout=20)
    assert is_about_somebody(pair.baggage()[0][1])


def test_without_a_scope_or_a_list_requests_are_as_they_were(made, pair):
    """Nobody is told of nobody, and by default no host is told of anybody."""
    session = made()
    session.get(f"{pair.ours}/a")
    cx.init("web", collector="null:", privacy=cx.PrivacyOptions(key=KEY))
    ask(session, f"{pair.ours}/b")
    assert pair.baggage() == [("127.0.0.1", None)] * 2


def test_a_client_of_its_own_has_its_own_list(pair):
    """``client=`` names whose hosts and key hold."""
    with cx.Client(
        "other", collector="null:", context=cx.ContextOptions(carry_to=("localhost",))
    ) as other:
        session = requests.Session()
        CX(session, client=other)
        ask(session, f"{pair.ours}/a", f"{pair.theirs}/b")
    assert pair.baggage()[0] == ("127.0.0.1", None)
    assert "cx.sub=kunde-1" in pair.baggage()[1][1]


def test_twice_is_once_and_uninstall_restores():
    """The session's ``send`` is the class's own again."""
    session = requests.Session()
    first, second = CX(session), CX(session)
    assert first.install() is first
    second.uninstall()
    second.uninstall()
    assert "send" not in vars(session)
    session.close()


def test_a_send_of_the_sessions_own_is_kept(pair):
    """What a team put there is called, and is there again afterwards."""
    session, calls = requests.Session(), []

    def own(request, **options):
        calls.append(request.url)
        return _SEND(session, request, **options)

    session.send = own
    cxs = CX(session)
    ask(session, f"{pair.ours}/a")
    cxs.uninstall()
    assert session.send is own
    assert calls == [f"{pair.ours}/a"]
    assert is_about_somebody(pair.baggage()[0][1])


def test_what_others_laid_over_it_stays(pair):
    """Uninstalled beneath another wrapper it does nothing any more."""
    session = requests.Session()
    cxs = CX(session)
    ours = session.send
    session.send = theirs = lambda request, **options: ours(request, **options)  # noqa: PLW0108
    cxs.uninstall()
    assert session.send is theirs
    ask(session, f"{pair.ours}/a")
    assert pair.baggage() == [("127.0.0.1", None)]


def test_for_all_twice_is_once_and_uninstall_restores(pair, monkeypatch):
    """The library is the same as before; beneath another wrapper it does nothing."""
    install()
    ours = requests.Session.send
    install()
    assert requests.Session.send is ours
    monkeypatch.setattr(requests.Session, "send", lambda *args, **more: ours(*args, **more))  # noqa: PLW0108
    uninstall()
    ask(requests.Session(), f"{pair.ours}/a")
    assert pair.baggage() == [("127.0.0.1", None)]
    monkeypatch.undo()
    uninstall()
    uninstall()
    assert requests.Session.send is _SEND


def test_the_hosts_exceptions_are_its_own(made, pair):
    """What the session raises passes through, untouched."""

    class Dies(requests.adapters.BaseAdapter):
        error = requests.ConnectionError("no")

        def send(self, *_, **__):
            raise self.error

        def close(self): ...

    session = made()
    session.mount("http://", Dies())
    with pytest.raises(requests.ConnectionError) as raised:
        ask(session, f"{pair.ours}/a")
    assert raised.value is Dies.error


@pytest.mark.parametrize("wrong", ["http://a", 7, requests])
def test_something_else_than_a_session_is_refused(wrong):
    """Said at once."""
    with pytest.raises(cx.ConfigurationError, match=r"a requests\.Session"):
        CX(wrong)
    with pytest.raises(cx.ConfigurationError, match=r"a requests\.Session"):
        CX().install()
