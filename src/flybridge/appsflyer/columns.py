"""The columns of AppsFlyer's raw-data files: their display names and the names of the same fields in messages.

A display name is the field's name in words (`AppsFlyer ID` is `appsflyer_id`), but for a few. Files of other tools
write the same names in lower case, with `_` or `-`; some write `contributor1_` for `contributor_1_`.

https://support.appsflyer.com/hc/en-us/articles/208387843 (raw data reports, read 2026-11-26).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

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
    **{f"sub_param_{number}": f"af_sub{number}" for number in range(1, 6)},
}
"""Columns whose field has another name, by the display name in lower case with `_` for blanks."""

_BETWEEN: Final = re.compile(r"[\s_-]+")
_CONTRIBUTOR: Final = re.compile(r"contributor_?(\d)_(.+)")


def field_of(column: str) -> str:
    """Return the name of a column's field in messages, `media_source` for `Media Source`."""
    name = _BETWEEN.sub("_", column.strip().removeprefix("\ufeff").strip().lower())
    if (contributor := _CONTRIBUTOR.fullmatch(name)) is not None:
        number, rest = contributor.groups()
        return f"contributor_{number}_{'af_prt' if rest == 'partner' else rest}"
    return EXCEPTIONS.get(name, name)
