"""The rules of one `[[apps.streams]]`, checked and compiled once."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import Any, Final

from flybridge.amplitude.event import is_reserved
from flybridge.amplitude.streamed import Streamed
from flybridge.errors import ConfigError
from flybridge.mapping.personal import is_id_key
from flybridge.mapping.table import Converter, Row
from flybridge.mapping.to_appsflyer import convert as s2s
from flybridge.mapping.to_appsflyer import rows as table
from flybridge.mapping.to_appsflyer.settings import Stream
from flybridge.system.text_encoding import BLANKS

FIXED: Final = "value:"
USER: Final = "user_properties."
MAX_NAME: Final = 100


class StreamRules(Stream, frozen=True, kw_only=True, dict=True):
    """How one stream chooses and maps events: its settings, checked. Raises `ConfigError` for one that can't work.

    `prefix` is that of events which flybridge brings from AppsFlyer, with its brackets and blank; `app` is part of an
    event's identity.
    """

    app: str
    platform: str
    prefix: str = "[AppsFlyer] "
    use_customer_user_id: bool = True

    def __post_init__(self) -> None:
        """Raise `ConfigError` for a setting that can't work, with its key and what to write instead."""
        for target, source in self.properties.items():
            self._check(f"properties.{target}", target)
            if source.startswith(FIXED) and _converter(target_of(target))(source.removeprefix(FIXED)) is None:
                raise ConfigError(
                    f"properties.{target}",
                    f"AppsFlyer takes no such {target}.",
                    f"Write a value that fits: {_converter(target_of(target)).__doc__}",
                )
        for target in self.without:
            self._check("without", target)
            if target == "appsflyer_id":
                raise ConfigError("without", "AppsFlyer takes no event without appsflyer_id.", "Take it out.")
        for name in self.rename.values():
            if name != name.strip() or len(name) > MAX_NAME or not name.isprintable():
                raise ConfigError(
                    "rename",
                    f"{name!r} is not a name for an event.",
                    f"Write up to {MAX_NAME} characters, without blanks at the ends and control characters.",
                )

    def _check(self, path: str, target: str) -> None:
        if target.startswith(table.VALUE) and target != table.VALUE:
            return
        known = (*table.PARAMETERS, *(row.target for row in table.ROWS))
        if target_of(target) in known:
            return
        near = get_close_matches(target, known, n=1)
        remedy = f"Did you mean {near[0]!r}?" if near else f"Write one of {', '.join(table.PARAMETERS)}."
        raise ConfigError(
            path, f"AppsFlyer has no parameter {target!r}.", f'{remedy} A value of your own is "{table.VALUE}{target}".'
        )

    @cached_property
    def compiled(self) -> CompiledStream:
        """The look-ups made from these rules."""
        return CompiledStream(self)


class CompiledStream:
    """Rules turned into look-ups. One per `StreamRules`; safe to share between threads."""

    def __init__(self, rules: StreamRules) -> None:
        self.rows = rows_of(rules)
        self.fixed = frozenset(target_of(target) for target in (*rules.properties, *rules.without))
        # Blanks around a name show nowhere, and events are named without them.
        events = tuple(name.strip(BLANKS) for name in rules.events)
        self.names: Callable[[str], bool] = lru_cache(maxsize=4096)(_naming(events))
        renamed = {name.strip(BLANKS): new.strip() for name, new in rules.rename.items()}
        self._renamed = {name: new for name, new in renamed.items() if self.names(name)}
        self._loops = rules.loop
        self.message_type_key = f"{rules.prefix}message type"
        money = ("eventCurrency", "eventValue.af_currency")
        self.currencies = tuple(row for target in money for row in self.rows if row.target == target)
        self._taken = frozenset(row.source for row in self.rows)
        self.is_extra: Callable[[str, str], bool] = lru_cache(maxsize=4096)(self._is_extra)
        self.extras = tuple(
            (USER[:-1], name.removeprefix(USER)) if name.startswith(USER) else ("event_properties", name)
            for name in rules.extras
        )

    def name_of(self, event_type: str) -> str:
        """Return the name in AppsFlyer of an event that the stream takes."""
        return self._renamed.get(event_type, event_type)

    def has_sent(self, event_name: str) -> bool:
        """Whether an event with this name in AppsFlyer may be one that this stream has sent there."""
        if self._loops:
            return False
        return event_name in self._renamed.values() or (event_name not in self._renamed and self.names(event_name))

    def _is_extra(self, section: str, key: str) -> bool:
        """Whether a property may be an extra: not mapped already, no id, not Amplitude's own."""
        return not (f"{section}.{key}" in self._taken or key.startswith(("$", "[Amplitude]")) or is_id_key(key))


def _naming(events: tuple[str, ...]) -> Callable[[str], bool]:
    def fits(name: str) -> bool:
        if name in events:
            return True
        return not is_reserved(name) and any(fnmatchcase(name, pattern) for pattern in events)

    return fits


def _converter(target: str) -> Converter:
    return table.CONVERTERS.get(target, s2s.anything)


def target_of(name: str) -> str:
    """Return a row's target by its name in the configuration: AppsFlyer's own keys of `eventValue` need no prefix."""
    return _IN_VALUE.get(name, name)


_IN_VALUE: Final = {
    row.target.removeprefix(table.VALUE): row.target for row in table.ROWS if row.target.startswith(table.VALUE)
}


def rows_of(rules: StreamRules) -> tuple[Row, ...]:
    """Return the rows that apply to a stream: configured ones in place of the table's, those of the platform alone."""
    foreign = {"android": table.IOS_ONLY, "ios": table.ANDROID_ONLY}.get(rules.platform, frozenset[str]())
    rows: list[Row] = [
        Row(source, target_of(target), _converter(target_of(target)), table.S2S, "From the configuration.")
        for target, source in rules.properties.items()
    ]
    configured = {row.target for row in rows}
    for row in table.ROWS:
        if row.target in configured or (row.source == "user_id" and not rules.use_customer_user_id):
            continue
        rows.append(row)
    without = foreign | {target_of(target) for target in rules.without}
    return tuple(row for row in rows if row.target not in without)


def found_at(event: Streamed, source: str) -> Any:
    """Return the value of a row's source in an event."""
    return source.removeprefix(FIXED) if source.startswith(FIXED) else event.find(source)
