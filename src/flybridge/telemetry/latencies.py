"""How long steps take, from counts by class of time."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class StepLatency(Struct, frozen=True):
    """One step: `received` by source, `answered` and `delivered` by app and endpoint.

    Half of the `n` were at most `p50_s`, 99 of 100 at most `p99_s`, by the upper ends of classes of time. None: longer
    than the last class.
    """

    step: str
    name: str
    endpoint: str
    n: int
    p50_s: float | None
    p99_s: float | None


def latency_of(step: str, name: str, endpoint: str, bounds: Sequence[float], counts: Sequence[int]) -> StepLatency:
    """Return the latency of a step.

    `counts` has one class for each of `bounds`, and may have one more for what is longer.
    """
    return StepLatency(step, name, endpoint, sum(counts), quantile(bounds, counts, 0.5), quantile(bounds, counts, 0.99))


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Return the upper end of the class that holds this quantile; None for what is longer than all, or of nothing."""
    wanted, found = sum(counts) * share, 0
    for bound, n in zip(bounds, counts, strict=False):
        found += n
        if n and found >= wanted:
            return bound
    return None
