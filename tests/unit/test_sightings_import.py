"""Files of sightings become envelopes, and bad lines are named."""

from __future__ import annotations

import bz2
import gzip
import io
import json
from zipfile import ZipFile

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from flybridge.amplitude import stream
from flybridge.amplitude.merged import merges
from flybridge.cli.app import app as cli
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.flow import AppFlow, Flow
from flybridge.identity import IdKind, Keyring
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.lenient_json import decode
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.operations.file_lines import MAX_LINE, BadLine, FileLine, read_file, read_lines
from flybridge.operations.import_files import LINES_PER_ENVELOPE, import_file
from flybridge.operations.json_values import JsonValues
from flybridge.records import Source
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore

NOW_MS = 1_764_000_000_000
SECRET = b"the secret of the import tests"
GAID = "38400000-8cf0-11bd-b23e-10b96e40000{}"


def lines(text: str) -> list[FileLine | BadLine]:
    """Read a text as a file."""
    return list(read_lines(io.BytesIO(text.encode()), "some.csv"))


def test_json_lines_keep_their_bytes_and_numbers():
    """Blank lines count as lines; what names nobody is told apart."""
    found = lines('\n{"user_id":"ada","adid":"38400000-8cf0-11bd-b23e-10b96e40000d"}\n\n{"event_type":"x"}\n')
    assert [(line.line, line.identifies) for line in found] == [(2, True), (4, False)]
    assert found[0].body == b'{"user_id":"ada","adid":"38400000-8cf0-11bd-b23e-10b96e40000d"}'


def test_bad_lines_are_named_and_the_others_read():
    """No line takes its neighbours with it."""
    found = lines('{"user_id":"ada"}\n{"user_id":\n[1]\n{"user_id":"eve"}\n')
    assert [type(line) for line in found] == [FileLine, BadLine, BadLine, FileLine]
    assert [(bad.line, bad.problem[:25]) for bad in found[1:3]] == [
        (2, "It is not readable JSON: "),
        (3, "It is not a JSON object."),
    ]


MEMBERS = [
    {"user_id": "ada", "adid": GAID.format("d")},
    {"user_id": 'a "quoted" \\\\ ] } , name', "event_properties": {"list": [1, {"deep": ["]"]}], "text": "\u00e9 [{"}},
    {"user_id": "eve"},
]


