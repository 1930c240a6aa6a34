"""
The collector as a provider: what is asked, and what its answers mean.
"""

from __future__ import annotations

import json

import pytest
import respx

from cxsdk.errors import ConfigurationError, ProviderError
from cxsdk.knowing import ErrorCode, LookupRequest, Subject
from cxsdk.lookup import CollectorProvider
from tests.lookup.providers.sources import request

AT = "http://cx.example:4180/context"


@pytest.fixture
def provider():
    """A provider of a collector."""
    made = CollectorProvider("http://cx.example:4180", api_key="k3y")
    yield made
    made.close()


def answer(*customers):
    return {"customers": list(customers)}


@respx.mock
def test_the_question_is_one_post(provider):
    """Customers with their spaces, sections, their limits, and the purpose."""
    told = [
        {"id": "p-1", "space": "id", "sections": {}},
        {"id": "v-1", "space": "anonymous", "sections": {}},
    ]
    route = respx.post(AT).respond(json=answer(*told))
    subjects = (Subject("p-1"), Subject("v-1", "anonymous"))
    asked = LookupRequest(
        subjects=subjects,
        sections=frozenset({"profile", "interactions", "weather"}),
        purpose="marketing",
        deadline=request().deadline,
        limits={"interactions": 20, "weather": 3},
    )
    assert provider.fetch(asked) == {"p-1": {}, "v-1": {}}
    (call,) = route.calls
    assert call.request.headers["authorization"] == "Bearer k3y"
    assert json.loads(call.request.content) == {
        "customers": [{"id": "p-1", "space": "id"}, {"id": "v-1", "space": "anonymous"}],
        "sections": ["interactions", "profile"],
        "limits": {"interactions": 20},
        "purpose": "marketing",
    }


@respx.mock
def test_the_answer_has_ages(provider):
    """Value, moment and whether there is more; others than those asked about are left out."""
    said = {"value": [{"id": "i-1"}], "as_of": "2026-11-20T10:00:00+00:00", "truncated": True}
    respx.post(AT).respond(
        json=answer(
            {"id": "p-1", "space": "anonymous", "sections": {"interactions": {"value": [1]}}},
            {"id": "p-2", "space": "id", "sections": {"interactions": said}},
            {
                "id": "p-1",
                "space": "id",
                "sections": {"interactions": said, "problems": {"value": []}, "consent": {}},
            },
        )
    )
    with pytest.raises(ProviderError, match="another form"):
        provider.fetch(request("p-1", sections=("interactions", "consent")))
    found = provider.fetch(request("p-1", sections=("interactions",)))
    assert set(found) == {"p-1"}
    (found,) = found["p-1"].values()
    assert (found.value, found.truncated) == ([{"id": "i-1"}], True)
    assert found.as_of.isoformat() == "2026-11-20T10:00:00+00:00"


@pytest.mark.parametrize(
    "body", [{}, [], {"customers": {}}, {"customers": [{"id": "p-1"}]}, answer()]
)
@respx.mock
def test_an_answer_of_another_form_is_an_error(provider, body):
    """A customer who is not mentioned was not looked up: that is not nothing."""
    respx.post(AT).respond(json=body)
    with pytest.raises(ProviderError) as caught:
        provider.fetch(request("p-1"))
    assert caught.value.error_code == ErrorCode.PARSE_ERROR


@respx.mock
def test_a_collector_that_has_no_context_is_an_error(provider):
    """An older one answers 404, which is not that nobody is known."""
    respx.post(AT).respond(404)
    with pytest.raises(ProviderError) as caught:
        provider.fetch(request("p-1"))
    assert caught.value.error_code == ErrorCode.UPSTREAM_4XX


def test_it_takes_ids_as_events_carry_them(provider):
    """Both kinds, fifty at a time, and all typed sections."""
    assert (provider.takes, provider.spaces, provider.max_batch) == (
        "wire",
        ("id", "anonymous"),
        50,
    )
    assert provider.sections == {
        *("identity", "profile", "consent"),
        *("interactions", "feedback", "problems", "commitments", "reactions"),
    }


@pytest.mark.parametrize("url", ["cx.example", "http://cx.example/?x=1", "memory:"])
def test_a_wrong_address_is_said_at_once(url):
    """The error names the field."""
    with pytest.raises(ConfigurationError, match=r"collector\.url"):
        CollectorProvider(url)
