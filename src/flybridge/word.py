"""Words of a fixed list, made to be counted and compared for every event."""

from __future__ import annotations

from enum import StrEnum


class Word(StrEnum):
    """One word of a list. Enum's own `value` and hash are functions in Python; `word` is plain text, the hash str's."""

    __hash__ = str.__hash__

    word: str
    """The text of it."""

    def __init__(self, word: str) -> None:
        self.word = word
