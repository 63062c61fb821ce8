"""A message before it is written, its writing, and the truth about it.

Many messages wait for their time, so that what waits is small: the bytes are made from it when they are sent, and come
out the same when they are sent twice.
"""

from __future__ import annotations

from enum import StrEnum
from random import Random
from typing import Final

from msgspec import Struct

from flybridge.sandbox.traffic.in_app_events import MAKERS, EventContent
from flybridge.sandbox.traffic.people import DeviceIdKind, IdentitySource, SeenBy, TrafficPerson
from flybridge.sandbox.traffic.postbacks import TrafficInstallation, message, sighting
from flybridge.sandbox.traffic.reported import Reported, spent
from flybridge.sandbox.traffic.sources import ORGANIC, RESTRICTED
from flybridge.sandbox.traffic.truth import Expected, Fate, Truth


class TrafficMessage(Struct, frozen=True, gc=False):
    """One message on its way to flybridge: POST `body` to `path`. `send_ms` is when it would be sent.

    `reported` is what AppsFlyer's reports count of it; None for repeats and for what is not AppsFlyer's.
    """

    path: str
    body: bytes
    truth: Truth
    send_ms: int
    reported: Reported | None = None


class MessageKind(StrEnum):
    """What a message reports."""

    INSTALL = "install"
    REINSTALL = "reinstall"
    RE_ENGAGEMENT = "re-engagement"
    RE_ATTRIBUTION = "re-attribution"
    IN_APP = "in-app"
    SIGHTING = "sighting"


class Quirk(StrEnum):
    """What is wrong with a message."""

    NONE = ""
    NO_EVENT = "no event"
    NO_OBJECT = "no object"
    NONSENSE_TIME = "nonsense time"


EVENT_TYPES: Final = {
    MessageKind.INSTALL: "[AppsFlyer] Install",
    MessageKind.REINSTALL: "[AppsFlyer] Reinstall",
    MessageKind.RE_ENGAGEMENT: "[AppsFlyer] Re-engagement",
    MessageKind.RE_ATTRIBUTION: "[AppsFlyer] Re-attribution",
}
"""What conversions are called in Amplitude."""


class Planned(Struct, gc=False):
    """A message that will be written when it is sent: small, because many wait. `number` is given when it is sent.

    `carries`: it names the person's Amplitude ids itself. `resolved`: it will have an identity in the end.
    `secondary`: the copy of an in-app event for the source of the install, while a re-engagement window is open.
    """

    installation: TrafficInstallation
    kind: MessageKind
    name: str
    event_ms: int
    bits: int
    quirk: Quirk = Quirk.NONE
    carries: bool = False
    resolved: bool = False
    secondary: bool = False
    copies: int = 0
    number: int = -1


def write(planned: Planned, number: int, send_ms: int, policy: str) -> TrafficMessage:
    """Write a message as number `number` of its stream. The first time tells its fate, the second is a duplicate."""
    installation = planned.installation
    app, person = installation.app, installation.person
    if planned.kind is MessageKind.SIGHTING:
        # The bits stand in for the stream's random numbers: a message is the same whenever it is written.
        body = sighting(installation, planned.event_ms, Random(planned.bits))  # noqa: S311 - repeatable on purpose
        applied = _NOTHING if _shows_nothing(person) else _APPLIED
        truth = Truth(number, app.name, "sighting", applied, applied, False, None, None, "", planned.event_ms)
        return TrafficMessage(f"/v1/stream/{app.name}", body, truth, send_ms)
    content = MAKERS[planned.name](person, planned.bits) if planned.kind is MessageKind.IN_APP else EventContent()
    value = content.value
    if planned.kind is MessageKind.IN_APP and person.identity_source is IdentitySource.EVENT_VALUE:
        ids = {"amplitude_device_id": person.device_id, "amplitude_session_id": str(person.session_ms)}
        value = {**(value or {}), **ids}
    body = message(
        installation,
        None if planned.quirk is Quirk.NO_EVENT else planned.name,
        planned.event_ms,
        event_value=value,
        bought=content.bought,
        with_cuid=planned.carries,
        conversion=planned.kind is not MessageKind.IN_APP,
        nonsense_time=planned.quirk is Quirk.NONSENSE_TIME,
        is_primary=_is_primary(planned),
    )
    if planned.quirk is Quirk.NO_OBJECT:
        body = b"[" + body + b",null]"
    reported = _reported(planned, content, send_ms) if planned.number < 0 else None
    return TrafficMessage(f"/v1/push/{app.name}", body, _truth(planned, number, content, policy), send_ms, reported)


