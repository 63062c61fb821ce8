"""The content identity of a postback: the same conversion or event, however and however often it arrives.

A conversion happens once per app, AppsFlyer id, kind and second, whether it was pushed (with milliseconds) or comes in
a file (without). Installs and reinstalls are known by their install time; a person can be re-engaged many times after
one install, so that re-engagements and re-attributions are known by their event time. Where that is missing, every
field they differ in makes another.

An in-app event is known by app, AppsFlyer id, name, second, value and revenue, and within its second by the
millisecond, or by its ordinal among the equal rows of a file. The store compares the two (`store.core.occurrences`).
With `double_attribution = "both"` the media source and campaign are part of it, too.

A local time in the hour that occurs twice when clocks are set back means two moments, and the event has two identities:
the store takes it for the same as what was filed under either (`store.core.doubled_hour`).

Unknown fields and the order of keys take no part: adding a field in AppsFlyer's settings does not make a message
another.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, structs

from flybridge.amplitude.event import within_limits
from flybridge.appsflyer.currencies import currency_of
from flybridge.appsflyer.fields import NAMES
from flybridge.appsflyer.postback_time import has_fraction, later_ms_of, text_of
from flybridge.identity import device_identifier, installation
from flybridge.mapping.person import named_user
from flybridge.mapping.personal import DEVICE_FIELDS
from flybridge.mapping.to_amplitude.facts import INSTALLED, Facts
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import content_key

_encode: Final = msgspec.json.Encoder(order="sorted").encode

_devices: Final = attrgetter(
    "idfa", "advertising_id", "idfv", "android_id", "amazon_aid", "oaid", "android_app_set_id", "imei"
)

DIGITS: Final = 32
"""Those of an identity as text."""
DISTINCTIVE: Final = tuple(name for name in NAMES if name not in DEVICE_FIELDS)


class Identity(Struct, frozen=True, gc=False):
    """What a message is known by: see `records.Filing` for the four."""

    key: bytes
    key_ms: int | None
    ordinal: int
    other_key: bytes | None = None


def identity_of(facts: Facts, rules: Rules, ordinal: int) -> Identity:
    """Return the identity of a conversion or in-app event. `ordinal` is that of the envelope.

    It rests on what AppsFlyer reports, not on what a policy makes of it: a new policy makes no new event.
    """
    kind = facts.classification.reported
    if kind is not None and kind.is_conversion:
        identity = Identity(_conversion(facts, rules.app, kind.family), None, 0)
        if _may_be_local(facts.postback.event_time) or _may_be_local(facts.postback.install_time):
            return _with_other(identity, _conversion(_later(facts), rules.app, kind.family))
        return identity
    by_attribution = rules.double_attribution == "both"
    key = _event(facts, rules.app, by_attribution=by_attribution)
    identity = Identity(key, _millisecond(facts, ordinal), ordinal or 1)
    if _may_be_local(facts.postback.event_time):
        return _with_other(identity, _event(_later(facts), rules.app, by_attribution=by_attribution))
    return identity


def _may_be_local(written: str | None) -> bool:
    """Whether a time may be local time of a named zone. One in AppsFlyer's own form ends with a digit."""
    return written is None or not "0" <= written[-1] <= "9"


def _with_other(identity: Identity, other: bytes) -> Identity:
    return identity if other == identity.key else structs.replace(identity, other_key=other)


def _later(facts: Facts) -> Facts:
    """Return the facts with the later moments that local times may mean."""
    reported_ms = later_ms_of(facts.postback, "event_time")
    install_ms = later_ms_of(facts.postback, "install_time") if facts.install_ms is not None else None
    later = structs.replace(facts, install_ms=install_ms or facts.install_ms)
    return structs.replace(later, reported_ms=reported_ms, event_ms=reported_ms) if reported_ms is not None else later


