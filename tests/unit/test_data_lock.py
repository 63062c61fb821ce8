"""In whose name a process works: alone on a directory, or as one of many on shared servers."""

from __future__ import annotations

import os

import pytest

from flybridge.config.settings import Config, loads
from flybridge.errors import NotAvailable
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.records import Envelope, Media, Source
from flybridge.roles import Role, roles_of
from flybridge.sealing import Seal
from flybridge.service.backends import worker_id_of
from flybridge.service.data_lock import MOST_FORMER, data_lock
from flybridge.store.sqlite.store import SqliteStore

CONFIG = """
data_dir = "./data"
secret = "a secret of sixteen characters"
{cluster}
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
route = "http_v2"

[apps.appsflyer]
push_token = "push-token"

[apps.amplitude]
api_key = "key"
"""


def config(tmp_path, cluster: str = "") -> Config:
    """Return a configuration whose data directory is not made yet."""
    return loads(CONFIG.format(cluster=cluster), tmp_path, {})


def test_on_a_directory_there_is_one_owner_who_knows_those_before(tmp_path):
    """While it works a second is refused; the next one may take back at once what it had."""
    with data_lock(tmp_path / "data") as first:
        assert (first.alone, first.former) == (True, ())
        with pytest.raises(NotAvailable, match="works on"), data_lock(tmp_path / "data"):
            pass
    with worker_id_of(config(tmp_path)) as second:
        assert (second.alone, second.former) == (True, (first.name,))
        assert second.name != first.name
    names = [first.name, second.name]
    for _ in range(MOST_FORMER):
        with data_lock(tmp_path / "data") as owner:
            assert owner.former == tuple(names[-MOST_FORMER:])
            names.append(owner.name)


def test_on_shared_servers_everybody_is_one_of_many(tmp_path):
    """Any number at once, each with a name of its own, none with a right to what others have leased."""
    shared = config(tmp_path, '[cluster]\nnats = ["nats://127.0.0.1:4222"]\npostgres = "postgresql://127.0.0.1/x"\n')
    with worker_id_of(shared) as first, worker_id_of(shared) as second:
        assert first.name != second.name
        for owner in (first, second):
            assert (owner.alone, owner.former) == (False, ())
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("only", "does", "needs"),
    [
        (None, (True, True, True), (True, True)),
        (Role.INTAKE, (True, False, False), (True, False)),
        (Role.WORK, (False, True, False), (True, True)),
        (Role.CONSOLE, (False, False, True), (False, True)),
    ],
)
def test_a_process_needs_what_its_part_needs(only, does, needs):
    """Doors, work, pages; inbox, store. A load balancer is told about these, and of nothing else."""
    roles = roles_of(only)
    assert (roles.takes, roles.works, roles.shows) == does
    assert (roles.needs_inbox, roles.needs_store) == needs


@pytest.mark.parametrize("former", [0o000, 0o022, 0o077])
async def test_data_is_private_whatever_the_umask(tmp_path, former):
    """Directory, lock, databases and their logs, also those that an earlier version left readable."""
    umask = os.umask(former)
    try:
        data = tmp_path / "data"
        seal = Seal(b"a secret of sixteen characters")
        for _ in range(2):
            with data_lock(data):
                inbox, store = SqliteInbox(data / "inbox.db", seal), SqliteStore(data / "store.db", seal)
                await inbox.open()
                await store.open()
                await inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, 1, b"{}"))
                modes = {path.name: path.stat().st_mode & 0o777 for path in data.iterdir()}
                assert {"worker.lock", "inbox.db", "inbox.db-wal", "store.db", "store.db-wal"} <= set(modes)
                assert set(modes.values()) == {0o600}
                await inbox.close()
                await store.close()
            assert data.stat().st_mode & 0o777 == 0o700
            for path in data.iterdir():
                path.chmod(0o644)
    finally:
        os.umask(umask)


def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path):
    """A file stands in its place."""
    (tmp_path / "file").write_text("")
    with pytest.raises(NotAvailable, match="can't be written"), data_lock(tmp_path / "file" / "data"):
        pass
