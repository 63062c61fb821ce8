"""Amplitude's Export API as its documentation describes it: what was uploaded in some hours, as a zip of gzipped lines.

Hours are those of the upload, in UTC, and are there two hours after they are over. Without data the answer is 404, with
too much of it 400. https://amplitude.com/docs/apis/analytics/export (read 2026-11-27).
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from flybridge.records import DAY_MS, HOUR_MS
from flybridge.sandbox.http import SandboxAnswer, Scope, moment_of, query_of
from flybridge.sandbox.played import VendorApi
from flybridge.sandbox.vendors.cohorts import project_of
from flybridge.sandbox.vendors.ledger import ProjectLedger, Saved
from flybridge.sandbox.vendors.record import export_row

EXPORT: Final = "/api/2/export"
DELAY_MS: Final = 2 * HOUR_MS
MOST_DAYS: Final = 365
FILE_EVENTS: Final = 50_000

TOO_LARGE: Final = (
    "The file size of the exported data is too large. Shorten the time ranges and try again. The limit size is 4GB."
)
NOTHING: Final = "No data available for the time range requested."


class Exports(VendorApi, kw_only=True):
    """The API, for every project. `most_bytes` is the size that an export may have, before it is compressed."""

    pages = (EXPORT,)

    ledgers: Mapping[str, ProjectLedger]
    most_bytes: int = 4 * 2**30

    def answer(self, scope: Scope, _: bytes | None) -> SandboxAnswer:
        project = project_of(scope)
        if isinstance(project, SandboxAnswer):
            return project
        given = query_of(scope)
        begin, end = (moment_of(given.get(name, ""), "%Y%m%dT%H") for name in ("start", "end"))
        if begin is None or end is None or begin > end:
            return SandboxAnswer(400, {"error": "Invalid start or end"})
        first, last = (round(moment.timestamp() * 1000) for moment in (begin, end))
        if last - first > MOST_DAYS * DAY_MS:
            return SandboxAnswer(400, {"error": f"The time range is limited to {MOST_DAYS} days"})
        # An hour is there two hours after its end.
        until = min(last + HOUR_MS, (self.clock.now_ms() - DELAY_MS) // HOUR_MS * HOUR_MS)
        ledger = self.ledgers.get(project)
        found = [event for event in (ledger.saved if ledger else ()) if first <= event.received_ms < until]
        if not found:
            return SandboxAnswer(404, NOTHING)
        hours: defaultdict[int, list[Saved]] = defaultdict(list)
        for event in found:
            hours[event.received_ms // HOUR_MS].append(event)
        files: dict[str, bytes] = {}
        for hour, events in sorted(hours.items()):
            for number, start in enumerate(range(0, len(events), FILE_EVENTS)):
                rows = [export_row(event, project) for event in events[start : start + FILE_EVENTS]]
                at = datetime.fromtimestamp(hour * 3600, UTC)
                name = f"{project}/{project}_{at:%Y-%m-%d}_{at.hour}#{number}.json.gz"
                files[name] = msgspec.json.Encoder().encode_lines(rows)
        if sum(map(len, files.values())) > self.most_bytes:
            return SandboxAnswer(400, TOO_LARGE)
        return SandboxAnswer(200, _zipped(files), {"content-type": "application/zip"})


def _zipped(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, lines in files.items():
            archive.writestr(name, gzip.compress(lines, mtime=0))
    return packed.getvalue()
