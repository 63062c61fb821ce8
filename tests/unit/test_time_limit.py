"""A time limit for many waits."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flybridge.web.server import TimeLimit

LIMIT_S = 0.4


async def ended(limit: TimeLimit, seconds: float | None) -> str:
    """Wait so long, or for ever, and tell how it ended."""
    try:
        return await limit.keep(asyncio.Event().wait() if seconds is None else asyncio.sleep(seconds, "in time"))
    except TimeoutError:
        return "late"


@settings(max_examples=8, deadline=None)
@given(waits=st.lists(st.sampled_from([0.0, 0.001, None]), max_size=30))
def test_each_wait_ends_as_it_would_alone(waits):
    """Those that end in time give their result, the others raise, whatever goes on beside them."""

    async def main() -> list[str]:
        limit = TimeLimit(LIMIT_S)
        return await asyncio.gather(*[ended(limit, seconds) for seconds in waits])

    assert asyncio.run(main()) == ["late" if seconds is None else "in time" for seconds in waits]


async def test_a_wait_that_begins_later_has_all_its_time():
    """The timer that ends the first one does not end the next, and comes back for it."""
    limit = TimeLimit(LIMIT_S)
    first = asyncio.create_task(ended(limit, None))
    await asyncio.sleep(LIMIT_S / 2)
    later = asyncio.create_task(ended(limit, None))
    assert await first == "late"
    assert not later.done()
    assert await later == "late"


async def test_a_task_may_wait_again_after_a_limit_was_reached():
    """What ended late leaves nothing behind."""
    limit = TimeLimit(LIMIT_S)
    assert [await ended(limit, seconds) for seconds in (None, 0.0, None, 0.0)] == ["late", "in time"] * 2
    assert asyncio.current_task().cancelling() == 0


async def test_a_task_that_others_cancel_is_cancelled():
    """The limit takes only its own cancellations for an end."""
    limit = TimeLimit(LIMIT_S)
    task = asyncio.create_task(ended(limit, None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_a_wait_raises_is_raised():
    """And it is over then."""

    async def fail() -> None:
        raise ValueError("no")

    limit = TimeLimit(LIMIT_S)
    with pytest.raises(ValueError, match="no"):
        await limit.keep(fail())
    await asyncio.sleep(2 * LIMIT_S)  # its timer fires, and finds nothing
