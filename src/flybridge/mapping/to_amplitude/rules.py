"""The mapping rules of one app's configuration, checked and compiled once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import Any, Final, Literal

from msgspec import Struct

from flybridge.amplitude.event import MIN_ID_LENGTH, is_reserved, text
from flybridge.appsflyer.postback_kind import Kind
from flybridge.errors import ConfigError
from flybridge.identity.masking import masked
from flybridge.mapping.person import OF_ADID, TOP, Keys
from flybridge.mapping.personal import is_id_key
from flybridge.mapping.restrictions import Policy, policies, policy_of
from flybridge.mapping.table import Row, as_is
from flybridge.mapping.to_amplitude import rows as table
from flybridge.mapping.to_amplitude.names import (
    FORBIDDEN,
    check_keys,
    check_patterns,
    check_renames,
    check_restrictions,
    check_row,
    check_without,
)
from flybridge.mapping.to_amplitude.plan import Plan, plans_of
from flybridge.mapping.to_amplitude.revenue import RevenueIn, RevenueRule
from flybridge.mapping.to_amplitude.settings import EventMapping
from flybridge.records import Dead, Filter, Refuse

NO_TEXTS: Final[Mapping[str, str]] = {}

CONFIGURED: Final = "https://support.appsflyer.com/hc/en-us/articles/208387843"

MAX_REMEMBERED: Final = 4096
MAX_KEYS: Final = 1024
"""Characters in all keys of one event, for what is left out of it to be remembered."""


class Rules(EventMapping, frozen=True, kw_only=True, dict=True):
    """How one app's postbacks become Amplitude events: its settings, checked. Raises `ConfigError` for what can't be
    done.

    `app_id` is the app's id in AppsFlyer: messages of another app, or of another platform, are refused as dead letters.
    Empty: nothing is compared. `restrictions` is media source, or `source/touch type`, to `pass`, `redact`, `organic`
    or `drop`, in either case of letters, and `default`.
    """

    app: str
    platform: Literal["android", "ios", "other"]
    app_id: str = ""
    route: Literal["http_v2", "attribution"] = "http_v2"
    min_id_length: int = MIN_ID_LENGTH
    restrictions: Mapping[str, str] = NO_TEXTS

    @property
    def mark(self) -> str:
        """What stands in front of names: the prefix in brackets, and a blank."""
        return f"[{self.prefix}] "

    def __post_init__(self) -> None:
        """Raise `ConfigError` for a setting that can't work, with its key and what to write instead."""
        if not FORBIDDEN.isdisjoint(self.prefix):
            raise ConfigError("prefix", "The prefix holds a quote or a control character.", "Write it without.")
        self._check_names()
        for row in self.rows:
            check_row(row.source, row.target)

    def _check_names(self) -> None:
        check_without(self.without, [row.source for row in self.rows])
        check_restrictions(self.restrictions)
        check_keys({name: getattr(self, name) for name in ("device_id_key", "session_id_key", "user_id_key")})
        check_patterns("include", self.include)
        check_patterns("exclude", self.exclude)
        check_renames(self.rename, self.mark, [self.mark + title for title in (*TITLES.values(), UNINSTALL)])
        if self.route == "attribution" and self.advertising_ids == "match-only":
            raise ConfigError(
                "advertising_ids",
                "On the route attribution Amplitude itself matches by the advertising id, so it has to be sent.",
                'Write "send", or route = "http_v2".',
            )

    @cached_property
    def compiled(self) -> CompiledRules:
        """The plans and look-ups made from these rules."""
        return CompiledRules(self)