@pytest.mark.parametrize("ending", ["", "\n", " \r\n\n"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("form", ["array", "objects", "arrays"])
def test_an_array_or_objects_over_several_lines_are_read(form, indent, ending):
    """As one object for each member, each with the line where it begins."""
    if form == "objects" and indent is None:
        indent = 0  # one line each is JSON lines
    texts = [json.dumps(one, indent=indent) for one in MEMBERS]
    whole = {
        "array": json.dumps(MEMBERS, indent=indent),
        "objects": "\n".join(texts),
        "arrays": "\n".join(f"[{text}]" for text in texts),
    }[form]
    found = lines(f"\ufeff{whole}{ending}")
    assert [json.loads(line.body) for line in found] == MEMBERS
    numbers = [line.line for line in found]
    assert numbers == sorted(numbers)
    text = whole.splitlines()
    assert all("{" in text[number - 1] for number in numbers)


@given(
    st.lists(
        st.recursive(
            st.none() | st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
        ).map(lambda value: {"user_id": "ada", "value": value}),
        max_size=8,
    ),
    st.integers(1, 40),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_an_array_is_read_whatever_its_members_hold(members, piece, indent, escaped):
    """However the pieces fall in which it is read."""
    whole = json.dumps(members, indent=indent, ensure_ascii=escaped).encode(errors="surrogatepass")

    class Slow(io.BytesIO):
        def readline(self, size=-1):
            return super().readline(piece)

    file = Slow(whole)
    values = JsonValues(file, file.readline(), 1, 10_000)
    assert [json.loads(text) for _, text in values] == members
    assert not values.is_cut


def test_of_a_broken_array_what_can_be_read_is_read():
    """One bad line for a member that is none, for one that is too long, and for an end that is missing."""
    long = '{"user_id":"' + "x" * MAX_LINE + '"}'
    found = lines(f'[{{"user_id":"ada"}},\n 7,\n{{"user_id" "bob"}},{long},\n{{"user_id":"eve"}},\n{{"user_id":"cut')
    assert [type(line) for line in found] == [FileLine, BadLine, BadLine, BadLine, FileLine, BadLine]
    assert [bad.line for bad in found if isinstance(bad, BadLine)] == [2, 3, 3, 5]
    assert "not a JSON object" in found[1].problem
    assert "longer than" in found[3].problem
    assert "it was cut" in found[5].problem


def test_csv_has_a_header_quotes_and_times():
    """Columns are names of the stream's fields; a number of milliseconds is a time."""
    text = '\ufeffuser_id,device_id,adid,time\n"ada, the first",d1,38400000-8cf0-11bd-b23e-10b96e40000d,1763000000000\n'
    (line,) = lines(text)
    (seen,) = stream.walk(decode(line.body))
    assert (line.line, seen.user_id, seen.device_id, seen.seen_ms) == (2, "ada, the first", "d1", 1763000000000)
    assert "adid" in seen.ids


@pytest.mark.parametrize("spell", [str, str.upper, lambda text: text.replace("_", " ").title()])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_is_read_as_warehouses_and_spreadsheets_write_it(spell, delimiter):
    """In capitals, with blanks, and with other separators."""
    header = delimiter.join(map(spell, ["user_id", "device_id", "appsflyer_id", "event_time"]))
    row = delimiter.join(["ada@example.com", "ada-phone", "1629191854863-7000002", "1772611200120"])
    (line,) = read_lines(io.BytesIO(f"{header}\n{row}\n".encode()), "a.csv")
    (seen,) = stream.walk(decode(line.body))
    assert (seen.user_id, seen.device_id, seen.seen_ms) == ("ada@example.com", "ada-phone", 1_772_611_200_120)
    assert seen.ids[IdKind.APPSFLYER_ID] == "1629191854863-7000002"


@pytest.mark.parametrize("column", ["user_id", "device_id", "customer_user_id", "amplitude_id"])
def test_an_id_that_a_spreadsheet_has_shortened_is_a_bad_line(column):
    """It is the same of many, who would become one user. As text in a formula it is whole."""
    header = f"{column},device_id,appsflyer_id" if column != "device_id" else "user_id,device_id,appsflyer_id"
    rows = ["1.23457E+12,x1,1629191854863-7000002", '"=""1234567890123""","=""x1""",1629191854863-7000002']
    if column == "device_id":
        rows = ["x1,1.23457E+12,1629191854863-7000002", '"=""x1""","=""1234567890123""",1629191854863-7000002']
    bad, line = lines("\n".join([header, *rows, ""]))
    assert isinstance(bad, BadLine)
    assert f"Its {column} is a number that a spreadsheet has shortened" in bad.problem
    assert isinstance(line, FileLine)
    assert decode(line.body)[column] == "1234567890123"


@pytest.mark.parametrize(
    "header",
    [
        "user_id,Device ID,AppsFlyer ID,Event Time",
        "User ID,device_id,appsflyer_id,EVENT_TIME",
        "USER_ID,device_id,x,time",
    ],
)
def test_columns_are_known_in_capitals_whatever_others_are_called(header):
    """As in a table that was put together from two: the device of each user was lost."""
    (line,) = lines(f"{header}\nada,ada-phone,1629191854863-7000002,2026-03-04 08:30:00\n")
    assert isinstance(line, FileLine)
    assert line.ids == ("ada", "ada-phone")
    (seen,) = stream.walk(decode(line.body))
    assert seen.seen_ms == 1_772_613_000_000


def test_a_time_of_thousands_of_digits_is_none():
    """It ended the import."""
    rows = f"ada,d-1234,{'9' * 5_000}\nbob,d-5678,1772613000\n"
    line, other = lines(f"user_id,device_id,event_time\n{rows}")
    assert isinstance(line, FileLine)
    assert isinstance(other, FileLine)
    assert [next(stream.walk(decode(one.body))).seen_ms for one in (line, other)] == [None, 1_772_613_000_000]


def test_ids_that_were_made_decimals_are_whole():
    """As programs write whole numbers of a column in which some are missing."""
    header = "user_id,device_id,amplitude_id,appsflyer_id"
    line, other = lines(
        f"{header}\n123456.0,77777.0,900719925474.0,1629191854863-7000002\nv1.0,,,1629191854863-7000003\n"
    )
    assert isinstance(line, FileLine)
    assert isinstance(other, FileLine)
    assert (line.ids, other.ids) == (("123456", "77777"), ("v1.0",))
    (seen,) = stream.walk(decode(line.body))
    assert seen.amplitude_id == "900719925474"


@pytest.mark.parametrize("before", ["\ufeff", "\ufeff\ufeff", "\0\0", "\0\ufeff"])
@pytest.mark.parametrize("text", ['{"user_id":"ada","device_id":"d1"}\n', "user_id,device_id\nada,d1\n"])
def test_what_stands_before_a_file_hides_nobody(before, text):
    """Programs that join files write two byte order marks, and some machines NULs for what they lost."""
    (line,) = lines(before + text)
    assert isinstance(line, FileLine)
    assert line.ids == ("ada", "d1")


@pytest.mark.parametrize("text", ['{"user_id":"ada"}\r{"user_id":"eve"}\r', "user_id,device_id\rada,d1\r"])
def test_lines_that_end_in_cr_alone_are_refused_in_a_sentence(text):
    """As those of raw data are."""
    with pytest.raises(FlybridgeError, match=r"The lines of some\.csv end in CR alone"):
        lines(text)


def test_an_object_with_cr_between_its_fields_is_read():
    """It is a blank of JSON."""
    (line,) = lines('{"user_id":"ada",\r"device_id":"d1"}\n')
    assert isinstance(line, FileLine)
    assert line.ids == ("ada", "d1")


def test_a_first_line_that_is_too_long_for_a_column_is_refused_in_a_sentence():
    """Whatever it is."""
    with pytest.raises(FlybridgeError, match="is neither JSON lines nor a CSV file") as refused:
        lines("x" * 200_000 + "\n")
    assert len(str(refused.value)) < 300


def test_a_csv_line_of_another_length_is_bad():
    """A missing comma must not shift values into the wrong columns."""
    found = lines("user_id,adid\nada\neve,38400000-8cf0-11bd-b23e-10b96e40000d\n")
    assert found[0] == BadLine(2, "It has 1 values, and the header has 2.")
    assert isinstance(found[1], FileLine)


def test_what_is_no_file_of_sightings_is_refused(tmp_path):
    """With the columns it has; and a file that is not there."""
    with pytest.raises(FlybridgeError, match=r"neither JSON lines nor a CSV file .* Its first line has: name, mail"):
        lines("name,mail\nx,y\n")
    with pytest.raises(FlybridgeError, match=r"gone\.csv can't be read"):
        list(read_file(tmp_path / "gone.csv"))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b'{"user_id":"ada"}\n' * 999)[:40])
    with pytest.raises(FlybridgeError, match="can't be read"):
        list(read_file(tmp_path / "cut.gz"))


async def test_importing_twice_teaches_once(tmp_path):
    """Through the real inbox, flow and store; the second time everything is a duplicate, and the account balances."""
    path = tmp_path / "people.ndjson.gz"
    rows = [{"user_id": f"user-{n}", "adid": GAID.format(n % 10)[:-1] + f"{n:02x}"} for n in range(250)]
    path.write_bytes(gzip.compress(msgspec.json.Encoder().encode_lines(rows) + b"nonsense\n"))
    flow = Flow({"shop": AppFlow(Rules(app="shop", platform="android"))}, Keyring(SECRET))
    inbox, store = SqliteInbox(tmp_path / "inbox.db", Seal(SECRET)), SqliteStore(tmp_path / "store.db", Seal(SECRET))
    await inbox.open()
    await store.open()
    told: list[int] = []
    for _ in range(2):
        done = await import_file(path, "shop", inbox.accept, NOW_MS, told.append)
        assert (done.lines, done.taken, done.envelopes, len(done.bad)) == (251, 250, 3, 1)
        assert done.bad[0].line == 251
    assert told[-1] == 251
    leased = await inbox.lease(100, NOW_MS, 60_000)
    assert {envelope.source for envelope in leased.envelopes} == {Source.SIGHTINGS}
    filed = await store.file(flow.filings(leased.envelopes), NOW_MS)
    assert filed.outcomes == {"applied": 3, "duplicate": 3}
    kinds = {seen.kind: seen.n for seen in await store.sighted_kinds()}
    assert kinds == {"adid": 250, "customer_user_id": 250}
    assert 250 / LINES_PER_ENVELOPE <= 3
    await inbox.close()
    await store.close()


EXPORTED = [{"user_id": "ada", "device_id": GAID.format(n), "platform": "Android", "adid": None} for n in range(4)]


@pytest.mark.parametrize("form", ["plain", "gzip", "zip", "zip of gzip"])
def test_an_export_is_read_as_the_vendor_packs_it(form, tmp_path):
    """The Export API answers with a zip archive of gzip files; what is unpacked already is read as well."""
    halves = [b"\n".join(map(msgspec.json.encode, half)) for half in (EXPORTED[:2], EXPORTED[2:])]
    path = tmp_path / "export"
    if form.startswith("zip"):
        with ZipFile(path, "w") as archive:
            archive.mkdir("153957")
            for number, half in enumerate(halves):
                packed = gzip.compress(half) if "gzip" in form else half
                archive.writestr(f"153957/153957_2026-01-01_{number}#0.json.gz", packed)
    else:
        whole = b"\n".join(halves)
        path.write_bytes(gzip.compress(whole) if form == "gzip" else whole)
    found = list(read_file(path))
    assert [msgspec.json.decode(line.body) for line in found] == EXPORTED
    assert all(line.identifies for line in found)
    assert {seen.ids["adid"] for line in found for seen in stream.walk(decode(line.body))} == {
        GAID.format(n) for n in range(4)
    }


def test_a_bad_line_in_an_archive_is_named_with_its_file(tmp_path):
    """The number alone would not find it."""
    with ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("a.json", b'{"user_id":"ada"}\n{oops')
    (_, bad) = read_file(tmp_path / "export.zip")
    assert (bad.line, bad.problem[:29]) == (2, "In a.json: It is not readable")


@pytest.mark.parametrize("damage", ["cut", "member"])
def test_a_damaged_archive_says_so(damage, tmp_path):
    """Instead of a traceback."""
    path = tmp_path / "export.zip"
    with ZipFile(path, "w") as archive:
        archive.writestr("a.json.gz", gzip.compress(b'{"user_id":"ada"}\n' * 50)[:-9])
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FlybridgeError, match="can't be read"):
        list(read_file(path))


