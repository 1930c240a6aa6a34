"""
Bodies that are produced after their handler has returned belong to its interaction.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys

import pytest

import cxsdk as cx
from cxsdk.instrument.bodies import Ambient, Body, kept_open
from cxsdk.scope import current_interaction, current_scope


class Chunks:
    """
    An iterable with a ``close``, as PEP 3333 has them.
    """

    def __init__(self, *chunks):
        self._chunks = chunks
        self.closed = 0

    def __iter__(self):
        return iter(self._chunks)

    def close(self):
        self.closed += 1


def handler(chunks, customer="u1"):
    """Return a body from within an interaction, as a host's handler does."""
    with cx.scope(customer=customer), cx.interaction("export.read"):
        return cx.wrap(chunks)


def outcomes(events):
    return [(e.data.outcome, e.data.error.type if e.data.error else "") for e in events]


def test_an_interaction_ends_with_the_last_chunk(cx_events):
    """Not when the handler returns; and each chunk passes as it comes."""
    made = []

    def chunks():
        for number in range(3):
            made.append(number)
            yield number

    body = handler(chunks())
    assert (made, list(cx_events)) == ([], [])
    assert (next(body), made) == (0, [0])
    assert list(body) == [1, 2]
    assert outcomes(cx_events) == [("success", "")]
    assert list(body) == []
    body.close()
    assert len(cx_events) == 1


def test_each_step_is_inside_and_between_them_nothing_is(cx_events):
    """The handler's scope and interaction are those of its generator, never of who reads it."""
    seen = []

    def chunks():
        for _ in range(2):
            cx.current().goal_met = "yes"
            seen.append((current_scope.get().who[0], cx.current().interaction_id))
            yield b"x"

    body = handler(chunks())
    with cx.scope(customer="other"):
        next(body)
        between = (current_scope.get().who[0], current_interaction.get())
        assert between == ("other", None)
        assert list(body) == [b"x"]
    event = cx_events.one("interaction")
    assert seen == [("u1", event.data.interaction_id)] * 2
    assert (event.data.customer.id, event.data.goal_met) == ("u1", "yes")
    assert current_scope.get() is current_interaction.get() is None


@pytest.mark.parametrize("read", [0, 1])
def test_a_body_that_is_closed_early_is_abandoned(read, cx_events):
    """The host's own ``close`` is called, once for each call of a server."""
    chunks = Chunks(b"a", b"b")
    body = handler(chunks)
    for _ in range(read):
        next(body)
    body.close()
    assert outcomes(cx_events) == [("abandoned", "")]
    assert chunks.closed == 1


def test_a_body_that_is_let_go_of_is_abandoned(cx_events):
    """Servers that never close what they do not read to its end."""
    body = handler([b"a", b"b"])
    next(body)
    del body
    gc.collect()
    assert outcomes(cx_events) == [("abandoned", "")]


def test_what_a_body_raises_comes_out_and_is_the_outcome(cx_events):
    """The very object; a failure of the interaction, also where ``close`` comes after it."""
    error = ZeroDivisionError("in the middle")

    def chunks():
        yield b"a"
        raise error

    body = handler(chunks())
    next(body)
    with pytest.raises(ZeroDivisionError) as caught:
        next(body)
    body.close()
    assert caught.value is error
    assert outcomes(cx_events) == [("failure", "ZeroDivisionError")]


def test_a_close_that_fails_comes_out_and_the_interaction_is_over(cx_events):
    """It is the host's own; nothing stays open."""

    class Broken(Chunks):
        def close(self):
            raise OSError("cannot close")

    body = handler(Broken(b"a"))
    with pytest.raises(OSError, match="cannot close"):
        body.close()
    assert outcomes(cx_events) == [("abandoned", "")]


def test_a_handler_that_fails_after_wrapping_has_failed(cx_events):
    """Its body never gets out, so the exception ends the interaction."""
    with (
        pytest.raises(ZeroDivisionError),
        cx.scope(customer="u1"),
        cx.interaction("export.read"),
    ):
        body = cx.wrap([b"a"])
        raise ZeroDivisionError
    del body
    assert outcomes(cx_events) == [("failure", "ZeroDivisionError")]


