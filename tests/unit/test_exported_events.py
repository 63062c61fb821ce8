"""The events of an export are read one by one, and one that is odd costs no other."""

from __future__ import annotations

import gzip
import io
import zipfile

import pytest

from flybridge.amplitude import export
from flybridge.amplitude.stream import time_ms

GOOD = b'{"event_type":"a","$insert_id":"x","event_time":"2026-01-01 10:00:00.123000","platform":"iOS"}'


def archive(*lines: bytes, cut: int = 0) -> io.BytesIO:
    """Return an export of one file."""
    made = io.BytesIO()
    packed = gzip.compress(b"\n".join(lines) + b"\n", mtime=0)
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("1/1_2026-01-01_10#0.json.gz", packed[: len(packed) - cut])
    made.seek(0)
    return made


@pytest.mark.parametrize(
    "properties",
    [
        rb'{"[AppsFlyer] media source":"tiktok","x":"\ud83d"}',
        b'{"[AppsFlyer] media source":"tiktok","x":"caf\xe9"}',
        b'{"[AppsFlyer] media source":"tiktok","x":NaN}',
        b'{"[AppsFlyer] media source":"tiktok","x":1e999}',
        b'{"[AppsFlyer] media source":"tiktok","x":123456789012345678901234567890}',
        b'{"[AppsFlyer] media source":"tiktok"}',
    ],
    ids=["half an emoji", "another encoding", "NaN", "a large number", "a large integer", "nothing odd"],
)
def test_a_property_that_is_odd_costs_no_event(properties: bytes):
    """Its own neither: what it is compared by is read."""
    odd = GOOD[:-1] + b',"event_properties":' + properties + b"}"
    found = list(export.events(archive(GOOD, odd, b"", GOOD)))
    assert [(one.event_type, one.insert_id, one.time_ms, one.platform) for one in found] == [
        ("a", "x", 1767261600123, "iOS")
    ] * 3
    assert found[1].value("[AppsFlyer] media source", of_user=False) == "tiktok"


@pytest.mark.parametrize(
    "lines",
    [[b"[1]"], [b'{"event_type":'], [b"<html>"], [b'{"event_properties":' + b'{"a":' * 5000 + b"1" + b"}" * 5001]],
    ids=["a list", "half a line", "a page", "too deep"],
)
def test_what_is_no_event_is_said(lines: list[bytes]):
    """It is no export, or a broken one: nothing is missing for that."""
    with pytest.raises(ValueError, match=r"The export can't be read: ."):
        list(export.events(archive(GOOD, *lines)))


def test_an_export_that_was_cut_is_said():
    """Within a file, or of the archive."""
    with pytest.raises(ValueError, match=r"The export can't be read"):
        list(export.events(archive(GOOD, cut=9)))
    with pytest.raises(ValueError, match=r"The export can't be read"):
        list(export.events(io.BytesIO(archive(GOOD).getvalue()[:-30])))


@pytest.mark.parametrize(
    "written",
    [
        "2022-08-18 08:44:02.740000", "2022-08-18 08:44:02", "2022-08-18T08:44:02Z", "2022-08-18T10:44:02+02:00",
        "2022-08-18 8:44:02", "1660812242740", 1660812242740, "2022-08-18 08:44:02 UTC", "", "soon", None, [],
        "0001-01-01 00:00:00", "2022-08-18T23:59:59-11:00",
    ],
)  # fmt: skip
def test_a_time_in_a_file_is_the_time_that_it_is_in_a_message(written):
    """Also one with a zone of its own: of another day it would be an event that is missing."""
    assert export.ExportedEvent(event_time=written).time_ms == time_ms(written)
