"""One AppsFlyer message as a struct: every field that Push API v2 can send, and the raw-data fields beside them.

Text is never blank and has at most the 1,024 characters that AppsFlyer's dictionary allows, amounts are finite, flags
are booleans; a field that is absent, blank or a word for nothing is None. Fields that are not listed here, because they
are new, are kept and found by `Postback.get`.

The selectable fields are those of AppsFlyer's Push API configuration
(https://dev.appsflyer.com/hc/reference/push-api-v2, read 2026-11-24); the others are columns of raw-data reports
(https://support.appsflyer.com/hc/en-us/articles/208387843, read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, field

from flybridge.system.text_encoding import BLANKS

MAX_TEXT: Final = 1024

Text = Annotated[str, Meta(max_length=MAX_TEXT)] | None
LongText = str | None
Flag = bool | None
Amount = Annotated[float, Meta(ge=-1e15, le=1e15)] | None


class Postback(Struct, frozen=True, kw_only=True, gc=False):
    """What AppsFlyer reports about one install, conversion or in-app event.

    Times are text as they came: UTC without a zone, `*_selected_timezone` with an offset; `postback_time` reads
    them. `event_value` and `custom_data` are JSON in text, plain text, or already parsed.
    """

    # The selectable fields of Push API v2, in the order of AppsFlyer's example messages: a decoder finds a field
    # fastest where it expects it.
    idfv: Text = None
    device_category: Text = None
    af_sub1: Text = None
    customer_user_id: Text = None
    is_lat: Flag = None
    contributor_2_af_prt: Text = None
    bundle_id: Text = None
    gp_broadcast_referrer: LongText = None
    contributor_2_touch_time: Text = None
    contributor_3_touch_type: Text = None
    event_source: Text = None
    af_cost_value: Amount = None
    contributor_1_match_type: Text = None
    app_version: Text = None
    contributor_3_af_prt: Text = None
    custom_data: Any = None
    contributor_2_touch_type: Text = None
    gp_install_begin: Text = None
    city: Text = None
    amazon_aid: Text = None
    device_model: Text = None
    gp_referrer: LongText = None
    af_cost_model: Text = None
    af_c_id: Text = None
    attributed_touch_time_selected_timezone: Text = None
    selected_currency: Text = None
    app_name: Text = None
    install_time_selected_timezone: Text = None
    postal_code: Text = None
    wifi: Flag = None
    install_time: Text = None
    operator: Text = None
    attributed_touch_type: Text = None
    af_attribution_lookback: Text = None
    campaign_type: Text = None
    keyword_match_type: Text = None
    af_adset_id: Text = None
    device_download_time_selected_timezone: Text = None
    contributor_2_media_source: Text = None
    conversion_type: Text = None
    contributor_2_match_type: Text = None
    api_version: Text = None
    attributed_touch_time: Text = None
    revenue_in_selected_currency: Amount = None
    is_retargeting: Flag = None
    country_code: Text = None
    gp_click_time: Text = None
    contributor_1_af_prt: Text = None
    match_type: Text = None
    appsflyer_id: Text = None
    dma: Text = None
    http_referrer: LongText = None
    af_sub5: Text = None
    af_prt: Text = None
    event_revenue_currency: Text = None
    store_reinstall: Flag = None
    install_app_store: Text = None
    media_source: Text = None
    deeplink_url: LongText = None
    campaign: Text = None
    af_keywords: Text = None
    region: Text = None
    cost_in_selected_currency: Amount = None
    event_value: Any = None
    ip: Text = None
    oaid: Text = None
    event_time: Text = None
    is_receipt_validated: Flag = None
    contributor_1_campaign: Text = None
    af_sub4: Text = None
    imei: Text = None
    contributor_3_campaign: Text = None
    event_revenue_usd: Amount = None
    af_sub2: Text = None
    original_url: LongText = None
    contributor_2_campaign: Text = None
    android_id: Text = None
    contributor_3_media_source: Text = None
    af_adset: Text = None
    af_ad: Text = None
    state: Text = None
    network_account_id: Text = None
    device_type: Text = None
    idfa: Text = None
    retargeting_conversion_type: Text = None
    af_channel: Text = None
    af_cost_currency: Text = None
    contributor_1_media_source: Text = None
    custom_dimension: Text = None
    keyword_id: Text = None
    device_download_time: Text = None
    contributor_1_touch_type: Text = None
    af_reengagement_window: Text = None
    af_siteid: Text = None
    language: Text = None
    app_id: Text = None
    contributor_1_touch_time: Text = None
    event_revenue: Amount = None
    af_ad_type: Text = None
    carrier: Text = None
    event_name: Text = None
    af_sub_siteid: Text = None
    advertising_id: Text = None
    os_version: Text = None
    platform: Text = None
    af_sub3: Text = None
    contributor_3_match_type: Text = None
    selected_timezone: Text = None
    af_ad_id: Text = None
    contributor_3_touch_time: Text = None
    user_agent: LongText = None
    is_primary_attribution: Flag = None
    sdk_version: Text = None
    event_time_selected_timezone: Text = None

    # Permission, validation and fraud protection, advertising revenue: columns of raw data
    att: Text = None
    gdpr_applies: Flag = None
    ad_user_data_enabled: Flag = None
    ad_personalization_enabled: Flag = None
    engagement_type: Text = None
    android_app_set_id: Text = None
    device_brand: Text = None
    is_organic: Flag = None
    rejected_reason: Text = None
    rejected_reason_value: Text = None
    blocked_reason: Text = None
    blocked_reason_value: Text = None
    blocked_sub_reason: Text = None
    store_product_page: Text = None
    mediation_network: Text = None
    monetization_network: Text = None
    ad_unit: Text = None
    placement: Text = None
    segment: Text = None
    impressions: Amount = None

    # Push API v1 and SKAdNetwork messages are recognised by these
    event_type: Text = None
    attribution_type: Text = None
    appsflyer_device_id: Text = None
    skad_ad_network_id: Text = None
    skad_campaign_id: Text = None
    skad_transaction_id: Text = None
    skad_version: Text = None

    # Not from the message, and set after it is read, whatever it says.
    body: bytes = field(default=b"{}", name="flybridge:body")
    notes: Annotated[tuple[str, ...], Meta(max_length=0)] = field(default=(), name="flybridge:notes")

    def get(self, name: str) -> Any:
        """Return a field by AppsFlyer's name, also one that is not listed here. None if the message has none."""
        if name in NAMES:
            return getattr(self, name)
        try:
            value = msgspec.json.decode(self.body).get(name)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        return None if isinstance(value, str) and value in ABSENT else value


