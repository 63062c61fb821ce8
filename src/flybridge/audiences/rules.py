"""Rules of audiences: which identifier stands for a cohort member, and whether it may be sent. Pure.

The identifier is read from the message or file: flybridge stores sighted advertising ids as keyed hashes only, which
can't be sent. Sent identifiers are stored sealed, because removing them needs them.
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
"""AppsFlyer's names of identifiers, and the kinds they are keyed by."""

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
"""User properties that hold an identifier, unless the configuration names one. Empty: the member's own id."""

PERIODS_MS: Final = {"hourly": HOUR_MS, "daily": DAY_MS, "realtime": 60_000}
REALTIME_PEOPLE: Final = 1_000_000
"""Amplitude syncs cohorts of up to this size each minute; a larger one runs each hour."""

Value = Callable[[str], Any]
"""Returns the value of a user property, None if absent."""


class MemberCondition(Struct, frozen=True):
    """The values that a member's property must, and must not, have."""

    property: str
    one_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()

    def holds(self, value: Value) -> bool:
        """Return whether a member meets it. An absent property counts as empty text."""
        found = _text(value(self.property.removeprefix("user_properties.")))
        return (not self.one_of or found in self.one_of) and found not in self.none_of


class AudienceRule(Struct, frozen=True):
    """How members of one audience are identified.

    `kind` is AppsFlyer's name of the identifier, `source` the user property that holds it if not the usual one.
    """

    app: str
    audience: str
    cohort: str
    kind: str
    source: str = ""
    email_property: str = ""
    phone_property: str = ""
    conditions: tuple[MemberCondition, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The user properties that may hold the identifier."""
        return (self.source,) if self.source else PROPERTIES[self.kind]

    @property
    def properties(self) -> tuple[str, ...]:
        """Every user property that a download has to include."""
        own = (self.email_property, self.phone_property)
        asked = [condition.property.removeprefix("user_properties.") for condition in self.conditions]
        return tuple(dict.fromkeys(name for name in (*self.names, *own, *asked) if name))


def member_of(  # noqa: PLR0917 - the columns of a row
    rule: AudienceRule,
    keyring: Keyring,
    extra_of: Callable[[str, str], bytes],
    user_id: str,
    amplitude_id: str,
    value: Value,
    *,
    told: bool = True,
) -> Member | None:
    """Return the member; None without a usable id. `told` is whether the message carries the properties at all."""
    known = keyring.keys(rule.app, IdKind.AMPLITUDE_ID, amplitude_id)
    if persons := keyring.keys(rule.app, IdKind.CUSTOMER_USER_ID, user_id):
        anonymous = known  # who logs in has not left
    elif known:
        persons, anonymous = known, ()
    else:
        return None
    who = user_id or amplitude_id
    told = told or not (rule.names or rule.conditions)
    if rule.conditions and not (told and all(condition.holds(value) for condition in rule.conditions)):
        return Member(persons, told=told, lack=int(Lack.CONSENT), who=who, anonymous=anonymous)
    identifier = _identifier(rule, user_id, amplitude_id, value)
    marks = keyring.keys(rule.app, KINDS[rule.kind], identifier)
    if identifier is None or not marks:
        return Member(persons, told=told, lack=int(Lack.IDENTIFIER), who=who, anonymous=anonymous)
    extra = b""
    if rule.email_property or rule.phone_property:
        extra = extra_of(_text(value(rule.email_property)), _text(value(rule.phone_property)))
    return Member(persons, marks, rule.kind, identifier, told, who=who, extra=extra, anonymous=anonymous)


def _identifier(rule: AudienceRule, user_id: str, amplitude_id: str, value: Value) -> str | None:
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


def is_told(rule: AudienceRule, properties: Mapping[str, Any] | None) -> bool:
    """Return whether a message's properties include any that the rule reads."""
    return properties is not None and any(name in properties for name in rule.properties)


def next_ms(app: str, audience: str, cadence: str, now_ms: int) -> int:
    """Return when an audience runs next. A hash of its name spreads audiences over the period."""
    period = PERIODS_MS.get(cadence)
    if period is None:
        return NEVER_MS
    offset = int.from_bytes(content_key(app.encode(), audience.encode())[:8], "big") % period
    return now_ms + period - (now_ms - offset) % period