def test_async_bodies_are_the_same(cx_events):
    """Measured to the end, inside of the scope, abandoned where they are closed."""
    seen, closed = [], []

    async def chunks():
        try:
            for number in range(3):
                await asyncio.sleep(0)
                seen.append(current_scope.get().who[0])
                yield number
        finally:
            closed.append(current_scope.get().who[0])

    async def read():
        whole = [each async for each in handler(chunks())]
        body = handler(chunks(), customer="u2")
        first = await anext(body)
        await body.aclose()
        return [*whole, first]

    assert asyncio.run(read()) == [0, 1, 2, 0]
    assert seen == ["u1"] * 3 + ["u2"]
    assert closed == ["u1", "u2"]
    assert outcomes(cx_events) == [("success", ""), ("abandoned", "")]
    assert [event.data.customer.id for event in cx_events] == ["u1", "u2"]


def test_async_bodies_that_fail_or_cannot_be_closed(cx_events):
    """What they raise comes out; an iterable without ``aclose`` is left as it is."""

    class Fails:
        def __aiter__(self):
            return self

        async def __anext__(self):
            raise ZeroDivisionError

    class Endless(Fails):
        async def __anext__(self):
            return b"x"

    async def read():
        with pytest.raises(ZeroDivisionError):
            await anext(handler(Fails()))
        body = handler(Endless())
        assert await anext(body) == b"x"
        await body.aclose()

    asyncio.run(read())
    assert outcomes(cx_events) == [("failure", "ZeroDivisionError"), ("abandoned", "")]


def test_a_cancelled_reader_has_abandoned_it(cx_events):
    """The server ends the task in the middle of a chunk."""

    async def chunks():
        yield b"a"
        await asyncio.Event().wait()

    async def read():
        body = handler(chunks())
        await anext(body)
        task = asyncio.ensure_future(anext(body))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(read())
    assert outcomes(cx_events) == [("abandoned", "")]


def test_where_nothing_is_open_a_body_is_left_as_it_is():
    """The same object, so that nobody pays for what has no use."""
    chunks = [b"a"]
    assert cx.wrap(chunks) is chunks


def test_a_scope_alone_is_kept_for_a_body(cx_events):
    """What the body says is of the customer, and no interaction is made up."""

    def chunks():
        cx.record("row.sent")
        yield b"a"

    with cx.scope(customer="u1"):
        body = cx.wrap(chunks())
    assert list(body) == [b"a"]
    body.close()
    assert cx_events.one("interaction").data.customer.id == "u1"


def test_a_body_that_closes_itself_leaves_nobody_behind(cx_events):
    """The thread it ran in serves somebody else next."""

    class Chunks:
        def __iter__(self):
            return self

        def __next__(self):
            if body is not None:
                body.close()
            raise StopIteration

        def close(self):
            """As PEP 3333 has it."""

    body = None
    with cx.scope(customer="u1"):
        with cx.interaction("page.visit"):
            body = kept_open(Chunks())
    assert list(body) == []
    assert (current_scope.get(), current_interaction.get()) == (None, None)


LEFT = """
import builtins
import cxsdk as cx
from cxsdk.instrument.bodies import Ambient, Body
from cxsdk.testing import capture

cx.init("shop", collector="memory:")
with capture(), cx.interaction("a.b", customer="u-1"):
    pass  # of what a first event loads nothing is left to be imported
begun = cx.interaction("a.b", customer="u-1").__enter__()
builtins.left = Body(iter([1, 2]), Ambient(), begun.end)
next(builtins.left)
"""


def test_a_body_that_is_left_when_the_interpreter_goes_down():
    """No thread can be begun then, and a process must not wait for one."""
    command = [sys.executable, "-c", LEFT]
    # The order in which modules go differs from run to run.
    left = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(12)]
    try:
        assert [each.wait(60) for each in left] == [0] * 12
    finally:
        for each in left:
            each.kill()
            each.communicate()


def test_the_end_of_a_body_is_told_once():
    """Read to its end, closed by the server and let go of: one end, the first."""
    told = []
    body = Body(iter([1]), Ambient(), told.append)
    assert list(body) == [1]
    body.close()
    del body
    assert told == [None]
