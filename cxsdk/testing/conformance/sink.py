"""
What every `Sink` must do: one test for each numbered guarantee of the Protocol.

Subclass it in a test module::

    class TestMySink(SinkConformance):
        secrets = ("s3cret",)

        def make_sink(self):
            return MySink("mine://somewhere", token="s3cret")

The more of the optional ``make_…`` methods a subclass has, the more is tested.
"""

from __future__ import annotations

import abc
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from cxsdk.typing import Batch, Delivered, Record, Retry, SendResult, Sink

__all__ = ["SinkConformance"]


def _record(number: int) -> Record:
    payload = b'{"specversion":"1.0","id":"e%d","source":"urn:test","type":"t"}' % number
    return Record(payload=payload, lane="bulk", kind=0)


class SinkConformance(abc.ABC):
    """
    Tests of guarantees 1 to 7.
    """

    secrets: Sequence[str] = ()
    """What the sinks were given and must not show."""

    max_seconds: float = 15.0
    """How long one `send` may take, whatever the destination does."""

    @abc.abstractmethod
    def make_sink(self) -> Sink:
        """
        Return an open sink whose destination is well.
        """

    def received(self) -> list[bytes] | None:
        """
        Return every payload the destination of `make_sink` has got; None: nobody can look.
        """
        return None

    def expected(self, batch: Batch) -> list[bytes]:
        """
        Return what `received` says once *batch* arrived: its payloads as they are. A sink that
        speaks another form says here what is to be recognised of each event, such as its id.
        """
        return [record.payload for record in batch.records]

    def make_mute_sinks(self) -> Sequence[Sink]:
        """
        Return sinks whose destinations never say that they took anything: no answer, a hang-up,
        an HTML page, a redirect.
        """
        return ()

    def make_hanging_sink(self) -> Sink | None:
        """
        Return a sink whose destination takes a connection and says nothing; None: not possible.
        """
        return None

    @pytest.fixture
    def sink(self) -> Iterator[Sink]:
        """
        Make, then close, a sink.
        """
        made = self.make_sink()
        yield made
        made.close()

    def make_batch(self, size: int = 3) -> Batch:
        """
        Return a batch of small events.
        """
        return Batch(records=tuple(_record(number) for number in range(size)), key="k1")

    @pytest.mark.parametrize("size", [1, 3, 200])
    def test_1_send_returns_a_result(self, sink: Sink, size: int) -> None:
        """
        A destination that is well takes batches of any size, and `send` says so.
        """
        assert isinstance(sink, Sink)
        result = sink.send(self.make_batch(size))
        assert isinstance(result, Delivered), f"expected Delivered, got {result!r}"

    def test_2_send_is_back_in_time(self) -> None:
        """
        A destination that hangs does not hang the sender.
        """
        sink = self.make_hanging_sink()
        if sink is None:
            pytest.skip("this sink has no destination that could hang")
        began = time.monotonic()
        result = sink.send(self.make_batch())
        took = time.monotonic() - began
        sink.close()
        assert isinstance(result, SendResult)
        assert took < self.max_seconds

    def test_3_delivered_is_said_by_the_destination(self) -> None:
        """
        Silence, an HTML page and a redirect are not taken for a yes.
        """
        sinks = self.make_mute_sinks()
        if not sinks:
            pytest.skip("this sink has no destination that could answer wrongly")
        for sink in sinks:
            result = sink.send(self.make_batch())
            sink.close()
            assert isinstance(result, SendResult)
            assert not isinstance(result, Delivered), f"{sink!r} took silence for a yes"

    def test_4_the_batch_is_sent_as_it_is(self, sink: Sink) -> None:
        """
        Every payload arrives once, unchanged and in order, and the batch is left alone.
        """
        batch = self.make_batch(20)
        before = [record.payload for record in batch.records]
        assert isinstance(sink.send(batch), Delivered)
        assert [record.payload for record in batch.records] == before
        received = self.received()
        if received is not None:
            assert received == self.expected(batch)

    def test_5_close_is_idempotent_and_final(self, sink: Sink) -> None:
        """
        `close` may be called twice, and `send` after it is a `Retry`.
        """
        sink.close()
        sink.close()
        assert isinstance(sink.send(self.make_batch()), Retry)

    def test_6_close_may_come_from_another_thread(self) -> None:
        """
        `close` during a `send` neither hangs nor breaks it.
        """
        sink = self.make_hanging_sink() or self.make_sink()
        results: list[Any] = []
        sender = threading.Thread(target=lambda: results.append(sink.send(self.make_batch())))
        sender.start()
        sink.close()
        sender.join(self.max_seconds)
        assert not sender.is_alive()
        assert isinstance(results[0], SendResult)

    def test_7_nothing_secret_is_shown(self, sink: Sink) -> None:
        """
        Neither fingerprint, `repr` nor any result holds a secret; the fingerprint is stable.
        """
        again = self.make_sink()
        assert sink.fingerprint == again.fingerprint
        again.close()
        shown = [sink.fingerprint, repr(sink), repr(sink.send(self.make_batch()))]
        for mute in self.make_mute_sinks():
            shown += [mute.fingerprint, repr(mute), repr(mute.send(self.make_batch()))]
            mute.close()
        for secret in self.secrets:
            assert not [text for text in shown if secret in text]
