"""The keys that columns prove are those of the mapping, row by row, whatever the file holds."""

from __future__ import annotations

import csv
import io
from contextlib import closing

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flybridge.flow import AppFlow, Flow
from flybridge.history import column_blocks
from flybridge.history.column_keys import KeyedRow, KeyOwner
from flybridge.history.files import local_file
from flybridge.history.progress import Progress
from flybridge.history.raw_rows import RawRows
from flybridge.history.rows import UTC_TIMES, BadRow, happened_ms
from flybridge.identity import Keyring
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Envelope, Media, Source

APP = "com.example.shop"
OWNER = KeyOwner("shop", APP, "android")
FLOW = Flow({"shop": AppFlow(Rules(app="shop", platform="android", app_id=APP))}, Keyring(b"secret"))
NOW = 1_790_000_000_000

USUAL = {
    "AppsFlyer ID": ["1-2", "1700000000000-1234567", "1-2 ", "", "null", "\u00e4-1", '"1-2"', "{1-2}", "1-2\u200b"],
    "Event Name": [
        "buy",
        "af_purchase",
        " buy",
        "install",
        "uninstall",
        "",
        "b" * 1030,
        "N/A",
        "caf\u00e9",
        "re-engagement",
        "buy\u200b",
        "\u3000",
    ],
    "Event Time": [
        "2025-03-02 10:00:00",
        "2025-03-02 10:00:00.500",
        "2025-03-02 10:00:00.000",
        "2025-03-02T10:00:00",
        "",
        "soon",
        "1999-01-01 00:00:00",
    ],
    "Install Time": ["2025-03-01 10:00:00", ""],
    "Event Value": [
        "",
        '{"a":1,"b":[2.50,"x"]}',
        '{"b":[2.5,"x"],"a":1}',
        "{}",
        "text",
        '{"a":',
        '"{}"',
        '{"n":123456789012345678901}',
        "null",
        '{"a":"\u00e4\\nb"}',
    ],
    "Event Revenue": ["", "1", "1.0", "9.99", "16.215379822015236", "1,50", "-3", "-0", "-16.25", "- 1", "nan", "1e3"],
    "Event Revenue Currency": ["", "EUR", "eur", "EU", "None", "\u20ac", '"EUR"', "EUR\u200b"],
    "Is Primary Attribution": ["", "true", "false", "TRUE", "1"],
    "Media Source": ["", "tiktok", "restricted", "organic", "restricted\u200b"],
    "Campaign": ["", "spring; sale", 'say "x"', "two\nlines"],
    "Customer User ID": ["", "ann"],
    "IDFA": ["", "AEBE52E7-03EE-455A-B3C4-E57283966239"],
    "App ID": [APP, "", "com.example.other", APP.upper()],
    "Platform": ["android", "Android", "", "ios"],
    "Blocked Reason": ["", "", "bots"],
    "Conversion Type": ["", "install", "re-engagement"],
    "skad_version": ["", "3.0"],
    "Unknown Column": ["", "x"],
}
"""Values for each column: the first ones are plain, and others are all that may be in their place."""


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Draw a file: some of the columns, in any order, with rows of which some are broken."""
    rare = {"skad_version", "Blocked Reason"}
    names = [name for name in draw(st.permutations(list(USUAL))) if name not in rare or draw(st.integers(0, 5)) == 0]
    names = [name for name in names if draw(st.integers(0, 9))]
    if len(names) < 4:
        names = ["AppsFlyer ID", "Event Name", "Event Time", "Event Value"]
    out = io.StringIO(newline="")
    separator = draw(st.sampled_from(",;\t"))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
    writer.writerow(names)
    for _ in range(draw(st.integers(0, 12))):
        plain = draw(st.integers(0, 3)) > 0
        row = [
            USUAL[name][0] if plain and draw(st.integers(0, 5)) else draw(st.sampled_from(USUAL[name]))
            for name in names
        ]
        match draw(st.integers(0, 40)):
            case 0:
                out.write("broken\n")
            case 1:
                out.write("\n")
            case 2:
                out.write(separator.join(names) + "\n")
            case 3:
                out.write(f'"never closed{separator}\n')
            case _:
                writer.writerow(row)
    text = out.getvalue()
    return (text if draw(st.booleans()) else text.rstrip("\r\n")).encode()


NAMED_AND_PAID = (
    b"Event Name,Event Time,Install Time,AppsFlyer ID,"
    b"Event Revenue,Event Revenue Currency,Conversion Type,Campaign Type\n"
    b"re-engagement,2026-03-04 08:30:00,2026-03-02 07:15:20,1768000000000-4711000,5,USD,re-engagement,retargeting\n"
    b"install,2026-03-02 07:15:20,2026-03-02 07:15:20,1768000000000-4711000,5,USD,install,ua\n"
)
"""Events of the app that are named as conversions: they have revenue."""


@settings(max_examples=150, deadline=None)
@given(content=files(), block=st.sampled_from([64, 300, 1 << 20]))
@example(content=NAMED_AND_PAID, block=1 << 20)
def test_keys_of_columns_are_those_of_the_mapping(tmp_path_factory, content, block):
    """The same rows in the same places; a key that is proved is the one that the mapping finds."""
    path = tmp_path_factory.mktemp("keys") / "a.csv"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(column_blocks, "BLOCK", block)
        try:
            rows = list(RawRows(local_file(path), UTC_TIMES, None))
        except Exception as problem:
            with pytest.raises(type(problem)):
                list(RawRows(local_file(path), UTC_TIMES, None).keyed(OWNER))
            return
        found = list(RawRows(local_file(path), UTC_TIMES, None).keyed(OWNER))
    assert [row.number for row in found] == [row.number for row in rows], content
    with closing(Progress(path.with_name("imports.db"))) as progress:
        equal = progress.counting(by_attribution=False)
    for quick, row in zip(found, rows, strict=True):
        if not isinstance(quick, KeyedRow):
            assert (type(quick), getattr(quick, "fields", None)) == (type(row), getattr(row, "fields", None))
            continue
        assert not isinstance(row, BadRow)
        filing = FLOW.filing(Envelope("shop", Source.PULL, Media.JSON, NOW, row.body, ordinal=1))
        assert (filing.key, filing.key_ms, filing.ordinal) == (quick.key, None, 0 if quick.is_conversion else 1)
        assert quick.identity == equal.identity(row.fields)
        assert quick.ms == happened_ms(row.fields)


def test_nearly_all_rows_of_a_usual_report_are_proved(tmp_path):
    """Else nothing would be gained."""
    names = [name for name in USUAL if name not in {"skad_version"}]
    lines = [",".join(names)]
    for number in range(2000):
        row = {name: values[0] for name, values in USUAL.items()} | {"AppsFlyer ID": f"1-{number}"}
        row["Event Name"] = "install" if number % 100 == 0 else "buy"
        lines.append(",".join(row[name] for name in names))
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines) + "\n")
    found = list(RawRows(local_file(path), UTC_TIMES, None).keyed(OWNER))
    assert sum(isinstance(row, KeyedRow) for row in found) == 1980
