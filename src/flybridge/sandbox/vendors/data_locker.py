"""Writes a Data Locker as AppsFlyer does: the files that it puts into a bucket, as a directory with the same keys.

`<home>/data-locker-hourly/t=<report>/dt=<day>/h=<hour>/part-00000.gz`, and `_SUCCESS` once the hour is complete. Hours
are not padded; what was processed late stands in `h=late`. CSV has API names, quotes every value, and writes `null`
for none. Data that is segregated by app stands in `h=<hour>/app_id=<app>/`, and rows do not repeat the app.

https://support.appsflyer.com/hc/en-us/articles/360000877538 (read 2026-11-27).
"""

from __future__ import annotations

import asyncio
import gzip
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from flybridge.clock import Clock
from flybridge.records import day_of
from flybridge.sandbox.vendors.raw_data import ADDITIONAL, DEFAULT, LOCKER, RawData, as_csv, cell

HOME: Final = "1cd7-acc-example-1cd7/data-locker-hourly"
HOUR_S: Final = 3600
DAY_S: Final = 86_400
REWRITTEN_S: Final = 25 * HOUR_S
"""AppsFlyer may write a file again within that time."""
LOOK_S: Final = 2.0
"""How often it is looked whether there is more to write, in seconds of the machine's clock."""

_FIELDS: Final = [(name, name) for _, name in DEFAULT] + [(field, name) for field, _, name in ADDITIONAL]


def files(
    data: RawData,
    begin_s: int,
    end_s: int,
    *,
    is_late: Callable[[Mapping[str, Any]], bool] = lambda _: False,
    parts: int = 2,
    by_app: bool = False,
) -> dict[str, bytes]:
    """Return the files of a span of whole hours, by key. Each report's folders are split into so many parts."""
    folders: defaultdict[tuple[str, str, str], list[Sequence[str]]] = defaultdict(list)
    columns = [(field, name) for field, name in _FIELDS if not by_app or field != "app_id"]
    for app_id in data.apps():
        for report, name in LOCKER.items():
            for hour_s in range(begin_s - begin_s % HOUR_S, end_s, HOUR_S):
                for message in data.rows(app_id, report, hour_s, hour_s + HOUR_S):
                    hour = "late" if is_late(message) else str(hour_s % DAY_S // HOUR_S)
                    values = [cell(name, message.get(name)) or "null" for _, name in columns]
                    place = f"{hour}/app_id={app_id}" if by_app else hour
                    folders[name, day_of(hour_s * 1000), place].append(values)
    header = [field for field, _ in columns]
    found: dict[str, bytes] = {}
    for (report, day, hour), rows in folders.items():
        folder = f"{HOME}/t={report}/dt={day}/h={hour}"
        size = -(-len(rows) // parts)
        for number in range(parts):
            content = as_csv([header, *rows[number * size : (number + 1) * size]], quoted=True)
            found[f"{folder}/part-{number:05}.gz"] = gzip.compress(content, mtime=0)
        found[f"{folder}/_SUCCESS"] = b""
    return found


def write(folder: Path, found: Mapping[str, bytes]) -> int:
    """Write files into a directory. Those that are there as they are stay untouched. Returns how many were written."""
    n = 0
    for key, content in found.items():
        path = folder / key
        if path.exists() and path.read_bytes() == content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whoever reads meanwhile finds the former file or the new one.
        part = path.with_name(f".{path.name}")
        part.write_bytes(content)
        part.replace(path)
        n += 1
    return n


def update(folder: Path, data: RawData, now_ms: int) -> int:
    """Write the hours that are complete and not older than AppsFlyer rewrites. Returns how many files were written.

    What becomes known of an hour after it was written is in its files when they are written again.
    """
    now_s = now_ms // 1000
    return write(folder, files(data, now_s - REWRITTEN_S, now_s - now_s % HOUR_S))


async def keep(folder: Path, data: RawData, clock: Clock) -> None:
    """Keep a directory as a Data Locker until cancelled."""
    while True:
        update(folder, data, clock.now_ms())
        await asyncio.sleep(LOOK_S)
