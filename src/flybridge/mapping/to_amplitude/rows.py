"""The default mapping from an AppsFlyer postback to an Amplitude event, as data.

Property names are those of AppsFlyer's own integration, a prefix in brackets and lower-case words, so that charts built
on it go on working. User properties are those of the last conversion; `mapping.to_amplitude.attribution_block` writes
them as one block, and those of the first install beside them.

Nothing is mapped from `original_url`, `http_referrer`, `deeplink_url`, `gp_referrer` and `user_agent`: the first four
carry advertising ids and click ids in clear text.
"""

from __future__ import annotations

from typing import Final

from flybridge.mapping.table import (
    Derived,
    Row,
    brand,
    flag,
    model,
    moment,
    money,
    text,
)
from flybridge.mapping.to_amplitude.place import LOCATION

FIELDS: Final = "https://support.appsflyer.com/hc/en-us/articles/208387843"
PUSH: Final = "https://support.appsflyer.com/hc/en-us/articles/207034356"
HTTP_V2: Final = "https://amplitude.com/docs/apis/analytics/http-v2"
ADVANCED: Final = "https://support.appsflyer.com/hc/en-us/articles/211200306"


def _event(source: str, name: str, convert: object = text, note: str = "") -> Row:
    return Row(source, f"event_properties.[AppsFlyer] {name}", convert, FIELDS, note)  # type: ignore[arg-type]


def _user(source: str, name: str, convert: object = text, note: str = "") -> Row:
    return Row(source, f"user_properties.[AppsFlyer] {name}", convert, FIELDS, note, conversions_only=True)  # type: ignore[arg-type]


TOP: Final = (
    Row("app_version", "app_version", text, HTTP_V2),
    Row("os_version", "os_version", text, HTTP_V2),
    Row("device_brand", "device_brand", text, HTTP_V2),
    Row("device_model", "device_brand", brand, FIELDS, "`xiaomi::Redmi Note 8T` is brand and model."),
    Row("device_type", "device_brand", brand, FIELDS),
    Row("device_model", "device_model", model, FIELDS),
    Row("device_type", "device_model", model, FIELDS, "Where there is no `device_model`."),
    Row("carrier", "carrier", text, HTTP_V2),
    Row("operator", "carrier", text, FIELDS, "Where there is no `carrier`."),
    Row("language", "language", text, HTTP_V2),
    Row("ip", "ip", text, HTTP_V2),
)

EVENT: Final = (
    _event("media_source", "media source"),
    _event("campaign", "campaign"),
    _event("af_c_id", "campaign id"),
    _event("af_adset", "adset"),
    _event("af_adset_id", "adset id"),
    _event("af_ad", "ad"),
    _event("af_ad_id", "ad id"),
    _event("af_channel", "channel"),
    _event("af_keywords", "keywords"),
    _event("af_siteid", "site id"),
    _event("af_prt", "partner"),
    _event("attributed_touch_type", "touch type"),
    _event("attributed_touch_time", "touch time", moment),
    _event("match_type", "match type"),
    _event("engagement_type", "engagement type"),
    _event("install_time", "install time", moment),
    _event("is_primary_attribution", "primary attribution", flag),
    _event("is_receipt_validated", "receipt validated", flag),
    _event("event_source", "event source", text, "SDK or S2S."),
    _event("rejected_reason", "rejected reason"),
    _event("mediation_network", "mediation network"),
    _event("monetization_network", "monetization network"),
    _event("ad_unit", "ad unit"),
    _event("placement", "placement"),
)

USER: Final = (
    _user("media_source", "media source"),
    _user("campaign", "campaign"),
    _user("af_c_id", "campaign id"),
    _user("af_adset", "adset"),
    _user("af_adset_id", "adset id"),
    _user("af_ad", "ad"),
    _user("af_ad_id", "ad id"),
    _user("af_ad_type", "ad type"),
    _user("af_channel", "channel"),
    _user("af_keywords", "keywords"),
    _user("keyword_id", "keyword id"),
    _user("af_siteid", "site id"),
    _user("af_sub_siteid", "sub site id"),
    _user("af_sub1", "sub param 1"),
    _user("af_sub2", "sub param 2"),
    _user("af_sub3", "sub param 3"),
    _user("af_sub4", "sub param 4"),
    _user("af_sub5", "sub param 5"),
    _user("af_prt", "partner"),
    _user("af_cost_model", "cost model"),
    _user("af_cost_value", "cost value", money, "In the cost currency."),
    _user("af_cost_currency", "cost currency"),
    _user("attributed_touch_type", "touch type"),
    _user("attributed_touch_time", "touch time", moment),
    _user("match_type", "match type"),
    _user("campaign_type", "campaign type"),
    _user("is_retargeting", "retargeting", flag),
    _user("install_time", "install time", moment),
    _user("install_app_store", "app store"),
)

ROWS: Final = (*TOP, *EVENT, *USER)
"""The rows of the route `http_v2`. The route `attribution` has those of user properties."""