NAMES: Final = tuple(spec.name for spec in msgspec.structs.fields(Postback) if spec.name not in {"body", "notes"})
"""Every field by AppsFlyer's name."""

KINDS: Final = {spec.name: spec.type for spec in msgspec.structs.fields(Postback) if spec.name in NAMES}
"""Field name to one of `Text`, `LongText`, `Flag`, `Amount` or `Any`."""

_WORDS: Final = (
    "", "null", "none", "nil", "n/a", "undefined", "(null)", "<null>", "nan", "(none)", "(nil)", "<nil>", "#n/a", "\\n",
    '""', "''", "[]", "{}", "#nv", "#n/d", "#name?", "#value!", "#ref!", "#null!", "#num!", "#div/0!",
    *(quote + word + quote for quote in ("\"", "'") for word in ("null", "none", "nil", "n/a", "undefined", "(null)")),
)  # fmt: skip
_EDGES: Final = ("", " ", "  ", "   ", "\t", "\n", "\r\n", "\u00a0")
_MIXED: Final = ("", " ", "\t", "\n", "\u00a0", "\u3000", "\u200b")


def _cases(word: str) -> set[str]:
    if len(word) > len("(null)"):  # all 512 of `undefined` would be a table of their own
        return {word, word.upper(), word.capitalize()}
    return {"".join(chars) for chars in product(*({char, char.upper()} for char in word))}


def _absent() -> Iterator[str]:
    yield from (" " * n for n in range(MAX_TEXT // 8))
    yield from map("".join, product(_MIXED, repeat=3))
    for spelled in (spelled for word in _WORDS for spelled in _cases(word)):
        yield from (before + spelled + after for before in _EDGES for after in _EDGES)
        yield from (text for edge in BLANKS for text in (edge + spelled, spelled + edge))


ABSENT: Final = frozenset(_absent())
"""Texts that mean that there is no value: blanks, and words for nothing in any case, also with some blanks around them.

The list is written out so that one look-up decides. Every way of reading a message decides by it."""
