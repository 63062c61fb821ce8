"""Sightings of users in the messages of Amplitude: streamed events, users, and cohort members.

Amplitude's webhook posts one event in the Export API's format, one user in the Identify API's, or whatever JSON
a FreeMarker template makes of them; a cohort webhook posts a list of users with properties. An Export API file
holds the same events a line each. In all of them a sighting is an object with a `user_id` and/or a
`device_id` and identifiers that AppsFlyer's postbacks carry too: at the top, among its `user_properties`, in their
operations `$set` and `$setOnce`, or as the device id itself; an AppsFlyer id also among the properties of the event.

Advertising ids, vendor ids and App Set ids are wiped from what Amplitude shows, so that the device id and the user
properties are what people are usually found by.

https://amplitude.com/docs/data/destination-catalog/webhooks,
https://amplitude.com/docs/data/destination-catalog/cohort-webhooks,
https://amplitude.com/docs/apis/analytics/export, https://amplitude.com/docs/apis/analytics/identify
(read 2026-11-27).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.identity import IdKind, usable
from flybridge.identity.bare import bare, only, text_of
from flybridge.lenient_json import decode
from flybridge.system.text_encoding import BLANKS
from flybridge.written_time import moment_of

# Apps name these properties as they like; the names are those that the two vendors' SDKs and docs use. They are
# compared without case and separators, so that `AppsFlyer ID`, `appsflyerId` and `[AppsFlyer] appsflyer_id` are one.
NAMES: Final[Mapping[str, IdKind]] = {
    "idfa": IdKind.IDFA,
    "iosidfa": IdKind.IDFA,
    "idfv": IdKind.IDFV,
    "iosidfv": IdKind.IDFV,
    "adid": IdKind.ADID,
    "gaid": IdKind.ADID,
    "advertisingid": IdKind.ADID,
    "amazonaid": IdKind.ADID,
    "oaid": IdKind.OAID,
    "androidappsetid": IdKind.APP_SET_ID,
    "appsetid": IdKind.APP_SET_ID,
    "appsflyerid": IdKind.APPSFLYER_ID,
    "appsflyeruid": IdKind.APPSFLYER_ID,
    "appsflyerdeviceid": IdKind.APPSFLYER_ID,
    "appsflyerappsflyerid": IdKind.APPSFLYER_ID,
}
MAX_NAME: Final = 40

IOS: Final = frozenset({"ios", "iphone", "ipad", "ipados", "iphone os", "tvos", "watchos", "visionos"})
ANDROID: Final = frozenset({"android", "android tv", "fire os", "fireos", "amazon"})
BROWSERS: Final = frozenset({"web", "browser", "mobile web"})

# What the device id of an SDK may be. One that is random, as Android's default with an R behind it, is none of these.
# https://amplitude.com/docs/sdks/analytics/android/android-kotlin-sdk ("Device ID lifecycle"),
# https://amplitude.com/docs/sdks/analytics/ios/ios-sdk ("Set IDFA as device ID"), read 2026-11-27.
OF_IOS: Final = (IdKind.IDFV, IdKind.IDFA)
OF_ANDROID: Final = (IdKind.ADID,)
APP_SET_MARK: Final = "S"

FIRST_MS: Final = 100_000_000_000  # 1973 in milliseconds, the year 5138 in seconds
LAST_MS: Final = 253_402_300_800_000  # the year 10000
MAX_TIME_CHARS: Final = 80
MAX_NUMBER: Final = 20
_SEPARATORS: Final = str.maketrans("", "", ",\u00a0\u202f ")
_NAME_SEPARATORS: Final = str.maketrans("", "", "_- []")

_NUMBER: Final = re.compile(r"[0-9]{1,24}(?:\.[0-9]{0,12})?(?:E\+?[0-9]{1,2})?")
_GROUPED: Final = re.compile(r"[0-9]{1,3}(?:[,\u00a0\u202f][0-9]{3}){1,6}")
_POINTED: Final = re.compile(
    r"([0-9]{2})\.([0-9]{2})\.([0-9]{4}),? ([0-9:.]{5,12})"
)  # of Amplitude's page of templates
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class SeenUser(Struct, frozen=True):
    """A user or device in Amplitude, and its identifiers. `seen_ms` is None without a time.

    `amplitude_id` is Amplitude's own number of the user: all that a message may have beside identifiers.
    """

    user_id: str | None
    device_id: str | None
    ids: Mapping[IdKind, str]
    seen_ms: int | None
    amplitude_id: str | None = None


def walk(message: Any) -> Iterator[SeenUser]:
    """Yield every sighting in a decoded message: an event, a user, a cohort batch, or a list of any of them."""
    if isinstance(message, Sequence) and not isinstance(message, str):
        for part in message:
            yield from walk(part)
    elif isinstance(message, Mapping):
        if isinstance(users := users_of(message.get("users")), Sequence):
            yield from walk(users)
        elif (seen := _seen(message)) is not None:
            yield seen


def users_of(value: Any) -> Any:
    """Return the list of users of a batch, which a template may have written as text; another value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        with suppress(msgspec.DecodeError, RecursionError):
            return decode(value.encode("utf-8", "surrogatepass"))
    return value


