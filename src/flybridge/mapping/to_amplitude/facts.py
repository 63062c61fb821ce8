"""The facts of a message, derived once: what it is, whom it is about, and when it happened. Pure.

What is sent of a message, and what is kept and counted beside it, rest on the same facts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from flybridge.amplitude import stream
from flybridge.amplitude.event import MAX_TEXT, within_limits
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_time import time_ms, time_of
from flybridge.identity import IdKind
from flybridge.identity.masking import dimension
from flybridge.mapping.passed import parsed
from flybridge.mapping.person import Identified, identify, named_user
from flybridge.mapping.restrictions import PASS
from flybridge.mapping.to_amplitude.classify import classify
from flybridge.mapping.to_amplitude.rules import Classification, Rules
from flybridge.records import Carried, Restricted, day_of

MAX_LABEL: Final = 64
MAX_SOURCE: Final = 128
MAX_FLAT: Final = 30

INSTALLED: Final = frozenset({"install", "reinstall"})
"""Families of conversions that happen when the app is installed."""

Named = tuple[IdKind, str | None]


class Facts(Struct, frozen=True, gc=False):
    """What a message says.

    `whole` is the value of an in-app event, parsed, and `value` the same within Amplitude's limits. `reported_ms` is
    the event time, and `install_ms`, of a conversion, the install time, as far as the message says them. `event_ms` is
    when it happened: if it `is_undated`, the time of its reception. `notes` are sentences about what was changed or
    left out; who maps the message adds to them.
    """

    postback: Postback
    classification: Classification
    whole: Any
    value: Any
    person: Identified
    reported_ms: int | None
    install_ms: int | None
    event_ms: int
    is_undated: bool
    notes: list[str]


def facts_of(postback: Postback, rules: Rules, received_ms: int) -> Facts:
    """Return the facts of a message that was received at `received_ms`."""
    compiled = rules.compiled
    classification = classify(postback, rules, compiled)
    notes = list(postback.notes)
    raw = postback.event_value
    whole = value = None
    if raw is not None:
        whole = value = _single(parsed(raw, notes))
        # A short, flat text can't exceed the limits, and nearly every event value is one.
        is_plain = isinstance(raw, str) and len(raw) <= MAX_TEXT and raw[:1] != '"'
        if not is_plain or raw.count("{") + raw.count("[") >= MAX_FLAT:
            value = _within_limits(whole, notes)
    person = identify(postback, value, compiled.keys, classification.refused, notes)
    reported_ms = _time(postback, "event_time", postback.event_time, notes)
    install_ms, event_ms = None, reported_ms
    if (reported := classification.reported) is not None and reported.is_conversion:
        install_ms = _time(postback, "install_time", postback.install_time, notes)
        # Only an install happens at the install time: everything else may have happened months later.
        if event_ms is None and reported.family in INSTALLED:
            event_ms = install_ms
    is_undated = event_ms is None
    if event_ms is None:
        notes.append("The message has no readable event_time and is dated to its reception.")
        event_ms = received_ms
    # By position: names take msgspec much longer.
    return Facts(
        postback, classification, whole, value, person, reported_ms, install_ms, event_ms, is_undated, notes
    )  # fmt: skip


def _single(value: Any) -> Any:
    """Return the only object of a list, also one that is JSON in text; anything else as it is."""
    if type(value) is not list or len(value) != 1:
        return value
    only = parsed(value[0])
    return only if type(only) is dict else value


def _within_limits(value: Any, notes: list[str]) -> Any:
    if value is None:
        return None
    if isinstance(value, dict):
        return within_limits(value, notes)
    return within_limits({"event_value": value}, notes).get("event_value")


def _time(postback: Postback, name: str, written: str | None, notes: list[str]) -> int | None:
    if written is not None:
        if (ms := time_ms(written)) is not None:
            return ms
        notes.append(f"The {name} is not a time and was not used.")
    return time_of(postback, name)


def named(facts: Facts) -> list[Named]:
    """Return all identifiers of a message, the most stable first. Includes ids that may not leave."""
    postback, person = facts.postback, facts.person
    return [
        (IdKind.APPSFLYER_ID, postback.appsflyer_id),
        (IdKind.AMPLITUDE_DEVICE_ID, person.device_id),
        (IdKind.IDFV, postback.idfv),
        (IdKind.APP_SET_ID, postback.android_app_set_id),
        (IdKind.IDFA, postback.idfa),
        (IdKind.ADID, postback.advertising_id),
        (IdKind.ADID, postback.amazon_aid),
        (IdKind.OAID, postback.oaid),
        (IdKind.CUSTOMER_USER_ID, named_user(postback.customer_user_id)),
        (IdKind.CUSTOMER_USER_ID, person.user_id),
    ]


def named_by_amplitude(seen: stream.SeenUser, *, streams: bool) -> list[Named]:
    """Return every identifier that Amplitude shows of a person, the most stable first."""
    ids: list[Named] = [(IdKind.APPSFLYER_ID, seen.ids.get(IdKind.APPSFLYER_ID))]
    ids += [(IdKind.AMPLITUDE_DEVICE_ID, seen.device_id), *seen.ids.items()]
    # Messages may name the number alone, and merges name two of them.
    ids.append((IdKind.AMPLITUDE_ID, seen.amplitude_id))
    if streams:  # events held for their AppsFlyer id have these keys
        ids += [(IdKind.INSTALLED_ON_DEVICE, seen.device_id), (IdKind.INSTALLED_BY_USER, seen.user_id)]
    return ids


def carried(facts: Facts, rules: Rules, media_source: str, *, names_person: bool) -> Carried:
    """Return by what an event could be matched. `names_person`: its own user and device id are sent with it."""
    postback, person = facts.postback, facts.person
    by_user, by_device = (person.user_id is not None, person.device_id is not None) if names_person else (False, False)
    reported = facts.classification.reported
    # Masked before it is cut: a part of an identifier is not recognised any more.
    platform = dimension((postback.platform or rules.platform).lower())[:MAX_LABEL]
    version = dimension(postback.app_version or "")[:MAX_LABEL]
    is_install = reported is not None and reported.family == "install"
    return Carried(platform, version, media_source, _kinds(tuple(person.ids), by_user, by_device), is_install)


@lru_cache(1024)
def _kinds(kinds: tuple[IdKind, ...], named_user: bool, named_device: bool) -> str:
    own = (("amplitude_user_id", named_user), ("amplitude_device_id", named_device))
    return " ".join(sorted([kind.word for kind in kinds] + [name for name, is_there in own if is_there]))


def restricted(facts: Facts) -> Restricted | None:
    """Return what a policy changed, to be counted; None if no policy applied. Other rules are not counted."""
    classification, postback = facts.classification, facts.postback
    if classification.policy is PASS:
        return None
    source = dimension(postback.media_source or "organic")[:MAX_SOURCE]
    return Restricted(classification.policy.word, source, day_of(facts.event_ms))
