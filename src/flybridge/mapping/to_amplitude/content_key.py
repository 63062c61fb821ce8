"""The content identity of a postback: the same conversion or event, however and however often it arrives.

A conversion happens once per app, AppsFlyer id, kind and second, whether it was pushed (with milliseconds) or comes in
a file (without). Installs and reinstalls are known by their install time; a person can be re-engaged many times after
one install, so that re-engagements and re-attributions are known by their event time. Where that is missing, every
field they differ in makes another.

An in-app event is known by app, AppsFlyer id, name, second, value and revenue, and within its second by the
millisecond, or by its ordinal among the equal rows of a file. The store compares the two (`store.core.occurrences`).
With `double_attribution = "both"` the media source and campaign are part of it, too.

Unknown fields and the order of keys take no part: adding a field in AppsFlyer's settings does not make a message
another.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from flybridge.amplitude.event import within_limits
from flybridge.appsflyer.fields import NAMES, Postback
from flybridge.appsflyer.postback_kind import Kind
from flybridge.appsflyer.postback_time import has_fraction, text_of
from flybridge.mapping.person import DEVICE_FIELDS, Identified
from flybridge.mapping.to_amplitude.rules import DoubleAttribution, Rules
from flybridge.records import content_key

_encode: Final = msgspec.json.Encoder(order="sorted").encode

INSTALLED: Final = frozenset({"install", "reinstall"})
"""Families of conversions that are known by when the app was installed."""

DISTINCTIVE: Final = tuple(name for name in NAMES if name not in DEVICE_FIELDS)


class Identity(NamedTuple):
    """What a message is known by: see `records.Filing` for the three."""

    key: bytes
    key_ms: int | None
    ordinal: int


def identity_of(
    rules: Rules,
    kind: Kind,
    postback: Postback,
    person: Identified,
    event_value: Any,
    *,
    event_ms: int | None,
    install_ms: int | None,
    received_ms: int,
    ordinal: int,
) -> Identity:
    """Return the identity of a conversion or in-app event. The first two times are what the message itself says.

    It rests on what AppsFlyer reports, not on what a policy makes of it: a new policy makes no new event.
    """
    if kind.is_conversion:
        key = conversion_identity(rules.app, kind, postback, person, event_ms=event_ms, install_ms=install_ms)
        return Identity(key, None, 0)
    both = rules.double_attribution is DoubleAttribution.BOTH
    key = event_identity(rules.app, postback, person, event_value, event_ms or received_ms, by_attribution=both)
    return Identity(key, _millisecond(text_of(postback, "event_time"), event_ms, ordinal), ordinal or 1)


def _millisecond(written: str | None, reported_ms: int | None, ordinal: int) -> int | None:
    """Return the millisecond within its second that a message reports; None if it reports whole seconds."""
    if written is None or reported_ms is None or not has_fraction(written):
        return None
    # Where files have a fraction at all, ".000" is how a report of whole seconds is written.
    return reported_ms % 1000 if reported_ms % 1000 or not ordinal else None


def conversion_identity(
    app: str, kind: Kind, postback: Postback, person: Identified, *, event_ms: int | None, install_ms: int | None
) -> bytes:
    """Return the 16-byte identity of a conversion. The two times are what the message itself says."""
    moment = (install_ms or event_ms) if kind.family in INSTALLED else event_ms
    facts: list[Any] = [app, _who(postback, person), kind.family, (moment or 0) // 1000]
    if moment is None and kind.family != "install":  # an app is installed for the first time once
        facts.append([getattr(postback, name) for name in DISTINCTIVE])
    return content_key(_written(facts))


def event_identity(
    app: str, postback: Postback, person: Identified, event_value: Any, event_ms: int, *, by_attribution: bool
) -> bytes:
    """Return the 16-byte identity of all occurrences of an in-app event within one second.

    `event_ms` is the time of reception if the message has none.
    """
    revenue = postback.event_revenue
    currency = None if revenue is None else (postback.event_revenue_currency or "").upper()
    # Keys are sorted when it is written, and an empty value is as good as none.
    value = event_value or None
    facts = [app, _who(postback, person), postback.event_name, event_ms // 1000, revenue, currency, value]
    if by_attribution:
        facts[-1:] = [postback.media_source, postback.campaign, postback.is_primary_attribution is not False, value]
    return content_key(_written(facts))


def insert_id(key: bytes, key_ms: int | None, ordinal: int) -> str:
    """Return the id by which Amplitude deduplicates an occurrence of the event with this identity."""
    if key_ms is not None:
        return f"{key.hex()}-{key_ms}"
    return key.hex() if ordinal <= 1 else f"{key.hex()}-r{ordinal}"


def _written(facts: list[Any]) -> bytes:
    """Return facts as JSON. The last may be anything that a message holds."""
    try:
        return _encode(facts)
    except (OverflowError, ValueError, RecursionError):
        facts[-1] = within_limits({"": facts[-1]}, [])
        return _encode(facts)


def _who(postback: Postback, person: Identified) -> str | None:
    if steady := postback.appsflyer_id or postback.customer_user_id:
        return steady
    device = (
        postback.idfa
        or postback.advertising_id
        or postback.idfv
        or postback.android_id
        or postback.amazon_aid
        or postback.oaid
        or postback.android_app_set_id
        or postback.imei
    )
    # SDKs and networks write the same advertising id in either case.
    return device.lower() if device is not None else person.user_id or person.device_id
