"""From a person in a cohort to a member of an audience: which identifier lists them, and whether it may be sent. Pure.

An identifier comes from the message or the file itself: flybridge keeps advertising ids as keyed hashes, so what it
has sighted can't be sent. What the store keeps sealed is what it needs for removing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from flybridge.identity import IdKind, Keyring, usable
from flybridge.records import DAY_MS, HOUR_MS, Member, content_key
from flybridge.store.audiences.protocol import NEVER_MS, Lack

KINDS: Final[Mapping[str, IdKind]] = {
    "gaid": IdKind.ADID,
    "oaid": IdKind.OAID,
    "imei": IdKind.IMEI,
    "idfa": IdKind.IDFA,
    "idfv": IdKind.IDFV,
    "cuid": IdKind.CUSTOMER_USER_ID,
    "braze_id": IdKind.BRAZE_ID,
    "amplitude_id": IdKind.AMPLITUDE_ID,
}
"""AppsFlyer's names of identifiers, and ours."""

PROPERTIES: Final[Mapping[str, tuple[str, ...]]] = {
    "gaid": ("gaid", "adid", "advertising_id"),
    "oaid": ("oaid",),
    "imei": ("imei",),
    "idfa": ("idfa", "ios_idfa"),
    "idfv": ("idfv", "ios_idfv"),
    "cuid": (),
    "braze_id": ("braze_id",),
    "amplitude_id": (),
}
"""User properties an identifier is looked for in, unless the configuration names one. None: the person's own id."""

PERIODS_MS: Final = {"hourly": HOUR_MS, "daily": DAY_MS, "realtime": 60_000}
REALTIME_PEOPLE: Final = 1_000_000
"""Amplitude keeps cohorts of up to so many people in step each minute; a larger one is run each hour."""

Value = Callable[[str], Any]
"""Return what a message says under a property's name, None if it says nothing."""


class Condition(Struct, frozen=True):
    """What a property of a member must be: one of these values, and none of those."""

    property: str
    one_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()

    def holds(self, value: Value) -> bool:
        """Return whether a member meets it. A property that is absent has no value."""
        found = _text(value(self.property.removeprefix("user_properties.")))
        return (not self.one_of or found in self.one_of) and found not in self.none_of


class Rule(Struct, frozen=True):
    """How the members of one audience are listed.

    `kind` is AppsFlyer's name of the identifier, `source` the user property that holds it where that is not the usual
    one.
    """

    app: str
    audience: str
    cohort: str
    kind: str
    source: str = ""
    email_property: str = ""
    phone_property: str = ""
    conditions: tuple[Condition, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the properties the identifier is looked for in."""
        return (self.source,) if self.source else PROPERTIES[self.kind]

    @property
    def properties(self) -> tuple[str, ...]:
        """Return every property that a download has to bring."""
        own = (self.email_property, self.phone_property)
        asked = [condition.property.removeprefix("user_properties.") for condition in self.conditions]
        return tuple(dict.fromkeys(name for name in (*self.names, *own, *asked) if name))


def member_of(  # noqa: PLR0917 - all of it is what a row says
    rule: Rule,
    keyring: Keyring,
    extra_of: Callable[[str, str], bytes],
    user_id: str,
    amplitude_id: str,
    value: Value,
    *,
    told: bool = True,
) -> Member | None:
    """Return the member; None for somebody without any usable id. `told` False: nothing is said about properties."""
    persons = keyring.keys(rule.app, IdKind.CUSTOMER_USER_ID, user_id)
    persons = persons or keyring.keys(rule.app, IdKind.AMPLITUDE_ID, amplitude_id)
    if not persons:
        return None
    who = user_id or amplitude_id
    told = told or not (rule.names or rule.conditions)
    if rule.conditions and not (told and all(condition.holds(value) for condition in rule.conditions)):
        return Member(persons, told=told, lack=int(Lack.CONSENT), who=who)
    identifier = _identifier(rule, user_id, amplitude_id, value)
    marks = keyring.keys(rule.app, KINDS[rule.kind], identifier)
    if identifier is None or not marks:
        return Member(persons, told=told, lack=int(Lack.IDENTIFIER), who=who)
    extra = b""
    if rule.email_property or rule.phone_property:
        extra = extra_of(_text(value(rule.email_property)), _text(value(rule.phone_property)))
    return Member(persons, marks, rule.kind, identifier, told, who=who, extra=extra)


def _identifier(rule: Rule, user_id: str, amplitude_id: str, value: Value) -> str | None:
    for name in rule.names:
        if (found := usable(_text(value(name)))) is not None:
            return found
    if rule.source:
        return None
    return usable({"cuid": user_id, "amplitude_id": amplitude_id}.get(rule.kind))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() if isinstance(value, str | int | float) else ""


def is_told(rule: Rule, properties: Mapping[str, Any] | None) -> bool:
    """Return whether a message's properties are about anything that decides how a member is listed."""
    return properties is not None and any(name in properties for name in rule.properties)


def next_ms(app: str, audience: str, cadence: str, now_ms: int) -> int:
    """Return when an audience runs next. Audiences are spread over the period by a hash of their names."""
    period = PERIODS_MS.get(cadence)
    if period is None:
        return NEVER_MS
    offset = int.from_bytes(content_key(app.encode(), audience.encode())[:8], "big") % period
    return now_ms + period - (now_ms - offset) % period
