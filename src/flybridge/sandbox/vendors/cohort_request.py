"""What AppsFlyer's Cohort API refuses, in AppsFlyer's words as far as they are documented.

https://dev.appsflyer.com/hc/reference/post_app-id (cohort_api.yaml of AppsFlyer's devhub, read 2026-11-29). That keys
and filters are refused which the page does not have, and the words of most errors, are *unverified*.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final

from flybridge.sandbox.vendors.master_report import day_of_text

EARLIEST_DAYS: Final = 720
LAST_DAY: Final = 180
ACQUISITION, RETARGETED, UNIFIED = "user_acquisition", "retargeting", "unified"
COHORT_TYPES: Final = (ACQUISITION, RETARGETED, UNIFIED)
GROUPINGS: Final = (
    "af_ad", "af_ad_id", "c", "af_c_id", "af_channel", "pid", "af_sub1", "af_keywords", "af_prt", "cohort_type",
    "site_id", "attributed_touch_type", "af_adset", "af_adset_id", "geo", "date",
)  # fmt: skip
AGGREGATIONS: Final = ("cumulative", "on_day")
NEEDED: Final = ("cohort_type", "from", "to", "groupings", "kpis", "aggregation_type")
KEYS: Final = frozenset(NEEDED) | {
    "min_cohort_size", "granularity", "partial_data", "filters", "preferred_currency", "preferred_timezone", "per_user",
}  # fmt: skip
FILTERS: Final[Mapping[str, tuple[str, ...]]] = dict.fromkeys((*GROUPINGS[:-1], "period"), ()) | {
    "cohort_type": COHORT_TYPES,
    "revenue_type": ("regular", "ad_monetization"),
    "attributed_touch_type": ("click", "impression", "TV", "pre-installed"),
}
"""What can be filtered by, and the values of each; none: any."""
_MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}\s*(?:\d{2}:\d{2}(?::\d{2})?)?")


def problem_of(asked: Mapping[str, Any], given: Mapping[str, str], today: date) -> str | None:
    """Return what is wrong with a request, in AppsFlyer's words; None if nothing is."""
    for name in NEEDED:
        if name not in asked:
            return f"Missing required key: {name}"
    if unknown := sorted(asked.keys() - KEYS):
        return f"Invalid key: {unknown[0]}"
    smallest = asked.get("min_cohort_size", 1)
    if type(smallest) is not int or smallest < 1:
        return f"Invalid value: {smallest} for key: min_cohort_size. Expected at least 1"
    for name in ("groupings", "kpis"):
        if not isinstance(asked[name], list) or not all(isinstance(one, str) for one in asked[name]):
            return f"Invalid value for key: {name}. Expected an array"
    filters = asked.get("filters") or {}
    if not isinstance(filters, dict) or not all(isinstance(one, list) for one in filters.values()):
        return "Invalid value for key: filters. Expected arrays"
    for name, wanted in filters.items():
        if name not in FILTERS or (FILTERS[name] and not all(one in FILTERS[name] for one in wanted)):
            return f"Invalid filter: {name}"
    if not all(isinstance(one, int) and 0 <= one <= LAST_DAY for one in filters.get("period", [])):
        return f"Invalid value for key: period. Expected 0 to {LAST_DAY}"
    for name, value, wanted in (
        ("format", given.get("format", "csv"), ("csv", "json")),
        ("cohort_type", asked["cohort_type"], COHORT_TYPES),
        ("aggregation_type", asked["aggregation_type"], AGGREGATIONS),
        ("granularity", asked.get("granularity", "day"), ("day",)),
        *(("groupings", one, GROUPINGS) for one in asked["groupings"]),
    ):
        if value not in wanted:
            return f"Invalid value: {value} for key: {name}. Expected one of: {', '.join(wanted)}"
    for name, most in (("groupings", 7), ("kpis", 1)):
        if not 1 <= len(asked[name]) <= most:
            return f"Invalid number of values for key: {name}. Expected 1 to {most}"
    for name in ("preferred_currency", "preferred_timezone", "partial_data", "per_user"):
        if not isinstance(asked.get(name, False), bool):
            return f"Invalid value: {asked[name]} for key: {name}. Expected one of: true, false"
    said = [str(asked[name]) for name in ("from", "to")]
    days = [day_of_text(text[:10]) if _MOMENT.fullmatch(text) else None for text in said]
    if days[0] is None or days[1] is None or days[0] > days[1] or days[0] < today - timedelta(days=EARLIEST_DAYS):
        return f"Invalid date range: {asked['from']} - {asked['to']}"
    if asked.get("partial_data") is True and asked["aggregation_type"] != "cumulative":
        return "Partial data is only allowed when the aggregation type is cumulative"
    return None
