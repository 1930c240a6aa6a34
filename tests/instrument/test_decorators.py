"""
Decorators leave signature, return value and exception object alone, and record the outcome.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import Any

import pytest

import cxsdk as cx
from cxsdk.scope import current_interaction
from cxsdk.testing import Captured


class Declined(Exception):
    """A host's own exception."""


def test_function_keeps_its_result_and_signature(cx_events: Captured) -> None:
    """A decorated function returns the same object under the same signature."""
    result = object()

    @cx.interaction("checkout.pay", stage="order", customer=cx.arg("user_id"))
    def pay(user_id: str, cart: int = 3) -> object:
        """Pay."""
        return result

    assert result is pay("u1")
    assert "(user_id: 'str', cart: 'int' = 3) -> 'object'" == str(inspect.signature(pay))
    assert "Pay." == pay.__doc__
    event = cx_events.one("interaction")
    assert ("u1", "success", "order") == (
        event.data.customer.id,
        event.data.outcome,
        event.data.where.stage,
    )
    assert event.data.service.function.endswith("pay")


def test_exception_object_is_the_same(cx_events: Captured) -> None:
    """The exception that leaves is the one that was raised, with its cause and context."""
    cause = KeyError("x")
    raised = Declined("no")
    raised.__cause__ = cause

    @cx.interaction("checkout.pay", fails={Declined: "card_declined"}, customer=cx.arg("user"))
    def pay(user: str) -> None:
        raise raised

    with pytest.raises(Declined) as caught:
        pay("u1")

    assert raised is caught.value
    assert cause is caught.value.__cause__
    event = cx_events.one("interaction")
    assert ("failure", "card_declined") == (event.data.outcome, event.data.reason)
    assert event.data.error.type.endswith("Declined")


def test_coroutine_stays_a_coroutine_function(cx_events: Captured) -> None:
    """A decorated coroutine function is one still, and its interaction is ambient inside."""

    @cx.interaction("chat.ask", customer=cx.arg("user"))
    async def ask(user: str) -> str:
        await asyncio.sleep(0)
        cx.current().goal_met = "yes"
        return user

    assert inspect.iscoroutinefunction(ask)
    assert "u1" == asyncio.run(ask("u1"))
    assert "yes" == cx_events.one("interaction").data.goal_met


def test_cancellation_is_abandoned(cx_events: Captured) -> None:
    """A cancelled coroutine is an abandoned interaction, and the cancellation goes on."""

    @cx.interaction("chat.ask", customer=cx.arg("user"))
    async def ask(user: str) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(ask("u1"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert "abandoned" == cx_events.one("interaction").data.outcome


def test_generator_leaks_nothing_between_items(cx_events: Captured) -> None:
    """Between two items the caller's ambient interaction is its own, not the generator's."""
    seen: list[object] = []

    @cx.interaction("report.stream", customer=cx.arg("user"))
    def stream(user: str):  # noqa: ANN202
        seen.append(current_interaction.get())
        got = yield 1
        seen.append(current_interaction.get())
        yield got
        return "end"

    generator = stream("u1")
    assert inspect.isgeneratorfunction(stream)
    assert 1 == next(generator)
    assert current_interaction.get() is None
    assert "sent" == generator.send("sent")
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert "end" == stop.value.value
    assert seen[0] is not None
    assert seen[0] is seen[1]
    assert "success" == cx_events.one("interaction").data.outcome


def test_generator_gets_thrown_exceptions_and_close(cx_events: Captured) -> None:
    """throw() and close() reach the body; closing early is an abandoned interaction."""
    caught: list[BaseException] = []
    closed: list[bool] = []

    @cx.interaction("report.stream", customer=cx.arg("user"))
    def stream(user: str):  # noqa: ANN202
        try:
            try:
                yield 1
            except KeyError as error:
                caught.append(error)
                yield 2
        finally:
            closed.append(True)

    generator = stream("u1")
    next(generator)
    thrown = KeyError("x")
    assert 2 == generator.throw(thrown)
    assert [thrown] == caught
    generator.close()
    assert [True] == closed
    assert "abandoned" == cx_events.one("interaction").data.outcome


def test_async_generator_runs_its_steps_inside(cx_events: Captured) -> None:
    """An async generator's items arrive, and nothing is ambient between them."""

    @cx.interaction("report.stream", customer=cx.arg("user"))
    async def stream(user: str):  # noqa: ANN202
        for item in (1, 2):
            cx.current().attributes["last"] = item
            yield item

    async def main() -> list[int]:
        items = []
        async for item in stream("u1"):
            assert not cx.current()
            items.append(item)
        return items

    assert [1, 2] == asyncio.run(main())
    assert inspect.isasyncgenfunction(stream)
    assert {"app": {"last": 2}} == cx_events.one("interaction").data.ext


def test_methods_of_every_kind(cx_events: Captured) -> None:
    """Methods, class methods and static methods work, above or below the decorator."""

    class Shop:
        @cx.interaction("a", customer=cx.arg("user"))
        def method(self, user: str) -> object:
            return self

        @classmethod
        @cx.interaction("b", customer=cx.arg("user"))
        def inner(cls, user: str) -> object:
            return cls

        @cx.interaction("c", customer=cx.arg("user"))
        @classmethod
        def outer(cls, user: str) -> object:
            return cls

        @cx.interaction("d", customer=cx.arg("user"))
        @staticmethod
        def static(user: str) -> str:
            return user

    shop = Shop()
    assert shop is shop.method("u")
    assert Shop is shop.inner("u")
    assert Shop is Shop.outer("u")
    assert "u" == Shop.static("u")
    assert ["a", "b", "c", "d"] == cx_events.touchpoints()


def test_a_string_that_could_be_two_things_is_refused() -> None:
    """A literal customer on a decorator is refused with the two ways to say it."""
    with pytest.raises(cx.ConfigurationError, match=r"cx\.arg\('user_id'\)"):

        @cx.interaction("a", customer="user_id")
        def handler(user_id: str) -> None: ...


def test_a_missing_parameter_is_refused_at_decoration() -> None:
    """cx.arg() naming no parameter stops the import and lists what there is."""
    with pytest.raises(cx.ConfigurationError, match="it has: user_id, cart"):

        @cx.interaction("a", customer=cx.arg("user"))
        def handler(user_id: str, cart: int) -> None: ...


def test_a_wrong_touchpoint_is_refused_at_decoration() -> None:
    """A name that is no token stops the import, naming the field."""
    with pytest.raises(cx.InvalidEventError, match="touchpoint"):

        @cx.interaction("Not A Token")
        def handler() -> None: ...


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fails": {"ValueError": "x"}}, "exception classes"),
        ({"fails": [ValueError]}, "mapping"),
        ({"fails": {ValueError: "Not A Token"}}, "interaction.fails"),
        ({"ignore": ("ValueError",)}, "exception classes"),
        ({"classify": "x"}, "function"),
        ({"by": "dhl"}, r"cx\.partner"),
    ],
)
def test_what_shows_only_when_a_call_fails_is_checked_at_decoration(
    options: dict[str, Any], words: str
) -> None:
    """A wrong fails=, ignore=, classify= or by= stops the import, not a customer."""
    with pytest.raises(cx.CXError, match=words):
        cx.interaction("a", **options)(lambda: None)


