"""Writes messages as AppsFlyer's Push API sends them, as bytes. They hold only fields that can be selected there.

What is the same in all messages of a person's installation is written once (`Installation`), so that one message
costs little more than joining strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.appsflyer.fields import NAMES
from flybridge.records import clock_time
from flybridge.sandbox.traffic.people import IdentitySource, SeenBy, TrafficPerson
from flybridge.sandbox.traffic.sources import ORGANIC, Touch

_encode: Final = msgspec.json.Encoder().encode

# Fields that older messages carry as null or blank, and newer ones leave out.
NULLS: Final[Mapping[str, str | None]] = {
    "af_sub2": None,
    "af_sub3": None,
    "af_sub4": "",
    "af_sub5": None,
    "imei": None,
    "amazon_aid": None,
    "oaid": None,
    "contributor_1_media_source": None,
    "contributor_1_campaign": None,
    "contributor_2_media_source": None,
    "gp_broadcast_referrer": "",
    "dma": None,
    "custom_dimension": None,
    "deeplink_url": None,
}

PLACES: Final = {name: country for country, name in enumerate(NAMES)}


class TrafficApp(Struct, frozen=True):
    """An app that messages are about. `name` is flybridge's, as in `/v1/push/{name}`."""

    name: str
    platform: str
    appsflyer_app_id: str


def written(time_ms: int) -> str:
    """Write a time as AppsFlyer does: UTC, milliseconds, no zone."""
    return f"{clock_time(time_ms)}.{time_ms % 1000:03d}"


class TrafficInstallation(Struct, frozen=True, gc=False):
    """One installation of an app by one person, under one attribution, and the constant part of its messages.

    `unnamed` is the same without what names a conversion, `cuid` what a login adds; `number_as_text`: amounts are
    written in quotes. `reengages`: events of the open window come twice. `retargeting`: a campaign brought
    the person back.
    """

    app: TrafficApp
    person: TrafficPerson
    appsflyer_id: str
    touch: Touch
    constant: str
    unnamed: str
    cuid: str
    number_as_text: bool
    reengages: bool
    install_ms: int
    retargeting: bool


def install(
    random: Random,
    app: TrafficApp,
    person: TrafficPerson,
    touch: Touch,
    *,
    conversion: str,
    install_ms: int,
    appsflyer_id: str,
    retargeting: bool = False,
) -> TrafficInstallation:
    """Write the constant part. `conversion`: install, reinstall or re-engagement."""
    bits = random.getrandbits(32)
    named = {
        "conversion_type": conversion,
        "campaign_type": "retargeting" if retargeting else "organic" if touch.media_source == ORGANIC else "UA",
        "is_retargeting": "true" if retargeting else "false",
    }
    if retargeting:
        # The table of AppsFlyer's help: a re-attribution is a reinstall that a retargeting campaign brought.
        named["retargeting_conversion_type"] = "re-engagement" if conversion == "re-engagement" else "re-attribution"
    fields = {
        **touch.fields,
        **_place(person),
        **_device(app, person, bits),
        "appsflyer_id": appsflyer_id,
        "install_time": written(install_ms),
        "device_download_time": written(install_ms - 40_000 - bits % 100_000),
        "selected_timezone": "UTC",
        "selected_currency": "USD",
    }
    if touch.media_source != ORGANIC:
        fields["attributed_touch_time"] = written(install_ms - 60_000 - bits % 5_000_000)
    if retargeting:
        fields["af_reengagement_window"] = "30d"
    if bits & 15 == 0:
        for name in ("city", "state", "carrier", "ip", "language", "postal_code", "device_category"):
            fields.pop(name, None)
    if person.identity_source is IdentitySource.CUSTOM_DATA:
        fields["custom_data"] = _encode(_amplitude_ids(person, bits)).decode()
    if person.identity_source is IdentitySource.CUSTOMER_USER_ID:
        fields["customer_user_id"] = person.user_id
    fields = {**(NULLS if bits >> 4 & 3 == 0 else {}), **fields}
    return TrafficInstallation(
        app,
        person,
        appsflyer_id,
        touch,
        constant=_ordered({**named, **fields}),
        unnamed=_ordered(fields),
        cuid=f',"customer_user_id":"{person.user_id}"' if person.identity_source is IdentitySource.LOGIN else "",
        number_as_text=bits >> 6 & 3 == 0,
        reengages=retargeting and conversion == "re-engagement",
        install_ms=install_ms,
        retargeting=retargeting,
    )


def _ordered(fields: dict[str, Any]) -> str:
    """Write fields in the order that AppsFlyer's example messages have."""
    return _encode(dict(sorted(fields.items(), key=lambda one: PLACES.get(one[0], len(PLACES))))).decode()[1:-1]


def _place(person: TrafficPerson) -> dict[str, Any]:
    return {
        "country_code": person.country.code,
        "region": person.country.region,
        "state": person.state,
        "city": person.city,
        "language": person.country.language,
        "carrier": person.carrier,
        "operator": person.carrier,
        "ip": person.ip,
        "postal_code": "10115" if person.country.code == "DE" else None,
        "wifi": "true" if person.wifi else "false",
    }


