"""In whose name a process works: alone on a directory, or as one of many on shared servers."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from msgspec import Struct

from flybridge.errors import ConfigError


class Owner(Struct, frozen=True):
    """The name that stands in this process' leases.

    `alone`: nobody else works here, so that every lease of the inbox is left over. `former` is the worker before,
    known to be gone. Both let an embedded process go on at once where one of many waits until leases lapse.
    """

    name: str
    alone: bool = False
    former: str | None = None


def one_of_many() -> Owner:
    """Return a name that no other process has, and no right to touch what others have leased."""
    return Owner(f"worker-{uuid4().hex}")


@contextmanager
def claimed(data_dir: Path) -> Iterator[Owner]:
    """Claim a data directory as its only worker. Raises `errors.ConfigError` if somebody else is.

    The lock ends with the process, however it ends; then what the former worker had leased can be taken back at
    once instead of when the leases lapse. The name stays in the file, for the next worker.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "worker.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                "data_dir", f"another flybridge works on {data_dir} already.", "Stop it, or use another directory."
            ) from None
        file.seek(0)
        owner = Owner(one_of_many().name, alone=True, former=file.read().strip() or None)
        file.truncate(0)
        file.write(owner.name)
        file.flush()
        yield owner
