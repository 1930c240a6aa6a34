"""
Every event of the golden corpus, and facts made on the spot.
"""

import json

import pytest

from cxsdk.events.codec import decode
from cxsdk.events.mappings._fact import read
from tests.events.golden import FOLDER, event

CORPUS = sorted(FOLDER.glob("*-*-*/*.json"))


def pytest_generate_tests(metafunc):
    if "golden" in metafunc.fixturenames:
        metafunc.parametrize("golden", CORPUS, ids=lambda path: path.stem, indirect=True)


@pytest.fixture
def golden(request):
    """One event of the corpus, as bytes."""
    payload = request.param.read_bytes()
    decode(payload)
    return payload


@pytest.fixture
def fact():
    def make(family, action, data, **envelope):
        return read(json.dumps(event(family, action, data, **envelope)).encode())

    return make
