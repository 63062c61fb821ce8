"""An event for AppsFlyer that becomes late while it waits for its installation is counted as `late`."""

from __future__ import annotations

import pytest

from flybridge.records import DAY_MS, HOUR_MS, Apply, Deliver, Envelope, Filing, Hold, Media, Sighting, Source
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore
from flybridge.telemetry.metrics import Metrics
from flybridge.telemetry.reporter import Reporter

DAY = 20_000 * DAY_MS
KEY = b"k" * 16
LATE_MS = DAY + DAY_MS + 2 * HOUR_MS + 1
COUNTED = b'flybridge_stream_remarks_total{app="shop",remark="late"} 1.0'


@pytest.mark.parametrize(
    ("endpoint", "times", "is_counted"),
    [
        ("inapp_event", (DAY + HOUR_MS, DAY + 2 * HOUR_MS, LATE_MS), True),
        ("inapp_event", (DAY + HOUR_MS, DAY + 2 * HOUR_MS, LATE_MS - 1), False),
        ("inapp_event", (DAY + HOUR_MS, LATE_MS, LATE_MS + 1), False),  # it came so late, and is counted by its remark
        ("inapp_event", (DAY + HOUR_MS, DAY + HOUR_MS, LATE_MS), False),  # it has no time
        ("http_v2", (DAY + HOUR_MS, DAY + 2 * HOUR_MS, LATE_MS), False),
    ],
)
async def test_what_became_late_by_waiting_is_counted(tmp_path, endpoint, times, is_counted):
    store, metrics = SqliteStore(tmp_path / "store.db", Seal(b"secret")), Metrics("1")
    report = Reporter(metrics)
    event_ms, received_ms, found_ms = times
    await store.open()
    hold = Hold(Deliver(endpoint, "i", "e", b"{}"), (KEY,), ("installed_by_user",), event_ms, LATE_MS + DAY_MS)
    waits = Filing(Envelope("shop", Source.STREAM, Media.JSON, received_ms, b"{}", "event"), hold)
    report.filed([waits], await store.file([waits], received_ms))
    assert COUNTED not in metrics.render()
    sighting = Sighting("shop", KEY, "installed_by_user", found_ms, None, "1629191854863-7087037")
    found = Filing(
        Envelope("shop", Source.PUSH, Media.JSON, found_ms, b"{}", "install"), Apply(), sightings=(sighting,)
    )
    outcome = await store.file([found], found_ms)
    assert outcome.matched == 1
    report.filed([found], outcome)
    assert (COUNTED in metrics.render()) == is_counted
    await store.close()
