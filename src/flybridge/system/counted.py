"""Numbers with their nouns, and lengths of time, as people read them."""

from __future__ import annotations


def plural(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun. `many` is what stands for several, where an s after `one` will not do."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def span(ms: int) -> str:
    """Return a duration in its two largest units, without a second that is 0."""
    seconds = max(0, ms) // 1000
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if minutes < 60:
        return f"{minutes} min"
    parts = (f"{hours} h", minutes % 60, "min") if hours < 48 else (f"{days} d", hours % 24, "h")
    return f"{parts[0]} {parts[1]} {parts[2]}" if parts[1] else parts[0]
