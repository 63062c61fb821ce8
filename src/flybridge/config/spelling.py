"""Refuse names of fields that look like a vendor's field misspelt: nothing would ever be found under them.

A name that is like none may be a field that is newer than this version, or one of the customer's, and is allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from flybridge.amplitude.streamed import EVENT_KEYS, SECTIONS
from flybridge.appsflyer.fields import NAMES
from flybridge.config.apps import App
from flybridge.errors import ConfigError
from flybridge.mapping.to_appsflyer.rules import FIXED
from flybridge.system.similar_names import nearest_name

SIMILAR: Final = 0.85
"""How alike two names are, from 0 to 1, for one to be taken for the other misspelt."""
IN_POSTBACKS: Final = ("event_value", "custom_data")
"""Fields of a postback that hold others."""
NONE: Final = frozenset[str]()


def check_spelling(path: str, app: App) -> None:
    """Raise `ConfigError` for a name in an app's settings that looks misspelt. `path` is the app's."""
    own = app.amplitude.stream_fields
    for name in own:
        _check(f"{path}.amplitude.stream_fields.{_quoted(name)}", name, EVENT_KEYS, SECTIONS, "Amplitude's payload")
    for number, where in enumerate(app.mapping.where):
        here = f"{path}.mapping.where[{number}].property"
        _check(here, where.path, frozenset(NAMES), IN_POSTBACKS, "AppsFlyer's message")
    # A template may have other fields at its top.
    keys = NONE if own else EVENT_KEYS
    for number, stream in enumerate(app.streams):
        for here, name in _names(stream.properties, [where.path for where in stream.where]):
            _check(f"{path}.streams[{number}].{here}", name, keys, SECTIONS, "Amplitude's payload")


def _names(properties: Mapping[str, str], conditions: Iterable[str]) -> Iterable[tuple[str, str]]:
    for target, source in properties.items():
        if not source.startswith(FIXED):
            yield f"properties.{_quoted(target)}", source
    for number, name in enumerate(conditions):
        yield f"where[{number}].property", name


def _check(path: str, name: str, fields: Collection[str], sections: Collection[str], whose: str) -> None:
    head, dot, rest = name.partition(".")
    known = sections if dot else fields
    if name in fields or head in known:
        return
    if (near := nearest_name(head, known, SIMILAR)) is not None:
        raise ConfigError(path, f"{whose} has no field {head!r}.", f"Write {f'{near}{dot}{rest}'!r}.")


def _quoted(name: str) -> str:
    return f'"{name}"' if "." in name or " " in name else name
