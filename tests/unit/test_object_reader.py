"""An object is read as one content, and what a store answers is said in a line."""

from __future__ import annotations

import gzip
import random
import zipfile
from io import BytesIO
from typing import Any

import obstore
import pytest
from obstore.store import MemoryStore

from flybridge.errors import FlybridgeError
from flybridge.history.files import BUFFER, RawFile, find_files, object_file
from flybridge.history.locker_folders import Locker
from flybridge.history.raw_rows import RawRows
from flybridge.history.rows import RawRow

KEY = "home/t=inapps/dt=2026-01-09/h=12/part-00000"


def rows(word: str, n: int = 80_000) -> bytes:
    """Return a file with this word in each row, of more than one piece."""
    lines = "".join(f"1-{number},{word},2026-01-09 12:30:00\n" for number in range(n))
    return f"appsflyer_id,event_name,event_time\n{lines}".encode()


def stored(bucket: Any, content: bytes) -> RawFile:
    """Write the object, and return its file."""
    obstore.put(bucket, KEY, content)
    return object_file(obstore.head(bucket, KEY), bucket, "s3://bucket/")


@pytest.mark.parametrize("same_size", [True, False])
def test_a_file_that_is_written_anew_while_it_is_read_is_not_joined_of_two(same_size: bool):
    """Rows of the one before are taken; of the other none, so that no row is half of each."""
    bucket = MemoryStore()
    file = stored(bucket, rows("bought"))
    assert file.size > 2 * BUFFER
    read = iter(RawRows(file, None, None))
    found = [next(read)]
    obstore.put(bucket, KEY, rows("sold12" if same_size else "sold"))
    with pytest.raises(FlybridgeError, match="was written anew while it was read"):
        found.extend(read)
    assert {row.fields["event_name"] for row in found if isinstance(row, RawRow)} == {"bought"}
    assert all(isinstance(row, RawRow) for row in found)


def test_a_file_that_was_written_anew_since_it_was_listed_is_read_as_it_is():
    """Longer or shorter than the listing has it."""
    bucket = MemoryStore()
    for n in (70_000, 10):
        file = stored(bucket, rows("bought"))
        obstore.put(bucket, KEY, rows("sold", n))
        assert len(list(RawRows(file, None, None))) == n


def packed(content: bytes) -> bytes:
    """Return an archive of a file."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", content)
    return made.getvalue()


@pytest.mark.parametrize("content", [b"", b"x", bytes(BUFFER), random.Random(3).randbytes(2 * BUFFER + 7)])
def test_an_object_is_read_whole_and_from_any_place(content: bytes):
    """In pieces of any length, backwards and beyond its end."""
    file = stored(MemoryStore(), content)
    with file.opened() as opened:
        assert opened.read() == content
        for place in (0, len(content) // 2, len(content), len(content) + 5):
            assert opened.seek(place) == place
            assert opened.read(BUFFER + 3) == content[place : place + BUFFER + 3]
        assert opened.seek(-min(3, len(content)), 2) == max(0, len(content) - 3)
        assert opened.read() == content[-3:]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, packed])
def test_rows_are_read_whatever_they_are_packed_in(pack: Any):
    """A zip archive is read from its end."""
    file = stored(MemoryStore(), pack(rows("bought")))
    if pack is packed:
        file = RawFile("rows.csv", file.key, file.size, file.mark, file.bucket, ("rows.csv",))
    assert len(list(RawRows(file, None, None))) == 80_000


class RefusingLocker(Locker):
    """A Data Locker whose store answers as obstore says it: with pages of its state behind the first line."""

    def __init__(self, problem: Exception) -> None:
        self.address, self._folder, self._bucket = "s3://bucket/home", "home", MemoryStore()
        self._problem = problem

    def _page(self, prefix: str) -> tuple[list[Any], list[str]]:
        raise self._problem


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (OSError("Server returned 403: AccessDenied\n\nDebug source:\nGeneric {\n}"), "403: AccessDenied."),
        (FileNotFoundError("Object at location\nDebug source:"), "there is no such object or bucket."),
        (OSError("error for http://169.254.169.254/latest\nDebug"), "no credentials that are valid"),
        (OSError("error for http://metadata.google.internal/x?y=z in 1s"), "no credentials that are valid"),
        (OSError("Error performing token request: 401"), "no credentials that are valid"),
        (
            OSError("GET http://s3.test/b?continuation-token=x&prefix=h in 1ms - 503"),
            ": GET http://s3.test/b in 1ms - 503.",
        ),
        (
            OSError("GET http://s3.test/b/metadata/access_key.csv - 403"),
            ": GET http://s3.test/b/metadata/access_key.csv - 403.",
        ),
        (
            OSError("Received redirect without LOCATION, this normally indicates an incorrectly configured region"),
            "the bucket is in another region: set AWS_REGION",
        ),
    ],
)
def test_a_listing_that_is_refused_is_said_in_a_line(problem: Exception, said: str):
    """Without the state of the client."""
    with pytest.raises(FlybridgeError) as refused:
        RefusingLocker(problem).folders("2026-01-01")
    sentence = str(refused.value)
    assert said in sentence
    assert sentence.startswith("s3://bucket/home can't be listed: ")
    assert "\n" not in sentence
    assert "Debug" not in sentence


def test_objects_that_stand_for_folders_are_no_files(tmp_path):
    """The consoles of clouds make them, empty, beside what is in the folder. A file that is named is one anyway."""
    for name in ("dl/h=1/part-0.gz", "dl/h=1/part-1", "dl/h=1/_SUCCESS", "dl/h=2"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name.endswith(("_SUCCESS", "h=2")) else b"x")
    found = {address: find_files([f"file://{tmp_path}/{address}"]) for address in ("dl/*", "dl", "dl/h=2")}
    assert {address: [file.name.rpartition("dl/")[2] for file in files] for address, files in found.items()} == {
        "dl/*": ["h=1/part-0.gz", "h=1/part-1"],
        "dl": ["h=1/part-0.gz"],
        "dl/h=2": ["h=2"],
    }
