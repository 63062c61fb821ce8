"""Raw-data files: every spelling of columns, every way in which a row can be broken."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from flybridge.appsflyer.columns import columns_of
from flybridge.appsflyer.fields import NAMES
from flybridge.appsflyer.postback_time import has_fraction, time_ms
from flybridge.appsflyer.raw_report import Report, report_named, report_of
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.history.column_keys import KeyOwner
from flybridge.history.csv_rows import MAX_RECORD
from flybridge.history.files import find_files, local_file
from flybridge.history.raw_rows import RawRows
from flybridge.history.row_times import RowTimes
from flybridge.history.rows import BadRow, RawRow, Zone, dated, happened_ms
from flybridge.sandbox.vendors.raw_data import ADDITIONAL, DEFAULT

HEADER = "AppsFlyer ID,Event Name,Event Time,Event Value\n"
UTC_ZONE = Zone("UTC")
COLUMNS = [*DEFAULT, *((c, n) for _, c, n in ADDITIONAL), *((f, n) for f, _, n in ADDITIONAL)]


def rows_of(path: Path, content: bytes | str, zone: Zone | None = UTC_ZONE, start=0) -> list[RawRow | BadRow]:
    """Write a file and read its rows."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(RawRows(local_file(path), zone, report_named(path.name), start))


def texts(rows: list[RawRow | BadRow]) -> list[str]:
    """Return what tells rows apart: the event's name, or the number of a bad line."""
    return [f"bad {row.number}" if isinstance(row, BadRow) else row.fields.get("event_name", "") for row in rows]


@pytest.mark.parametrize(
    ("column", "field"), [*DEFAULT, *((c, n) for _, c, n in ADDITIONAL), *((f, n) for f, _, n in ADDITIONAL)]
)
@pytest.mark.parametrize(
    "spell",
    [
        str,
        str.lower,
        str.upper,
        lambda t: t.replace(" ", "_"),
        lambda t: f" {t} ",
        lambda t: t.replace(" ", "."),
        lambda t: re.sub(r"_?(\d)", r"[\1]", t),
        lambda t: re.sub(r"(?<=[a-z])(?=\d)", "_", t),
        lambda t: f'"{t}"',
        lambda t: f"`{t.lower().replace(' ', '_')}`",
        lambda t: f"{t}?*\u200b",
        lambda t: t.replace(" ", "\u00a0 "),
        lambda t: t.lower().replace("i", "\u0131"),  # as Turkish writes a capital I in small letters
        lambda t: t.upper().replace("I", "\u0130"),
        lambda t: "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in t),
    ],
)
def test_every_column_is_known_however_it_is_spelt(column, field, spell):
    """Display names, API names, other cases and separators lead to the field of the message."""
    assert columns_of([spell(column)]).fields == (field,)


@pytest.mark.parametrize(
    ("column", "row"),
    [
        ("Event Revenue USD", {"event_revenue_usd": "5"}),
        ("event_revenue_usd", {"event_revenue_usd": "5"}),
        ("Event Revenue Preferred", {"revenue_in_selected_currency": "5"}),
        ("Event Revenue INR", {"revenue_in_selected_currency": "5", "selected_currency": "INR"}),
        ("event revenue eur", {"revenue_in_selected_currency": "5", "selected_currency": "EUR"}),
        ("Event Revenue Currency", {"event_revenue_currency": "5"}),
        ("Event Revenue", {"event_revenue": "5"}),
        ("Event Revenue (USD)", {"event_revenue_usd": "5"}),
        ("Event Revenue (INR)", {"revenue_in_selected_currency": "5", "selected_currency": "INR"}),
    ],
)
def test_the_third_revenue_column_has_many_names(column, row):
    """It is named after the currency that was asked for."""
    assert columns_of([column]).row(["5"]) == row


@pytest.mark.parametrize(("column", "field"), [(c, f) for c, f in COLUMNS if f in NAMES])
def test_every_field_is_known_by_its_letters(column, field):
    """Programs leave out what stands between the words."""
    assert columns_of([column.replace(" ", "").replace("_", "")]).fields == (field,)


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("OSVersion", "os_version"),
        ("HTTPReferrer", "http_referrer"),
        ("WiFi", "wifi"),
        ("Re-engagement Window", "af_reengagement_window"),
        ("is_store_reinstall", "store_reinstall"),
        ("gp_install_begin_time", "gp_install_begin"),
        ("contributor_[2]_engagement_type", "contributor_2_engagement_type"),
        ("Media Source (pid)", "media_source_pid"),
        ("a_new_column", "a_new_column"),
        ("", ""),
    ],
)
def test_other_tools_spell_columns_in_their_own_way(column, field):
    """What is no field by its letters stays what it is."""
    assert columns_of([column]).fields == (field,)


@pytest.mark.parametrize(
    ("values", "source"),
    [(["a", "b"], "a"), (["", "b"], "b"), (["null", "b"], "b"), (["a", "N/A"], "a"), (["", ""], None)],
)
def test_of_two_columns_of_one_field_the_first_with_a_value_counts(values, source):
    """Both spellings of a contributor's column may be in one file, and a report that was joined to another."""
    columns = columns_of(["contributor1_media_source", "Contributor 1 Media Source"])
    assert columns.row(values) == ({} if source is None else {"contributor_1_media_source": source})


@pytest.mark.parametrize(
    ("names", "values", "row"),
    [
        (["Event Revenue INR", "Event Revenue EUR"], ["5", "6"], {"selected_currency": "INR", "*": "5"}),
        (["Event Revenue INR", "Event Revenue EUR"], ["", "6"], {}),
        (["Event Revenue Preferred", "Event Revenue EUR"], ["5", "6"], {"*": "5"}),
    ],
)
def test_amounts_of_two_currencies_are_not_mixed(names, values, row):
    """The amount of the first column is in the currency of the first column."""
    found = columns_of(names).row(values)
    assert found == {"revenue_in_selected_currency" if name == "*" else name: value for name, value in row.items()}


