"""Identify the person of a postback: the Amplitude ids that the app passed along, and the identifiers to match by.

The app can give AppsFlyer its Amplitude device, session and user ids in custom data or in an event's value, under
configured keys. An id is only ever what its own field says; nothing is made up, and none stands in for another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from flybridge.amplitude.event import MAX_TEXT
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_kind import says_something
from flybridge.appsflyer.postback_time import EARLIEST_MS, LATEST_MS
from flybridge.identity import IdKind, device_identifier, installation, usable
from flybridge.identity.bare import WRAPPED, bare, only
from flybridge.identity.placeholders import is_placeholder, is_shortened
from flybridge.mapping.consent import withheld
from flybridge.mapping.passed import EMPTY, custom_data, look_up
from flybridge.mapping.personal import MIN_TELLING
from flybridge.system.text_encoding import EDGES

_encode: Final = msgspec.json.Encoder().encode

MAX_DEVICE_ID: Final = 128
MAX_SESSION: Final = 2**53
MAX_SESSION_TEXT: Final = 25
MAX_NAME: Final = 64
MAX_UNLIKE: Final = 4096
SECONDS: Final = range(EARLIEST_MS // 1000, LATEST_MS // 1000)
GROUPED: Final = re.compile(r"\d{1,3}(?:[,\u00a0\u202f ]\d{3})+")

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

_signals: Final = attrgetter(
    "att", "is_lat", "gdpr_applies", "ad_user_data_enabled", "ad_personalization_enabled"
)  # fmt: skip

TOP: Final = ("idfa", "idfv", "adid", "android_id", "android_app_set_id")
"""The identifiers that Amplitude has a field for."""

OF_ADID: Final = ("advertising_id", "amazon_aid")
"""The fields of which one becomes Amplitude's `adid`."""


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
    case, whether they may leave or not, and `n_unsent` how many of them are in none of Amplitude's own fields.
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
    n_unsent: int = 0

    def take(
        self, name: str, raw: str, refused: frozenset[str], notes: list[str], *, has_field: bool = True
    ) -> str | None:
        """Record a device identifier; return it trimmed, or None if it is not one or may not leave.

        Without `has_field` it has no field in an Amplitude event.
        """
        if len(raw) > MAX_DEVICE_ID or (value := device_identifier(raw)) is None:
            return None
        if len(value) >= MIN_TELLING:
            self.devices.append(_encode(value)[1:-1].lower())
            if not has_field or name in refused:
                self.n_unsent += 1
        if name in refused:
            notes.append(f"The {name} is not sent: the person has not allowed it.")
            return None
        if (kind := ID_KINDS.get(name)) is not None:
            self.ids[kind] = value
        return value

    def empty(self, name: str) -> None:
        """Leave a field of Amplitude's empty."""
        value = getattr(self, name)
        if name in TOP and value is not None and len(value) >= MIN_TELLING:
            self.n_unsent += 1
        setattr(self, name, None)


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
    if customer_user_id is None and (raw := postback.customer_user_id) is not None:
        if is_placeholder(raw.strip()):
            notes.append("The customer user id is a placeholder that was not filled in and was not used.")
        elif is_shortened(raw.strip()):
            notes.append("The customer user id is a number that a spreadsheet has shortened and was not used.")
    if user_id is None and customer_user_id is not None and keys.customer_user_id == "send":
        if keys.min_id_length <= len(customer_user_id) <= MAX_TEXT:
            user_id = customer_user_id
        else:
            notes.append("The customer user id is too short or too long for Amplitude and was not used as user id.")
    person = Identified(user_id, device_id, session_id, {}, [])
    _take_devices(postback, person, refused, notes)
    for name in keys.unsent:
        if name not in OF_ADID:
            person.empty(name)
        elif person.adid is not None and person.adid == device_identifier(getattr(postback, name)):
            person.empty("adid")
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
            person.take("advertising_id", google, refused, notes, has_field=False)
        person.adid = person.take("adid", amazon, refused, notes)
    else:
        if google is not None:
            person.adid = person.take("adid", google, refused, notes)
        person.take("amazon_aid", amazon, refused, notes, has_field=False)
    if (raw := postback.oaid) is not None:
        person.take("oaid", raw, refused, notes, has_field=False)
    if (raw := postback.imei) is not None:
        person.take("imei", raw, refused, notes, has_field=False)
    if (raw := postback.android_id) is not None:
        person.android_id = person.take("android_id", raw, refused, notes)
    if (raw := postback.android_app_set_id) is not None:
        person.android_app_set_id = person.take("android_app_set_id", raw, refused, notes)


def _given(what: str, raw: Any, keys: Keys, notes: list[str]) -> str | None:
    if raw == "":
        return None
    found = named_user(raw) if isinstance(raw, str) else bare(raw)
    if found is None or not keys.min_id_length <= len(found) <= MAX_TEXT:
        notes.append(f"The {what} that the app passed is not one that Amplitude takes and was left out.")
        return None
    return found


def named_user(raw: str | None) -> str | None:
    """Return the customer user id without quotes around it, and without Swift's `Optional(...)`; None if it is none, or
    a placeholder.
    """
    found = usable(raw)
    return bare(found) if found is not None and (found[0] in WRAPPED or is_shortened(found)) else found


def _session(raw: Any, notes: list[str]) -> int | None:
    if raw in ("", -1, "-1"):
        return None
    raw = only(raw)
    if isinstance(raw, str):
        raw = raw.strip(EDGES)
        raw = (bare(raw) or "") if raw[:1] in WRAPPED else raw
        raw = raw.removesuffix("L")
        if GROUPED.fullmatch(raw):
            raw = re.sub(r"\D", "", raw)
    found: Any = raw
    if isinstance(raw, str) and len(raw) < MAX_SESSION_TEXT:
        try:
            found = float(raw) if "_" not in raw else None
        except ValueError:
            found = None
    if isinstance(found, int | float) and SECONDS.start <= found < SECONDS.stop:
        notes.append("The session id is a time in seconds and was read as one.")
        return round(found * 1000)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, int) and not isinstance(found, bool) and 0 < found < MAX_SESSION:
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
