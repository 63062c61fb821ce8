"""The id of a worker, and the lock that makes it the only worker of a data directory."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from msgspec import Struct

from flybridge.errors import NotAvailable
from flybridge.system.private_files import private_directory, private_file

MOST_FORMER: Final = 20
"""More processes than this do not end one after the other, each before it has begun to send."""


class WorkerId(Struct, frozen=True):
    """The name of a worker in its leases.

    `alone`: no other process works on this inbox, so every lease in it is stale. `former` are the names of the last
    workers before, known to have ended: the one before may have ended before it took over what another had. Both let
    an embedded process take over leases at once; in a cluster a worker waits until they lapse.
    """

    name: str
    alone: bool = False
    former: tuple[str, ...] = ()


def shared_worker() -> WorkerId:
    """Return the id of one of several workers, with a unique name and no right to the leases of others."""
    return WorkerId(f"worker-{uuid4().hex}")


@contextmanager
def data_lock(data_dir: Path) -> Iterator[WorkerId]:
    """Lock a data directory for one worker. Raises `NotAvailable` if it can't be written, or another process has it.

    The system releases the lock when the process ends. The last names stay in the file, so that the next worker can
    take over their leases at once.
    """
    path = data_dir / "worker.lock"
    try:
        private_directory(data_dir)
        private_file(path)
    except OSError as problem:
        raise NotAvailable(
            "data_dir", f"{data_dir} can't be written: {problem.strerror}.", "Give it to the user of flybridge."
        ) from None
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NotAvailable(
                "data_dir", f"another flybridge works on {data_dir} already.", "Stop it, or use another directory."
            ) from None
        file.seek(0)
        former = tuple(file.read().split()[-MOST_FORMER:])
        owner = WorkerId(shared_worker().name, alone=True, former=former)
        file.truncate(0)
        file.write("\n".join((*former, owner.name)))
        file.flush()
        yield owner