def insert_id(identity: Identity) -> str:
    """Return the id by which Amplitude deduplicates an occurrence of the event with this identity.

    That of an event with two identities is none of those that either of them gives.
    """
    if identity.other_key is not None:
        marks = [identity.key.hex(), identity.other_key.hex()]
        marks += [] if identity.key_ms is None else [str(identity.key_ms)]
        return "-".join(marks if identity.ordinal <= 1 else [*marks, f"r{identity.ordinal}"])
    if identity.key_ms is not None:
        return f"{identity.key.hex()}-{identity.key_ms}"
    return identity.key.hex() if identity.ordinal <= 1 else f"{identity.key.hex()}-r{identity.ordinal}"


def identities_in(insert_id: str) -> list[bytes]:
    """Return the identities of the event to which `insert_id` gave this id; none for an id of another kind."""
    try:
        return [bytes.fromhex(part) for part in insert_id.split("-")[:2] if len(part) == DIGITS]
    except ValueError:
        return []


def _millisecond(facts: Facts, ordinal: int) -> int | None:
    """Return the millisecond within its second that a message reports; None if it reports whole seconds."""
    if facts.reported_ms is None:
        return None
    if millisecond := facts.reported_ms % 1000:
        return millisecond
    # Where files have a fraction at all, ".000" is how a report of whole seconds is written.
    written = None if ordinal else text_of(facts.postback, "event_time")
    return 0 if written is not None and has_fraction(written) else None


def _conversion(facts: Facts, app: str, family: str) -> bytes:
    """Return the 16-byte identity of a conversion."""
    reported_ms = facts.reported_ms
    moment = (facts.install_ms or reported_ms) if family in INSTALLED else reported_ms
    who, second = _who(facts), (moment or 0) // 1000
    if moment is None and family != "install":  # an app is installed for the first time once
        return _key([app, who, family, second, [getattr(facts.postback, name) for name in DISTINCTIVE]])
    return conversion_key(app, who, family, second)


def conversion_key(app: str, who: str | None, family: str, second: int) -> bytes:
    """Return the 16-byte identity of a conversion that says when it happened."""
    return _key([app, who, family, second])


def _event(facts: Facts, app: str, *, by_attribution: bool) -> bytes:
    """Return the 16-byte identity of all occurrences of an in-app event within one second."""
    postback = facts.postback
    revenue = None if postback.event_revenue is None else postback.event_revenue + 0.0  # -0 is 0
    written = postback.event_revenue_currency
    currency = None if revenue is None else currency_of(written) or (written or "").upper()
    event = [app, _who(facts), postback.event_name, facts.event_ms // 1000, revenue, currency]
    if by_attribution:
        event += [postback.media_source, postback.campaign, postback.is_primary_attribution is not False]
    return event_key(event, facts.whole)


def value_of_key(value: Any) -> Any:
    """Return what stands for a value in `event_key`, so that events with the same one need not write it anew."""
    try:
        return Raw(_encode(value)) if value else None
    except (OverflowError, ValueError, RecursionError):
        return value


def event_key(event: list[Any], value: Any) -> bytes:
    """Return the 16-byte identity of an in-app event by app, person, name, second, revenue, its currency, and value."""
    # Keys are sorted when it is written, and an empty value is as good as none.
    return _key([*event, value or None])


def _key(parts: list[Any]) -> bytes:
    """Return the hash of facts. The last may be anything that a message holds."""
    try:
        return content_key(_encode(parts))
    except (OverflowError, ValueError, RecursionError):
        parts[-1] = within_limits({"": parts[-1]}, [])
        return content_key(_encode(parts))


def _who(facts: Facts) -> str | None:
    postback = facts.postback
    if (found := installation(postback.appsflyer_id) or named_user(postback.customer_user_id)) is not None:
        return found
    # Zeros and macros that were not filled in stand for the ids of many.
    device = next(filter(None, map(device_identifier, _devices(postback))), None)
    # SDKs and networks write the same advertising id in either case.
    return device.lower() if device is not None else facts.person.user_id or facts.person.device_id
