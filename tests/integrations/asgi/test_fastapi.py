"""
FastAPI: routers that are opted in, dependencies, errors of validation.
"""

import asyncio
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Request,
    WebSocket,
    WebSocketException,
)
from starlette.middleware.sessions import SessionMiddleware

import cxsdk as cx
from cxsdk.errors import ConfigurationError
from cxsdk.integrations import as_interaction, serving
from cxsdk.integrations.fastapi import (
    CX,
    CustomerContext,
    Offer,
    Suppressed,
    customer,
    interactions,
    known,
    offered,
)
from cxsdk.lookup import CallableProvider
from cxsdk.testing.conformance._driving import Ask, acall
from tests.integrations.asgi.apps import KEY
from tests.integrations.asgi.test_starlette import easy

U1 = {"x-user": "u1"}


def ask(app, path, method="GET", **how):
    return asyncio.run(acall(app, Ask(path, method, **how)))


def by_header(request):
    return request.headers.get("x-user")


# ---- opting in ----------------------------------------------------------------------------------


def test_the_pages_that_document_an_api_are_nobodys(cx_events):
    """A rule for everything is one for what the team wrote, by its route as it stands there."""
    app = FastAPI()

    @app.get("/files/{name:path}")
    async def file(name: str):
        return name

    CX(app, interactions=[{"route": "/files/{name:path}"}, {"route": "*"}], customer=by_header)
    for path in ("/docs", "/redoc", "/openapi.json", "/files/a/b"):
        assert ask(app, path, headers=U1).status == 200
    assert [event.data.where.touchpoint for event in cx_events] == ["files.name"]


def test_a_router_is_opted_in_by_a_dependency(cx_events):
    """Its prefix is in the touchpoint; marks and decorators of handlers are nearer."""
    router = APIRouter(prefix="/cases", dependencies=[interactions(stage="support")])
    app = FastAPI()

    @router.get("/{case}")
    async def read(case: int):
        return cx.current().interaction_id

    @router.post("")
    @as_interaction("case.open", stage="onboard")
    async def create():
        return 1

    @router.delete("/{case}")
    @cx.interaction("case.close", stage="leave")
    def close(case: int):
        return 1

    @app.get("/other")
    async def other():
        return 1

    app.include_router(router, prefix="/v1")
    CX(app, customer=by_header)
    first = ask(app, "/v1/cases/7", headers=U1)
    ask(app, "/v1/cases", "POST", headers=U1)
    ask(app, "/v1/cases/7", "DELETE", headers=U1)
    ask(app, "/other", headers=U1)
    said = [(e.data.where.touchpoint, e.data.where.stage) for e in cx_events]
    assert said == [
        ("v1.cases.case", "support"),
        ("case.open", "onboard"),
        ("case.close", "leave"),
    ]
    assert first.text == f'"{cx_events[0].data.interaction_id}"'
    assert (cx_events[0].data.where.channel, cx_events[0].data.where.medium) == ("api", "unknown")


def test_one_inclusion_or_one_route_is_opted_in(cx_events):
    """The same router included twice is one where it says so; what is nearest holds."""
    router = APIRouter()

    @router.get("/a")
    async def a():
        return 1

    @router.get("/b", dependencies=[interactions("b.own")])
    async def b():
        return 1

    app = FastAPI()
    app.include_router(router, prefix="/in", dependencies=[interactions(stage="bill")])
    app.include_router(router, prefix="/out")
    CX(app, customer=by_header)
    for path in ("/in/a", "/in/b", "/out/a", "/out/b"):
        ask(app, path, headers=U1)
    said = [(e.data.where.touchpoint, e.data.where.stage) for e in cx_events]
    assert said == [("in.a", "bill"), ("b.own", None), ("b.own", None)]


def test_a_wrong_fact_stops_the_import():
    """As everywhere, by name."""
    with pytest.raises(ConfigurationError, match="stage"):
        interactions(stage=7)


def test_only_an_application_of_fastapi_is_taken():
    """The one of Starlette takes others."""
    with pytest.raises(ConfigurationError, match="FastAPI"):
        CX(APIRouter())


# ---- who ----------------------------------------------------------------------------------------


def signed_in(x_user: Annotated[str, Header()]):
    """Say who it is, in a thread of the pool as FastAPI runs what is not async."""
    serving(x_user, assurance="verified")
    return x_user


async def asigned_in(x_user: Annotated[str, Header()]):
    serving(x_user, assurance="verified")
    return x_user


@pytest.mark.parametrize("dependency", [signed_in, asigned_in])
def test_who_a_dependency_serves_is_the_customer_of_the_whole_request(dependency, cx_events):
    """Also outwards, although a thread has a context of its own."""
    app = FastAPI(dependencies=[Depends(dependency), interactions()])

    @app.get("/x")
    async def x(who: Annotated[Any, Depends(customer)]):
        return who

    CX(app)
    assert ask(app, "/x", headers=U1).text == '"u1"'
    assert cx_events.one("interaction").data.customer.id == "u1"


def test_outside_of_an_application_nobody_is_served():
    """The dependency can be called anywhere."""
    assert asyncio.run(customer()) is None


