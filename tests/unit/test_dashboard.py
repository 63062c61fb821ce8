"""Amplitude's event segmentation and export: what is asked, and what is read of every answer."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from datetime import UTC, date, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from flybridge.amplitude import dashboard, export
from flybridge.amplitude.cohort import Credentials
from flybridge.amplitude.dashboard import EventCounts, SegmentationRefused, hours_of
from flybridge.delivery.exchange import HttpResponse

WHO = Credentials("https://amplitude.com", "key", "secret")
DAY = date(2026, 3, 2)


def answered(status: int = 200, body: object = None, **headers: str) -> HttpResponse:
    """Return an answer with JSON."""
    return HttpResponse(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def data(series: list, labels: list) -> dict:
    """Return the body of a segmentation."""
    return {"data": {"series": series, "seriesLabels": labels, "seriesCollapsed": [], "xValues": []}}


def test_totals_of_one_day_are_asked_for_by_a_property():
    """Amplitude counts unique users unless it is told not to."""
    asked = dashboard.request(WHO, 'Play "Song"', DAY, property_name="[AppsFlyer] media source", platform="iOS")
    assert (asked.method, asked.headers["Authorization"]) == ("GET", "Basic a2V5OnNlY3JldA==")
    query = {name: values[0] for name, values in parse_qs(urlsplit(asked.url).query).items()}
    event = json.loads(query.pop("e"))
    assert query == {"start": "20260302", "end": "20260302", "m": "totals", "i": "1", "limit": "1000"}
    assert event["event_type"] == 'Play "Song"'
    assert event["group_by"] == [{"type": "event", "value": "[AppsFlyer] media source"}]
    assert event["filters"][0]["subprop_value"] == ["iOS"]


def test_revenue_is_added_up_by_a_property():
    """What is added up stands first among what the event is grouped by; sums are no whole numbers."""
    asked = dashboard.request(WHO, "x", DAY, property_name="source", of_user=True, sums_of=dashboard.REVENUE)
    query = parse_qs(urlsplit(asked.url).query)
    assert json.loads(query["e"][0])["group_by"] == [
        {"type": "event", "value": "$revenue"}, {"type": "user", "value": "gp:source"},
    ]  # fmt: skip
    assert query["m"] == ["sums"]
    read = dashboard.read(answered(body=data([[9.99, 0.01], [-3, 0]], ["tiktok", "(none)"])), 2, sums=True)
    assert isinstance(read, EventCounts)
    assert read.total() == {"tiktok": 10_000_000, "(none)": -3_000_000}
    refused = dashboard.read(answered(body=b'{"data":{"series":[[1e999]],"seriesLabels":["a"]}}'), 1, sums=True)
    assert not isinstance(refused, EventCounts)


def test_properties_of_users_have_their_prefix():
    """`gp:` stands before those that are not Amplitude's own."""
    asked = dashboard.request(WHO, "x", DAY, property_name="source", of_user=True, minutes=60)
    query = parse_qs(urlsplit(asked.url).query)
    assert json.loads(query["e"][0])["group_by"] == [{"type": "user", "value": "gp:source"}]
    assert query["i"] == ["-3600000"]


@pytest.mark.parametrize("label", ["tiktok", [0, "tiktok"], ["tiktok"]])
def test_counts_are_read_by_value_however_labels_are_written(label):
    """The page shows texts; answers have been seen with lists."""
    read = dashboard.read(answered(body=data([[2, 3], [1, 0], [0, 4]], [label, [0, "(none)"], label])), 2)
    assert isinstance(read, EventCounts)
    assert read.total() == {"tiktok": 9, "(none)": 1}
    assert read.total(1) == {"tiktok": 7, "(none)": 0}


@pytest.mark.parametrize(
    ("answer", "again", "word"),
    [
        (answered(401), False, "secret_key"),
        (answered(429), True, "budget"),
        (answered(503), True, "503"),
        (answered(400, {"error": {}}), False, "refuses"),
        (answered(200, b"<html>"), False, "base_url"),
        (answered(200, []), False, "base_url"),
        (answered(200, data([[1]], ["a"])), False, "1 times"),
        (answered(200, data([[1, 2], [3, 4]], ["a"])), False, "base_url"),
        (answered(200, data([["x", 1]], ["a"])), False, "base_url"),
        (answered(200, data([[0, 1]] * 1000, [f"s{n}" for n in range(1000)])), False, "1,000 values"),
    ],
)
def test_what_is_no_count_is_a_sentence(answer, again, word):
    """Never an exception, and never 0."""
    read = dashboard.read(answer, 2)
    assert isinstance(read, SegmentationRefused)
    assert word in read.problem
    assert (read.again_s is not None) is again


@pytest.mark.parametrize(("zone", "day", "n"), [("UTC", DAY, 24), ("Europe/Berlin", date(2026, 3, 29), 23),
                                                ("Europe/Berlin", date(2026, 10, 25), 25)])  # fmt: skip
def test_a_day_has_its_hours(zone, day, n):
    """23 to 25 of them, each once."""
    hours = hours_of(day, zone)
    assert len(hours) == len(set(hours)) == n


def zipped(files: dict[str, bytes]) -> io.BytesIO:
    """Return a zip of gzipped files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, gzip.compress(content))
    packed.seek(0)
    return packed


def test_an_export_is_read_line_by_line():
    """Whatever its fields hold."""
    lines = [
        {"$insert_id": "a", "event_type": "x", "event_time": "2026-03-02 12:00:00.5", "event_properties": {"p": "v"}},
        {"$insert_id": None, "event_type": None, "event_time": None, "event_properties": None, "user_properties": [1]},
    ]  # fmt: skip
    first, second = export.events(zipped({"1/1.json.gz": "\n".join(map(json.dumps, lines)).encode(), "1/x.txt": b""}))
    assert (first.insert_id, first.value("p", of_user=False), first.value("p", of_user=True)) == ("a", "v", None)
    assert first.time_ms == round(datetime(2026, 3, 2, 12, 0, 0, 500_000, UTC).timestamp() * 1000)
    assert (second.time_ms, second.value("p", of_user=True)) == (None, None)


@pytest.mark.parametrize("file", [io.BytesIO(b"no zip"), zipped({"a.json.gz": b"{"}), zipped({"a.json.gz": b"[1]"})])
def test_a_broken_export_is_an_error(file):
    """And no shorter export."""
    with pytest.raises(ValueError, match="can't be read"):
        list(export.events(file))


@pytest.mark.parametrize(
    ("status", "body", "empty", "large"),
    [
        (404, b"No data available", True, False),
        (400, b"The file size of the exported data is too large. Shorten", False, True),
        (504, b"", False, True),
        (400, b"Invalid start", False, False),
        (401, b"", False, False),
        (429, b"", False, False),
    ],
)
def test_refusals_of_exports_are_told_apart(status, body, empty, large):
    """Nothing there is no fault; too much is asked for in pieces."""
    refused = export.refusal(HttpResponse(status, {}, body))
    assert (refused.is_empty, refused.is_large) == (empty, large)
    assert export.refusal(HttpResponse(200, {}, b"")) is None


def test_hours_of_upload_are_asked_for_in_utc():
    """Both included."""
    asked = export.request(WHO, 1_772_452_800_000, 1_772_460_000_000)
    assert urlsplit(asked.url).query == "start=20260302T12&end=20260302T14"
