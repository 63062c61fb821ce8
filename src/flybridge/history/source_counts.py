"""Counts of events by media source, of which the largest are named and all others are counted together.

What comes as a media source is not bounded, and a search for gaps may be of months: only so many counts are held.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

NAMED: Final = 20
"""How many media sources are named at most."""
HELD: Final = 50_000
"""How many counts are held at most, if those of all sources together are not more."""
OTHERS: Final = "(other)"
"""The sources that are not named. AppsFlyer's own names have no brackets."""

Key = tuple[str, ...]


class SourceCounts:
    """Counts by a key of words and a media source.

    As long as no more than `held` counts are needed, the named sources are exactly the largest. Beyond, the smaller
    half of those that are named is counted with the others, and so is every source that comes later.
    """

    def __init__(self, named: int = NAMED, held: int = HELD) -> None:
        self._most_named, self._held = named, held
        self._counts: Counter[tuple[Key, str]] = Counter()
        self._named: frozenset[str] | None = None

    def add(self, key: Key, source: str) -> None:
        """Count an event."""
        if self._named is not None and source not in self._named:
            source = OTHERS
        self._counts[key, source] += 1
        if len(self._counts) > self._held and self._named != frozenset():
            self._name_at_most(len(self._sources()) // 2)

    def largest(self) -> list[tuple[Key, str, int]]:
        """Return the counts in their order, with the sources that are named in the end."""
        if len(self._sources()) > self._most_named:
            self._name_at_most(self._most_named)
        return [(key, source, n) for (key, source), n in sorted(self._counts.items())]

    def _sources(self) -> Counter[str]:
        sources: Counter[str] = Counter()
        for (_, source), n in self._counts.items():
            sources[source] += n
        del sources[OTHERS]
        return sources

    def _name_at_most(self, named: int) -> None:
        largest = sorted(self._sources().items(), key=lambda one: (-one[1], one[0]))[:named]
        self._named = frozenset(source for source, _ in largest)
        counts: Counter[tuple[Key, str]] = Counter()
        for (key, source), n in self._counts.items():
            counts[key, source if source in self._named else OTHERS] += n
        self._counts = counts
