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
from msgspec import Struct

from flybridge.amplitude.event import within_limits
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_kind import Kind
from flybridge.records import content_key

_encoder: Final = msgspec.json.Encoder(order="sorted")


class Content(Struct, frozen=True, gc=False):
    """What an identity is made of. The two times are what the message itself says; `received_ms` stands in."""

    app: str
    kind: Kind
    postback: Postback
    event_value: Any
    event_ms: int | None
    install_ms: int | None
    received_ms: int


def identity(content: Content) -> bytes:
    """Give the 16-byte identity."""
    postback, kind = content.postback, content.kind
    who = (
        postback.appsflyer_id
        or postback.customer_user_id
        or postback.idfa
        or postback.advertising_id
        or postback.idfv
        or postback.android_id
        or postback.amazon_aid
        or postback.oaid
    )
    if kind.is_conversion:
        installed = kind.family in ("install", "reinstall")
        first, second = content.install_ms, content.event_ms
        moment = (first or second or 0) if installed else (second or first or 0)
        return content_key(_encoder.encode((content.app, who, kind.family, moment // 1000)))
    revenue = postback.event_revenue
    moment = content.event_ms or content.received_ms
    currency = None if revenue is None else (postback.event_revenue_currency or "").upper()
    # Keys are sorted when it is written, and an empty value is as good as none.
    value = content.event_value or None
    facts = [content.app, who, postback.event_name, moment // 1000, revenue, currency, value]
    try:
        return content_key(_encoder.encode(facts))
    except (OverflowError, ValueError, RecursionError):
        facts[-1] = within_limits({"": value}, [])
        return content_key(_encoder.encode(facts))
