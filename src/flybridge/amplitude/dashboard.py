"""Amplitude's Dashboard REST API: how often an event is in a project, by day or hour and by a property. Pure.

https://amplitude.com/docs/apis/analytics/dashboard-rest (read 2026-11-27). Days and hours are those of the project's
time zone, by the time of the event. Totals have to be asked for: `m` is `uniques` by default. A query costs days x
conditions x type; an event of one day grouped by one property costs 20. Limits: 1,000 in five minutes, 108,000 in an
hour, 5 queries at once over all REST APIs of the project, else 429. Up to 1,000 values of a property are given out, 100
unless more are asked for. The page shows neither the bodies of errors nor how hours are written, so that hours are
taken in their order.

A property of the event is added up with `m=sums`, which needs that property in `group_by`: the first there, before what
the sums are grouped by (*unverified*: the page says that it has to be among them). Revenue is the event property
`$revenue`, a plain number without its currency (https://amplitude.com/docs/data/currency-conversion; charts call it so,
too: https://amplitude.com/docs/analytics/charts/revenue-ltv/revenue-ltv-track-new-user-monetization).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from flybridge.amplitude.cohort import Credentials
from flybridge.delivery.exchange import HttpRequest, HttpResponse, retry_after_s
from flybridge.records import MICRO

PATH: Final = "/api/2/events/segmentation"
COST: Final = 20
"""What one event of one day costs, grouped by one property."""
SUMS_COST: Final = 72
"""What it costs to add up a property by another: two groups, which are eight conditions and a type of 9."""
REVENUE: Final = "$revenue"
BUDGET: Final = 1_000
BUDGET_S: Final = 300.0
LIMIT: Final = 1_000
NONE: Final = "(none)"

HOURLY: Final = "-3600000"
REAL_TIME: Final = "-300000"
STEPS: Final[Mapping[int, str]] = {60: HOURLY, 5: REAL_TIME}
"""Intervals within a day, by minutes. The shorter is for zones that differ by half an hour; it shows two days."""
DAILY: Final = "1"


class SegmentationRefused(Struct, frozen=True):
    """Why there is no count. With `again_s` the same may be asked again after so many seconds."""

    problem: str
    again_s: float | None = None


class EventCounts(Struct, frozen=True):
    """How often an event is there: for each value of the property its counts, one for each day or hour asked for.

    Of a property that was added up they are its sums, in millionths.
    """

    series: Mapping[str, Sequence[int]]

    def total(self, first: int = 0, last: int | None = None) -> dict[str, int]:
        """Return the sums by value of the property, over a part of the days or hours if one is named."""
        return {value: sum(counts[first:last]) for value, counts in self.series.items()}


def request(
    credentials: Credentials,
    event_type: str,
    day: date,
    *,
    property_name: str,
    of_user: bool = False,
    platform: str = "",
    minutes: int = 0,
    sums_of: str = "",
) -> HttpRequest:
    """Build the request for one event on one day of the project's zone, by a property of the event or its user.

    Counts are those of the day, or of each so many `minutes`: one of `STEPS`. With a `platform` only its events are
    counted (`iOS`, `Android`). Filters of events cost nothing. `sums_of` is a property of the event that is added up,
    instead of counting events.
    """
    grouped = {"type": "user" if of_user else "event", "value": f"gp:{property_name}" if of_user else property_name}
    summed = [{"type": "event", "value": sums_of}] if sums_of else []
    event: dict[str, Any] = {"event_type": event_type, "group_by": [*summed, grouped]}
    if platform:
        event["filters"] = [
            {"subprop_type": "user", "subprop_key": "platform", "subprop_op": "is", "subprop_value": [platform]}
        ]
    query = {
        "e": msgspec.json.encode(event).decode(),
        "start": f"{day:%Y%m%d}",
        "end": f"{day:%Y%m%d}",
        "m": "sums" if sums_of else "totals",
        "i": STEPS[minutes] if minutes else DAILY,
        "limit": str(LIMIT),
    }
    return credentials.get(f"{PATH}?{urlencode(query)}")


def read(response: HttpResponse, buckets: int, *, sums: bool = False) -> EventCounts | SegmentationRefused:
    """Return the counts or sums in an answer for so many days or hours, or why there are none. Never raises."""
    if response.status != 200:
        return _refusal(response)
    try:
        answer = msgspec.json.decode(response.body)
        data = answer["data"]
        series, labels = data["series"], data["seriesLabels"]
        found: dict[str, Counter[int]] = {}
        for label, counts in zip(labels, series, strict=True):
            if len(counts) != buckets:
                return SegmentationRefused(f"Amplitude counted {len(counts)} times where {buckets} were asked for.")
            totals = found.setdefault(_label(label), Counter())
            for number, count in enumerate(counts):
                totals[number] += round(float(count) * MICRO) if sums else int(count)
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError, ValueError, OverflowError):
        return SegmentationRefused(
            "What Amplitude answered is not an event segmentation: check base_url and any proxy."
        )
    if len(found) >= LIMIT:
        return SegmentationRefused(f"The property has more than {LIMIT:,} values, and Amplitude gives out no more.")
    return EventCounts({value: [totals[n] for n in range(buckets)] for value, totals in found.items()})


def _label(label: Any) -> str:
    """Return the value of the property in a label: a text, or a list of the event's number and the text."""
    if isinstance(label, list):
        label = label[-1] if label else NONE
    return label if isinstance(label, str) else NONE


def _refusal(response: HttpResponse) -> SegmentationRefused:
    match response.status:
        case 401 | 403:
            return SegmentationRefused(
                f"Amplitude answers {response.status}: amplitude.api_key, secret_key and region are not of one project."
            )
        case 429:
            return SegmentationRefused(
                "Amplitude's budget of queries is used up (429).", retry_after_s(response) or BUDGET_S
            )
        case status if status >= 500 or status in {408, 425}:
            return SegmentationRefused(f"Amplitude answers {status}.", retry_after_s(response) or 60.0)
        case status:
            return SegmentationRefused(f"Amplitude refuses the query ({status}).")


def span_of(day: date, zone: str) -> tuple[datetime, datetime]:
    """Return when a day begins and ends in a zone, in UTC."""
    first, end = (datetime.combine(at, datetime.min.time(), ZoneInfo(zone)) for at in (day, day + timedelta(days=1)))
    return first.astimezone(UTC), end.astimezone(UTC)


def hours_of(day: date, zone: str, minutes: int = 60) -> list[datetime]:
    """Return when each hour of a day in a zone begins, in UTC: 23 to 25 of them. Or each so many `minutes`."""
    moment, end = span_of(day, zone)
    found = []
    while moment < end:
        found.append(moment)
        moment += timedelta(minutes=minutes)
    return found
