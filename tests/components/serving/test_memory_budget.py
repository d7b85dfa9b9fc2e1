"""What requests take and give back."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from components.serving.errors import ServingError
from components.serving.memory import Budget, Share


def refusal(share: Share, num_bytes: int) -> grpc.StatusCode:
    with pytest.raises(ServingError) as caught:
        share.take(num_bytes)
    return caught.value.code


def test_shares_together_stay_within_the_budget_and_come_back() -> None:
    budget = Budget(10)
    with budget.share() as first, budget.share() as second:
        first.take(4)
        second.take(5)
        assert refusal(second, 2) == grpc.StatusCode.UNAVAILABLE
        assert refusal(second, 6) == grpc.StatusCode.RESOURCE_EXHAUSTED
        first.take(1)
        assert budget.held_bytes == 10
    assert budget.held_bytes == 0


def test_what_a_thread_wants_after_the_end_of_its_request_is_not_taken() -> None:
    budget = Budget(10)
    with budget.share() as share:
        share.take(4)
    assert refusal(share, 1) == grpc.StatusCode.CANCELLED
    assert budget.held_bytes == 0


def test_large_shares_that_end_one_after_the_other_are_given_back() -> None:
    async def hold() -> None:
        for _ in range(3):
            with budget.share() as share:
                share.take(100 << 20)

    budget = Budget(100 << 20)
    asyncio.run(hold())
    assert budget.held_bytes == 0
