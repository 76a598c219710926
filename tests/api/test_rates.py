from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from codecove.api.rates import RateLimits
from codecove.clock import now
from codecove.errors import RateLimited
from codecove.workspaces import Caller, Quotas


def caller(limit: int | None, workspace: str = "one") -> Caller:
    return Caller(workspace_id=workspace, key_id="apikey_one", quotas=Quotas(requests_per_minute=limit))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_as_many_as_the_quota_in_any_minute() -> None:
    clock = Clock()
    rates = RateLimits(clock)
    for _ in range(3):
        rates.admit(caller(3))
        clock.now += 10
    with pytest.raises(RateLimited) as refused:
        rates.admit(caller(3))
    assert refused.value.retry_after == 30
    clock.now += 30
    rates.admit(caller(3))
    with pytest.raises(RateLimited) as refused:
        rates.admit(caller(3))
    assert refused.value.retry_after == 10


def test_workspaces_do_not_share_a_quota_and_may_have_none() -> None:
    rates = RateLimits(Clock())
    rates.admit(caller(1))
    rates.admit(caller(1, "other"))
    for _ in range(1000):
        rates.admit(caller(None, "third"))


def test_a_key_is_held_to_its_own_quota_and_its_workspaces() -> None:
    clock = Clock()
    rates = RateLimits(clock)
    hasty = replace(caller(3), key_quotas=Quotas(requests_per_minute=2))
    other = replace(caller(3), key_id="apikey_two")
    for remaining in (1, 0):
        rates.admit(hasty)
        standing = rates.standing(hasty)
        assert standing is not None
        assert (standing.limit, standing.remaining) == (2, remaining)
    with pytest.raises(RateLimited, match="This key"):
        rates.admit(hasty)
    # What was refused did not count, neither here nor there.
    rates.admit(other)
    with pytest.raises(RateLimited, match="This workspace"):
        rates.admit(other)
    standing = rates.standing(other)
    assert standing is not None
    assert (standing.limit, standing.remaining) == (3, 0)
    assert rates.standing(caller(None)) is None


def test_the_headers_say_when_all_of_the_quota_is_there_again() -> None:
    rates, begun = RateLimits(Clock()), now()
    rates.admit(caller(3))
    standing = rates.standing(caller(3))
    assert standing is not None
    headers = standing.headers()
    assert headers["anthropic-ratelimit-requests-limit"] == "3"
    assert headers["anthropic-ratelimit-requests-remaining"] == "2"
    reset = datetime.fromisoformat(headers["anthropic-ratelimit-requests-reset"])
    assert timedelta(seconds=60) <= reset - begun < timedelta(seconds=62)


def test_a_quota_that_is_lowered_holds_at_once() -> None:
    clock = Clock()
    rates = RateLimits(clock)
    for _ in range(4):
        rates.admit(caller(4))
        clock.now += 1
    with pytest.raises(RateLimited) as refused:
        rates.admit(caller(1))
    assert refused.value.retry_after == 59
    with pytest.raises(RateLimited):
        rates.admit(caller(0))
