"""A dry run finds the same whether rows are read and mapped whole or only some of their columns are."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from empty_stores import write_empty_store
from flybridge.clock import SystemClock
from flybridge.errors import FlybridgeError
from flybridge.flow import AppFlow, Flow
from flybridge.history import column_blocks
from flybridge.history.column_prospects import Prospects
from flybridge.history.equal_rows import IDENTITY
from flybridge.history.files import find_files
from flybridge.history.raw_rows import RawRows
from flybridge.history.rows import UTC_TIMES, BadRow, RawRow
from flybridge.history.run import HistoryImport, ImportPlan
from flybridge.history.survey import Survey
from flybridge.identity import Keyring
from flybridge.mapping.conditions import Condition
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Envelope, Media, Source
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore

NOW_MS = 1_790_000_000_000
APP = "com.example.shop"
DEVICE = "49ad1e5c-aaaa-4b2a-9d1e-1f2a3b4c5d6e"
DEEP = '{"a":' * 35 + "1" + "}" * 35
VALUES = {
    "AppsFlyer ID": ["1700000000000-1234567", "1-2", "1-2 ", "", "null", "0", "0-0", "\u00e4-1", "x" * 300],
    "Event Name": [
        *("buy", "af_purchase", "excluded", "install", "reinstall", "re-engagement", "re-attribution", "uninstall"),
        *("af_uninstall", " buy", " install", "", "b" * 1030, "N/A", "caf\u00e9", "af_ad_revenue", "session_start"),
    ],
    "Event Time": [
        *("2025-03-02 10:00:00", "2025-03-02 10:00:01", "2025-03-02T10:00:00", "2025-03-02 10:00:00.500", "", "soon"),
        *("2025-02-30 10:00:00", "1999-01-01 00:00:00", "2025-04-02 10:00:00", "20250302T10:00:00.1"),
    ],
    "Install Time": ["2025-03-02 10:00:00", "2025-03-01 10:00:00", "2025-03-02 10:00:00.250", "", "never"],
    "Event Value": [
        *("", '{"a":1,"b":[2.50,"x"]}', '{"b":[2.5,"x"],"a":1}', "{}", "text", '{"a":', '"{}"', "null", DEEP),
        *(f'{{"amplitude_device_id":"{DEVICE}"}}', '{"amplitude_device_id":"x"}', '{"Amplitude_Device_ID":"abcdef"}'),
        *('{"n":123456789012345678901}', '[{"a":1}]', '{"a":"' + "\u00e4" * 1100 + '"}'),
    ],
    "Event Revenue": ["", "1", "1.0", "9.99", "16.215379822015236", "1,50", "-3", "-0", "-16.25", "- 1", "nan", "1e3"],
    "Event Revenue Currency": ["", "EUR", "eur", "EU", "None", "\u20ac"],
    "Is Primary Attribution": ["", "true", "false", "TRUE", "1"],
    "Media Source": ["", "tiktok", "restricted", "organic", "Dropped", " tiktok "],
    "Campaign": ["", "spring; sale", 'say "x"', "two\nlines", "  ", " null ", "c" * 1100],
    "Is Retargeting": ["", "true", "false", "maybe"],
    "Retargeting Conversion Type": ["", "re-engagement", "re-attribution"],
    "Conversion Type": ["", "install", "reinstall", "re-engagement"],
    "Attributed Touch Type": ["", "click", "impression"],
    "Customer User ID": ["", "ann", "customer-4711", '"quoted-user"', "u" * 1100],
    "Custom Data": [
        *("", f'{{"amplitude_device_id":"{DEVICE}"}}', '{"amplitude_device_id":""}', '{"x":1}', "{}", "a=b&c=d"),
        *(f"amplitude_device_id={DEVICE}", '{"amplitude_user_id":"customer-1"}', '{"amplitude_device_id":7}', "{"),
        *("[]", '{"amplitude_device_id":"Optional(abcdef)"}', '{"AMPLITUDE_DEVICE_ID":"abcdefg"}', "nothing"),
    ],
    "Event Source": ["SDK", "S2S", "s2s "],
    "IDFA": ["", "AEBE52E7-03EE-455A-B3C4-E57283966239"],
    "App ID": [APP, "", "com.example.other", APP.upper()],
    "Platform": ["android", "Android", "", "ios"],
    "Monetization Network": ["", "", "mopub"],
    "Blocked Reason": ["", "", "bots"],
    "Event Type": ["", "", "in-app-event", "install"],
    "GDPR Applies": ["", "true", "no"],
    "Skad Version": ["", "3.0"],
    "Event Time Selected Timezone": ["", "2025-03-02 12:00:00+0200"],
    "Install Time Selected Timezone": ["", "2025-03-02 12:00:00+0200"],
    "Unknown Column": ["", "x", 'a"b'],
}
"""Values for each column: the first ones are plain, and others are all that may be in their place."""
USUAL = tuple(VALUES)[:19]
RULES = [
    Rules(app="shop", platform="android", app_id=APP, exclude=("excluded",), restrictions={"dropped": "drop"}),
    Rules(app="shop", platform="android", double_attribution="both"),
    Rules(app="shop", platform="android", double_attribution="first", min_id_length=8),
    Rules(app="shop", platform="ios", customer_user_id="never", uninstalls="send"),
    Rules(app="shop", platform="android", where=(Condition(path="media_source", one_of=("tiktok",)),)),
]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Draw a file: some of the columns, in any order, with rows of which some are equal or broken."""
    is_plain = draw(st.booleans())
    """Whether columns prove all of it, unless the rules ask for more."""
    names = [
        name
        for name in draw(st.permutations(list(VALUES)))
        if name in USUAL or (not is_plain and draw(st.integers(0, 8)) == 0)
    ]
    names = [name for name in names if draw(st.integers(0, 15))]
    if not {"AppsFlyer ID", "Event Name"} <= set(names):
        names = list(USUAL)
    out = io.StringIO(newline="")
    separator = draw(st.sampled_from(",;\t"))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
    writer.writerow(names)
    rows = []
    for _ in range(draw(st.integers(0, 12))):
        if rows and draw(st.integers(0, 3)) == 0:
            rows.append(draw(st.sampled_from(rows)))
            continue
        odd = 0 if is_plain else draw(st.sampled_from([0, 5, 20]))
        rows.append(
            [
                draw(st.sampled_from(VALUES[name] if draw(st.integers(0, 20)) < odd else VALUES[name][:2]))
                for name in names
            ]
        )
    for row in rows:
        match 2 if is_plain else draw(st.integers(0, 60)):
            case 0:
                out.write(
                    draw(st.sampled_from(["broken\n", "\n", f'"never closed{separator}\n', f'"a"b{separator}\n']))
                )
            case 1:
                out.write(separator.join(names) + "\n")
            case _:
                writer.writerow(row)
    return out.getvalue().encode() + (b"" if is_plain else draw(st.sampled_from([b"", b"", b"\xe9"])))