class CompiledRules:
    """Rules turned into plans and look-ups. One per `Rules`; safe to share between threads."""

    def __init__(self, rules: Rules) -> None:
        self.keys = Keys(
            rules.device_id_key,
            rules.session_id_key,
            rules.user_id_key,
            rules.min_id_length,
            "never" if "customer_user_id" in rules.without else rules.customer_user,
            _unsent(rules),
        )
        self.revenue = RevenueRule(
            RevenueIn.NONE if "event_revenue" in rules.without else rules.revenue, frozenset(rules.without)
        )
        self.reads_value = "event_value" not in rules.without
        self.where = rules.where
        by_source = policies(rules.restrictions)
        self.policy = lru_cache(4096)(lambda source, touch: policy_of(source, touch, by_source))
        self._plans = plans_of(rules.mark, all_rows(rules), rules.without, sends_place=rules.location == "appsflyer")
        passed = (rules.device_id_key, rules.session_id_key, rules.user_id_key)
        self._passed = frozenset(key.lower() for key in passed)
        self._taken = frozenset(key for plan in self._plans.values() for key in plan.event.keys)
        self._left_out: dict[tuple[str, ...], tuple[tuple[str, ...], bool]] = {}
        self.conversion_name = {
            family: text(rules.rename.get(rules.mark + title, rules.mark + title)) for family, title in TITLES.items()
        }
        self.uninstall_name = text(rules.rename.get(rules.mark + UNINSTALL, rules.mark + UNINSTALL))
        self.taken_names = frozenset((*self.conversion_name.values(), self.uninstall_name)) - set(rules.rename)
        self.in_app_name = _naming(rules, self.taken_names)
        self.classifications: dict[tuple[object, ...], Classification] = {}

    def plan(self, conversion: bool, restricted: bool) -> Plan:
        """Return the section writers for a message; `restricted` ones do not reveal where a person came from."""
        return self._plans[conversion, restricted]

    def own(self, value: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """Return an event's value without keys that name or are an identifier, and without those that a row fills.

        And whether a key was itself an identifier.
        """
        # An app's events repeat the same keys.
        keys = tuple(value)
        found = self._left_out.get(keys)
        if found is None:
            found = self._leave_out(keys)
        left_out, named = found
        if not left_out:
            return value, False
        own = value.copy()
        for key in left_out:
            del own[key]
        return own, named

    def _leave_out(self, keys: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
        """Return which of an event's keys are left out, and whether one of them is itself an identifier."""
        named = {key for key in keys if masked(key) != key}
        hidden = {key for key in keys if key in self._taken or key.strip().lower() in self._passed or is_id_key(key)}
        found = tuple(key for key in keys if key in named or key in hidden), bool(named)
        if sum(map(len, keys)) <= MAX_KEYS:
            if len(self._left_out) >= MAX_REMEMBERED:
                self._left_out.clear()
            self._left_out[keys] = found
        return found


class SentAs(Struct, frozen=True, gc=False):
    """What an event becomes that is sent.

    `kind` is the kind that may be sent, and `source` the media source. `display` is the platform as Amplitude's SDKs
    write it, `os_name` None where it is none of theirs. `owner` is whose name an app's event has, so that it gets the
    prefix; empty if the name is the app's own. `of_event` and `of_user` are what the section writers of the
    plan are given.
    """

    kind: Kind
    is_conversion: bool
    event_type: str
    owner: str
    source: str | None
    display: str
    os_name: str | None
    plan: Plan
    of_event: tuple[object, ...]
    of_user: tuple[object, ...]


class Classification(Struct, frozen=True, gc=False):
    """What is decided about a message before its own values are read.

    `reported` is the kind as AppsFlyer reports it, None if the message names no event. `policy` applies to its media
    source. `refused` are the identifiers that may not leave.
    """

    reported: Kind | None
    platform: str
    policy: Policy
    refused: frozenset[str]
    outcome: SentAs | Filter | Refuse | Dead


UNINSTALL: Final = "Uninstall"
TITLES: Final = {
    "install": "Install",
    "reinstall": "Reinstall",
    "re-engagement": "Re-engagement",
    "re-attribution": "Re-attribution",
}


def _unsent(rules: Rules) -> tuple[str, ...]:
    """Return the fields of an Amplitude event that stay empty, though the person is matched by them."""
    of_adid = {name for name in rules.without if name in OF_ADID}
    unsent = {"session_id" if name == "custom_data" else name for name in rules.without} & {*TOP, "session_id"}
    if rules.advertising_ids == "match-only":
        unsent |= {"idfa", "adid"}
    return tuple(sorted(unsent | of_adid))


def _naming(rules: Rules, taken: Collection[str]) -> Callable[[str], str | None]:
    def name(event_name: str) -> str | None:
        if any(fnmatchcase(event_name, pattern) for pattern in rules.exclude):
            return None
        if not any(fnmatchcase(event_name, pattern) for pattern in rules.include):
            return None
        found = rules.rename.get(event_name, event_name)
        return text(rules.mark + found if is_reserved(found) or event_name in taken else found)

    return name


def all_rows(rules: Rules) -> tuple[Row, ...]:
    """Return the rows that apply to an app, its own first, so that they take precedence."""
    extra = tuple(Row(row.source, row.target, as_is, CONFIGURED, "From the configuration.") for row in rules.rows)
    default: tuple[Row, ...] = table.USER if rules.route == "attribution" else table.ROWS
    if rules.route == "attribution":
        extra = tuple(row for row in extra if row.target.startswith("user_properties."))
    return (*extra, *(row for row in default if row.source not in rules.without))
