"""Files of AppsFlyer's Cost ETL, as they would be in a bucket, from the facts of the traffic.

    GET /sandbox/reports/cost_etl/v1/dt=2026-01-31/b=4/geo/part-00000.gz.parquet       or summary instead of geo

A file has the day on which it is written and the six before, and again days 14, 29 and 88 before it, each with its cost
as it was known at the end of that day. `geo` leaves out what networks report without a country: here all that comes
from `unityads_int`. https://support.appsflyer.com/hc/en-us/articles/360008849238 (read 2026-11-27).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from flybridge.parquet import ParquetWriter
from flybridge.records import DAY_MS
from flybridge.sandbox.traffic.reported import Reported
from flybridge.sandbox.traffic.sources import ORGANIC
from flybridge.sandbox.vendors.aggregates import Key, ReportCell, ReportedApp, cells, merged

AGAIN: Final = (*range(7), 14, 29, 88)
"""How many days before the day of writing are in a file."""
WITHOUT_GEO: Final = frozenset({"unityads_int"})

COLUMNS: Final = {
    "app_id": "text", "date": "text", "media_source": "text", "agency": "text", "campaign": "text", "geo": "text",
    "currency": "text", "cost": "number", "original_cost": "number", "impressions": "whole", "clicks": "whole",
    "reported_impressions": "whole", "reported_clicks": "whole", "installs": "whole",
}  # fmt: skip

_PATH: Final = re.compile(r"cost_etl/v1/dt=([0-9-]{10})/b=[1-4]/(geo|summary)/part-00000\.gz\.parquet")


def cost_file(path: str, facts: Mapping[str, Sequence[Reported]], apps: Mapping[str, ReportedApp]) -> bytes | None:
    """Return the file at a path; None if there is none."""
    found = _PATH.fullmatch(path)
    try:
        written = date.fromisoformat(found[1]) if found is not None else None
    except ValueError:
        written = None
    if found is None or written is None:
        return None
    content = io.BytesIO()
    with ParquetWriter(content, COLUMNS) as file:
        for app_id, known in sorted(facts.items()):
            file.write(_rows(app_id, apps[app_id], known, written, geo=found[2] == "geo"))
    return content.getvalue()


def _rows(
    app_id: str, app: ReportedApp, facts: Sequence[Reported], written: date, *, geo: bool
) -> Iterable[Sequence[Any]]:
    end_ms = round(datetime(written.year, written.month, written.day, tzinfo=UTC).timestamp() * 1000) + DAY_MS - 1
    days = {written - timedelta(days=back) for back in AGAIN}
    found: Mapping[Key, ReportCell] = cells(facts, app.day(own_zone=True), now_ms=end_ms)
    for key, cell in merged(found, geo=geo).items():
        if key.day not in days or key.media_source == ORGANIC or (geo and key.media_source in WITHOUT_GEO):
            continue
        cost = None if cell.cost_usd is None else round(cell.cost_usd * app.per_usd, 4)
        yield (
            app_id, key.day.isoformat(), key.media_source, None, key.campaign or None, key.country or None,
            app.currency, cost, cost, cell.impressions, cell.clicks, cell.impressions, cell.clicks, cell.installs,
        )  # fmt: skip