def test_display_names_in_lower_case_say_no_zone(tmp_path):
    """A program has changed the case of the Pull API's or the dashboard's names, and API names have no blanks."""
    with pytest.raises(FlybridgeError, match="does not say in which time zone"):
        rows_of(tmp_path / "a.csv", HEADER.lower() + "1-2,buy,2026-01-31 10:00:00,\n", None)
    names = HEADER.lower().replace(" ", "_")
    assert texts(rows_of(tmp_path / "a.csv", names + "1-2,buy,2026-01-31 10:00:00,\n", None)) == ["buy"]


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    """Excel writes both."""
    content = "\ufeff" + HEADER.replace("\n", "\r\n") + "1-2,buy,2026-01-31 10:00:00,\r\n"
    assert rows_of(tmp_path / "a.csv", content)[0].fields["appsflyer_id"] == "1-2"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_other_separators_are_read(tmp_path, delimiter):
    """Spreadsheets write semicolons."""
    content = (HEADER + "1-2,buy,2026-01-31 10:00:00,x\n").replace(",", delimiter)
    assert rows_of(tmp_path / "a.csv", content)[0].fields["event_value"] == "x"


def test_line_breaks_and_quotes_within_quotes(tmp_path):
    """RFC 4180: a record ends where its quotes do."""
    value = '{"a":"one\ntwo","b":1}'
    quoted = '"' + value.replace('"', '""') + '"'
    rows = rows_of(tmp_path / "a.csv", HEADER + f"1-2,buy,2026-01-31 10:00:00,{quoted}\n1-3,next,,\n")
    assert [row.fields.get("event_value") for row in rows] == [value, None]
    assert [row.number for row in rows] == [2, 4]


@pytest.mark.parametrize(
    "broken",
    [
        "1-2,short\n",
        "1-2,long,2026-01-31 10:00:00,a,b,c\n",
        '1-2,"never closed,2026-01-31 10:00:00,\n',
        '1-2,"closed"wrongly,2026-01-31 10:00:00,\n',
        "1-2,cr\rin,it\n",
        '"\n',
        '",\n',
    ],
)
@pytest.mark.parametrize("after", [1, 3])
def test_a_broken_row_costs_no_other(tmp_path, broken, after):
    """Whatever is wrong with a line, the lines around it are read, and its number is told."""
    good = "1-2,good,2026-01-31 10:00:00,\n"
    rows = rows_of(tmp_path / "a.csv", HEADER + good + broken + good * after)
    assert texts(rows) == ["good", "bad 3", *["good"] * after]


