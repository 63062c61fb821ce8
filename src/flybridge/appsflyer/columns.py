"""The columns of AppsFlyer's raw-data files: their display names and the names of the same fields in messages.

A display name is the field's name in words (`AppsFlyer ID` is `appsflyer_id`), but for a few. Files of other tools
write the same names in lower case, with `_`, `-`, quotes or brackets, or as `eventTime`; some write `contributor1_` for
`contributor_1_`. A name is therefore recognised by its letters and digits, whatever stands between them.
One column changes its name with the request: `Event Revenue USD`, `Event Revenue Preferred`, or the currency itself
(`Event Revenue INR`).

https://support.appsflyer.com/hc/en-us/articles/208387843 (raw data reports, read 2026-11-26).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Final
from unicodedata import normalize

from msgspec import Struct

from flybridge.appsflyer.fields import ABSENT, NAMES

EXCEPTIONS: Final[Mapping[str, str]] = {
    "partner": "af_prt",
    "channel": "af_channel",
    "keywords": "af_keywords",
    "campaign_id": "af_c_id",
    "adset": "af_adset",
    "adset_id": "af_adset_id",
    "ad": "af_ad",
    "ad_id": "af_ad_id",
    "ad_type": "af_ad_type",
    "site_id": "af_siteid",
    "sub_site_id": "af_sub_siteid",
    "cost_model": "af_cost_model",
    "cost_value": "af_cost_value",
    "cost_currency": "af_cost_currency",
    "attribution_lookback": "af_attribution_lookback",
    "attribution_lookback_window": "af_attribution_lookback",
    "reengagement_window": "af_reengagement_window",
    "amazon_fire_id": "amazon_aid",
    "google_play_click_time": "gp_click_time",
    "google_play_install_begin_time": "gp_install_begin",
    "google_play_referrer": "gp_referrer",
    "google_play_broadcast_referrer": "gp_broadcast_referrer",
    "gp_install_begin_time": "gp_install_begin",
    "is_store_reinstall": "store_reinstall",
    **{f"sub_param_{number}": f"af_sub{number}" for number in range(1, 6)},
}
"""Columns whose field has another name, by the display name in lower case with `_` for blanks."""

_KNOWN: Final = frozenset(NAMES)
_BETWEEN: Final = re.compile(r"[\W_]+")
_OF_I: Final = str.maketrans({"\u0131": "i", "\u0307": None})
"""What Turkish makes of an I in the other case."""
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_CONTRIBUTOR: Final = re.compile(r"contributor_?(\d)_(.+)")
_REVENUE: Final = re.compile(r"event_revenue_([a-z]{3}|preferred)")
_BY_LETTERS: Final = {name.replace("_", ""): name for name in NAMES} | {
    name.replace("_", ""): field for name, field in EXCEPTIONS.items()
}


def field_of(column: str) -> str:
    """Return the name of a column's field in messages, `media_source` for `Media Source`."""
    name = _named(column)
    if (contributor := _CONTRIBUTOR.fullmatch(name)) is not None:
        number, rest = contributor.groups()
        return f"contributor_{number}_{'af_prt' if rest == 'partner' else rest}"
    if name != "event_revenue_usd" and _REVENUE.fullmatch(name) is not None:
        return "revenue_in_selected_currency"
    return _BY_LETTERS.get(name.replace("_", ""), name)


def _named(column: str) -> str:
    if not column.isascii():
        column = normalize("NFKC", column)
    if _BETWEEN.search(column.strip()) is None:  # words that only their capitals tell apart
        column = _HUMP.sub("_", column)
    return _BETWEEN.sub("_", column.lower().translate(_OF_I)).strip("_").replace("apps_flyer", "appsflyer")


class Columns(Struct, frozen=True):
    """The header of a file. `fields` are the columns' fields in messages; `fixed` is what the header says of every row.

    `has_display_names` tells the reports of the Pull API and the dashboard, whose times have no zone, from Data
    Locker's, whose times are UTC. `again` are columns whose field another one has already, by place and field.
    """

    fields: tuple[str, ...]
    fixed: Mapping[str, str]
    has_display_names: bool
    again: tuple[tuple[int, str], ...] = ()

    def row(self, values: Sequence[str]) -> dict[str, str]:
        """Return the fields of a row that have a value: words for nothing are none.

        Of two columns with the same field the first one that has a value counts.
        """
        row = dict(compress(zip(self.fields, values, strict=False), values))
        if "" in row or not ABSENT.isdisjoint(row.values()):
            row = {name: value for name, value in row.items() if name and value not in ABSENT}
        for place, name in self.again:
            if name not in row and place < len(values) and values[place] not in ABSENT:
                row[name] = values[place]
        if self.fixed and "revenue_in_selected_currency" in row:
            return {**self.fixed, **row}
        return row


def columns_of(header: Sequence[str]) -> Columns:
    """Return what a header says.

    Amounts in several currencies are one field: only the first of them is read.
    """
    names, again, fixed = list[str](), list[tuple[int, str]](), dict[str, str]()
    for place, column in enumerate(header):
        name = field_of(column)
        is_new = name not in names
        names.append(name if is_new else "")
        revenue = _REVENUE.fullmatch(_named(column))
        if name == "revenue_in_selected_currency":
            if is_new and revenue is not None and revenue[1] != "preferred":
                fixed["selected_currency"] = revenue[1].upper()
        elif not is_new and name:
            again.append((place, name))
    return Columns(tuple(names), fixed, any(map(_is_display_name, header)), tuple(again))


def _is_display_name(column: str) -> bool:
    """Whether a column is named in words, in whichever case: API names are lower case without blanks."""
    name = column.strip().removeprefix("\ufeff").strip()
    return name != name.lower() or " " in name


def is_raw_data(columns: Columns) -> bool:
    """Whether a header is one of raw data: two of its columns are known, or one is of SKAdNetwork."""
    known = {name for name in columns.fields if name}
    return len(known & _KNOWN) > 1 or any(name.startswith("skad_") for name in known)
