"""
The three levels of the spool keep the Protocol's guarantees.
"""

from cxsdk._clock import SystemClock
from cxsdk.config import SpoolOptions
from cxsdk.spool import open_spool
from cxsdk.testing.conformance.spool import SpoolConformance


def make(mode, tmp_path, **options):
    settings = {"min_free_bytes": 0, "directory": tmp_path / "root", **options}
    return open_spool(
        SpoolOptions(mode=mode, **settings),
        service="shop",
        environment="test",
        fingerprints={"default": "here", "second": "there"},
        clock=SystemClock(),
    )


class TestMapped(SpoolConformance):
    def make_spool(self, tmp_path):
        return make("mmap", tmp_path)


class TestMappedSmall(SpoolConformance):
    """Segments so small that every test rolls over many of them."""

    def make_spool(self, tmp_path):
        return make("mmap", tmp_path, segment_bytes=400, max_segment_bytes=400)


class TestWritten(SpoolConformance):
    def make_spool(self, tmp_path):
        return make("write", tmp_path)


class TestMemory(SpoolConformance):
    def make_spool(self, tmp_path):
        return make("memory", tmp_path)

    def make_small_spool(self, tmp_path):
        return make("memory", tmp_path, memory_bytes=5000, memory_events=30)
