"""Identify the person of a postback: the Amplitude ids that the app passed along, and the identifiers to match by.

The app can give AppsFlyer its Amplitude device, session and user ids in custom data or in an event's value, under
configured keys. An id is only ever what its own field says; nothing is made up, and none stands in for another.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping
from html import unescape
from math import isfinite
from operator import attrgetter
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from msgspec import Struct, field

from flybridge.amplitude.event import MAX_TEXT, identifier
from flybridge.appsflyer.fields import ABSENT, Postback
from flybridge.appsflyer.postback import mended
from flybridge.appsflyer.postback_kind import says_something
from flybridge.appsflyer.postback_time import EARLIEST_MS, LATEST_MS
from flybridge.identity import IdKind, device_identifier, installation, usable
from flybridge.mapping.consent import withheld
from flybridge.mapping.table import plain
from flybridge.relaxed_json import relaxed
from flybridge.system.text_encoding import BLANKS, JSON_IN_BASE64

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode

MAX_DEVICE_ID: Final = 128
MAX_SESSION: Final = 2**53
MAX_SESSION_TEXT: Final = 25
MAX_NAME: Final = 64
MAX_UNLIKE: Final = 4096
MAX_PAIRS: Final = 1000
SECONDS: Final = range(EARLIEST_MS // 1000, LATEST_MS // 1000)
MAX_ENCODED: Final = 4
"""How often JSON may be encoded as text within JSON, itself included."""
ESCAPED: Final = ("%7b", "%5b", "%22", "%25")
"""How JSON begins that was percent-encoded once more than the query string it came in."""
QUOTE: Final = re.compile(r"&(?:amp;){0,3}(?:quot|#34|#x22);", re.IGNORECASE)
BASE64: Final = re.compile(JSON_IN_BASE64 + "{5,87380}={0,2}")
"""What may be JSON in base64: it is, if it is JSON when decoded."""
OPTIONAL: Final = re.compile(r"Optional\((.*)\)", re.DOTALL)
"""A value as Swift prints it that the app has not unwrapped."""
ESCAPED_QUOTE: Final = re.compile(r'[\[{][\[{\s]{0,32}\\+"')
"""How JSON begins whose quotes are escaped, though no quotes stand around all of it."""
MAX_BEFORE_QUOTE: Final = 32

JAVA_MAP: Final = re.compile(r"\s*\{([^{}]*)\}\s*")
BETWEEN_PAIRS: Final = re.compile(r"[ \t]{0,8}[;,\r\n]\s{0,8}(?=[\w.$-]{1,64}[ \t]{0,8}=)")
GROUPED: Final = re.compile(r"\d{1,3}(?:[,\u00a0\u202f ]\d{3})+")
WRAPPED: Final = frozenset("\"'O[{")
"""How ids begin that stand in quotes once more, in a list, or in Swift's `Optional(...)`."""

# A shorter identifier is found in any text.
MIN_TELLING: Final = 8

EMPTY: Final[Mapping[str, Any]] = {}

PERSONAL: Final = frozenset(
    {
        "appsflyer_id", "appsflyer_device_id", "customer_user_id", "advertising_id", "idfa", "idfv", "android_id",
        "amazon_aid", "oaid", "imei", "android_app_set_id", "ip", "custom_data", "original_url", "http_referrer",
        "deeplink_url", "gp_referrer", "gp_broadcast_referrer", "user_agent", "event_value",
    }
)  # fmt: skip
"""Fields that name a person or a device, or may contain what does. They are masked where people read them."""

# Looking up an enum member costs more than a module's name.
APPSFLYER_ID: Final = IdKind.APPSFLYER_ID
CUSTOMER_USER_ID: Final = IdKind.CUSTOMER_USER_ID

ID_KINDS: Final = {
    "idfa": IdKind.IDFA,
    "idfv": IdKind.IDFV,
    "adid": IdKind.ADID,
    "oaid": IdKind.OAID,
    "android_app_set_id": IdKind.APP_SET_ID,
}
"""What people are matched by. An Android id and an IMEI are not in it, because no sighting brings them."""

