"""How far a command is that reads for long: a line that changes on a terminal, else a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from flybridge.cli.printing import visible
from flybridge.system.counted import span

if TYPE_CHECKING:
    from flybridge.history.files import RawFile

PLAIN_S: Final = 5.0
"""How often a line is printed without a terminal."""
TERMINAL_S: Final = 0.2
CLEAR: Final = "\r\x1b[K"


class Meter:
    """Shows on standard error how many of `what` were read, and of `files` which share, and how long the rest takes."""

    def __init__(self, what: str, files: Sequence[RawFile] = (), now: Callable[[], float] = time.monotonic) -> None:
        self._what, self._clock = what, now
        self._sizes = {file.name: file.size for file in files}
        self._size = sum(self._sizes.values())
        self._file, self._before, self._rows, self._now = "", 0, 0, 0
        self._begun, self._shown_s = now(), 0.0 if sys.stderr.isatty() else now()
        self._first: tuple[float, float] | None = None

    def show(self, file: RawFile, position: int, rows: int) -> None:
        """Show that so many rows of a file were read, up to a position in bytes."""
        if file.name != self._file:
            self._before += self._sizes.get(self._file, 0)
            self._rows += self._now
            self._file = file.name
        self._now = rows
        self.count(self._rows + rows, self._before + position)

    def count(self, rows: int, position: int = 0) -> None:
        """Show that so many rows were read at all."""
        moment, terminal = self._clock(), sys.stderr.isatty()
        share = min(position / self._size, 1.0) if self._size else 0.0
        if self._first is None:
            # What was read in an earlier run took no time of this one.
            self._first = moment, share
        if moment - self._shown_s < (TERMINAL_S if terminal else PLAIN_S):
            return
        self._shown_s = moment
        text = f"{rows:,} {self._what}, {rows / max(moment - self._begun, 0.001):,.0f} a second"
        if self._size:
            text += f", {share:.0%}{self._left(moment, share)}"
        sys.stderr.write(f"{CLEAR}{visible(text)}" if terminal else f"{visible(text)}\n")
        sys.stderr.flush()

    def _left(self, moment: float, share: float) -> str:
        """Return how long the rest takes, if that can be known."""
        assert self._first is not None
        since, first = self._first
        gained = share - first
        return f", {span(1000 * round((moment - since) / gained * (1 - share)))} left" if gained > 0.001 else ""

    def end(self) -> None:
        """Clear the line of a terminal."""
        if sys.stderr.isatty():
            sys.stderr.write(CLEAR)
            sys.stderr.flush()
