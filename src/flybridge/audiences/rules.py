"""Rules of audiences: which identifier stands for a cohort member, and whether it may be sent. Pure.

The identifier is read from the message or file: flybridge stores sighted advertising ids as keyed hashes only, which
can't be sent. Sent identifiers are stored sealed, because removing them needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final

from msgspec import Struct

from flybridge.appsflyer.additional import extra_of
from flybridge.audiences.settings import AudienceSettings, called
from flybridge.identity import CASELESS, IdKind, Keyring, device_identifier, usable
from flybridge.identity.bare import bare, only
from flybridge.mapping.table import plain
from flybridge.records import DAY_MS, HOUR_MS, Member, content_key
from flybridge.store.audiences.records import NEVER_MS, Lack

IDENTIFIERS: Final[Mapping[str, tuple[IdKind, tuple[str, ...]]]] = {
    "gaid": (IdKind.ADID, ("gaid", "adid", "advertising_id")),
    "oaid": (IdKind.OAID, ("oaid",)),
    "imei": (IdKind.IMEI, ("imei",)),
    "idfa": (IdKind.IDFA, ("idfa", "ios_idfa")),
    "idfv": (IdKind.IDFV, ("idfv", "ios_idfv")),
    "cuid": (IdKind.CUSTOMER_USER_ID, ()),
    "braze_id": (IdKind.BRAZE_ID, ("braze_id",)),
    "amplitude_id": (IdKind.AMPLITUDE_ID, ()),
}
"""AppsFlyer's names of identifiers, and the kinds they are keyed by.

With each the user properties that hold it, unless the configuration names one. None: it is the member's own id.
"""

OF_DEVICES: Final = CASELESS | {IdKind.IMEI}

PERIODS_MS: Final = {"hourly": HOUR_MS, "daily": DAY_MS, "realtime": 60_000}
REALTIME_PEOPLE: Final = 1_000_000
"""Amplitude syncs cohorts of up to this size each minute; a larger one runs each hour."""

Value = Callable[[str], Any]
"""Returns the value of a user property, None if absent."""


class AudienceRule(Struct, frozen=True, dict=True):
    """How members of one audience are identified: by the settings of the audience, in this app."""

    app: str
    settings: AudienceSettings

    @cached_property
    def audience(self) -> str:
        """The name of the audience."""
        return called(self.settings)

    @cached_property
    def source(self) -> str:
        """The user property that holds the identifier, if it is not a usual one."""
        return _key(self.settings.property)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The user properties that may hold the identifier."""
        return (self.source,) if self.source else IDENTIFIERS[self.settings.identifier][1]

    @cached_property
    def email(self) -> str:
        """The user property with an e-mail address."""
        return _key(self.settings.email_property)

    @cached_property
    def phone(self) -> str:
        """The user property with a phone number."""
        return _key(self.settings.phone_property)

    @cached_property
    def properties(self) -> tuple[str, ...]:
        """Every user property that a download has to include."""
        asked = [_key(condition.path) for condition in self.settings.where]
        return tuple(dict.fromkeys(name for name in (*self.names, self.email, self.phone, *asked) if name))

    def allows(self, value: Value) -> bool:
        """Whether a member with these user properties meets all conditions. An empty one is absent."""

        def find(path: str) -> Any:
            found = value(_key(path))
            return None if found == "" else found

        return all(condition.holds(find) for condition in self.settings.where)


def member_of(
    rule: AudienceRule,
    keyring: Keyring,
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
    kind, where = rule.settings.identifier, rule.settings.where
    told = told or not (rule.names or where)
    if where and not (told and rule.allows(value)):
        return Member(persons, told=told, lack=int(Lack.CONSENT), who=who, anonymous=anonymous)
    identifier = _identifier(rule, user_id, amplitude_id, value)
    marks = keyring.keys(rule.app, IDENTIFIERS[kind][0], identifier)
    if identifier is None or not marks:
        return Member(persons, told=told, lack=int(Lack.IDENTIFIER), who=who, anonymous=anonymous)
    extra = b""
    if rule.email or rule.phone:
        extra = extra_of(_text(value(rule.email)), _text(value(rule.phone)))
    return Member(persons, marks, kind, identifier, told, who=who, extra=extra, anonymous=anonymous)


def _identifier(rule: AudienceRule, user_id: str, amplitude_id: str, value: Value) -> str | None:
    is_device = IDENTIFIERS[rule.settings.identifier][0] in OF_DEVICES
    for name in rule.names:
        found = bare(value(name))
        # A macro or a word in one property says nothing of the next.
        if (found := device_identifier(found) if is_device else found) is not None:
            return found
    if rule.source:
        return None
    return usable({"cuid": user_id, "amplitude_id": amplitude_id}.get(rule.settings.identifier))


def _key(name: str) -> str:
    """Return the name of a user property as a member has it."""
    return name.removeprefix("user_properties.")


def _text(value: Any) -> str:
    return (plain(only(value)) or "").strip()


def next_ms(app: str, audience: str, cadence: str, now_ms: int) -> int:
    """Return when an audience runs next. A hash of its name spreads audiences over the period."""
    period = PERIODS_MS.get(cadence)
    if period is None:
        return NEVER_MS
    offset = int.from_bytes(content_key(app.encode(), audience.encode())[:8], "big") % period
    return now_ms + period - (now_ms - offset) % period
