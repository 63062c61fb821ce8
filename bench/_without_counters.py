"""`flybridge serve` without performance counters: what `bench/insight.py` compares with."""

from __future__ import annotations

import flybridge.flow.postbacks
from flybridge.cli.app import main


def _nothing(*_: object, **__: object) -> None:
    """Count nothing."""


if __name__ == "__main__":
    flybridge.flow.postbacks.performance_of = _nothing  # type: ignore[assignment]
    main()
