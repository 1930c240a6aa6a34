"""
Asking a store the questions, as routes and commands do.
"""

from __future__ import annotations

import pytest

from cxsdk.collector.questions.routes import answer


@pytest.fixture
def ask(store):
    """
    Ask *name* with parameters as text; return the answer.
    """

    def question(name, **query):
        return answer(store, name, {key: str(value) for key, value in query.items()})

    return question


@pytest.fixture
def names():
    """
    Return the customers of an answer by their ids.
    """

    def of(found):
        return [one["customer"]["id"] for one in found["customers"]]

    return of
