"""The settings of `[[apps.streams]]`: which events of Amplitude go to AppsFlyer.

The text under each field is its documentation: docs/reference/config.md is printed from it.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from flybridge.identity.matching import MAX_WINDOW_HOURS
from flybridge.mapping.conditions import Condition, Name


class Stream(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Amplitude events that go to AppsFlyer as server-to-server in-app events. The first stream that chooses an event
    maps it; one event is sent once.
    """

    events: tuple[Name, ...]
    """Amplitude event names or globs (`Trial *`). Amplitude's own events (`$...`, `[Amplitude] ...`) only by their full
    name."""
    where: tuple[Condition, ...] = ()
    """Conditions that must all hold."""
    rename: dict[str, Name] = field(default_factory=dict)
    """Events that get another name in AppsFlyer: Amplitude's name, AppsFlyer's name."""
    properties: dict[str, Name] = field(default_factory=dict)
    """AppsFlyer parameter, or `eventValue.` and a key, and where in the Amplitude event it is found, or `value:` and a
    fixed text. It replaces the mapping table's rows for this parameter."""
    extras: tuple[Name, ...] = ()
    """Event properties that go into `eventValue` as they are, by name or glob, the most important first; `["*"]` for
    all; `user_properties.` in front for those of the user. Empty sends none, as Amplitude's own integration."""
    without: tuple[Name, ...] = ()
    """AppsFlyer parameters of the mapping table that are not sent."""
    sharing_filter: tuple[Name, ...] = ()
    """AppsFlyer partners that the events are not shared with, beside those that the user property `sharing_filter`
    names; `["all"]` for all partners."""
    wait_hours: Annotated[float, Meta(ge=0, le=MAX_WINDOW_HOURS)] = 0.0
    """How long an event without an AppsFlyer id waits for a postback that has it, in hours since it was received.
    0: what is known at that moment counts, and without it the event is filtered."""
    loop: bool = False
    """Whether events that came from AppsFlyer in the first place may go back to it, and in-app events that the stream
    has sent, which AppsFlyer reports with `event_source` `S2S`, to Amplitude."""