def _seen(event: Mapping[str, Any]) -> SeenUser | None:
    user_id, device_id = text_of(event.get("user_id")), text_of(event.get("device_id"))
    amplitude_id = number_of(event.get("amplitude_id"))
    if user_id is None and device_id is None and amplitude_id is None:
        return None
    ids: dict[IdKind, str] = {}
    for place in _places(event):
        for name, value in place.items():
            kind = None if value is None else _kind_of(name)
            if kind is not None and kind not in ids and (found := bare(value)) is not None:
                ids[kind] = found
    if IdKind.APPSFLYER_ID not in ids:
        # As the mapping to AppsFlyer takes it. Of the other names some mean something else there, as the id of an ad.
        properties = object_of(event.get("event_properties"))
        if (found := bare(properties.get("appsflyer_id"))) is not None:
            ids[IdKind.APPSFLYER_ID] = found
    if device_id:
        for kind, value in device_ids(device_id, platform_of(event)):
            ids.setdefault(kind, value)
    if user_id:
        ids[IdKind.CUSTOMER_USER_ID] = user_id
    time = event.get("event_time") or event.get("client_event_time") or event.get("time")
    if not ids and user_id is None and device_id is None:
        return None
    return SeenUser(user_id, device_id, ids, time_ms(time), amplitude_id)


def platform_of(event: Mapping[str, Any]) -> str:
    """Return `ios`, `android`, or what an event says of its platform in small letters; empty if it says nothing.

    Frameworks (`Unity`, `React Native`) run on the system that the event names beside them, a browser on any.
    """
    platform, system = (text_of(event.get(name)) for name in ("platform", "os_name"))
    found = [(text or "").strip().lower() for text in (platform, system)]
    for name in found[:1] if found[0] in BROWSERS else found:
        if name in IOS or name in ANDROID:
            return "ios" if name in IOS else "android"
    return found[0] or found[1]


def device_ids(device_id: str, platform: str) -> Iterator[tuple[IdKind, str]]:
    """Yield what a device id may be by its form and its platform, which is empty where the message does not say.

    An id that an app has made up itself may have the form of another. It is then a key that no postback carries.
    """
    name = platform.strip().lower()
    ios, android = name in IOS or not name, name in ANDROID or not name
    if _UUID.fullmatch(device_id):
        yield from ((kind, device_id) for kind in OF_IOS if ios)
        yield from ((kind, device_id) for kind in OF_ANDROID if android)
    elif android and device_id.endswith(APP_SET_MARK):
        app_set_id = usable(device_id.removesuffix(APP_SET_MARK))
        if app_set_id is not None and _UUID.fullmatch(app_set_id):
            yield IdKind.APP_SET_ID, app_set_id


def _places(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the objects that may name an identifier, the newest value of a property first."""
    properties = object_of(event.get("user_properties"))
    return [event, object_of(properties.get("$set")), properties, object_of(properties.get("$setOnce"))]


def appsflyer_ids(event: Mapping[str, Any]) -> Iterator[str]:
    """Yield what an event calls an AppsFlyer id, by whatever name."""
    for place in _places(event):
        for name, value in place.items():
            if _kind_of(name) is IdKind.APPSFLYER_ID and (found := bare(value)) is not None:
                yield found


def object_of(value: Any) -> Mapping[str, Any]:
    """Return an object, which may be alone in a list, and which a template may have written as text, even twice; empty
    for anything else. What is not clean in a text is mended, as in the message itself.
    """
    value = only(value)
    if isinstance(value, str) and (text := value.strip(BLANKS))[:1] in {"{", '"', "["}:
        try:
            return object_of(decode(text.encode("utf-8", "surrogatepass")))
        except (msgspec.DecodeError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def _kind_of(name: str) -> IdKind | None:
    """Return the kind of identifier that a property holds by its name."""
    return _known(name) if len(name) <= MAX_NAME else None


@lru_cache(maxsize=4096)
def _known(name: str) -> IdKind | None:
    return NAMES.get(name.lower().translate(_NAME_SEPARATORS))


def number_of(value: Any) -> str | None:
    """Return one of Amplitude's own numbers of users as text, as a template prints it, too; None for anything else."""
    text = None if isinstance(value, list) else text_of(value)
    if text is not None and _GROUPED.fullmatch(text):
        text = text.translate(_SEPARATORS)
    return text if text is not None and len(text) <= MAX_NUMBER and text.isascii() and text.isdecimal() else None


def time_ms(value: Any) -> int | None:
    """Return milliseconds since 1970; None for what is no time.

    Takes `2022-08-18 08:44:02.740000` (UTC), `18.08.2022, 08:44`, ISO 8601 with any zone, and seconds, milliseconds,
    microseconds or nanoseconds as number or text, with the separators that a FreeMarker template writes into numbers,
    and what `written_time` reads, as the dates that a template writes (`Aug 18, 2022 8:44:02 AM`).
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _since_1970(value)
    if not isinstance(value, str) or len(value) > MAX_TIME_CHARS:
        return None
    text = value.strip().upper()
    digits = text.translate(_SEPARATORS)
    if _NUMBER.fullmatch(digits):
        return _since_1970(float(digits))
    # "... UTC", and Java's "...Z[UTC]" and "...+02:00[Europe/Berlin]".
    text = text.partition("[")[0].removesuffix("UTC").removesuffix("GMT").rstrip()
    if pointed := _POINTED.fullmatch(text):
        text = "{2}-{1}-{0}T{3}".format(*pointed.groups())
    if text[10:11] in {" ", "T"} and text[12:13] == ":":  # an hour of one digit
        text = f"{text[:11]}0{text[11:]}"
    try:
        moment: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        moment = moment_of(value)
    if moment is None:
        return None
    try:
        ms = round((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return ms if 0 < ms < LAST_MS else None


def _since_1970(number: float) -> int | None:
    """Return milliseconds of a number whose unit is told by its size, which differs from 1973 on; None for none."""
    if not 0 < number < LAST_MS * 1_000_000:
        return None
    while number >= LAST_MS:
        number /= 1000
    return round(number * 1000) if number < FIRST_MS else round(number)
