"""The default mapping from an Amplitude event to an AppsFlyer server-to-server in-app event, as data.

Sources are paths into an event of the Export API's format. Of several rows with one target the first that gives a value
wins; `apps.streams.properties` replaces all rows of a target. Of what is too much for AppsFlyer's one kilobyte, extra
properties are left out first, then what stands last in `PARAMETERS`.

Contacts, custom data and consent to their use are the company's to give: those rows are not sent unless configured.

https://dev.appsflyer.com/hc/reference/s2s-events-api3-post,
https://amplitude.com/docs/data/destination-catalog/appsflyer (read 2026-11-24).
"""

from __future__ import annotations

from itertools import chain
from typing import Final

from flybridge.mapping.table import Converter, Row
from flybridge.mapping.to_appsflyer import convert as s2s
from flybridge.mapping.to_appsflyer.sharing import consent, partners

S2S: Final = "https://dev.appsflyer.com/hc/reference/s2s-events-api3-post"
DESTINATION: Final = "https://amplitude.com/docs/data/destination-catalog/appsflyer"

VALUE: Final = "eventValue."


def _from(target: str, convert: Converter, *sources: str, doc: str = S2S, note: str = "") -> tuple[Row, ...]:
    return tuple(Row(source, target, convert, doc, note) for source in sources)


IDS: Final = (
    *_from(
        "appsflyer_id",
        s2s.appsflyer_id,
        "user_properties.appsflyer_id",
        "user_properties.appsflyerId",
        "user_properties.AppsFlyer ID",
        "user_properties.[AppsFlyer] appsflyer id",
        "event_properties.appsflyer_id",
        "appsflyer_id",
        doc=DESTINATION,
        note="Or under a name like these, in any case and with any separators. Without it, the id that a postback of "
        "the same user or device brought.",
    ),
    *_from(
        "customer_user_id",
        s2s.user,
        "user_properties.customer_user_id",
        doc=DESTINATION,
    ),
    Row(
        "user_id",
        "customer_user_id",
        s2s.user,
        DESTINATION,
        "Unless `mapping.use_customer_user_id` says that the two differ.",
    ),
)

SIGNALS: Final = (
    *_from("os", s2s.version, "os_version", note="Without it AppsFlyer assumes iOS 14.5."),
    *_from(
        "att",
        s2s.att,
        "user_properties.att",
        "user_properties.att_status",
        "event_properties.att",
        doc=DESTINATION,
        note="iOS. 0 not determined, 1 restricted, 2 denied, 3 authorised; words are understood.",
    ),
    *_from(
        "aie",
        s2s.yes,
        "user_properties.aie",
        note="Whether the person shares the advertising id: not if one of these says so.",
    ),
    *_from("aie", s2s.no, "user_properties.limit_ad_tracking", "user_properties.is_lat"),
    *_from("consent_data", consent, "user_properties.consent_data"),
    *_from(
        "sharing_filter",
        partners,
        "user_properties.sharing_filter",
        note="With those of the stream. What can't be read is `all`.",
    ),
)

DEVICES: Final = (
    *_from(
        "advertising_id",
        s2s.device,
        "adid",
        "user_properties.gaid",
        "user_properties.adid",
        "user_properties.advertising_id",
        doc=DESTINATION,
        note="Android.",
    ),
    *_from("amazon_aid", s2s.device, "user_properties.amazon_aid", doc=DESTINATION, note="Android."),
    *_from("oaid", s2s.device, "user_properties.oaid", doc=DESTINATION, note="Android."),
    *_from("imei", s2s.device, "user_properties.imei", doc=DESTINATION, note="Android."),
    *_from("idfa", s2s.apple, "idfa", "user_properties.idfa", doc=DESTINATION, note="iOS."),
    *_from(
        "idfv",
        s2s.apple,
        "idfv",
        "user_properties.idfv",
        doc=DESTINATION,
        note='iOS. If your Amplitude device ids are vendor ids: `idfv = "device_id"`.',
    ),
    *_from("ip", s2s.ipv4, "ip_address", doc=DESTINATION, note="IPv4 only."),
)

APP: Final = (
    *_from("app_version_name", s2s.words, "version_name", "app_version"),
    *_from("app_store", s2s.words, "user_properties.app_store", "user_properties.install_app_store", note="Android."),
)