def _reported(planned: Planned, content: EventContent, send_ms: int) -> Reported:
    installation, bought = planned.installation, content.bought
    came = installation.touch
    known = came.hidden or came
    return Reported(
        app_id=installation.app.appsflyer_app_id,
        kind=planned.kind.value,
        event_name=planned.name if planned.kind is MessageKind.IN_APP else "",
        time_ms=planned.event_ms,
        install_ms=installation.install_ms,
        learned_ms=send_ms,
        installation=installation.appsflyer_id,
        media_source=known.media_source,
        campaign=known.campaign,
        raw_source=came.media_source,
        raw_campaign=came.campaign,
        country=installation.person.country.code,
        touch_type=known.fields.get("attributed_touch_type"),
        retargeting=installation.retargeting,
        secondary=planned.secondary,
        readable=planned.quirk not in {Quirk.NO_EVENT, Quirk.NO_OBJECT},
        amount=bought.amount if bought is not None else None,
        currency=bought.currency if bought is not None else "",
        revenue_usd=bought.usd if bought is not None else 0.0,
        cost_usd=None if planned.kind is MessageKind.IN_APP else known.cost_usd,
        spent=spent(known.cost_usd, planned.bits) if planned.kind is MessageKind.INSTALL and known.campaign else None,
    )


def _truth(planned: Planned, number: int, content: EventContent, policy: str) -> Truth:
    person, came = planned.installation.person, planned.installation.touch
    first, duplicate_of = planned.number < 0, None
    if first:
        planned.number = number
    else:
        duplicate_of = planned.number
    source: str | None = came.media_source
    if source == RESTRICTED:
        source = {"organic": ORGANIC, "drop": None}.get(policy, RESTRICTED)
    v2, v1 = _fates(planned, policy) if first else (_DUPLICATE, _DUPLICATE)
    in_app = planned.kind is MessageKind.IN_APP
    return Truth(
        id=number,
        app=planned.installation.app.name,
        kind=planned.kind.value,
        v2=v2,
        v1=v1,
        waits=v2.fate is Fate.DELIVERED and not planned.carries,
        duplicate_of=duplicate_of,
        appsflyer_id=planned.installation.appsflyer_id,
        event_type=planned.name if in_app else EVENT_TYPES[planned.kind],
        time_ms=planned.event_ms,
        user_id=person.user_id if planned.resolved else None,
        device_id=person.device_id if planned.resolved else None,
        revenue=content.bought.amount if content.bought is not None else None,
        currency=content.bought.currency if content.bought is not None else None,
        media_source=source,
        campaign=came.campaign,
        order_id=content.order_id,
        cost_usd=None if in_app else came.cost_usd,
    )


def _is_primary(planned: Planned) -> bool | None:
    if planned.kind is not MessageKind.IN_APP:
        return None
    return False if planned.secondary else True if planned.installation.reengages else None


def _shows_nothing(person: TrafficPerson) -> bool:
    """Whether Amplitude's message about a person has no id that AppsFlyer could know: a random device, and no more."""
    random = person.platform == "android" and person.device_id_kind is DeviceIdKind.RANDOM
    return random and person.user_id is None and person.seen_by is SeenBy.DEVICE_ID


_APPLIED: Final = Expected(Fate.APPLIED, "sighting")
_NOTHING: Final = Expected(Fate.FILTERED, "nothing to learn")
_DELIVERED: Final = Expected(Fate.DELIVERED)
_DUPLICATE: Final = Expected(Fate.DUPLICATE)
_NEVER_SEEN: Final = Expected(Fate.HELD, "Amplitude never sees the person")
_NOT_PASSED: Final = Expected(Fate.HELD, "the app has not passed an id yet, and the person did nothing more")
_RANDOM: Final = Expected(Fate.HELD, "Amplitude's device id is random, and no user property has the AppsFlyer id")
_APP_SET: Final = Expected(Fate.HELD, "Amplitude's device id is the App Set id, which Push messages do not carry")
_SECONDARY: Final = Expected(Fate.FILTERED, "the copy for a secondary attribution")
_FILTERED: Final = Expected(Fate.FILTERED, "the Attribution API takes no in-app events")
_NO_ID: Final = Expected(Fate.REFUSED, "no advertising or vendor id may be used")
_DROPPED: Final = Expected(Fate.REFUSED, "the source is restricted")


def _fates(planned: Planned, policy: str) -> tuple[Expected, Expected]:
    """Return what must become of the first of a message, on V2 and on V1."""
    person = planned.installation.person
    if planned.quirk in {Quirk.NO_EVENT, Quirk.NO_OBJECT}:
        dead = Expected(Fate.DEAD, planned.quirk.value)
        return dead, dead
    if planned.secondary:
        return _SECONDARY, _FILTERED
    dropped = planned.installation.touch.media_source == RESTRICTED and policy == "drop"
    v2 = _DROPPED if dropped else _DELIVERED if planned.resolved else _held(person)
    if planned.kind is MessageKind.IN_APP:
        return v2, _FILTERED
    return v2, _DROPPED if dropped else _DELIVERED if person.has_v1_id else _NO_ID


def _held(person: TrafficPerson) -> Expected:
    match person.identity_source:
        case IdentitySource.NEVER:
            return _NEVER_SEEN
        case IdentitySource.SEEN_LATE:
            return _APP_SET if person.device_id_kind is DeviceIdKind.APP_SET else _RANDOM
        case _:
            return _NOT_PASSED
