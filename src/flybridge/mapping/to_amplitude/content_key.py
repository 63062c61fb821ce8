"""The content identity of a postback: the same conversion or event, however and however often it arrives.

A conversion happens once per app, AppsFlyer id, kind and second, whether it was pushed (with milliseconds) or comes in
a file (without). Installs and reinstalls are known by their install time; a person can be re-engaged many times after
one install, so that re-engagements and re-attributions are known by their event time.

An in-app event is known by app, AppsFlyer id, name, second, value and revenue. AppsFlyer reports it twice when a
retargeting window is open, once for each campaign: that is one event, and has one identity.

Unknown fields, the order of keys, and attribution take no part: adding a field in AppsFlyer's settings does not make
a message another.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flybridge.amplitude.event import within_limits
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_kind import Kind
from flybridge.records import content_key

_encode: Final = msgspec.json.Encoder(order="sorted").encode

INSTALLED: Final = frozenset({"install", "reinstall"})
"""Families of conversions that are known by when the app was installed."""


def conversion_identity(
    app: str, kind: Kind, postback: Postback, event_ms: int | None, install_ms: int | None
) -> bytes:
    """Return the 16-byte identity of a conversion. The two times are what the message itself says."""
    first, second = (install_ms, event_ms) if kind.family in INSTALLED else (event_ms, install_ms)
    moment = first or second or 0
    return content_key(_encode((app, _who(postback), kind.family, moment // 1000)))


def event_identity(app: str, postback: Postback, event_value: Any, event_ms: int) -> bytes:
    """Return the 16-byte identity of an in-app event. `event_ms` is when it was received if it does not say more."""
    revenue = postback.event_revenue
    currency = None if revenue is None else (postback.event_revenue_currency or "").upper()
    # Keys are sorted when it is written, and an empty value is as good as none.
    value = event_value or None
    facts = [app, _who(postback), postback.event_name, event_ms // 1000, revenue, currency, value]
    try:
        written = _encode(facts)
    except (OverflowError, ValueError, RecursionError):
        facts[-1] = within_limits({"": value}, [])
        written = _encode(facts)
    return content_key(written)


def _who(postback: Postback) -> str | None:
    return (
        postback.appsflyer_id
        or postback.customer_user_id
        or postback.idfa
        or postback.advertising_id
        or postback.idfv
        or postback.android_id
        or postback.amazon_aid
        or postback.oaid
    )