DERIVED: Final = (
    Derived(
        ("event_name", "conversion_type", "campaign_type", "is_retargeting", "retargeting_conversion_type"),
        "event_type",
        PUSH,
        "`[AppsFlyer] Install`, `Reinstall`, `Re-engagement` or `Re-attribution`; an in-app event keeps its name. "
        "Names that are Amplitude's own (`$...`, `[Amplitude] ...`) get the prefix.",
    ),
    Derived(
        ("event_name", "conversion_type", "campaign_type", "is_retargeting", "retargeting_conversion_type"),
        "event_properties.[AppsFlyer] message type",
        PUSH,
        "AppsFlyer's event type, such as `organic-install` or `re-engagement-in-app-event`.",
    ),
    Derived(
        ("media_source", "campaign_type"),
        "event_properties.[AppsFlyer] media source",
        FIELDS,
        "`organic` if there is no source; for conversions also `user_properties.[AppsFlyer] media source`.",
    ),
    Derived(
        ("event_time", "event_time_selected_timezone", "install_time", "install_time_selected_timezone"),
        "time",
        HTTP_V2,
        "Milliseconds. `event_time` or its twin; of installs and reinstalls also `install_time`; else when the message "
        "was received, which is noted.",
    ),
    Derived(("event_name", "event_time", "event_value"), "insert_id", HTTP_V2, "A hash of the content."),
    Derived(
        ("country_code",),
        "country",
        LOCATION,
        "The name, as in Amplitude's own events; AppsFlyer's UK is GB. All four of country, region, city and DMA, or "
        "none, because in Amplitude one of them resets the others. They are sent if country, state and city are known, "
        "with an empty DMA where there is none; else Amplitude looks up the `ip`.",
    ),
    Derived(
        ("state",),
        "region",
        LOCATION,
        "With the country. A state of the United States, Canada or Australia by its name (`California`), as in "
        "Amplitude's own events. AppsFlyer's `region` is a continent and has no place in Amplitude.",
    ),
    Derived(("city",), "city", LOCATION, "With the country."),
    Derived(("dma",), "dma", LOCATION, "With the country; empty if the place has none."),
    Derived(("platform",), "platform", HTTP_V2, "`iOS` or `Android`; the app's, where the message has none."),
    Derived(("platform",), "os_name", HTTP_V2, "`ios` or `android`."),
    Derived(("custom_data", "event_value"), "session_id", HTTP_V2, "The app's own, under the configured key."),
    Derived(
        ("event_revenue", "event_revenue_usd", "revenue_in_selected_currency", "event_value"),
        "revenue",
        HTTP_V2,
        "By `mapping.revenue` (see below); never without a currency. Absent is not zero.",
    ),
    Derived(
        ("event_revenue_currency", "selected_currency", "event_value"),
        "currency",
        HTTP_V2,
        "The currency of the amount that was taken, a code of ISO 4217.",
    ),
    Derived(
        ("event_revenue", "event_name"),
        "revenueType",
        HTTP_V2,
        "`Refund` for a negative amount, `Ad` for `af_ad_revenue`.",
    ),
    Derived(("event_value",), "productId", HTTP_V2, "`af_content_id`, if there is revenue and it is one product."),
    Derived(("event_value",), "quantity", HTTP_V2, "`af_quantity`, if there is revenue and it is a whole number."),
    Derived(("idfa",), "idfa", HTTP_V2, "As it came, if consent allows (see below)."),
    Derived(("idfv",), "idfv", HTTP_V2, "As it came."),
    Derived(
        ("advertising_id", "amazon_aid"),
        "adid",
        HTTP_V2,
        "The Google id; on Amazon devices Amazon's. If consent allows.",
    ),
    Derived(("android_id",), "android_id", HTTP_V2, "As it came, if consent allows."),
    Derived(("android_app_set_id",), "android_app_set_id", HTTP_V2, "As it came."),
    Derived(
        ("event_value",),
        "event_properties",
        HTTP_V2,
        "The keys of `event_value`, by their own names. Keys that hold identifiers, and values that contain one of "
        "this person's, are left out.",
    ),
)

OPTIONAL: Final = (
    Row("af_siteid", "user_properties.sub_publisher", text, ADVANCED),
    Row("media_source", "user_properties.network_name", text, ADVANCED),
    Row("af_adset", "user_properties.adgroup_name", text, ADVANCED),
    Row("af_ad_id", "user_properties.creative_name", text, ADVANCED),
    Row("install_time", "user_properties.installed_at", text, ADVANCED),
    Row("af_keywords", "user_properties.search_term", text, ADVANCED),
    Row(
        "appsflyer_id",
        "user_properties.appsflyer_id",
        text,
        "https://dev.appsflyer.com/hc/reference/s2s-events-api3",
        "Lets events of Amplitude go back to AppsFlyer when the app does not set it itself.",
    ),
)
"""Rows to add by configuration: the properties of AppsFlyer's advanced data sharing, and the AppsFlyer id."""