def _device(app: TrafficApp, person: TrafficPerson, bits: int) -> dict[str, Any]:
    ios = person.platform == "ios"
    fields: dict[str, Any] = {
        "api_version": "2.0",
        "app_id": app.appsflyer_app_id,
        "app_name": "Example Shop",
        "app_version": f"5.{bits >> 10 & 7}.{bits >> 13 & 3}",
        "bundle_id": "com.example.shop",
        "platform": person.platform,
        "os_version": person.os_version,
        "sdk_version": f"v6.{14 + (bits >> 15 & 3)}.0",
        "device_category": person.device.category,
        "device_type": person.device.model,
        "device_model": person.device.model,
        "event_source": "SDK",
        "is_lat": "true" if person.limits else "false",
        "user_agent": "AppsFlyer iOS SDK" if ios else f"Dalvik/2.1.0 (Linux; U; Android {person.os_version})",
    }
    if person.advertising_id is not None:
        fields["idfa" if ios else "advertising_id"] = person.advertising_id
    if ios:
        fields["idfv"] = person.idfv
    elif person.android_id is not None:
        fields["android_id"] = person.android_id
    if not ios:
        fields["install_app_store"] = "com.android.vending"
    return fields


def _amplitude_ids(person: TrafficPerson, bits: int) -> dict[str, Any]:
    ids: dict[str, Any] = {"amplitude_device_id": person.device_id, "amplitude_session_id": person.session_ms}
    if person.user_id is not None:
        ids["amplitude_user_id"] = person.user_id
    if bits >> 20 & 1:
        ids["paywall"] = "B"
    return ids


class Bought(Struct, frozen=True, gc=False):
    """What was paid: negative for a refund."""

    amount: float
    currency: str
    usd: float


def message(
    installation: TrafficInstallation,
    event_name: str | None,
    event_ms: int,
    *,
    event_value: dict[str, Any] | None = None,
    bought: Bought | None = None,
    with_cuid: bool = False,
    conversion: bool = False,
    nonsense_time: bool = False,
    is_primary: bool | None = None,
) -> bytes:
    """Write one message. `event_name` None: the message names no event, nor a conversion.

    `is_primary` is the field `is_primary_attribution` of an event that AppsFlyer sends once per attribution.
    """
    quote = '"' if installation.number_as_text else ""
    time = written(event_ms)
    head = f'{{"event_name":"{event_name}",' if event_name is not None else "{"
    head += f'"event_time":"{"31/02/2026 25:61" if nonsense_time else time}"'
    head += f',"event_time_selected_timezone":"{time}+0000","event_value":'
    # A string of JSON inside JSON, as AppsFlyer has it.
    head += _encode(_encode(event_value).decode()).decode() if event_value is not None else '""'
    if bought is not None:
        head += (
            f',"event_revenue":{quote}{bought.amount}{quote},"event_revenue_currency":"{bought.currency}"'
            f',"event_revenue_usd":{quote}{bought.usd}{quote}'
        )
    if conversion and installation.touch.cost_usd is not None:
        cost = installation.touch.cost_usd
        head += f',"af_cost_value":{quote}{cost}{quote},"af_cost_currency":"USD","af_cost_model":"CPI"'
    if is_primary is not None:
        head += f',"is_primary_attribution":"{str(is_primary).lower()}"'
    constant = installation.unnamed if event_name is None else installation.constant
    return f"{head},{constant}{installation.cuid if with_cuid else ''}}}".encode()


def sighting(installation: TrafficInstallation, seen_ms: int, random: Random) -> bytes:
    """Write a message of Amplitude's webhook about the person: an event, or a user as the Identify API has it.

    Identifiers are wiped from events after ingestion; what is left is a hash. User properties are strings, and
    countries and languages have English names.
    https://amplitude.com/docs/data/destination-catalog/webhooks,
    https://amplitude.com/docs/apis/analytics/export (read 2026-11-27).
    """
    app, person, appsflyer_id = installation.app, installation.person, installation.appsflyer_id
    if person.seen_by is SeenBy.IDENTIFY:
        named = {"$set": {"appsflyer_id": appsflyer_id}, "$setOnce": {"initial_plan": "free"}}
        return _encode({"user_id": person.user_id, "device_id": person.device_id, "user_properties": named})
    ios = person.platform == "ios"
    known = {"appsflyer_id": appsflyer_id} if person.seen_by is SeenBy.PROPERTY else {}
    time = f"{written(seen_ms)}000"
    return _encode(
        {
            "$insert_id": f"{random.getrandbits(128):032x}",
            "$schema": 12,
            "adid": None,
            "amplitude_attribution_ids": f"{random.getrandbits(128):032x}",
            "amplitude_event_type": "session_start",
            "amplitude_id": random.getrandbits(40),
            "app": sum(app.name.encode()),
            "city": person.city,
            "client_event_time": time,
            "client_upload_time": time,
            "country": person.country.shown,
            "device_brand": None,
            "device_carrier": person.carrier,
            "device_family": "Apple iPhone" if ios else "Android",
            "device_id": person.device_id,
            "device_model": person.device.model,
            "event_id": random.getrandbits(10),
            "event_properties": {},
            "event_time": time,
            "event_type": "session_start",
            "groups": {},
            "idfa": None,
            "idfv": None,
            "ip_address": person.ip,
            "is_attribution_event": False,
            "language": person.country.shown_language,
            "library": "amplitude-ios/8.17.1" if ios else "amplitude-android/2.39.8",
            "os_name": "ios" if ios else "android",
            "os_version": person.os_version,
            "platform": "iOS" if ios else "Android",
            "server_upload_time": time,
            "session_id": person.session_ms,
            "user_id": person.user_id,
            "user_properties": {**known, "plan": "free"},
            "version_name": "5.1.0",
        }
    )