MERGE = {
    "scope": 1,
    "merge_time": NOW_MS - 9,
    "merge_server_time": NOW_MS,
    "amplitude_id": 11,
    "merged_amplitude_id": 12,
}


@pytest.mark.parametrize(
    "text",
    [
        msgspec.json.encode(MERGE).decode(),
        "amplitude_id,merge_server_time,merged_amplitude_id\n11,2025-11-24 16:00:00,12\n",
        "AMPLITUDE_ID,MERGE_SERVER_TIME,MERGED_AMPLITUDE_ID\n11,1764000000000,12\n",
    ],
)
def test_a_file_of_merged_users_is_read(text):
    """As buckets have it, and as warehouses write the columns of their table."""
    (line,) = lines(text)
    assert (line.identifies, line.ids) == (True, ())
    (merge,) = merges(msgspec.json.decode(line.body))
    assert (merge.one, merge.other, merge.seen_ms) == ("11", "12", NOW_MS)


@pytest.mark.parametrize(
    "change",
    [{"amplitude_id": None}, {"merged_amplitude_id": ""}, {"merged_amplitude_id": 11}, {"amplitude_id": "eleven"},
     {"amplitude_id": [11]}, {"merged_amplitude_id": True}, {"merged_amplitude_id": "1" * 30}],
)  # fmt: skip
def test_a_line_without_two_numbers_is_no_merge(change):
    """It says nothing, and is counted as such."""
    (line,) = lines(msgspec.json.encode(MERGE | change).decode())
    assert not line.identifies


