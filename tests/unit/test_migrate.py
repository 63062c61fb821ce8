"""Migrations are applied once, in order, whole or not at all."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from flybridge.errors import StoreUnavailable
from flybridge.store.migrate import Script, apply_sqlite, missing, scripts, statements

FIRST = Script(1, "first", "CREATE TABLE a (x);\nINSERT INTO a VALUES ('one; two');\n")
SECOND = Script(2, "second", "ALTER TABLE a ADD COLUMN y;")


@pytest.fixture
def db(tmp_path):
    """Return an empty database."""
    db = sqlite3.connect(tmp_path / "m.db", isolation_level=None)
    yield db
    db.close()


def test_each_is_applied_once_and_recorded(db):
    """A second start finds nothing to do, a later version only what is new."""
    assert apply_sqlite(db, [FIRST]) == 1
    assert apply_sqlite(db, [FIRST]) == 0
    assert apply_sqlite(db, [FIRST, SECOND]) == 1
    assert db.execute("SELECT x, y FROM a").fetchall() == [("one; two", None)]
    assert db.execute("SELECT number, name FROM migrations").fetchall() == [(1, "first"), (2, "second")]


def test_a_migration_that_fails_leaves_nothing(db):
    """Not the tables of those before it in the same start, and no open transaction."""
    broken = Script(2, "broken", "CREATE TABLE b (x);\nINSERT INTO nowhere VALUES (1);")
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        apply_sqlite(db, [FIRST, broken])
    assert db.execute("SELECT name FROM sqlite_master").fetchall() == []
    assert apply_sqlite(db, [FIRST]) == 1


def test_a_database_from_a_newer_version_is_refused_and_untouched(db):
    """The sentence names the migration and what to do."""
    apply_sqlite(db, [FIRST, SECOND])
    with pytest.raises(StoreUnavailable, match=r"002_second, and this version knows 1\. Install"):
        apply_sqlite(db, [FIRST])


def test_a_migration_of_another_name_is_refused():
    """Two versions that number differently never mix."""
    with pytest.raises(StoreUnavailable, match="001_other"):
        missing([FIRST], {1: "other"})


def test_what_is_missing_is_in_order():
    """Whatever was applied already."""
    assert missing([FIRST, SECOND], {}) == [FIRST, SECOND]
    assert missing([FIRST, SECOND], {1: "first"}) == [SECOND]


def test_two_starts_at_the_same_time_apply_once(tmp_path):
    """The second waits for the first and finds it done."""
    done = []

    def start() -> None:
        db = sqlite3.connect(tmp_path / "m.db", isolation_level=None, timeout=10)
        done.append(apply_sqlite(db, [FIRST, SECOND]))
        db.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [0, 0, 0, 2]


def test_files_are_read_in_order_and_others_ignored(tmp_path):
    """Only `NNN_name.sql` is a migration."""
    folder = tmp_path / "sqlite"
    folder.mkdir()
    for name in ("002_second.sql", "001_first.sql", "README.md", "notes.sql"):
        (folder / name).write_text("SELECT 1;")
    assert [(script.number, script.name) for script in scripts("sqlite", tmp_path)] == [(1, "first"), (2, "second")]


def test_a_gap_in_the_numbers_is_a_mistake_of_ours(tmp_path):
    """It is found when the tests run, not at a user's."""
    folder = tmp_path / "sqlite"
    folder.mkdir()
    (folder / "002_second.sql").write_text("SELECT 1;")
    with pytest.raises(ValueError, match="without gaps"):
        scripts("sqlite", tmp_path)


def test_the_packages_own_migrations_can_be_read():
    """They are part of the installed package."""
    assert scripts("sqlite")[0].name == "store"


def test_statements_are_split_where_sqlite_says():
    """Semicolons in strings, comments and triggers do not end one."""
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM a;\nEND;\n"
    assert list(statements(f"-- one; two\nSELECT ';';\n{trigger}SELECT 1")) == [
        "-- one; two\nSELECT ';';\n",
        trigger,
        "SELECT 1",
    ]
