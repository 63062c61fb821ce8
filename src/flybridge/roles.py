"""What one process does: take in, work, show people how things stand, or all of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct


class Part(StrEnum):
    """What a process does. All of them, unless it is told to do only one."""

    INTAKE = "intake"
    WORK = "work"
    CONSOLE = "console"


class Duties(Struct, frozen=True):
    """What a process does, and what it can't do it without: `needs_inbox` and `needs_store` decide `/readyz`.

    An intake without its inbox turns senders away, a worker without either has nothing to do, and a console that
    can't read the store has nothing to show; it shows what it can without the inbox.
    """

    name: str
    takes: bool
    works: bool
    shows: bool

    @property
    def needs_inbox(self) -> bool:
        """Return whether this process is of no use without the inbox."""
        return self.takes or self.works

    @property
    def needs_store(self) -> bool:
        """Return whether this process is of no use without the store. Otherwise it does not even open it."""
        return self.works or self.shows


EVERYTHING: Final = Duties("all", takes=True, works=True, shows=True)


def duties_of(only: Part | None) -> Duties:
    """Return the duties of a process that does only this part, or of one that does everything."""
    if only is None:
        return EVERYTHING
    return Duties(only.value, takes=only is Part.INTAKE, works=only is Part.WORK, shows=only is Part.CONSOLE)