def test_a_quote_that_is_never_closed_in_a_large_file_costs_one_row(tmp_path):
    """Nothing swallows a megabyte of rows."""
    good = "1-2,good,2026-01-31 10:00:00,\n"
    rows = rows_of(tmp_path / "a.csv", HEADER + '1-2,"bad,2026-01-31 10:00:00,\n' + good * 60_000)
    assert len(rows) == 60_001
    assert texts(rows[:2]) == ["bad 2", "good"]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "latin-1", "cp1252"],
)
def test_every_encoding_in_which_files_are_saved_is_read(tmp_path, encoding, compressed):
    """Spreadsheets and consoles save in others than UTF-8. Reading goes on in the middle of the file, too."""
    text = HEADER + "".join(f'1-2,Gr\u00f6\u00dfe {n},2026-01-31 10:00:00,"a, ""b""\nc"\n' for n in range(3000))
    content = text.encode(encoding)
    path = tmp_path / "a.csv"
    rows = rows_of(path, gzip.compress(content) if compressed else content)
    assert texts(rows) == [f"Gr\u00f6\u00dfe {n}" for n in range(3000)]
    assert {row.fields["event_value"] for row in rows} == {'a, "b"\nc'}
    middle = rows[1234]
    rest = RawRows(local_file(path), UTC_ZONE, None, middle.end)
    assert texts(list(rest)) == texts(rows[1235:])


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"caf\xe9", "caf\u00e9"),
        (b"\x80uro", "\u20acuro"),
        (b"\x81", "\x81"),
        ("caf\u00e9".encode() + b" \xff", "caf\u00e9 \ufffd"),
        ("\u65e5\u672c".encode()[:-1], "\u65e5\ufffd"),
    ],
)
def test_bad_bytes_do_not_stop_the_file(tmp_path, line, text):
    """What is no UTF-8 is read as what it most likely is, and costs no other row."""
    rows = rows_of(tmp_path / "a.csv", HEADER.encode() + b"1-2," + line + ",,\n1-2,n\u00e4chster,,\n".encode())
    assert texts(rows) == [text, "n\u00e4chster"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_line_in_which_spreadsheets_name_the_separator_is_no_header(tmp_path, separator, mark):
    """`sep=;` stands before the header of files for spreadsheets."""
    content = HEADER.replace(",", separator) + separator.join(["1-2", "buy", "", "x"]) + "\n"
    (row,) = rows_of(tmp_path / "a.csv", f"{mark}sep={separator}\r\n{content}")
    assert (row.fields["event_name"], row.number) == ("buy", 3)


def test_lines_that_end_in_cr_alone_are_named(tmp_path):
    """Old spreadsheets write them."""
    with pytest.raises(FlybridgeError, match="end in CR alone"):
        rows_of(tmp_path / "a.csv", (HEADER + "1-2,buy,,\n").replace("\n", "\r"))


def zipped(path: Path, **members: bytes) -> Path:
    """Write an archive; `__` in a name is a dot."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return path


def test_an_archive_is_read_member_by_member(tmp_path):
    """Each has a report, a header and a place of its own."""
    columns = ["appsflyer_id", "event_name"]
    pq.write_table(pa.table({name: ["1-2", "1-3"] for name in columns}), tmp_path / "table.parquet")
    path = zipped(
        tmp_path / "reports.zip",
        in_app_events_report__csv=(HEADER + "1-2,buy,,\n").encode(),
        part__gz=gzip.compress((HEADER + "1-2,sell,,\nbroken\n").encode()),
        table__parquet=(tmp_path / "table.parquet").read_bytes(),
        readme__txt=b"hello",
    )
    files = find_files([str(path)])
    assert [file.name.removeprefix(str(path)) for file in files] == [
        ":in_app_events_report.csv",
        ":part.gz",
        ":table.parquet",
    ]
    found = [texts(list(RawRows(file, UTC_ZONE, report_named(file.name)))) for file in files]
    assert found == [["buy"], ["sell", "bad 3"], ["1-2", "1-3"]]
    assert [file.name for file in find_files([str(tmp_path)])][:3] == [file.name for file in files]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"readme__txt": b"hello"}, "holds no file"),
        ({"[Content_Types]__xml": b"<x/>", "xl": b""}, "save its sheet as CSV"),
    ],
)
def test_other_archives_are_named(tmp_path, members, words):
    """A workbook is an archive, too."""
    with pytest.raises(FlybridgeError, match=words):
        find_files([str(zipped(tmp_path / "a.zip", **members))])


def test_a_broken_archive_is_named(tmp_path):
    """Half of it came."""
    path = zipped(tmp_path / "a.zip", a__csv=HEADER.encode())
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FlybridgeError, match="can't be read as an archive"):
        find_files([str(path)])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.csv", "There is no file nowhere.csv. Check its name"),
        ("nowhere/*.csv", "No file matches nowhere/"),
        (".", "holds no file of raw data. Of directories"),
        ("s3:/bucket/a.csv", "s3:/bucket/a.csv is not an address. Write s3://"),
        ("https:/host/a.csv", "is not an address. Write s3://"),
        ("https://host/a.csv", "is not an address of object storage. Download the file first"),
        (
            "https://acc.blob.core.windows.net/c/a.csv?sig=x",
            "a.csv is not an address of object storage. Download the file first, or write abfss://CONTAINER@",
        ),
        ("abfs:/bucket/a.csv", "is not an address. Write s3://"),
        (
            "abfss://bucket/a.csv",
            "Account must be specified. Set AZURE_STORAGE_ACCOUNT_NAME, or write abfss://CONTAINER@",
        ),
        ("s4://bucket/a.csv", "is not an address of object storage. Write s3://"),
        ("gs://", "is not an address of object storage. Write s3://"),
    ],
)
def test_a_name_that_names_no_file_is_said_with_what_to_do(tmp_path, monkeypatch, name, words):
    """Typing errors of paths, patterns and addresses."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        find_files([name])
    assert words in str(caught.value)


def test_files_that_were_put_together_are_read_with_each_header(tmp_path):
    """A header that comes again counts from there on, also with other columns."""
    second = "Event Name,AppsFlyer ID\nsold,1-3\n"
    rows = rows_of(tmp_path / "a.csv", HEADER + "1-2,buy,,\n" + second)
    assert [row.fields for row in rows] == [
        {"appsflyer_id": "1-2", "event_name": "buy"},
        {"appsflyer_id": "1-3", "event_name": "sold"},
    ]


def test_several_gzip_members_are_one_file(tmp_path):
    """Data Locker's parts may be joined."""
    content = gzip.compress((HEADER + "1-2,buy,,\n").encode()) + gzip.compress(b"1-2,sell,,\n")
    assert texts(rows_of(tmp_path / "a.csv.gz", content)) == ["buy", "sell"]


def test_a_truncated_file_gives_what_it_has_and_says_so(tmp_path):
    """The rows before the cut are not lost, and the cut is no end."""
    whole = gzip.compress((HEADER + "".join(f"1-{i},event{i},2026-01-31 10:00:00,\n" for i in range(20_000))).encode())
    path = tmp_path / "a.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    read = []
    with pytest.raises(FlybridgeError, match="can't be read"):
        read.extend(iter(_counted(RawRows(local_file(path), UTC_ZONE, None), read)))
    assert len(read) > 1000


def _counted(rows, read):
    for row in rows:
        read.append(row)
        yield from ()


@pytest.mark.parametrize("content", ["hello,world\n1,2\n", "<html><body>Error</body></html>\n"])
def test_what_is_no_raw_data_is_refused(tmp_path, content):
    """A page that was saved under the name of a file is no file of rows."""
    with pytest.raises(FlybridgeError, match="no header of AppsFlyer's raw data"):
        rows_of(tmp_path / "a.csv", content)


@pytest.mark.parametrize(
    "content", ['[\n  {\n    "appsflyer_id": "1"\n  }\n]\n', '{"appsflyer_id":"1"}\n', "\ufeff[{}]"]
)
def test_json_is_refused_once_with_what_to_do(tmp_path, content):
    """Raw data is never JSON: these are messages, or events."""
    with pytest.raises(FlybridgeError, match=r"is JSON.*/v1/push/\{app\}.*--stream"):
        rows_of(tmp_path / "a.csv", content)


def test_a_file_without_rows_is_one(tmp_path):
    """A report without rows still has its header."""
    assert rows_of(tmp_path / "a.csv", HEADER) == []
    assert rows_of(tmp_path / "empty.csv", b"") == []
    assert rows_of(tmp_path / "blank.csv", b"\n \r\n\n") == []


def test_reading_goes_on_where_it_ended(tmp_path):
    """From the end of any row the rest follows, with the numbers that it had."""
    value = '"{""a"":""one\ntwo""}"'
    content = HEADER + "".join(f"1-{i},event{i},2026-01-31 10:00:00,{value}\nbad\n" for i in range(5))
    for name, stored in (("a.csv", content.encode()), ("a.csv.gz", gzip.compress(content.encode()))):
        whole = rows_of(tmp_path / name, stored)
        for at, row in enumerate(whole):
            assert rows_of(tmp_path / name, stored, start=row.end) == whole[at + 1 :]


def test_times_of_parquet_are_moved_to_utc_once(tmp_path):
    """A column of times may have a zone of its own, whatever `--timezone` says of the others."""
    moment = datetime(2026, 7, 31, 8, 0, tzinfo=UTC)
    columns = {"AppsFlyer ID": ["1-2"], "Event Name": ["buy"], "Install Time": [datetime(2026, 7, 31, 10, 0)]}
    for zone in ("UTC", "Asia/Tokyo"):
        table = pa.table(columns | {"Event Time": pa.array([moment], pa.timestamp("ms", zone))})
        pq.write_table(table, tmp_path / "a.parquet")
        (row,) = RawRows(local_file(tmp_path / "a.parquet"), Zone("Europe/Berlin"), None)
        assert (row.fields["event_time"], row.fields["install_time"]) == ("2026-07-31 08:00:00",) * 2


@pytest.mark.parametrize(
    ("name", "utc", "called"),
    [
        ("Europe/Berlin", "09:00:00", "Europe/Berlin"),
        ("europe/berlin ", "09:00:00", "Europe/Berlin"),
        ("UTC+2", "08:00:00", "UTC+2"),
        ("+02:00", "08:00:00", "+02:00"),
        ("(GMT-05:30) Somewhere", "15:30:00", "(GMT-05:30) Somewhere"),
        ("Asia/Kolkata", "04:30:00", "Asia/Kolkata"),
    ],
)
def test_zones_are_named_as_appsflyer_shows_them(tmp_path, name, utc, called):
    """By the name of a place in either case, or as an offset."""
    zone = Zone(name)
    (found,) = rows_of(tmp_path / "a.csv", HEADER + "1-2,buy,2026-01-31 10:00:00,\n", zone)
    assert found.fields["event_time"] == f"2026-01-31 {utc}"
    assert zone.name == called
    assert not zone.is_utc


@pytest.mark.parametrize("name", ["UTC", "utc", "GMT", "Z", "Etc/UTC", "UTC+0", "+00:00", "Etc/GMT"])
def test_all_names_of_utc_are_utc(name):
    """Times of it are left as they are."""
    assert Zone(name).is_utc


@pytest.mark.parametrize("name", ["", " ", "Mars/Olympus", "../../etc/passwd", "+25", "CEST", "2", "Europe"])
def test_a_zone_that_is_none_is_refused(name):
    """It is never guessed."""
    with pytest.raises(ConfigError, match="no time zone"):
        Zone(name)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"event_name": "af_skad_install", "timestamp": "2026-01-31 10:00:00.123"}, "2026-01-31 10:00:00.123"),
        ({"event_name": "install", "timestamp": "2026-01-31 10:00:00"}, "2026-01-31 10:00:00"),
        (
            {"event_name": "install", "event_time": "2026-01-30 10:00:00", "timestamp": "2026-01-31 10:00:00"},
            "2026-01-30 10:00:00",
        ),
        ({"event_name": "install", "timestamp": "soon"}, None),
        ({"event_name": "install"}, None),
    ],
)
def test_a_row_of_skadnetwork_happened_when_its_postback_came(fields, text):
    """So that rows of a period are found; a field of another report that is called so says nothing."""
    assert happened_ms({**fields, "skad_version": "4.0"}) == (None if text is None else time_ms(text))
    assert "event_time" in fields or happened_ms(fields) is None


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"event_time": "2026-01-31 10:00:00", "install_time": "2025-01-01 00:00:00"}, "2026-01-31 10:00:00"),
        ({"event_name": "install", "install_time": "2025-01-01 00:00:00"}, "2025-01-01 00:00:00"),
        ({"install_time": "2025-01-01 00:00:00"}, "2025-01-01 00:00:00"),
        (
            {"event_name": "reinstall", "event_time": "soon", "install_time": "2025-01-01 00:00:00"},
            "2025-01-01 00:00:00",
        ),
        ({"event_name": "re-engagement", "install_time": "2025-01-01 00:00:00"}, None),
        ({"event_name": "buy", "event_time": "soon", "install_time": "2025-01-01 00:00:00"}, None),
        ({}, None),
    ],
)
def test_only_an_install_happened_at_its_install_time(fields, text):
    """Columns of a Data Locker can be chosen: a report of installs may have the install time alone."""
    assert happened_ms(fields) == (None if text is None else time_ms(text))


