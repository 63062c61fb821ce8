"""What may leave about a media source: some forbid that their data reaches analytics, or their name does.

AppsFlyer itself reports such a source as `restricted`: Amazon Ads and Discord always, Meta, Pinterest, Roku, Samsung,
Snapchat, TikTok, X and Reddit by kind of touch and by what the advertiser has agreed to. What else applies is the
advertiser's contract with each source and changes often, so it is configuration: source -> policy, or
`source/touch type` -> policy, and `default`, or `default/impression`, for the others.

https://support.appsflyer.com/hc/en-us/articles/360006868017, "Media source restrictions" and "Attribution field list"
(read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from unicodedata import normalize

from flybridge.records import Word


class Policy(Word):
    """What is sent of a source's events."""

    PASS = "pass"  # noqa: S105 - a policy, not a password
    REDACT = "redact"  # the event, from the source `restricted`, without campaign and details
    ORGANIC = "organic"  # the event as if it were organic
    DROP = "drop"  # nothing


PASS: Final = Policy.PASS

RESTRICTED: Final = "restricted"
"""How AppsFlyer names a source that may not be named: paid, and by whom is not said. What a policy withholds is sent
under the same name."""

UNSEEN: Final = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))
"""Characters that take no room."""

TOUCH_TYPES: Final = ("click", "impression", "tv", "pre-installed")
"""The kinds of touch that AppsFlyer reports, in lower case (https://dev.appsflyer.com/hc/reference/post_app-id, filter
`attributed_touch_type`, read 2026-11-27)."""

VIEW_RESTRICTED: Final = (
    "facebook ads", "snapchat_int", "bytedanceglobal_int", "tiktokglobal_int", "pinterest_int", "twitter",
)  # fmt: skip
"""Sources of AppsFlyer's list, by their ids, whose view-through attribution may not be passed on. AppsFlyer reports it
as `restricted` today; a message that names them all the same is old, or of an account with terms of its own. The list
names brands; sources whose ids are not public (Roku, Samsung, Reddit, Amazon, Discord) are not here."""

DEFAULTS: Final[Mapping[str, Policy]] = {
    RESTRICTED: Policy.REDACT,
    **{f"{source}/impression": Policy.REDACT for source in VIEW_RESTRICTED},
    "default": Policy.PASS,
}

ADVERTISING: Final = frozenset(
    {
        "media_source", "campaign", "campaign_type", "conversion_type", "is_retargeting", "retargeting_conversion_type",
        "af_c_id", "af_adset", "af_adset_id", "af_ad", "af_ad_id", "af_ad_type", "af_channel", "af_keywords",
        "keyword_id", "keyword_match_type", "af_prt", "af_siteid", "af_sub_siteid",
        "af_sub1", "af_sub2", "af_sub3", "af_sub4", "af_sub5",
        "af_cost_model", "af_cost_value", "af_cost_currency", "cost_in_selected_currency",
        "af_attribution_lookback", "af_reengagement_window", "attributed_touch_type", "attributed_touch_time",
        "attributed_touch_time_selected_timezone", "match_type", "engagement_type", "network_account_id",
        "original_url", "deeplink_url", "http_referrer", "gp_referrer", "gp_broadcast_referrer", "gp_click_time",
        "gp_install_begin", "custom_dimension", "rejected_reason", "rejected_reason_value", "is_primary_attribution",
        "store_product_page", "is_organic", "attribution_type",
    }
    | {
        f"contributor_{number}_{part}"
        for number in (1, 2, 3)
        for part in ("af_prt", "campaign", "match_type", "media_source", "touch_time", "touch_type")
    }
)  # fmt: skip
"""The fields that say where a person came from. Of a restricted source none of them leaves."""


def policies(configured: Mapping[str, str]) -> Mapping[str, Policy]:
    """Return the policies by source in lower case, the defaults filled in.

    A configured source applies to all of its touch types: the defaults for some of them are left out.
    """
    own = {_plain(source): Policy(policy) for source, policy in configured.items()}
    return {**{name: policy for name, policy in DEFAULTS.items() if name.partition("/")[0] not in own}, **own}


def _plain(name: str) -> str:
    return "/".join(map(_word, name.rsplit("/", 1)))


def _word(name: str) -> str:
    """Return a name in small letters, with single blanks and without characters that take no room."""
    return " ".join(normalize("NFKC", name).translate(UNSEEN).lower().split())


def policy_of(media_source: str | None, touch_type: str | None, by_source: Mapping[str, Policy]) -> Policy:
    """Return the policy of a source. Organic events, and events without a source, are restricted only if configured."""
    source = _word(media_source or "organic")
    touch = _word(touch_type or "")
    asked = [f"{source}/{touch}", source] if touch else [source]
    if source != "organic":
        asked += [f"default/{touch}", "default"] if touch else ["default"]
    return next((found for name in asked if (found := by_source.get(name)) is not None), PASS)
