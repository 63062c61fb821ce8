"""Files and directories that only their owner may read, whatever the umask."""

from __future__ import annotations

import os
from pathlib import Path


def private_directory(path: Path) -> None:
    """Create a directory with mode 0700, and its parents as usual. One that exists keeps its mode."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)


def private_database(path: Path) -> None:
    """Create an SQLite file with mode 0600, or take other users' rights to one that exists and to its logs.

    SQLite gives new logs the mode of the file.
    """
    private_file(path)
    for log in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if log.exists():
            private_file(log)


def private_file(path: Path) -> None:
    """Create an empty file with mode 0600, or take other users' rights to one that exists."""
    # A file that exists is never opened here: closing any descriptor of a file releases all POSIX locks that the
    # process holds on it (https://sqlite.org/howtocorrupt.html, section 2.2), and another process would then delete the
    # log of a database that is in use.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