@pytest.mark.parametrize("length", [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 3 * MAX_LINE + 7])
@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_long_line_is_one_bad_line_and_the_next_keep_their_numbers(form, length):
    """It used to be one bad line for each million bytes, and the numbers after it were wrong."""
    good = {"json": '{"user_id":"ada"}\n', "csv": "ada\n"}[form]
    long = {"json": '{"user_id":"', "csv": '"'}[form].ljust(length, "x") + "\n"
    head = "user_id\n" if form == "csv" else good
    found = lines(f"{head}{long}{good}{good if form == 'csv' else 'no' + good}")
    numbers = [line.line for line in found]
    assert numbers == sorted(set(numbers))
    bad = {line.line: line.problem for line in found if isinstance(line, BadLine)}
    assert set(bad) == {2, 4} if form == "json" else set(bad) <= {2}
    if length > MAX_LINE:
        assert bad[2] == "It is longer than 1,000,000 bytes."
        assert [line.line for line in found if isinstance(line, FileLine)] == ([1, 3] if form == "json" else [3, 4])


def test_an_archive_packed_on_a_desktop_is_read_without_what_the_system_added(tmp_path):
    """Finder adds `__MACOSX` and `.DS_Store`."""
    path = tmp_path / "export.zip"
    with ZipFile(path, "w") as archive:
        archive.writestr("a/one.json", b'{"user_id":"ada"}\n')
        archive.writestr("a/.DS_Store", b"\0\0\0\1Bud1")
        archive.writestr("__MACOSX/a/._one.json", b"\0\5\x16\7")
    assert [type(line) for line in read_file(path)] == [FileLine]