@pytest.mark.parametrize("path", ["args", "kwargs.user"])
def test_a_parameter_that_gathers_others_is_refused(path: str) -> None:
    """It would never be found under that name."""
    with pytest.raises(cx.ConfigurationError, match="gathers"):

        @cx.interaction("a", customer=cx.arg(path))
        def handler(*args: object, **kwargs: object) -> None: ...


class Task:
    """As job queues make one of a function."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def __call__(self) -> None:
        self.run()


Task.__module__ = "celery.app.task"


def _enqueued() -> None: ...


_enqueued.delay = lambda: None  # type: ignore[attr-defined]


@pytest.mark.parametrize("task", [Task(print), _enqueued], ids=["object", "function"])
def test_the_wrong_order_on_a_task_is_refused(task: Any) -> None:
    """Workers call what is inside of a task: over it, nothing would ever be recorded."""
    with pytest.raises(cx.ConfigurationError, match="stand below its decorator"):
        cx.interaction("a")(task)


def test_objects_and_partials_are_what_they_run(cx_events: Captured) -> None:
    """An async __call__ and a partial of a coroutine are inside the interaction while they run."""

    class Handler:
        async def __call__(self, user: str) -> Any:
            await asyncio.sleep(0)
            return cx.current()

    async def ask(greeting: str, user: str) -> Any:
        await asyncio.sleep(0)
        return cx.current()

    for body in (Handler(), functools.partial(ask, "hello")):
        handler = cx.interaction("a", customer=cx.arg("user"))(body)
        assert inspect.iscoroutinefunction(handler)
        seen = asyncio.run(handler(user="u1"))  # type: ignore[arg-type]
        assert cx_events.pop().data.interaction_id == seen.interaction_id


def test_a_class_is_refused() -> None:
    """A decorated class is a mistake of order and is refused."""
    with pytest.raises(cx.ConfigurationError, match="function or method"):
        cx.interaction("a")(dict)


@pytest.mark.parametrize(
    ("path", "value"),
    [("request.user.pk", "u7"), ("request.session", {"id": "s"})],
)
def test_dotted_paths_reach_into_the_arguments(
    cx_events: Captured, path: str, value: object
) -> None:
    """A dotted path follows attributes and keys; a missing step means nobody."""

    class User:
        pk = "u7"

    class Request:
        user = User()
        session = None

    @cx.interaction("a", customer=cx.arg(path))
    def handler(request: Request) -> None: ...

    with cx.scope(customer="fallback"):
        handler(Request())
    wanted = "u7" if path.endswith("pk") else "fallback"
    assert wanted == cx_events.one("interaction").data.customer.id


def test_ignored_exceptions_are_no_interaction(cx_events: Captured) -> None:
    """An exception in ignore= passes through and records nothing."""

    @cx.interaction("a", customer=cx.arg("user"), ignore=(Declined,))
    def handler(user: str) -> None:
        raise Declined

    with pytest.raises(Declined):
        handler("u")
    assert [] == cx_events


def test_decorated_before_init_is_a_plain_call() -> None:
    """Without init a decorated function just runs."""

    @cx.interaction("a", customer=cx.arg("user"))
    def handler(user: str) -> str:
        assert cx.current().interaction_id
        return user

    assert "u" == handler("u")


def test_nested_interactions_restore_the_outer_one(cx_events: Captured) -> None:
    """The inner interaction is ambient only while it is open."""
    with cx.scope(customer="u"), cx.interaction("outer") as outer:
        with cx.interaction("inner") as inner:
            assert inner is cx.current()
        assert outer is cx.current()
    assert not cx.current()
    assert ["inner", "outer"] == cx_events.touchpoints()