DEVICE_FIELDS: Final = (
    "idfa", "idfv", "advertising_id", "amazon_aid", "oaid", "imei", "android_id", "android_app_set_id",
)  # fmt: skip
"""Fields that hold a device's identifier and nothing else. They are never properties."""

_signals: Final = attrgetter(
    "att", "is_lat", "gdpr_applies", "ad_user_data_enabled", "ad_personalization_enabled"
)  # fmt: skip

TOP: Final = ("idfa", "idfv", "adid", "android_id", "android_app_set_id")
"""The identifiers that Amplitude has a field for."""

OF_ADID: Final = ("advertising_id", "amazon_aid")
"""The fields of which one becomes Amplitude's `adid`."""


ID_KEYS: Final = frozenset(DEVICE_FIELDS) | {
    "adid", "gaid", "aaid", "google_advertising_id", "advertiser_id", "app_set_id", "mac", "mac_address", "device_imei",
}  # fmt: skip
"""Keys of `event_value` that hold an identifier by name, in lower case."""


class Keys(Struct, frozen=True):
    """Under which keys the app passes its Amplitude ids, and what else is one.

    A key with dots may also be a path into objects. Letters match in either case if no key matches exactly.

    `customer_user_id` says what AppsFlyer's customer user id is for: `send` it as the user id, match by it `when-seen`
    in Amplitude, or `never`. `unsent` are identifiers that a person is matched by and that are not sent, by their names
    here (`adid`, `session_id`) or AppsFlyer's (`amazon_aid`).
    """

    device_id: str
    session_id: str
    user_id: str
    min_id_length: int
    customer_user_id: str = "send"
    unsent: tuple[str, ...] = ()
    unlike: set[str] = field(default_factory=set)
    """Names of keys seen in messages that are none of these in another case, and begin no path."""

    def looked_up(self, given: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        """Return the device, user and session id as the app passed them, under whatever spelling of their keys."""
        keys = (self.device_id, self.user_id, self.session_id)
        beginnings = {key.partition(".")[0].casefold() for key in keys}
        if len(self.unlike) < MAX_UNLIKE:
            self.unlike.update(
                name
                for name in given
                if len(name) <= MAX_NAME and name.strip().casefold().partition(".")[0] not in beginnings
            )
            self.unlike.update(key for key in keys if "." not in key)
        device_id, user_id, session_id = (look_up(given, key) for key in keys)
        return device_id, user_id, session_id


class Identified(Struct, gc=False):
    """The person of a postback. `idfa` to `android_app_set_id` go to Amplitude's own fields.

    `ids` is what the person is matched by; `devices` are all device identifiers of the message as JSON text in lower
    case, whether they may leave or not.
    """

    user_id: str | None
    device_id: str | None
    session_id: int | None
    ids: dict[IdKind, str]
    devices: list[bytes]
    idfa: str | None = None
    idfv: str | None = None
    adid: str | None = None
    android_id: str | None = None
    android_app_set_id: str | None = None

    def take(self, name: str, raw: str, refused: frozenset[str], notes: list[str]) -> str | None:
        """Record a device identifier; return it trimmed, or None if it is not one or may not leave."""
        if len(raw) > MAX_DEVICE_ID or (value := device_identifier(raw)) is None:
            return None
        if len(value) >= MIN_TELLING:
            self.devices.append(_encode(value)[1:-1].lower())
        if name in refused:
            notes.append(f"The {name} is not sent: the person has not allowed it.")
            return None
        if (kind := ID_KINDS.get(name)) is not None:
            self.ids[kind] = value
        return value


def parsed(value: Any, notes: list[str] | None = None, name: str = "event_value") -> Any:
    r"""Return the value of JSON in text, or the text itself, trimmed, if it is not JSON.

    JSON that was encoded more than once, as JSON (also without quotes around it: `{\"a\":1}`), in a query string
    (`%7B%22`) or for a page (`&quot;`), is decoded as often, and broken text and numbers in it are mended as in the
    message itself. What is mended or looks like JSON and can't be read is noted under the field's `name`.
    """
    if not isinstance(value, str):
        return value
    if value[:1] in ("{", "["):
        try:
            return _decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
    return _unusual(value.strip(BLANKS), [] if notes is None else notes, name)


def _unusual(text: str, notes: list[str], name: str) -> Any:
    found: Any = text
    for _ in range(MAX_ENCODED):
        if not isinstance(found, str):
            break
        found = _unwrapped(found)
        if found[:1] not in ("{", "[", '"'):
            break
        while QUOTE.search(found, 0, MAX_BEFORE_QUOTE):  # no longer than there is one of its few spellings
            found = unescape(found)
        if ESCAPED_QUOTE.match(found):
            found = f'"{found}"'
        try:
            found = _decode(found)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            try:
                found = _mended(found)
            except (ValueError, OverflowError, RecursionError):
                if "{" in found[:4] or "[" in found[:4]:
                    notes.append(f"The {name} looks like JSON, but can't be read, and is kept as text.")
                return text
            notes.append(f"The {name} was not clean JSON (broken text or numbers) and was mended before it was read.")
        if isinstance(found, str):
            found = found.strip(BLANKS)
    return None if isinstance(found, str) and found in ABSENT else found


def _unwrapped(text: str) -> str:
    """Return what a text encodes that was percent-encoded, put into base64, or printed by Swift as an `Optional`."""
    for _ in range(MAX_ENCODED):
        if text[:3].lower() not in ESCAPED:
            break
        text = unquote_plus(text).strip(BLANKS)
    if (found := OPTIONAL.fullmatch(text)) is not None:
        text = found[1].strip(BLANKS)
    return _from_base64(text) or text


def _from_base64(text: str) -> str | None:
    """Return the JSON that a text holds in base64; None if it holds none."""
    if not BASE64.fullmatch(text):
        return None
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        found = b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
        _decode(found)
    except (Base64Error, UnicodeError, msgspec.DecodeError, RecursionError):
        return None
    return found.strip(BLANKS)


def _mended(text: str) -> Any:
    """Return what stands in JSON that is not clean, or in what other programs print for it. Raises `ValueError`."""
    try:
        return _decode(mended(text))
    except (ValueError, OverflowError):
        return relaxed(text)


def custom_data(postback: Postback, notes: list[str] | None = None) -> Mapping[str, Any]:
    """Return custom data by key: a JSON object, JSON in text, or `key=value&key=value`."""
    if postback.custom_data is None:
        return EMPTY
    said: list[str] = []
    value = parsed(postback.custom_data, said, "custom_data")
    if isinstance(value, list):
        value = parsed(value[0], said, "custom_data") if len(value) == 1 else _joined(value) or value
    if (
        isinstance(value, str)
        and value.count("=") < MAX_PAIRS
        and (pairs := _pairs(value) or _pairs(unquote_plus(value)))
    ):
        return pairs
    if notes is not None:
        notes += said
        if value is not None and not isinstance(value, dict):
            notes.append("The custom_data is neither a JSON object nor key=value pairs and was not used.")
    return value if isinstance(value, dict) else EMPTY


def _pairs(text: str) -> dict[str, str]:
    """Return `key=value` pairs with `&`, `;`, `,` or line ends between them, also in the braces of a Java map.

    There may be blanks around keys and values. Empty if there are none.
    """
    if found := JAVA_MAP.fullmatch(text):
        text = found[1]
    pairs = parse_qsl(BETWEEN_PAIRS.sub("&", text.strip().removeprefix("?")))
    return {name.strip(): value.strip() for name, value in pairs}


def _joined(parts: list[Any]) -> dict[str, Any] | None:
    """Return what several objects say together; None if they are none. Which of two values is meant can't be told."""
    if not all(isinstance(part, dict) for part in parts) or len(parts) > MAX_PAIRS:
        return None
    found: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            found[name] = value if found.get(name, value) == value else None
    return found


def look_up(values: Mapping[str, Any], key: str) -> Any:
    """Return the value under a key, exactly, in any case of letters, or along the path that its dots make."""
    if (found := _in_any_case(values, key)) is not None:
        return found
    head, dot, rest = key.partition(".")
    while dot:
        inner = parsed(_in_any_case(values, head))
        if isinstance(inner, list) and len(inner) == 1:
            inner = inner[0]
        if isinstance(inner, dict) and (found := look_up(inner, rest)) is not None:
            return found
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None


def _in_any_case(values: Mapping[str, Any], key: str) -> Any:
    if (found := values.get(key)) is not None and found != "":
        return found
    folded = key.casefold()
    spelled = [found for name, found in values.items() if name.strip().casefold() == folded and found not in (None, "")]
    # Which of several is meant can't be told.
    return spelled[0] if spelled and all(found == spelled[0] for found in spelled) else None


def find(postback: Postback, event_value: Any, source: str) -> Any:
    """Return the value of a row's source: a field, listed or new, or a key of `custom_data.` or of `event_value.`."""
    place, dot, key = source.partition(".")
    if dot and place == "custom_data":
        return look_up(custom_data(postback), key)
    if dot and place == "event_value":
        return look_up(event_value, key) if isinstance(event_value, dict) else None
    return postback.get(source)


def refused_ids(postback: Postback) -> frozenset[str]:
    """Return the names of the identifiers that may not leave, by what the person has allowed."""
    return withheld(*_signals(postback))


def identify(postback: Postback, event_value: Any, keys: Keys, refused: frozenset[str], notes: list[str]) -> Identified:
    """Return the person. An id that Amplitude would refuse is left out and noted, and so is one that may not leave."""
    user_id = device_id = session_id = None
    given = event_value if isinstance(event_value, dict) else EMPTY
    if postback.custom_data is not None:
        passed = custom_data(postback, notes)
        # An id that is not known yet when custom data is set is passed blank, and may be in the event's value.
        if given and not all(passed.values()):
            passed = {name: value for name, value in passed.items() if value is not None and value != ""}
        given = {**given, **passed}
    if given:
        raw_device_id, raw_user_id = given.get(keys.device_id) or None, given.get(keys.user_id) or None
        raw_session_id = given.get(keys.session_id)
        # An app's messages repeat the same keys, and nearly always the ids are under the exact keys or not there.
        if (raw_device_id is None or raw_user_id is None or raw_session_id is None) and not keys.unlike.issuperset(
            given
        ):
            raw_device_id, raw_user_id, raw_session_id = keys.looked_up(given)
        if raw_device_id is not None:
            device_id = _given("device id", raw_device_id, keys, notes)
        if raw_user_id is not None:
            user_id = _given("user id", raw_user_id, keys, notes)
        if raw_session_id is not None:
            session_id = _session(raw_session_id, notes)
    if user_id is None and device_id is None and says_something(postback.custom_data):
        notes.append(f"Custom data is there, but has no id under {keys.device_id!r} or {keys.user_id!r}.")
    customer_user_id = named_user(postback.customer_user_id) if keys.customer_user_id != "never" else None
    if user_id is None and customer_user_id is not None and keys.customer_user_id == "send":
        if keys.min_id_length <= len(customer_user_id) <= MAX_TEXT:
            user_id = customer_user_id
        else:
            notes.append("The customer user id is too short or too long for Amplitude and was not used as user id.")
    person = Identified(user_id, device_id, session_id, {}, [])
    _take_devices(postback, person, refused, notes)
    for name in keys.unsent:
        if name not in OF_ADID:
            setattr(person, name, None)
        elif person.adid is not None and person.adid == device_identifier(getattr(postback, name)):
            person.adid = None
    if (appsflyer_id := installation(postback.appsflyer_id)) is not None:
        person.ids[APPSFLYER_ID] = appsflyer_id
    if customer_user_id is not None:
        person.ids[CUSTOMER_USER_ID] = customer_user_id
    return person


def _take_devices(postback: Postback, person: Identified, refused: frozenset[str], notes: list[str]) -> None:
    # Written out: a message has one or two of the eight, and a loop over their names costs more than they do.
    if (raw := postback.idfa) is not None:
        person.idfa = person.take("idfa", raw, refused, notes)
    if (raw := postback.idfv) is not None:
        person.idfv = person.take("idfv", raw, refused, notes)
    google, amazon = postback.advertising_id, postback.amazon_aid
    if amazon is None:
        if google is not None:
            person.adid = person.take("adid", google, refused, notes)
    elif _prefers_amazon(postback, google, amazon):
        if google is not None:
            person.take("advertising_id", google, refused, notes)
        person.adid = person.take("adid", amazon, refused, notes)
    else:
        if google is not None:
            person.adid = person.take("adid", google, refused, notes)
        person.take("amazon_aid", amazon, refused, notes)
    if (raw := postback.oaid) is not None:
        person.take("oaid", raw, refused, notes)
    if (raw := postback.imei) is not None:
        person.take("imei", raw, refused, notes)
    if (raw := postback.android_id) is not None:
        person.android_id = person.take("android_id", raw, refused, notes)
    if (raw := postback.android_app_set_id) is not None:
        person.android_app_set_id = person.take("android_app_set_id", raw, refused, notes)


def _given(what: str, raw: Any, keys: Keys, notes: list[str]) -> str | None:
    if raw == "":
        return None
    if not isinstance(raw, str):
        if isinstance(raw, list) and len(raw) == 1:
            raw = raw[0]
        if not isinstance(raw, str):
            raw = plain(raw) if not isinstance(raw, bool) else None
    if raw is not None and raw[:1] in WRAPPED:
        raw = _bare(raw)
    found = identifier(raw, keys.min_id_length)
    if found is None:
        notes.append(f"The {what} that the app passed is not one that Amplitude takes and was left out.")
    return found


def named_user(raw: str | None) -> str | None:
    """Return the customer user id without quotes around it, and without Swift's `Optional(...)`; None if it is none."""
    return usable(_bare(raw)) if raw is not None and raw[:1] in WRAPPED else usable(raw)


def _bare(text: str) -> str:
    """Return an id without quotes, a list or Swift's `Optional(...)` around it; empty for JSON that is no one id."""
    if text[:1] in ("[", "{"):
        try:
            parts = _decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return text
        return (plain(parts[0]) or "") if isinstance(parts, list) and len(parts) == 1 else ""
    if (found := OPTIONAL.fullmatch(text.strip())) is not None:
        text = found[1].strip()
    return text[1:-1] if text[:1] == text[-1:] and text[:1] in ('"', "'") and len(text) > 1 else text


def _session(raw: Any, notes: list[str]) -> int | None:
    if raw in ("", -1, "-1"):
        return None
    if isinstance(raw, list) and len(raw) == 1:
        raw = raw[0]
    if isinstance(raw, str):
        raw = _bare(raw.strip()) if raw[:1] in WRAPPED else raw.strip()
        raw = raw.removesuffix("L")
        if GROUPED.fullmatch(raw):
            raw = re.sub(r"\D", "", raw)
    found: Any = raw
    if isinstance(raw, str) and len(raw) < MAX_SESSION_TEXT:
        try:
            found = float(raw) if "_" not in raw else None
        except ValueError:
            found = None
    if isinstance(found, float) and isfinite(found) and not found.is_integer() and int(found) in SECONDS:
        notes.append("The session id is a time in seconds and was read as one.")
        return round(found * 1000)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, int) and not isinstance(found, bool) and 0 < found < MAX_SESSION:
        if found in SECONDS:
            notes.append("The session id is a time in seconds and was read as one.")
            return found * 1000
        if found // 1_000_000 in SECONDS:
            notes.append("The session id is a time in microseconds and was read as one.")
            return found // 1000
        return found
    notes.append("The session id is not a time in milliseconds and was left out.")
    return None


def _device(value: str) -> str | None:
    # A device's identifier is a UUID or a shorter code. What is longer is something else in the wrong field.
    return device_identifier(value) if len(value) <= MAX_DEVICE_ID else None


def _prefers_amazon(postback: Postback, google: str | None, amazon: str) -> bool:
    if _device(amazon) is None:
        return False
    return google is None or _device(google) is None or _is_amazon(postback)


def _is_amazon(postback: Postback) -> bool:
    places = (postback.device_brand, postback.device_model, postback.device_type, postback.install_app_store)
    return any(place is not None and "amazon" in place.lower() for place in places)


def names_a_device(value: Any, devices: Iterable[bytes]) -> bool:
    """Return whether a property's value contains one of the person's identifiers, in whatever case."""
    try:
        written = _encode(value).lower()
    except (OverflowError, ValueError, RecursionError):
        return True
    return any(device in written for device in devices)
