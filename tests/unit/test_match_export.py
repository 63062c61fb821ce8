"""Each event that was sent is looked for in the hours in which Amplitude may have it."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from flybridge.config.settings import loads
from flybridge.delivery.exchange import HttpRequest
from flybridge.operations.match_export import match_export
from flybridge.operations.reconcile_plan import reconcile_plans_of
from flybridge.records import DAY_MS, HOUR_MS, PerformanceKind
from flybridge.store.figures import SentEvent

DAY_START_MS = 1_768_003_200_000  # 2026-01-10 00:00 UTC
DAY = DAY_START_MS // DAY_MS
CONFIG = """
secret = "0123456789abcdef0123456789abcdef"
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
appsflyer.push_token = "push-token"
amplitude.api_key = "key"
amplitude.secret_key = "secret-key"
"""


class Exporting:
    """Amplitude's Export API: what was uploaded in each hour by its own clock, as (upload, insert_id)."""

    def __init__(self, uploads: Sequence[tuple[int, str]]) -> None:
        self._uploads = uploads

    @asynccontextmanager
    async def open(self, request: HttpRequest, *, public: bool = False) -> AsyncIterator[SimpleNamespace]:
        """Answer with the hours from the first to the last."""
        given = parse_qs(urlsplit(request.url).query)
        first, last = (
            round(datetime.strptime(given[name][0], "%Y%m%dT%H").replace(tzinfo=UTC).timestamp() * 1000)
            for name in ("start", "end")
        )
        lines = [
            json.dumps(
                {"event_type": "buy", "$insert_id": one, "event_time": "2026-01-10 12:00:00", "platform": "Android"}
            )
            for at, one in self._uploads
            if first <= at < last + HOUR_MS
        ]
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr("1/1#0.json.gz", gzip.compress("\n".join(lines).encode()))

        async def pieces() -> AsyncIterator[bytes]:
            yield made.getvalue() if lines else b""

        yield SimpleNamespace(status=200 if lines else 404, headers={}, pieces=pieces)


@pytest.mark.parametrize(
    ("sent_ms", "skew_ms"),
    [
        (DAY_START_MS + 30 * HOUR_MS - 1_000, 2_000),
        (DAY_START_MS + 24 * HOUR_MS - 1_000, 200_000),
        (DAY_START_MS + 1_000, -2_000),
        (DAY_START_MS + 5 * HOUR_MS, 0),
    ],
    ids=["ahead at the end of the last hour", "minutes ahead", "behind at the beginning of the day", "the same"],
)
@pytest.mark.parametrize("is_there", [True, False])
async def test_no_event_is_lost_by_the_clocks(sent_ms: int, skew_ms: int, is_there: bool):
    """Hours are those of Amplitude's clock: an event at the end of one may be in the next there."""
    insert_id = "0123456789abcdef0123456789abcdef"
    download = Exporting([(sent_ms + skew_ms, insert_id if is_there else "another")])
    (plan,) = reconcile_plans_of(loads(CONFIG, Path("x"), {}))
    sent = [SentEvent(DAY, PerformanceKind.EVENT, "buy", "tiktok", insert_id, sent_ms)]
    now_ms = sent_ms + 30 * HOUR_MS
    found = await match_export(plan, download, sent, ["buy"], day=DAY, first_ms=DAY_START_MS, now_ms=now_ms)
    assert [one.insert_id for one in found.lost] == ([] if is_there else [insert_id])


@pytest.mark.parametrize(("since_s", "lost"), [(30, 0), (400, 1)])
async def test_what_may_be_in_an_hour_that_is_not_exported_yet_is_not_lost(since_s: int, lost: int):
    """The last seconds of the last hour that is there may be those of the next by Amplitude's clock."""
    hour_ms = DAY_START_MS + 13 * HOUR_MS
    (plan,) = reconcile_plans_of(loads(CONFIG, Path("x"), {}))
    sent = [
        SentEvent(
            DAY, PerformanceKind.EVENT, "buy", "tiktok", "0123456789abcdef0123456789abcdef", hour_ms - since_s * 1000
        )
    ]
    now_ms = hour_ms + 2 * HOUR_MS
    found = await match_export(plan, Exporting([]), sent, ["buy"], day=DAY, first_ms=DAY_START_MS, now_ms=now_ms)
    assert len(found.lost) == lost
