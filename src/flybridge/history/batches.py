"""Files as Arrow batches of their messages and keys, mapped in many processes and brought in by one.

`map_files` is for engines that spread batches over machines: Spark's `mapInArrow`, Ray, Dask. It reads whole files,
because the equal rows of a file are counted together, and has no effect but what it returns, so that a task may be run
again. `take_batches` brings the messages into the inbox, in one process: what it takes twice is a duplicate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from flybridge.appsflyer.raw_report import TAKEN, is_conversion, report_named
from flybridge.clock import Clock
from flybridge.flow import Flow
from flybridge.history.equal_rows import EqualRows, person_of, stable_hash
from flybridge.history.files import find_files
from flybridge.history.progress import Progress
from flybridge.history.raw_rows import RawRows
from flybridge.history.rows import BadRow, RawRow, Zone, dated, happened_ms, is_of_app, is_path_of_app
from flybridge.history.survey_outcomes import outcome_of
from flybridge.history.take import Accept, keep, letter_of, pages
from flybridge.records import Envelope, Media, Source

PAGE: Final = 2000
PATH: Final = "path"
"""The column that names files, one a row, in what `map_files` is given."""
COLUMNS: Final[Mapping[str, str]] = {
    "file": "string",
    "line": "int64",
    "report": "string",
    "media": "string",
    "body": "binary",
    "key": "binary",
    "key_ms": "int64",
    "ordinal": "int64",
    "outcome": "string",
    "person": "int64",
    "conversion_ms": "int64",
}
"""What `map_files` returns, with types of Arrow.

`key` with `key_ms` or `ordinal` tells an event from others, as in `records.Filing`; rows with the same three are one
event. `person` is a hash, and `conversion_ms` is null unless the row is a conversion: for `take_batches` the last
conversion of a person is marked in a column `newest`.
"""
SPARK: Final = ", ".join(f"{name} {'bigint' if kind == 'int64' else kind}" for name, kind in COLUMNS.items())
"""The same as Spark writes a schema."""


def map_files(
    batches: Iterable[Any], *, app: str, app_id: str, flow: Flow, zone: str | None, now_ms: int, by_attribution: bool
) -> Iterator[Any]:
    """Read the files that batches name, and yield batches of their messages with `COLUMNS`.

    Raises `FlybridgeError` for a file that can't be read, or not to its end.
    """
    with TemporaryDirectory() as place, closing(Progress(Path(place) / "equal.db")) as progress:
        for batch in batches:
            for path in batch.column(PATH).to_pylist():
                for file in find_files([path]):
                    is_mine = is_path_of_app(file.name, app_id)
                    rows = RawRows(file, Zone(zone) if zone else None, report_named(file.name, app_id))
                    with closing(progress.counting(by_attribution=by_attribution)) as equal:
                        for page in pages(_messages(rows, app_id) if is_mine else (), PAGE):
                            yield _batch(_mapped(page, file.name, flow, equal, app=app, now_ms=now_ms))


def _messages(rows: Iterable[RawRow | BadRow], app_id: str) -> Iterator[RawRow | BadRow]:
    for read in rows:
        if isinstance(read, RawRow) and not is_of_app(read.fields, app_id):
            continue
        row = read if isinstance(read, BadRow) else dated(read)
        if isinstance(row, BadRow) or row.report in TAKEN:
            yield row


def _mapped(
    page: Sequence[RawRow | BadRow], file: str, flow: Flow, equal: EqualRows, *, app: str, now_ms: int
) -> Iterator[tuple[Any, ...]]:
    ordinals = iter(equal.ordinals([row.fields for row in page if isinstance(row, RawRow)]))
    envelopes = []
    for row in page:
        if isinstance(row, BadRow):
            envelopes.append(Envelope(app, Source.FILE, Media.ROW, now_ms, letter_of(file, row)))
        else:
            ordinal = next(ordinals)
            envelopes.append(Envelope(app, Source.FILE, Media.JSON, now_ms, row.body, ordinal=ordinal))
    for row, filing in zip(page, flow.filings(envelopes), strict=True):
        envelope = filing.envelope
        fields = {} if isinstance(row, BadRow) else row.fields
        yield (
            file,
            row.number,
            "" if isinstance(row, BadRow) else row.report.word,
            envelope.media.word,
            envelope.body,
            filing.key,
            filing.key_ms,
            envelope.ordinal,
            outcome_of(filing.decision),
            None if (person := person_of(fields)) is None else stable_hash(person),
            happened_ms(fields) if is_conversion(fields) else None,
        )


def _batch(rows: Iterable[tuple[Any, ...]]) -> Any:
    import pyarrow  # noqa: PLC0415 - an extra

    columns = zip(*rows, strict=True)
    types = [getattr(pyarrow, kind)() for kind in COLUMNS.values()]
    arrays = [pyarrow.array(values, type_) for values, type_ in zip(columns, types, strict=True)]
    return pyarrow.RecordBatch.from_arrays(arrays, names=list(COLUMNS))


async def take_batches(batches: Iterable[Any], app: str, accept: Accept, clock: Clock) -> int:
    """Bring the messages of batches into the inbox. Returns how many there were."""
    taken = 0
    for batch in batches:
        names = batch.schema.names
        newest = batch.column("newest").to_pylist() if "newest" in names else [False] * batch.num_rows
        now_ms = clock.now_ms()
        envelopes = [
            Envelope(app, Source.FILE, Media(media), now_ms, body, "", ordinal, bool(is_newest))
            for media, body, ordinal, is_newest in zip(
                *(batch.column(name).to_pylist() for name in ("media", "body", "ordinal")), newest, strict=True
            )
        ]
        await keep(accept, envelopes)
        taken += len(envelopes)
    return taken