def read_parquet(path: Path, **columns: pa.Array) -> list[RawRow | BadRow]:
    """Return the rows of a Parquet file with these columns beside an id and a name."""
    rows = len(next(iter(columns.values())))
    table = {"appsflyer_id": [f"1-{n}" for n in range(rows)], "event_name": ["buy"] * rows, **columns}
    pq.write_table(pa.table(table), path, version="2.6")
    return list(RawRows(local_file(path), None, None))


def test_values_of_parquet_that_python_has_none_for_cost_no_row(tmp_path):
    """Spark and pandas write nanoseconds; sentinels lie after the year 9999; binary text may be no UTF-8."""
    path, moment = tmp_path / "a.parquet", 1_769_853_600_123_456_789
    rows = read_parquet(path, event_time=pa.array([moment, moment // 1000 * 1000, None], pa.timestamp("ns")))
    assert [row.fields.get("event_time") for row in rows] == ["2026-01-31 10:00:00.123"] * 2 + [None]
    (row,) = read_parquet(path, event_time=pa.array([moment], pa.timestamp("ns", "Europe/Berlin")))
    assert row.fields["event_time"] == "2026-01-31 10:00:00.123"
    far = pa.array([moment // 10**6, 2**60], pa.timestamp("ms"))
    assert [row.fields["event_time"] for row in read_parquet(path, event_time=far)] == [
        "2026-01-31 10:00:00.123",
        str(2**60),
    ]
    names = pa.array([b"fine", b"gr\xfcn"], pa.binary()).cast(pa.string(), safe=False)
    assert [row.fields["campaign"] for row in read_parquet(path, campaign=names)] == ["fine", "gr\u00fcn"]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (pa.float32(), 0.99, "0.99"),
        (pa.float16(), 0.5, "0.5"),
        (pa.float32(), 12345.0, "12345"),
        (pa.float32(), float("nan"), None),
        (pa.float64(), 0.1, "0.1"),
        (pa.float64(), 12345.0, "12345"),
        (pa.uint64(), 2**63 + 5, str(2**63 + 5)),
        (pa.decimal128(18, 6), Decimal("9.990000"), "9.99"),
        (pa.decimal128(38, 9), Decimal(12345), "12345"),
        (pa.decimal128(38, 9), Decimal("12345678901234567890123456789"), "12345678901234567890123456789"),
        (pa.decimal128(38, 0), Decimal(1200), "1200"),
        (pa.decimal128(38, 10), Decimal("-0.0000001"), "-0.0000001"),
        (pa.decimal128(38, 10), Decimal(0), "0"),
        (pa.dictionary(pa.int8(), pa.string()), "a", "a"),
        (pa.string_view(), "a", "a"),
        (pa.binary(), "gr\u00fcn".encode("cp1252"), "gr\u00fcn"),
        (pa.null(), None, None),
        (pa.list_(pa.string()), ["a"], '["a"]'),
        (pa.struct([("a", pa.string())]), {"a": "b"}, '{"a":"b"}'),
        (pa.struct([("a", pa.string()), ("level", pa.int64())]), {"a": "b"}, '{"a":"b"}'),
        (pa.struct([("a", pa.struct([("b", pa.string())])), ("c", pa.int8())]), {"a": {}, "c": 1}, '{"a":{},"c":1}'),
        (pa.list_(pa.struct([("a", pa.int8()), ("b", pa.int8())])), [{"b": 1}, None], '[{"b":1},null]'),
        (pa.struct([("a", pa.string())]), {"a": None}, None),
        (pa.struct([("a", pa.decimal128(18, 2))]), {"a": Decimal("1.50")}, '{"a":1.50}'),
        (pa.map_(pa.string(), pa.string()), [("a", "b")], '{"a":"b"}'),
        (pa.struct([("m", pa.map_(pa.string(), pa.float64()))]), {"m": [("a", 1.5)]}, '{"m":{"a":1.5}}'),
        (pa.map_(pa.string(), pa.string()), [], None),
        (
            pa.struct([("a", pa.float32()), ("b", pa.float64())]),
            {"a": 0.99, "b": 0.12345678901},
            '{"a":0.99,"b":0.12345678901}',
        ),
        (
            pa.struct([("a", pa.list_(pa.struct([("b", pa.float32())])))]),
            {"a": [{"b": 0.1}, None]},
            '{"a":[{"b":0.1},null]}',
        ),
        (pa.large_list(pa.float32()), [0.1, 3.3, 1e30], "[0.1,3.3,1e30]"),
        (pa.map_(pa.string(), pa.float32()), [("a", 0.99)], '{"a":0.99}'),
        (pa.struct([("a", pa.float16())]), {"a": 0.1}, '{"a":0.1}'),
        (pa.struct([("a", pa.float32())]), {"a": 3.4028235e38}, '{"a":3.4028235e38}'),
        (pa.struct([("a", pa.float32())]), {"a": float("nan")}, '{"a":null}'),
        (pa.struct([("float", pa.string())]), {"float": "0.10000000149011612"}, '{"float":"0.10000000149011612"}'),
    ],
)
def test_every_type_of_parquet_is_read_as_it_would_have_been_pushed(tmp_path, kind, value, text):
    """Numbers have no digits that nobody has written, and a map is an object.

    Spark makes one type of all events' values, whose fields are null where an event has none.
    """
    (row,) = read_parquet(tmp_path / "a.parquet", event_value=pa.array([value], kind))
    assert row.fields.get("event_value") == text


def test_a_parquet_file_that_was_packed_once_more_is_named(tmp_path):
    """It can't be read from its end, where its index is."""
    read_parquet(tmp_path / "a.parquet", campaign=pa.array(["x"]))
    with pytest.raises(FlybridgeError, match="is a Parquet file that was packed with gzip: unpack it"):
        rows_of(tmp_path / "a.parquet.gz", gzip.compress((tmp_path / "a.parquet").read_bytes()))


def test_a_parquet_file_without_columns_of_raw_data_is_refused(tmp_path):
    """As a CSV file is: nothing of it would be imported, and nobody would know."""
    pq.write_table(pa.table({"user": ["1"], "clicks": [2]}), tmp_path / "a.parquet")
    with pytest.raises(FlybridgeError, match=r"has no columns of AppsFlyer's raw data. It has: user, clicks"):
        list(RawRows(local_file(tmp_path / "a.parquet"), None, None))


def test_parquet_is_read_like_csv(tmp_path):
    """Typed values are written as CSV has them."""
    table = pa.table(
        {
            "appsflyer_id": ["1-2", None],
            "event_time": [datetime(2026, 1, 31, 10, 0, 0, 250_000, UTC), datetime(2026, 1, 31, 10, tzinfo=UTC)],
            "event_revenue": [1.5, 20.0],
            "is_retargeting": [True, None],
            "event_name": ["a", "b"],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    rows = list(RawRows(local_file(tmp_path / "a.parquet"), None, None))
    assert [row.fields for row in rows] == [
        {
            "appsflyer_id": "1-2",
            "event_time": "2026-01-31 10:00:00.250",
            "event_revenue": "1.5",
            "is_retargeting": "true",
            "event_name": "a",
        },
        {"event_time": "2026-01-31 10:00:00", "event_revenue": "20", "event_name": "b"},
    ]
    assert list(RawRows(local_file(tmp_path / "a.parquet"), None, None, 1)) == rows[1:]


def test_times_without_a_zone_are_not_guessed(tmp_path):
    """A report with display names may be in any zone."""
    with pytest.raises(FlybridgeError, match="--timezone"):
        rows_of(tmp_path / "a.csv", HEADER + "1-2,buy,2026-01-31 10:00:00,\n", None)
    with pytest.raises(ConfigError, match="no time zone"):
        Zone("Mars/Olympus")


@pytest.mark.parametrize(
    ("zone", "written", "utc"),
    [
        ("Europe/Berlin", "2026-01-31 10:00:00", "2026-01-31 09:00:00"),
        ("Europe/Berlin", "2026-07-31 10:00:00.5", "2026-07-31 08:00:00.5"),
        ("Europe/Berlin", "2026-07-31 9:05", "2026-07-31 07:05:00"),
        ("Asia/Kolkata", "2026-01-31 03:00:00", "2026-01-30 21:30:00"),
        ("Europe/Berlin", "2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
        ("Europe/Berlin", "2026-01-31 10:00:00+05:00", "2026-01-31 10:00:00+05:00"),
        ("UTC", "2026-01-31 10:00:00", "2026-01-31 10:00:00"),
        ("Europe/Berlin", "2026-13-45 10:00:00", "2026-13-45 10:00:00"),
    ],
)
def test_local_times_become_utc(tmp_path, zone, written, utc):
    """All times of a row are moved, and those with a zone of their own stay."""
    content = f"AppsFlyer ID,Event Time,Install Time\n1-2,{written},{written}\n"
    fields = rows_of(tmp_path / "a.csv", content, Zone(zone))[0].fields
    assert (fields["event_time"], fields["install_time"]) == (utc, utc)


def test_the_hour_that_a_clock_has_twice_is_counted(tmp_path):
    """In autumn nobody can say which of two hours it was: the time stays local, and is read as the earlier."""
    zone = Zone("Europe/Berlin")
    times = ("2026-10-25 02:30:00", "2026-10-25 02:30:00.5", "2026-10-25 04:30:00")
    rows = rows_of(tmp_path / "a.csv", "AppsFlyer ID,Event Time\n" + "".join(f"1-2,{time}\n" for time in times), zone)
    assert zone.ambiguous == 2
    assert [row.fields["event_time"] for row in rows] == [
        "2026-10-25 02:30:00[Europe/Berlin]", "2026-10-25 02:30:00.5[Europe/Berlin]", "2026-10-25 03:30:00"
    ]  # fmt: skip
    assert [time_ms(row.fields["event_time"]) for row in rows[:2]] == [1_792_888_200_000, 1_792_888_200_500]


def test_the_name_of_every_zone_is_read_as_it_is_written():
    """Some have digits, dashes or three parts."""
    for name in available_timezones():
        moment = datetime(2026, 10, 25, 0, 30, tzinfo=ZoneInfo(name))
        assert time_ms(f"2026-10-25 00:30:00[{name}]") == round(moment.timestamp() * 1000), name


def test_data_lockers_times_are_utc(tmp_path):
    """Columns by API names say so."""
    content = "appsflyer_id,event_time\n1-2,2026-01-31 10:00:00\n"
    assert rows_of(tmp_path / "a.csv", content, Zone("Asia/Tokyo"))[0].fields["event_time"] == "2026-01-31 10:00:00"


@pytest.mark.parametrize(
    ("name", "report"),
    [
        ("installs_report.csv", Report.INSTALLS),
        ("com.example.shop_installs_2026-01-01_2026-01-31_ABCDE.csv", Report.INSTALLS),
        ("id123_non-organic-in-app-events_2026-01-01_2026-01-31.csv", Report.EVENTS),
        ("in_app_events_report.csv", Report.EVENTS),
        ("organic_in_app_events_report.csv.gz", Report.EVENTS),
        ("in-app-events-retarget.csv", Report.EVENTS),
        ("installs-retarget.csv", Report.RETARGETING),
        ("reinstalls_organic.csv", Report.REINSTALLS),
        ("uninstall_events_report.csv", Report.UNINSTALLS),
        ("ad_revenue_raw.csv", Report.AD_REVENUE),
        ("blocked_installs_report.csv", Report.FRAUD),
        ("detection.csv", Report.FRAUD),
        ("fraud-post-inapps.csv", Report.FRAUD),
        ("in-app-events-postbacks.csv", Report.POSTBACKS),
        ("retarget_install_postbacks.csv", Report.POSTBACKS),
        ("1cd7-acc/data-locker-hourly/t=inapps/dt=2026-01-31/h=7/part-00000.gz", Report.EVENTS),
        ("x/t=inapps_retargeting/dt=2026-01-31/h=late/part-00000.gz", Report.EVENTS),
        ("x/t=conversions_retargeting/dt=2026-01-31/h=7/part-00000.gz", Report.RETARGETING),
        ("x/t=organic_uninstalls/dt=2026-01-31/h=7/part-00000.gz", Report.UNINSTALLS),
        ("x/t=clicks_retargeting/dt=2026-01-31/h=7/part-00000.gz", Report.CLICKS),
        ("x/t=impressions/dt=2026-01-31/h=7/part-00000.gz", Report.IMPRESSIONS),
        ("x/t=sessions/dt=2026-01-31/h=7/part-00000.gz", Report.SESSIONS),
        ("x/t=skad_installs/dt=2026-01-31/h=7/part-00000.gz", Report.SKADNETWORK),
        ("x/t=blocked_clicks/dt=2026-01-31/h=7/part-00000.gz", Report.FRAUD),
        ("x/t=post_attribution_installs/dt=2026-01-31/h=7/part-00000.gz", Report.FRAUD),
        ("x/t=web_events/dt=2026-01-31/h=7/part-00000.gz", Report.WEB),
        ("x/t=attributed_ad_revenue/dt=2026-01-31/h=7/part-00000.gz", Report.AD_REVENUE),
        ("january.csv", None),
        ("clicktracker_export.csv", None),
    ],
)
def test_reports_are_recognised_by_name(name, report):
    """By the Pull API's names, the dashboard's and Data Locker's."""
    assert report_named(name, "com.example.shop") is report


def test_an_app_whose_name_is_that_of_a_report_does_not_mislead():
    """The app's id in a file's name says nothing."""
    assert report_named("com.clicks.app_january.csv", "com.clicks.app") is None


@pytest.mark.parametrize(
    ("row", "named", "report"),
    [
        ({"event_name": "install"}, None, Report.INSTALLS),
        ({"event_name": "install"}, Report.EVENTS, Report.INSTALLS),
        ({"event_name": "reinstall"}, None, Report.REINSTALLS),
        ({"event_name": "re-engagement"}, None, Report.RETARGETING),
        ({"event_name": "re-attribution"}, None, Report.RETARGETING),
        ({"event_name": "uninstall"}, None, Report.UNINSTALLS),
        ({"event_name": "af_purchase"}, Report.INSTALLS, Report.EVENTS),
        ({"event_name": "af_ad_revenue"}, None, Report.AD_REVENUE),
        ({"event_name": "impression", "monetization_network": "ironsource"}, None, Report.AD_REVENUE),
        ({"event_time": "2026-01-31 10:00:00", "monetization_network": "admob"}, None, Report.AD_REVENUE),
        ({"event_name": "install", "blocked_reason": "bots"}, None, Report.FRAUD),
        ({"event_name": "install", "detection_date": "2026-01-31"}, None, Report.FRAUD),
        ({"event_name": "af_purchase", "fraud_reason": "bots"}, Report.EVENTS, Report.FRAUD),
        ({"event_name": "install"}, Report.POSTBACKS, Report.POSTBACKS),
        ({"attributed_touch_time": "2026-01-31 10:00:00"}, None, Report.CLICKS),
        ({"attributed_touch_time": "2026-01-31 10:00:00"}, Report.EVENTS, Report.EVENTS),
        ({"appsflyer_id": "1-2"}, Report.INSTALLS, Report.INSTALLS),
        ({"appsflyer_id": "1-2"}, Report.CLICKS, Report.CLICKS),
        ({"skad_campaign_id": "7"}, None, Report.SKADNETWORK),
        ({"event_name": "install", "skad_version": "4"}, Report.SKADNETWORK, Report.SKADNETWORK),
        *(
            ({"event_name": name, "skad_version": "4", "timestamp": "2026-01-31 10:00:00"}, None, Report.SKADNETWORK)
            for name in ("install", "af_skad_install", "af_skad_redownload", "af_purchase", "reinstall")
        ),
    ],
)
def test_reports_are_recognised_row_by_row(row, named, report):
    """What a row says comes before the name of its file."""
    assert report_of(row, named) is report


@pytest.mark.parametrize("word", ["", "null", "None", "N/A", " "])
def test_words_for_nothing_are_no_values(tmp_path, word):
    """Data Locker writes `null`: a row without a reason was not blocked."""
    content = f"appsflyer_id,event_name,blocked_reason,fraud_reason\n1-2,install,{word},{word}\n"
    (row,) = rows_of(tmp_path / "a.csv", content)
    assert (row.report, row.fields) == (Report.INSTALLS, {"appsflyer_id": "1-2", "event_name": "install"})


def test_copies_for_partners_are_recognised_by_their_columns(tmp_path):
    """A report of postbacks has the same events once more."""
    content = "AppsFlyer ID,Event Name,Event Time,Postback Retry\n1-2,install,2026-01-31 10:00:00,0\n"
    assert rows_of(tmp_path / "january.csv", content)[0].report is Report.POSTBACKS


def test_files_are_found_by_path_pattern_and_directory(tmp_path):
    """Each once, in directories those that may be raw data."""
    for name in ("a.csv", "sub/b.csv.gz", "sub/c.parquet", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find_files([str(tmp_path), str(tmp_path / "*.csv"), str(tmp_path / "notes.txt")])
    assert [Path(file.name).name for file in found] == ["a.csv", "b.csv.gz", "c.parquet", "notes.txt"]
    with pytest.raises(ConfigError, match="No file matches"):
        find_files([str(tmp_path / "*.nothing")])


def test_the_mark_of_a_file_changes_with_its_content(tmp_path):
    """A file that was written anew is another one."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"one")
    before = local_file(path).mark
    path.write_bytes(b"other")
    assert local_file(path).mark != before


def test_columns_in_any_order_give_the_same_row(tmp_path):
    """Column sets of Data Locker and of dashboards come in any order."""
    values = {"AppsFlyer ID": "1-2", "Event Name": "buy", "Campaign": "a, b", "Event Value": '{"x":"ä"}'}
    bodies = set()
    for names in (list(values), list(reversed(values))):
        text = io.StringIO()
        csv.writer(text).writerows([names, [values[name] for name in names]])
        bodies.add(tuple(sorted(rows_of(tmp_path / "a.csv", text.getvalue())[0].fields.items())))
    assert len(bodies) == 1


@pytest.mark.parametrize(
    "written",
    [
        *("2026-01-31 10:00:00", "2026-01-31T10:00:00", "2026/01/31 10:00:00", "2026.01.31 10:00", "2026-01-31 10:00"),
        *("20260131T100000", "2026-01-31_10:00:00", " 2026-01-31 10:00:00 ", "2026-01-31 10:00:00 AM"),
        *("2026-01-31 10:00:00am", "2026-01-31 10:00 a.m.", "2026-01-31 10:00:00.000", "2026-01-31 10:00:00,000"),
    ],
)
def test_a_local_time_becomes_utc_however_it_is_spelt(tmp_path, written):
    """A spelling that is read, but not moved to UTC, would make another event of each row."""
    path = tmp_path / "a.csv"
    (row,) = rows_of(path, HEADER + f'1-2,buy,"{written}",\n', Zone("Europe/Berlin"))
    assert time_ms(row.fields["event_time"]) == 1_769_850_000_000
    assert has_fraction(row.fields["event_time"]) == has_fraction(written)


@pytest.mark.parametrize("written", ["2026-01-31 10:00:00 UTC", "2026-01-31T10:00:00Z", "1769853600", "1769853600000"])
def test_a_time_with_a_zone_stays_as_it_is(tmp_path, written):
    """Counts since 1970 are UTC as well."""
    (row,) = rows_of(tmp_path / "a.csv", HEADER + f"1-2,buy,{written},\n", Zone("Europe/Berlin"))
    assert row.fields["event_time"] == written


@pytest.mark.parametrize(
    ("written", "hour"), [("12:04:05 AM", 0), ("01:04:05 AM", 1), ("12:04:05 PM", 12), ("1:04:05 pm", 13)]
)
def test_a_clock_of_twelve_hours_is_read(written, hour):
    """Spreadsheets write it in some countries."""
    assert time_ms(f"2026-01-31 {written}") == time_ms(f"2026-01-31 {hour:02}:04:05")
    assert time_ms("2026-01-31 13:04:05 PM") is None


@pytest.mark.parametrize("header", ["appsflyerId,eventName,eventTime,eventValue", "AppsFlyerID,EventName,EventTime,Ad"])
@pytest.mark.parametrize("title", ["", "Report: in-app events\nMade on 2026-02-01\n\n", "\n" * 30, '"sep=,"\n'])
def test_a_header_in_one_word_and_after_a_title_is_found(tmp_path, header, title):
    """Scripts write names without blanks, and people a title above them."""
    (row,) = rows_of(tmp_path / "a.csv", f"{title}{header}\n1-2,buy,2026-01-31 10:00:00,\n")
    assert (row.fields["appsflyer_id"], row.fields["event_name"]) == ("1-2", "buy")
    assert row.number == title.count("\n") + 2


def test_a_separator_at_the_end_of_each_row_is_no_value(tmp_path):
    """As long as nothing stands behind it."""
    rows = rows_of(tmp_path / "a.csv", HEADER + "1-2,a,2026-01-31 10:00:00,,\n1-2,b,2026-01-31 10:00:00,,,\n1,c,,,,x\n")
    assert texts(rows) == ["a", "b", "bad 4"]


def test_quotes_that_are_escaped_with_a_backslash_are_read(tmp_path):
    """Spark writes them so."""
    value = '{"a":"one, \\"two\\"","b":1}'
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    row, after = rows_of(tmp_path / "a.csv", HEADER + f'1-2,buy,2026-01-31 10:00:00,"{escaped}"\n1-2,next,,\n')
    assert row.fields["event_value"] == value
    assert after.fields["event_name"] == "next"


@pytest.mark.parametrize("size", [MAX_RECORD - 100, MAX_RECORD, 3 * MAX_RECORD + 7])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("before", [1, 8_000])
def test_a_line_that_is_too_long_is_one_bad_row(tmp_path, size, quote, before):
    """The rows after it have their numbers, and can be gone on with from there."""
    path, at = tmp_path / "a.csv", before + 2
    lines = [f"1-{n},buy,2026-01-31 10:00:00," for n in range(before + 2)]
    lines.insert(before, f"1-9,long,2026-01-31 10:00:00,{quote}{'x' * size}{quote}")
    content = HEADER + "\r\n".join([*lines, ""])
    rows = rows_of(path, content)
    assert [row.number for row in rows] == list(range(2, before + 5))
    assert [row.number for row in rows if isinstance(row, BadRow)] == [at]
    assert rows[-1].end == len(content)
    assert len(rows[before].text) < MAX_RECORD
    for n in (before - 1, before, before + 1):
        assert rows_of(path, content, start=rows[n].end) == rows[n + 1 :]
    timed = list(RawRows(local_file(path), UTC_ZONE, None).timed())
    assert sum(one.rows if isinstance(one, RowTimes) else 1 for one in timed) == before + 3
    keyed = list(RawRows(local_file(path), UTC_ZONE, None).keyed(KeyOwner("shop", "com.example.shop", "android")))
    assert [row.number for row in keyed if isinstance(row, BadRow)] == [at]
    assert len(keyed) == before + 3


LINES = HEADER + "".join(f"1-{n},buy,2026-01-31 10:00:00,{n * 7919}\n" for n in range(3000))


def until_damage(path: Path) -> tuple[list[RawRow | BadRow], str]:
    """Return the rows of a damaged file, and what is said about it."""
    found, rows = [], iter(RawRows(local_file(path), UTC_ZONE, None))
    try:
        while True:
            found.append(next(rows))
    except FlybridgeError as problem:
        return found, str(problem)


@pytest.mark.parametrize("cut", [4000, 9000, -9, -1])
def test_all_whole_rows_before_the_end_of_a_broken_download_are_read(tmp_path, cut):
    """The last line may be half a row, and is none."""
    path, packed = tmp_path / "a.csv.gz", gzip.compress(LINES.encode())
    whole = zlib.decompressobj(31).decompress(packed[:cut]).decode().splitlines(keepends=True)
    path.write_bytes(packed[:cut])
    found, problem = until_damage(path)
    assert len(found) == sum(line.endswith("\n") for line in whole) - 1
    assert "a.csv.gz can't be read: its compressed data breaks off" in problem


def test_what_follows_compressed_data_is_told_after_its_rows(tmp_path):
    """Zeros fill up a block of a disk; anything else is damage."""
    assert len(rows_of(tmp_path / "a.csv.gz", gzip.compress(LINES.encode()) + b"\0" * 700)) == 3000
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(LINES.encode()) + b"and more")
    found, problem = until_damage(tmp_path / "b.csv.gz")
    assert len(found) == 3000
    assert "b.csv.gz can't be read: what follows its compressed data is not compressed" in problem


def _zipped(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return packed.getvalue()


def test_archives_in_archives_and_files_compressed_twice_are_read(tmp_path):
    """Mail programs and download pages pack once more."""
    inner = _zipped(a_csv=LINES.encode(), b_csv_gz=gzip.compress(gzip.compress(LINES.encode())), c_txt=b"hello")
    (tmp_path / "all.zip").write_bytes(_zipped(inner_zip=inner, d_csv=LINES.encode()))
    files = find_files([str(tmp_path / "all.zip")])
    names = ["all.zip:d.csv", "all.zip:inner.zip:a.csv", "all.zip:inner.zip:b.csv.gz"]
    assert [file.name.rpartition("/")[2] for file in files] == names
    assert {file.key for file in files} == {str(tmp_path / "all.zip")}
    assert {file.stored_name for file in files} == {str(tmp_path / "all.zip")}
    for file in files:
        assert len(list(RawRows(file, UTC_ZONE, None))) == 3000
    (tmp_path / "none.zip").write_bytes(_zipped(inner_zip=_zipped(c_txt=b"hello")))
    with pytest.raises(FlybridgeError, match="holds no file that ends in"):
        find_files([str(tmp_path / "none.zip")])


def test_other_ways_of_packing_are_named(tmp_path):
    """Not taken for a table whose first column is strange."""
    (tmp_path / "a.csv").write_text(LINES)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.csv", "a.csv")
    (tmp_path / "a.csv.bz2").write_bytes(bz2.compress(LINES.encode()))
    (tmp_path / "a.csv.xz").write_bytes(lzma.compress(LINES.encode()))
    (tmp_path / "a.csv.zst").write_bytes(zstandard.compress(LINES.encode()))
    for name, kind in (("a.tar.gz", "tar"), ("a.csv.bz2", "bzip2"), ("a.csv.xz", "xz"), ("a.csv.zst", "Zstandard")):
        with pytest.raises(FlybridgeError, match=f"is packed with {kind}"):
            list(RawRows(local_file(tmp_path / name), UTC_ZONE, None))


@pytest.mark.parametrize(
    ("written", "user"),
    [
        ("123456.0", "123456"),
        ("0123.0", "0123"),
        ("123456.00", "123456.00"),
        ("1.2.0", "1.2.0"),
        ("v1.0", "v1.0"),
        (".0", ".0"),
        ("12345678901234568.0", "12345678901234568.0"),
    ],
)
def test_a_user_whose_number_was_made_a_decimal_is_the_same_user(tmp_path, written, user):
    """As programs write whole numbers of a column in which some are missing. In Parquet these are numbers."""
    header = "AppsFlyer ID,Event Name,Event Time,Customer User ID\n"
    rows = f"1629191854863-7087037,a,2026-03-04 08:30:00,{written}\n1629191854863-7087038,b,2026-03-04 08:30:01,\n"
    found = [row.fields.get("customer_user_id") for row in rows_of(tmp_path / "in_app_events.csv", header + rows)]
    assert found == [user, None]


@pytest.mark.parametrize("name", ["in_app_events.csv", "installs.csv", "conversions_retargeting.csv"])
def test_a_row_without_name_and_time_is_a_bad_row_of_the_report_that_its_file_is_named_after(tmp_path, name):
    """As a line of totals is, and every row if the columns were renamed: they were left out as rows of clicks."""
    rows = rows_of(tmp_path / name, "AppsFlyer ID,Event,At,Media Source\n1-2,buy,2026-03-04,x\nTotal,,,\n")
    found = [dated(row) for row in rows if isinstance(row, RawRow)]
    assert [one.problem for one in found if isinstance(one, BadRow)] == [
        "It has no event_time. Write it as 2026-01-31 23:59:59."
    ] * 2
