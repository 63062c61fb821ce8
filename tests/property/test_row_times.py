"""What an import has to know beforehand is the same whether rows are read whole or only their times."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flybridge.clock import SystemClock
from flybridge.history import column_blocks
from flybridge.history.files import find_files
from flybridge.history.raw_rows import RawRows
from flybridge.history.row_times import RowTimes
from flybridge.history.rows import BadRow, RawRow
from flybridge.history.run import HistoryImport, ImportPlan
from flybridge.history.survey import Survey

COLUMNS = ("AppsFlyer ID", "Event Name", "Event Time", "Install Time", "Event Value")
NAMES = ("buy", "install", "re-engagement", "uninstall", "", " ", "null", " install", "af_ad_revenue", '"two\nlines"')
TIMES = (
    *("2026-01-31 10:00:00", "2026-02-28 23:59:59", "2026-02-30 10:00:00", "2026-03-29 10:00:00.5", "", "null"),
    *("2026-04-31 10:00:00", "2024-02-29 10:00:00", "2026-12-31 24:00:00", "2007-12-28 10:00:00"),
    *("2026/01/05 10:00:00", "1999-01-05 10:00:00", "2099-12-28 23:59:59", "2026-01-05T10:00:00+14:00", "yesterday"),
)
ROW = st.tuples(
    st.sampled_from(("1-1", "1-2", "")),
    st.sampled_from(NAMES),
    st.sampled_from(TIMES),
    st.sampled_from(("2026-01-01 00:00:00", "")),
    st.sampled_from(("", '"{""a"":1}"', '"a,b"', '""', 'a"b', 'a"b,c"', '"a"b', '"a', "a\rb", "\0", "é")),
)
LINE = st.one_of(ROW.map(",".join), st.sampled_from(("", "broken", ",".join(COLUMNS), '"', "1-1,buy\udce9,,,")))
MORE = st.sampled_from(("", "Fraud Reason", "Skad Version", "Event Revenue EUR"))


def lines_as_rows(rows: RawRows) -> Iterator[RowTimes | RawRow | BadRow]:
    """Read every row."""
    return iter(rows)


async def surveyed(path: Path, zone: str) -> tuple[Survey, list[tuple[int, int]]]:
    """Return what is found out of a file, and the newest conversions."""
    plan = ImportPlan("shop", "com.example.shop", find_files([str(path)]), zone)
    with closing(HistoryImport(plan, path.parent, SystemClock())) as importing:
        survey = await importing.survey()
        return survey, importing._progress._db.execute("SELECT * FROM newest ORDER BY 1").fetchall()


@given(
    lines=st.lists(LINE, max_size=30),
    more=MORE,
    zone=st.sampled_from(("UTC", "UTC", "Europe/Berlin")),
    name=st.sampled_from(("january.csv", "clicks.csv", "installs_report.csv")),
    block=st.sampled_from((1, 200, 1 << 18)),
    separator=st.sampled_from((",", ",", ";", "|")),
)
@settings(max_examples=100)
async def test_a_survey_by_times_alone_finds_what_one_of_all_fields_does(*, lines, more, zone, name, block, separator):
    """Rows of any kind, in a file of any report, cut into blocks anywhere."""
    header = [*COLUMNS, more] if more else COLUMNS
    rows = [line + "," if more and line.count(",") == len(COLUMNS) - 1 else line for line in lines]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / name
        text = "\n".join([",".join(header), *rows]).replace(",", separator)
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with mock.patch.object(column_blocks, "BLOCK", block):
            found = await surveyed(path, zone)
        with mock.patch.object(RawRows, "timed", lines_as_rows):
            assert found == await surveyed(path, zone)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_ordinary_rows_are_not_read_one_by_one(tmp_path, ending):
    """Neither in-app events nor conversions."""
    rows = [f"1-{n},{'install' if n % 100 == 0 else 'buy'},2026-01-31 10:{n % 60:02}:00,," for n in range(1000)]
    path = tmp_path / "january.csv"
    path.write_text(ending.join([",".join(COLUMNS), *rows, ""]), newline="")
    plan = ImportPlan("shop", "com.example.shop", find_files([str(path)]), "UTC")
    with closing(HistoryImport(plan, tmp_path, SystemClock())) as importing:
        ((file, named),) = importing.ordered()
        found = list(RawRows(file, importing._zone, named).timed())
    assert [(type(one), one.rows, len(one.conversions)) for one in found] == [(RowTimes, 1000, 10)]


async def test_what_is_whole_of_a_broken_download_is_found_by_times_alone(tmp_path):
    """Up to the damage, and that there is damage."""
    rows = [
        f"1-{n},{'install' if n % 50 == 0 else 'buy'},2026-01-31 10:{n % 60:02}:00,,{n * 7919}" for n in range(3000)
    ]
    packed = gzip.compress("\n".join([",".join(COLUMNS), *rows]).encode())
    path = tmp_path / "january.csv.gz"
    path.write_bytes(packed[: len(packed) * 2 // 3])
    found = await surveyed(path, "UTC")
    assert found[0].problems
    assert found[0].rows > 1000
    with mock.patch.object(RawRows, "timed", lines_as_rows):
        assert found == await surveyed(path, "UTC")