def test_an_archive_with_a_password_is_refused_with_a_sentence(tmp_path):
    """It used to end with a traceback."""
    path = tmp_path / "export.zip"
    with ZipFile(path, "w") as archive:
        archive.writestr("one.json", b"{}")
    packed = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.find(mark) + at] |= 1
    path.write_bytes(packed)
    with pytest.raises(FlybridgeError, match=r"export\.zip can't be read: .* is encrypted"):
        list(read_file(path))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_file_of_another_encoding_is_read(encoding, tmp_path):
    """As spreadsheets and consoles write them."""
    path = tmp_path / "some.json"
    path.write_bytes('{"user_id":"zoë","adid":"x"}\n{"user_id":"ada"}\n'.encode(encoding))
    assert [line.ids for line in read_file(path) if isinstance(line, FileLine)] == [("zoë",), ("ada",)]


def test_files_are_unpacked_as_raw_data_is(tmp_path):
    """Compressed twice, or with what else there is."""
    line = b'{"user_id":"ada"}\n'
    (tmp_path / "twice.json.gz").write_bytes(gzip.compress(gzip.compress(line)))
    assert [one.ids for one in read_file(tmp_path / "twice.json.gz") if isinstance(one, FileLine)] == [("ada",)]
    (tmp_path / "other.json.bz2").write_bytes(bz2.compress(line))
    with pytest.raises(FlybridgeError, match="is packed with bzip2, which is not read: unpack it"):
        list(read_file(tmp_path / "other.json.bz2"))


def test_ids_in_windows_1252_are_what_they_are(tmp_path):
    """As spreadsheets save CSV; a mark in place of a letter would make another person of it."""
    path = tmp_path / "users.csv"
    path.write_bytes("user_id,appsflyer_id\nzoë,1-2\nada,1-3\n".encode("cp1252"))
    assert [line.ids for line in read_file(path) if isinstance(line, FileLine)] == [("zoë",), ("ada",)]


@pytest.mark.parametrize("form", ["--sightings", "--stream"])
@pytest.mark.parametrize(
    "option", ["--dry-run", "--timezone UTC", "--from 2026-01-01", "--to 2026-01-01", "--rate 5", "--dry-run --rate 5"]
)
def test_an_option_that_these_files_do_not_have_is_refused(smallest_config, tmp_path, form, option):
    """Before anything is taken: a dry run was an import."""
    (tmp_path / "users.csv").write_text("user_id,appsflyer_id\nada@example.com,1-2\n")
    words = ["import", form, *option.split(), str(tmp_path / "users.csv"), "--config", str(smallest_config)]
    found = CliRunner().invoke(cli, words)
    assert (found.exit_code, option.split()[0] in found.output) == (2, True)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("name", "words"), [("s3://bucket/a.zip", "Download it first"), (".", "Name the files in it")])
def test_what_is_no_file_of_this_machine_is_refused_with_what_to_do(smallest_config, name, words):
    """Raw data is read from buckets and directories, and these files are not."""
    found = CliRunner().invoke(cli, ["import", "--stream", name, "--config", str(smallest_config)])
    assert isinstance(found.exception, ConfigError)
    assert words in str(found.exception)