MONEY: Final = (
    *_from(
        "eventValue.af_revenue",
        s2s.amount,
        "event_properties.af_revenue",
        "event_properties.$revenue",
        "event_properties.revenue",
        "revenue",
        doc=DESTINATION,
        note="A refund is negative. Text is read as in postbacks (`1,234.50`), and not if it names another currency.",
    ),
    *_from("eventValue.af_currency", s2s.currency, "event_properties.af_currency", doc=DESTINATION),
    *_from(
        "eventCurrency",
        s2s.currency,
        "event_properties.$currency",
        "event_properties.currency",
        "event_properties.af_currency",
        "currency",
        doc=DESTINATION,
    ),
)

CONTENT: Final = (
    *_from(
        "eventValue.af_content_id",
        s2s.content,
        "event_properties.af_content_id",
        "event_properties.$productId",
        "event_properties.product_id",
        "event_properties.productId",
        doc=DESTINATION,
    ),
    *_from(
        "eventValue.af_content_type",
        s2s.content,
        "event_properties.af_content_type",
        "event_properties.content_type",
        doc=DESTINATION,
    ),
    *_from("eventValue.af_quantity", s2s.content, "event_properties.af_quantity", "event_properties.$quantity"),
    *_from(
        "eventValue.af_price",
        s2s.price,
        "event_properties.af_price",
        "event_properties.$price",
        note="Of several products a list, as `af_content_id` and `af_quantity`.",
    ),
    *_from("eventValue.af_order_id", s2s.words, "event_properties.af_order_id", "event_properties.order_id"),
)

ROWS: Final = (*IDS, *MONEY, *SIGNALS, *DEVICES, *APP, *CONTENT)
"""What is sent without configuration."""

OPTIONAL: Final = (
    Row("value:com.example.shop", "bundleIdentifier", s2s.words, S2S, "AppsFlyer advises to send it always."),
    Row("value:app_clip", "app_type", s2s.app_clip, S2S, "Of events in an app clip."),
    Row("user_properties.email", "email_hashed", s2s.email, S2S, "Only the hash is sent."),
    Row("user_properties.phone", "phone_number_hashed", s2s.phone, S2S, "With country code. Only the hash is sent."),
    Row("user_properties.phone", "phone_number_e164_hashed", s2s.phone_e164, S2S, "As above, with `+` in front."),
    Row("user_properties.first_name", "first_name_hashed", s2s.name, S2S, "Only the hash is sent."),
    Row("user_properties.last_name", "last_name_hashed", s2s.name, S2S, "Only the hash is sent."),
    Row(
        "user_properties.app_set_id",
        "app_set_id",
        s2s.app_set,
        S2S,
        "Android. An object with `id`, a UUID, and `scope`, or the id.",
    ),
    Row("user_properties.fb_login_id", "fb_login_id", s2s.digits, S2S, "Digits only."),
    Row("user_properties.user_agent", "ua", s2s.words, S2S),
    Row("user_properties.custom_data", "custom_data", s2s.json_text, S2S, "JSON; an object is written as text."),
)
"""Parameters that are sent only if `apps.streams.properties` says where they are found; the source is an example."""

PARAMETERS: Final = tuple(
    dict.fromkeys(
        row.target for row in chain(IDS, SIGNALS, MONEY, DEVICES, APP, OPTIONAL) if not row.target.startswith(VALUE)
    )
)
"""The parameters of a request beside name, value and time, the most important first."""

ESSENTIAL: Final = frozenset(
    {"appsflyer_id", "eventCurrency", "os", "att", "aie", "consent_data", "sharing_filter", "app_type"}
)
"""Parameters without which an event would be counted wrongly, or shared with whom it may not: these always go."""

ANDROID_ONLY: Final = frozenset({"advertising_id", "amazon_aid", "oaid", "imei", "app_store", "app_set_id"})
IOS_ONLY: Final = frozenset({"idfa", "idfv", "att", "app_type"})

AMOUNTS: Final = frozenset(row.target for row in ROWS if row.convert in {s2s.amount, s2s.price})
"""Parameters that are amounts of money in the currency of the event."""

CONVERTERS: Final[dict[str, Converter]] = {row.target: row.convert for row in (*OPTIONAL, *ROWS) if row.target != "aie"}
CONVERTERS["aie"] = s2s.yes
"""How a configured source is converted, by target. A key of `eventValue` that is not here goes as it is."""

WITHHELD_AS: Final = {
    "idfa": "idfa",
    "advertising_id": "adid",
    "amazon_aid": "adid",
    "oaid": "oaid",
    "imei": "android_id",
}
"""What `mapping.consent` calls a parameter. An IMEI outlives every reset, as an Android id does."""
