"""Files as Arrow batches of messages and keys: the same as an import takes, however often a task runs."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flybridge.clock import SystemClock
from flybridge.errors import FlybridgeError
from flybridge.flow import AppFlow, Flow
from flybridge.history.batches import COLUMNS, PATH, SPARK, map_files, take_batches
from flybridge.history.files import find_files
from flybridge.history.run import HistoryImport, ImportPlan
from flybridge.identity import Keyring
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Envelope

NOW = 1_780_000_000_000
APP = "com.example.shop"
FLOW = Flow({"shop": AppFlow(Rules(app="shop", platform="android"))}, Keyring(b"secret"))
NAMES = ["AppsFlyer ID", "Event Name", "Event Time", "Install Time", "Event Value"]
ROWS = [
    *[["1-1", "buy", "2025-03-02 10:00:00", "2025-03-01 10:00:00", 'a "b"'] for _ in range(3)],
    *[[f"1-{n}", "install", "2025-03-01 10:00:00", "2025-03-01 10:00:00", ""] for n in range(5)],
    ["1-2", "re-engagement", "2025-03-09 10:00:00", "2025-03-01 10:00:00", ""],
    ["1-2", "", "", "", ""],
]


def written(place: Path, kind: str) -> Path:
    """Write the rows as a file of one kind."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([NAMES, *ROWS])
    path = place / f"rows.{kind}"
    match kind:
        case "parquet":
            pq.write_table(pa.table(dict(zip(NAMES, map(list, zip(*ROWS, strict=True)), strict=True))), path)
        case "csv.gz":
            path.write_bytes(gzip.compress(text.getvalue().encode()))
        case _:
            path.write_text(text.getvalue() + "broken\n")
    return path


def mapped(*paths: Path) -> pa.Table:
    """Map files as a task does."""
    named = pa.RecordBatch.from_pydict({PATH: [str(path) for path in paths]})
    options = {"app": "shop", "app_id": APP, "flow": FLOW, "zone": "UTC", "now_ms": NOW, "by_attribution": False}
    return pa.Table.from_batches(map_files([named], **options))


async def taken(batches: list[pa.RecordBatch]) -> list[tuple[bytes, int, bool]]:
    """Return the messages that batches bring in."""
    found: list[Envelope] = []

    async def accept(envelope: Envelope) -> None:
        found.append(envelope)

    assert await take_batches(batches, "shop", accept, SystemClock()) == len(found)
    return [(one.body, one.ordinal, one.newest) for one in found]


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
async def test_batches_bring_in_what_an_import_does(tmp_path, kind):
    """Bodies, ordinals of equal rows, bad rows, and the newest conversion of each person."""
    path = written(tmp_path, kind)
    importing = HistoryImport(ImportPlan("shop", APP, find_files([str(path)]), "UTC"), tmp_path, SystemClock())
    await importing.survey()
    found: list[Envelope] = []

    async def accept(envelope: Envelope) -> None:
        found.append(envelope)

    await importing.take(accept)
    importing.close()
    table = mapped(path)
    rows = table.to_pylist()
    assert table.schema.names == list(COLUMNS)
    last = {}
    for row in rows:
        if row["conversion_ms"] is not None:
            last[row["person"]] = max(last.get(row["person"], 0), row["conversion_ms"])
    newest = [
        row["conversion_ms"] is not None and last[row["person"]] == row["conversion_ms"] for row in table.to_pylist()
    ]
    batches = table.append_column("newest", pa.array(newest)).to_batches()
    assert await taken(batches) == [(one.body, one.ordinal, one.newest) for one in found]
    assert sum(one.newest for one in found) == 5


def test_files_in_the_folder_of_another_app_have_no_messages(tmp_path):
    """As an import leaves them out."""
    of_apps = []
    for app in (APP, "com.example.other"):
        folder = tmp_path / f"t=inapps/dt=2025-03-02/h=1/app_id={app}"
        folder.mkdir(parents=True)
        of_apps.append(written(folder, "csv"))
    assert mapped(*of_apps).to_pylist() == mapped(of_apps[0]).to_pylist()


def test_keys_tell_events_from_their_copies_in_other_files(tmp_path):
    """Equal rows of a file are several events, and each is the same event in another file."""
    (tmp_path / "other").mkdir()
    one, two = written(tmp_path, "csv.gz"), written(tmp_path / "other", "parquet")
    rows = mapped(one, two, one).to_pylist()
    events = {(row["key"], row["key_ms"], row["ordinal"]) for row in rows}
    assert len(events) * 3 == len(rows) == 9 * 3
    assert {row["outcome"] for row in rows} == {"held until its user is known"}


def test_a_file_that_cant_be_read_fails_the_task(tmp_path):
    """The engine runs it again, or says so: half of a file is no result."""
    path = written(tmp_path, "csv.gz")
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(FlybridgeError, match="can't be read"):
        mapped(path)


def test_the_schema_for_spark_has_the_same_columns():
    """In Spark's words."""
    assert [one.split(" ")[0] for one in SPARK.split(", ")] == list(COLUMNS)
    assert "body binary" in SPARK
    assert "line bigint" in SPARK
