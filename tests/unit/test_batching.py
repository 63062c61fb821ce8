"""How deliveries are packed into requests."""

import pytest

from flybridge.delivery.batching import halve, pack
from flybridge.delivery.exchange import Limits
from flybridge.records import Delivery


def item(number: int, size: int = 10, split: bool = False) -> Delivery:
    """Return a delivery of that many bytes."""
    return Delivery(number, "a", "e", "i", "t", b"x" * size, None, None, 0, 0, split, 0)


def size(delivery: Delivery) -> int:
    """Count the body's bytes."""
    return len(delivery.body)


def ids(*items: Delivery, limits: Limits) -> list[list[int]]:
    """Pack, and give the ids of each request."""
    return [[delivery.id for delivery in batch] for batch in pack(items, limits, size)]


def test_requests_are_full_by_count() -> None:
    """The last one takes what is left."""
    assert ids(*(item(n) for n in range(5)), limits=Limits(2, 1000, 1)) == [[0, 1], [2, 3], [4]]


def test_requests_are_full_by_bytes() -> None:
    """Exactly the limit still fits."""
    assert ids(item(0, 50), item(1, 50), item(2, 1), limits=Limits(9, 100, 1)) == [[0, 1], [2]]


def test_an_item_above_the_limit_goes_alone() -> None:
    """Only the vendor can say that it is too large."""
    assert ids(item(0), item(1, 500), item(2), limits=Limits(9, 100, 1)) == [[0], [1], [2]]


def test_a_split_item_goes_alone_and_keeps_its_place() -> None:
    """A request that held it was too large, so nobody shares its next one."""
    assert ids(item(0), item(1), item(2, split=True), item(3), limits=Limits(9, 100, 1)) == [[0, 1], [2], [3]]


def test_nothing_gives_no_request() -> None:
    """An empty lease sends nothing."""
    assert ids(limits=Limits(9, 100, 1)) == []


def test_halves_keep_order_and_are_never_empty() -> None:
    """Three become one and two."""
    assert halve([item(1), item(2), item(3)]) == ([item(1)], [item(2), item(3)])
    with pytest.raises(ValueError, match="one item"):
        halve([item(1)])
