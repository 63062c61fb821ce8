"""Cells of performance: found and made for a whole batch, with few statements, whoever else makes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from flybridge.records import Dimensions
from flybridge.store.core.performance_cells import CellName, PerformanceCells
from flybridge.store.migrate import apply_sqlite, scripts
from flybridge.store.performance import OTHER
from flybridge.store.sqlite.tables import CELLS


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(":memory:", isolation_level=None)
    apply_sqlite(db, scripts("sqlite"))
    yield db
    db.close()


class Statements:
    """Runs statements and counts them. `rival` makes cells of `names` just before the first that makes some."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.n = 0
        self.rival: PerformanceCells | None = None
        self.names: Sequence[CellName] = ()

    def __call__(self, sql: str, values: Sequence[object]) -> Sequence[Any]:
        self.n += 1
        if self.rival is not None and sql.startswith("INSERT"):
            rival, self.rival = self.rival, None
            rival.cells(self.names)
        return self.db.execute(sql, values).fetchall()


def names(n: int, day: int = 20_000) -> list[CellName]:
    return [("shop", day + at % 3, Dimensions("event", f"e{at}", "tiktok", "", "", "", "DE", "ios")) for at in range(n)]


def test_batch_takes_few_statements(db: sqlite3.Connection) -> None:
    run = Statements(db)
    cells = PerformanceCells(run, CELLS)

    cells.cells(names(500))

    assert run.n < 70  # three for 64, and those that count the cells of three days; one by one it would be 2,000
    before = run.n
    ids = {name: cells.cell(*name) for name in names(500)}
    assert len(set(ids.values())) == 500
    assert all(cells.named(number) == name[1:] for name, number in ids.items())
    assert run.n == before


def test_what_is_there_is_found(db: sqlite3.Connection) -> None:
    first, second = PerformanceCells(Statements(db), CELLS), PerformanceCells(Statements(db), CELLS)
    first.cells(names(70))

    second.cells(names(90))

    assert [first.cell(*name) for name in names(90)] == [second.cell(*name) for name in names(90)]
    assert db.execute("SELECT count(*) FROM performance_cells").fetchone() == (90,)


def test_another_process_makes_some_at_the_same_time(db: sqlite3.Connection) -> None:
    run = Statements(db)
    run.rival, run.names = PerformanceCells(Statements(db), CELLS), names(40)
    rival, cells = run.rival, PerformanceCells(run, CELLS)

    cells.cells(names(70))

    assert [cells.cell(*name) for name in names(40)] == [rival.cell(*name) for name in names(40)]
    assert len({cells.cell(*name) for name in names(70)}) == 70


@pytest.mark.parametrize("together", [True, False])
def test_limit_is_exact(db: sqlite3.Connection, together: bool) -> None:
    cells = PerformanceCells(Statements(db), CELLS, max_cells=300)
    wanted = [("shop", 20_000, name[2]) for name in names(700)]
    for part in [wanted] if together else [wanted[:350], wanted[350:]]:
        cells.cells(part)

    found = [cells.named(cells.cell(*name))[1] for name in wanted]

    assert [one.event for one in found] == [name[2].event for name in wanted[:300]] + [OTHER] * 400
    assert db.execute("SELECT count(*) FROM performance_cells").fetchone() == (301,)


def test_what_is_organic_stays_so_beyond_the_limit(db: sqlite3.Connection) -> None:
    """No campaign has paid for it: among other sources it would lower the cost of an install."""
    cells = PerformanceCells(Statements(db), CELLS, max_cells=10)
    sources = [("shop", 20_000, Dimensions("install", "", source, "", "", "", country, "ios"))
               for country in ("DE", "FR") for source in ("organic", "tiktok", "restricted")]  # fmt: skip
    cells.cells([("shop", 20_000, name[2]) for name in names(10)])

    found = [cells.named(number)[1] for number in cells.cells(sources)]

    organic = Dimensions("install", "", "organic", OTHER, "", "", "", "")
    other = Dimensions("install", "", OTHER, "", "", "", "", "")
    assert found == [organic, other, other] * 2
    assert db.execute("SELECT count(*) FROM performance_cells").fetchone() == (12,)


@pytest.mark.parametrize("forestalled", [("dimensions",), ("performance_cells",), ("dimensions", "performance_cells")])
@pytest.mark.parametrize("n", [1, 70])
def test_another_process_is_a_statement_ahead(db: sqlite3.Connection, forestalled: Sequence[str], n: int) -> None:
    """It has made the dimensions and not yet the cells, or both, when this one comes to it."""

    def run(sql: str, values: Sequence[object]) -> Sequence[Any]:
        if any(sql.startswith(f"INSERT INTO {table} ") for table in forestalled):
            db.execute(sql, values)
        return db.execute(sql, values).fetchall()

    cells = PerformanceCells(run, CELLS)

    assert len(set(cells.cells(names(n)))) == n
    assert PerformanceCells(Statements(db), CELLS).cells(names(n)) == cells.cells(names(n))
