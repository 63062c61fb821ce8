"""Check the names in an app's mapping settings, so that a misspelt one is refused at start instead of doing nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from flybridge.amplitude.event import MAX_TEXT, is_reserved
from flybridge.appsflyer.fields import NAMES
from flybridge.appsflyer.postback_kind import Kind
from flybridge.errors import ConfigError
from flybridge.mapping.personal import is_id_key
from flybridge.mapping.restrictions import RESTRICTED, TOUCH_TYPES
from flybridge.mapping.to_amplitude import rows as table
from flybridge.mapping.to_amplitude.place import SOURCES
from flybridge.system.similar_names import nearest_name, plain_name

FORBIDDEN: Final = frozenset({'"', "\\"} | {chr(code) for code in range(32)})
TOP_TARGETS: Final = frozenset(row.target for row in table.TOP) | frozenset(SOURCES)

NEEDED: Final = frozenset(
    {
        "event_name", "event_time", "event_type", "conversion_type", "retargeting_conversion_type", "platform",
        "app_id",
    }
)  # fmt: skip
"""Fields that decide what an event is, and are no properties of it. Without them there is none to send."""

MAX_SHOWN: Final = 100
SIMILAR: Final = 0.85
"""How alike two names are, from 0 to 1, for one to be taken for the other misspelt."""

OTHER_NAMES: Final = {
    **{
        plain_name(derived.target.rpartition(".")[2].removeprefix("[AppsFlyer]")): derived.sources[0]
        for derived in reversed(table.DERIVED)
        if derived.sources[0] not in {*NEEDED, "event_value"}
    },
    **{
        plain_name(row.target.rpartition(".")[2].removeprefix("[AppsFlyer]")): row.source
        for row in reversed((*table.TOP, *table.EVENT))
    },
    "gaid": "advertising_id",
    "user_id": "customer_user_id",
}
"""What fields are called in Amplitude, and in AppsFlyer's macros, without the prefix."""

KINDS: Final = tuple(kind.word for kind in Kind if "-" in kind.word and kind.is_conversion)


def check_without(without: Iterable[str], configured: Iterable[str]) -> None:
    """Raise `ConfigError` for a field that no message has, or that can't be left out."""
    own = set(configured)
    for name in without:
        if name in NEEDED:
            raise ConfigError("without", f"{name} decides what an event is and can't be left out.", "Remove it.")
        if name not in NAMES and name not in own:
            meant = OTHER_NAMES.get(plain_name(name.removeprefix("[AppsFlyer]")))
            remedy = _nearest(name, NAMES) if meant is None else f"Write {meant!r}."
            raise ConfigError("without", f"AppsFlyer has no field {name!r}.", remedy)


def check_row(source: str, target: str) -> None:
    """Raise `ConfigError` for a row that can't be carried over."""
    path = f"rows.{source}"
    if not FORBIDDEN.isdisjoint(target):
        raise ConfigError(path, "A target holds a quote or a control character.", "Write it without.")
    section, dot, key = target.partition(".")
    in_section = section in ("event_properties", "user_properties") and bool(dot and key)
    if not in_section and target not in TOP_TARGETS:
        raise ConfigError(
            path,
            f"The target {target!r} is not one that a row can fill.",
            f"Write event_properties.x, user_properties.x, or one of {', '.join(sorted(TOP_TARGETS))}.",
        )
    if is_id_key(source.rpartition(".")[2]):
        raise ConfigError(
            path,
            "Device identifiers go to Amplitude's own fields, never to properties.",
            "Remove the row: flybridge sends the identifiers that consent allows.",
        )
    # A field may be newer than this version, so that a name is refused only if it looks like another misspelt.
    if source not in NAMES and "." not in source and nearest_name(source, NAMES, SIMILAR) is not None:
        raise ConfigError(path, f"AppsFlyer has no field {source!r}.", _nearest(source, NAMES))


def check_patterns(setting: str, patterns: Iterable[str]) -> None:
    """Raise `ConfigError` for a pattern that looks like one of AppsFlyer's conversions misspelt."""
    for pattern in patterns:
        if pattern in KINDS or not get_close_matches(pattern.lower(), KINDS, 1, SIMILAR):
            continue
        raise ConfigError(setting, f"AppsFlyer has no conversion {pattern!r}.", _nearest(pattern.lower(), KINDS))


def check_renames(rename: Mapping[str, str], prefix: str, conversions: Iterable[str]) -> None:
    """Raise `ConfigError` for a name with the prefix of conversions that is none of theirs, and for one that can't be
    an event's new name.
    """
    known = tuple(conversions)
    for name, new in rename.items():
        if is_reserved(new):
            raise ConfigError(f"rename.{name}", f"The name {new!r} is reserved by Amplitude.", "Write another.")
        if new != new.strip() or not new.isprintable() or len(new) > MAX_TEXT:
            raise ConfigError(
                f"rename.{name}",
                f"{new[:MAX_SHOWN]!r} is not a name for an event.",
                f"Write up to {MAX_TEXT} characters, without blanks at the ends and control characters.",
            )
        if name.startswith(prefix) and name not in known:
            raise ConfigError("rename", f"There is no conversion {name!r}.", _nearest(name, known))


def check_keys(keys: Mapping[str, str]) -> None:
    """Raise `ConfigError` for a key of custom data, by its setting, that nothing can be found under."""
    for setting, key in keys.items():
        if not all(part.strip() for part in key.split(".")):
            raise ConfigError(setting, f"There can be nothing under the key {key!r}.", "Write a key, or leave it out.")


def check_restrictions(restrictions: Iterable[str]) -> None:
    """Raise `ConfigError` for a kind of touch that AppsFlyer does not report: its policy would never apply."""
    for name in restrictions:
        source, slash, touch = (part.strip().lower() for part in name.rpartition("/"))
        if not slash or touch in TOUCH_TYPES:
            continue
        # A source may have a slash in its name, and only what looks like a kind of touch is one misspelt.
        if source in ("default", RESTRICTED) or get_close_matches(touch, TOUCH_TYPES, 1, SIMILAR):
            raise ConfigError(
                f"restrictions.{name}", f"AppsFlyer reports no touch type {touch!r}.", _nearest(touch, TOUCH_TYPES)
            )


def _nearest(name: str, known: Iterable[str]) -> str:
    names = tuple(known)
    found = nearest_name(name, names, 0.6)
    return f"Write {found!r}." if found is not None else f"Write one of {', '.join(sorted(names))}."