def whole_rows(rows: RawRows, *_: object, **__: object) -> Iterator[Prospects | RawRow | BadRow]:
    """Read every row."""
    return iter(rows)


async def surveyed(path: Path, rules: Rules, days: tuple[int, int], store: SqliteStore) -> tuple[Survey, object]:
    """Return what a dry run finds, and the newest conversions."""
    flow = Flow({"shop": AppFlow(rules)}, Keyring(b"secret"))
    by_attribution = rules.double_attribution == "both"
    plan = ImportPlan("shop", rules.app_id, find_files([str(path)]), "UTC", *days, by_attribution=by_attribution)
    with tempfile.TemporaryDirectory() as place, closing(HistoryImport(plan, Path(place), SystemClock())) as importing:
        survey = await importing.survey(flow, store)
        importing._progress._write_newest()
        return survey, importing._progress._db.execute("SELECT * FROM newest ORDER BY 1").fetchall()


@given(
    content=files(),
    rules=st.sampled_from(RULES),
    block=st.sampled_from((200, 1 << 20)),
    days=st.sampled_from(((0, 2**62), (0, 2**62), (1_740_873_601_000, 1_743_000_000_000))),
    name=st.sampled_from(("january.csv", "clicks.csv", "installs_report.csv")),
)
@settings(max_examples=100, deadline=None)
async def test_a_dry_run_by_columns_finds_what_one_of_all_fields_does(content, rules, block, days, name):
    """Rows of any kind, by any rules, cut into blocks anywhere, some of them filed before."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / name
        path.write_bytes(content)
        store = SqliteStore(write_empty_store(Path(place) / "store.db"), Seal(b"secret"))
        await store.open()
        await _file_some(path, rules, store)
        with mock.patch.object(column_blocks, "BLOCK", block):
            found = await surveyed(path, rules, days, store)
        with mock.patch.object(RawRows, "prospects", whole_rows):
            assert found == await surveyed(path, rules, days, store)
        await store.close()


@pytest.mark.parametrize("name", ["install", "reinstall", "re-engagement", "re-attribution"])
@pytest.mark.parametrize(
    "also", [{"Event Revenue": "5"}, {"Event Revenue": "-0"}, {"Event Revenue": "0"}, {"Event Value": '{"a":1}'}, {}]
)
def test_columns_give_events_of_the_app_with_names_of_conversions_the_key_that_the_mapping_does(tmp_path, name, also):
    """A conversion has neither a value nor revenue."""
    row = {name: VALUES[name][0] for name in USUAL} | {"Event Name": name} | also
    path = tmp_path / "january.csv"
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, USUAL)
        writer.writeheader()
        writer.writerow(row)
    (file,) = find_files([str(path)])
    ((whole,), (found,)) = (
        list(RawRows(file, UTC_TIMES, None)),
        RawRows(file, UTC_TIMES, None).prospects(RULES[0], IDENTITY),
    )
    flow = Flow({"shop": AppFlow(RULES[0])}, Keyring(b"secret"))
    (filing,) = flow.filings([Envelope("shop", Source.FILE, Media.JSON, NOW_MS, whole.body, ordinal=1)])
    assert [event.key for event in found.events if event is not None] in ([], [filing.key])


async def _file_some(path: Path, rules: Rules, store: SqliteStore) -> None:
    """File every third row of a file, as far as it can be read."""
    flow = Flow({"shop": AppFlow(rules)}, Keyring(b"secret"))
    (file,) = find_files([str(path)])
    with suppress(FlybridgeError):
        rows = [row for row in RawRows(file, UTC_TIMES, None) if isinstance(row, RawRow)][::3]
        for number, row in enumerate(rows):
            receipt = f"1.{number}"
            envelope = Envelope("shop", Source.FILE, Media.JSON, NOW_MS, row.body, receipt, ordinal=1)
            await store.file(flow.filings([envelope]), NOW_MS)


def test_usual_rows_are_not_read_one_by_one(tmp_path):
    """Neither in-app events nor conversions."""
    lines = [",".join(USUAL)]
    for number in range(1000):
        row = {name: VALUES[name][0] for name in USUAL} | {"AppsFlyer ID": f"1-{number}"}
        row["Event Name"] = ("buy", "install", "reinstall", "session_start")[number % 4]
        lines.append(",".join(row[name] for name in USUAL))
    path = tmp_path / "january.csv"
    path.write_text("\n".join([*lines, ""]))
    (file,) = find_files([str(path)])
    found = list(RawRows(file, UTC_TIMES, None).prospects(RULES[0], IDENTITY))
    assert sum(event is not None for block in found for event in block.events) == 1000
