"""Numbers with their nouns, as people read them."""

from __future__ import annotations


def plural(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun. `many` is what stands for several, where an s after `one` will not do."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
