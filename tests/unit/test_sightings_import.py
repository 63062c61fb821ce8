"""Files of sightings become envelopes, and bad lines are named."""

from __future__ import annotations

import gzip
import io

import msgspec
import pytest

from flybridge.amplitude import stream
from flybridge.errors import FlybridgeError
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.operations.import_files import LINES_PER_ENVELOPE, BadLine, Line, import_file, read_file, read_lines
from flybridge.records import Source
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore

NOW_MS = 1_764_000_000_000
SECRET = b"the secret of the import tests"
GAID = "38400000-8cf0-11bd-b23e-10b96e40000{}"


def lines(text: str) -> list[Line | BadLine]:
    """Read a text as a file."""
    return list(read_lines(io.BytesIO(text.encode()), "some.csv"))


def test_json_lines_keep_their_bytes_and_numbers():
    """Blank lines count as lines; what names nobody is told apart."""
    found = lines('\n{"user_id":"ada","adid":"38400000-8cf0-11bd-b23e-10b96e40000d"}\n\n{"event_type":"x"}\n')
    assert [(line.line, line.tells) for line in found] == [(2, True), (4, False)]
    assert found[0].body == b'{"user_id":"ada","adid":"38400000-8cf0-11bd-b23e-10b96e40000d"}'


def test_bad_lines_are_named_and_the_others_read():
    """No line takes its neighbours with it."""
    found = lines('{"user_id":"ada"}\n{"user_id":\n[1]\n{"user_id":"eve"}\n')
    assert [type(line) for line in found] == [Line, BadLine, BadLine, Line]
    assert [(bad.line, bad.problem[:25]) for bad in found[1:3]] == [
        (2, "It is not readable JSON: "),
        (3, "It is no JSON object."),
    ]


def test_csv_has_a_header_quotes_and_times():
    """Columns are names of the stream's fields; a number of milliseconds is a time."""
    text = '\ufeffuser_id,device_id,adid,time\n"ada, the first",d1,38400000-8cf0-11bd-b23e-10b96e40000d,1763000000000\n'
    (line,) = lines(text)
    (seen,) = stream.read(line.body)
    assert (line.line, seen.user_id, seen.device_id, seen.seen_ms) == (2, "ada, the first", "d1", 1763000000000)
    assert "adid" in seen.ids


def test_a_csv_line_of_another_length_is_bad():
    """A missing comma must not shift values into the wrong columns."""
    found = lines("user_id,adid\nada\neve,38400000-8cf0-11bd-b23e-10b96e40000d\n")
    assert found[0] == BadLine(2, "It has 1 values, and the header has 2.")
    assert isinstance(found[1], Line)


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