def test_what_is_known_is_a_dependency(cx_events):
    """A context of the sections that are named, of whom an earlier dependency serves."""
    crm = CallableProvider("crm", ("profile",), lambda who: {"profile": {"name": f"Anna {who}"}})
    client = cx.init("desk", collector="null:", context=cx.ContextOptions(providers=[crm]))
    app = FastAPI(dependencies=[Depends(signed_in)])

    @app.get("/x")
    async def x(context: Annotated[CustomerContext, known("profile", timeout=5.0)]):
        return [context.customer, context.profile.name, context.problems.reason]

    CX(app)
    assert ask(app, "/x", headers=U1).text == '["u1","Anna u1","not_requested"]'
    client.close(0)


def test_an_offer_is_a_dependency_and_json():
    """After what was done in an earlier request of the session; else it says why not."""
    app = FastAPI()
    client = cx.init("desk", collector="null:", prompts=easy())

    @app.post("/pay")
    @as_interaction("checkout.pay")
    async def pay():
        return "paid"

    @app.get("/ask")
    async def asked(offer: Annotated[Offer | Suppressed, offered("effort")]):
        return offer.as_json() if offer else offer.reason

    @app.get("/begin")
    async def begin(request: Request):
        request.session["x"] = 1

    app.add_middleware(SessionMiddleware, secret_key=KEY)
    CX(app, customer=by_header)
    begun = ask(app, "/begin").cookie
    before = ask(app, "/ask", headers={**U1, "cookie": begun})
    paid = ask(app, "/pay", "POST", headers={**U1, "cookie": begun})
    after = ask(app, "/ask", headers={**U1, "cookie": paid.cookie})
    assert before.text == '"trigger_mismatch"'
    assert '"easy"' in after.text
    client.close(0)


def test_a_handler_that_yields_its_events_is_measured_to_the_last_one(cx_events):
    """Server-sent events as FastAPI itself makes them."""
    sse = pytest.importorskip("fastapi.sse", reason="this FastAPI has no events of its own")
    app = FastAPI(dependencies=[interactions()])

    @app.get("/x", response_class=sse.EventSourceResponse)
    async def x():
        for _ in range(3):
            yield {"interaction": cx.current().interaction_id}

    CX(app, customer=by_header)
    reply = ask(app, "/x", headers=U1)
    event = cx_events.one("interaction")
    assert reply.text.count(event.data.interaction_id) == 3
    assert event.data.outcome == "success"


# ---- how it ended -------------------------------------------------------------------------------


def test_statuses_of_the_framework_are_the_outcome(cx_events):
    """422 of a wrong parameter and an HTTPException are not the service's failure."""
    app = FastAPI(dependencies=[interactions()])

    @app.get("/n/{n}")
    async def n(n: int):
        raise HTTPException(403)

    @app.get("/dep")
    def dep(x: Annotated[Any, Depends(broken)]):
        return x

    CX(app, customer=by_header)
    said = [ask(app, path, headers=U1).status for path in ("/n/x", "/n/1", "/dep")]
    found = [(e.data.outcome, e.data.error.type) for e in cx_events]
    assert said == [422, 403, 500]
    assert found == [("unknown", "422"), ("unknown", "403"), ("failure", "ZeroDivisionError")]


def broken():
    return 1 / 0


def converse(app, path):
    """Begin a conversation and say nothing; return what the application sent."""
    sent, waiting = [], [{"type": "websocket.connect"}]

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "path": path, "headers": [(b"x-user", b"u1")]}
    scope |= {"query_string": b"", "subprotocols": [], "state": {}, "scheme": "ws"}
    asyncio.run(app(scope, receive, send))
    return sent


def test_the_description_of_the_api_is_the_same():
    """Nothing of ours is in the OpenAPI document, but what the host's dependencies declare."""

    def make():
        app = FastAPI()

        @app.get("/x", dependencies=[interactions()])
        def x(context: Annotated[CustomerContext, known()]) -> str:
            return "x"

        return app

    ours, plain = make(), FastAPI()

    @plain.get("/x")
    def x() -> str:
        return "x"

    CX(ours)
    assert ours.openapi() == plain.openapi()


def test_codes_of_the_framework_are_the_outcome_of_a_conversation(cx_events):
    """Parameters that do not fit, and an exception that says a code, are not the service's failure."""
    app = FastAPI(dependencies=[interactions()])

    @app.websocket("/x/{n}")
    async def x(websocket: WebSocket, n: int):
        if n:
            await websocket.accept()
        if n < 2:
            raise WebSocketException(1008)
        raise WebSocketException(1011)

    CX(app, customer=by_header)
    sent = [converse(app, f"/x/{n}") for n in ("none", "0", "1", "2")]
    assert [each[-1].get("code") for each in sent] == [1008, 1008, 1008, 1011]
    assert [(e.data.outcome, e.data.error.type) for e in cx_events] == [
        ("unknown", "403"),
        ("unknown", "403"),
        ("unknown", "1008"),
        ("failure", "1011"),
    ]


def test_a_websocket_of_a_router_is_one_interaction(cx_events):
    """From the handshake until its handler returns; dependencies opt it in as well."""
    router = APIRouter(prefix="/chat", dependencies=[interactions("chat.live", medium="chat")])

    @router.websocket("/{case}")
    async def chat(websocket: WebSocket, case: int):
        await websocket.accept()
        cx.current().goal_met = "yes"
        await websocket.close()

    app = FastAPI()
    app.include_router(router)
    CX(app, customer=by_header)
    sent = [message["type"] for message in converse(app, "/chat/1")]
    data = cx_events.one("interaction").data
    assert sent == ["websocket.accept", "websocket.close"]
    assert (data.where.touchpoint, data.where.medium) == ("chat.live", "chat")
    assert (data.outcome, data.goal_met) == ("success", "yes")
