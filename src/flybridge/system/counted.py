"""Numbers with their nouns, shares, and lengths of time, as people read them."""

from __future__ import annotations


def plural(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun. `many` is what stands for several, where an s after `one` will not do."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def percent(share: float, blank: str = "", digits: int = 0) -> str:
    """Return a share in percent; only nothing is 0% and only all is 100%. `blank` stands before the sign.

    `digits` are those after the point.
    """
    least = 10.0**-digits
    if 0 < share < least / 100:
        return f"<{blank}{least:.{digits}f}{blank}%"
    if 1 - least / 100 < share < 1:
        return f">{blank}{100 - least:.{digits}f}{blank}%"
    return f"{share * 100:.{digits}f}{blank}%"


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
