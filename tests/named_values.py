"""A store of named values in memory, for tests of what happens while nothing can be written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flybridge.errors import StoreUnavailable


class NamedValues:
    """What `Store` says of named values and of the confirmed time, on a disk that may be full."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.is_full = False

    async def put_state(self, name: str, value: bytes) -> None:
        """Keep a value. Raises `StoreUnavailable` if the disk is full."""
        if self.is_full:
            raise StoreUnavailable("The disk is full.")
        self.values[name] = value

    async def states(self, beginning: str) -> Sequence[tuple[str, bytes]]:
        """Return the values whose names begin so."""
        return [(name, value) for name, value in self.values.items() if name.startswith(beginning)]

    async def drop_states(self, names: Iterable[str]) -> None:
        """Drop values."""
        for name in names:
            self.values.pop(name, None)

    async def confirmed_ms(self) -> int:
        """Return 0: no time was confirmed."""
        return 0

    async def confirm(self, now_ms: int) -> None:
        """Confirm a time. Raises `StoreUnavailable` if the disk is full."""
        await self.put_state("confirmed_ms", b"")
