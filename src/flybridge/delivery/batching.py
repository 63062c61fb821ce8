"""How leased deliveries become requests: by count, by bytes, in order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec import Struct

from flybridge.delivery.exchange import Limits
from flybridge.records import Delivery

Batch = Sequence[Delivery]
T = TypeVar("T")


class Load(Struct):
    """Items for one request, and until when they are leased.

    `again` marks a part of a request that is sent again at once.
    """

    items: Sequence[Delivery]
    deadline_ms: int
    again: bool = False


def pack(deliveries: Iterable[Delivery], limits: Limits, size: Callable[[Delivery], int]) -> Iterator[Batch]:
    """Pack every delivery into exactly one request, in the order given.

    A request holds at most `max_items`, and at most `max_bytes` unless one item alone is larger: that is sent
    all the same, because only the vendor can say that it is too large. An item marked `split` goes alone.
    """
    batch: list[Delivery] = []
    filled = 0
    for delivery in deliveries:
        added = size(delivery)
        full = len(batch) >= limits.max_items or filled + added > limits.max_bytes
        if batch and (full or delivery.split):
            yield batch
            batch, filled = [], 0
        batch.append(delivery)
        filled += added
        if delivery.split:
            yield batch
            batch, filled = [], 0
    if batch:
        yield batch


def halve(batch: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Divide a batch of two or more in the middle, in order."""
    if len(batch) < 2:
        raise ValueError("a batch of one item can't be halved")
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]
