"""How one app's messages are processed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from flybridge.audiences.rules import AudienceRule
from flybridge.mapping.counting import Counting
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.mapping.to_appsflyer.rules import StreamRules
from flybridge.records import DAY_MS, HOUR_MS, Envelope, Source
from flybridge.store.records import Retention

NO_NAMES: Final[Mapping[str, str]] = {}
READ: Final = frozenset({Source.FILE, Source.PULL, Source.LOCKER})
"""Sources that are read here, and may come again in other files and reports."""

FILE: Final = Source.FILE
CONVERSION_DAYS: Final = 90
"""Conversions are remembered longer than events, because files bring them again late."""
HISTORY_MS: Final = 2 * DAY_MS
"""What is read so many milliseconds after it happened is history. Reports of AppsFlyer are final after two days."""


class AppFlow(Struct, frozen=True):
    """How one app's messages are processed: mapping rules, hold window, and how long content keys are remembered.

    `hold_attribution` makes the Attribution API's items wait for a sighting here instead of at Amplitude.
    `customer_user_at_expiry` sends what was never matched under its customer user id, if it has one.
    `streams` send Amplitude's events to AppsFlyer; `stream_fields` reads webhooks with a template of their own.
    What was read (files, Pull API, Data Locker) is remembered for `kept.history_days`. An event read later than
    `current_ms` after it happened says nothing of the present state of its user.
    """

    rules: Rules
    hold_window_hours: float = 72.0
    hold_attribution: bool = False
    customer_user_at_expiry: bool = False
    kept: Retention = Retention()
    streams: tuple[StreamRules, ...] = ()
    stream_fields: Mapping[str, str] = NO_NAMES
    counting: Counting = Counting()
    audiences: tuple[AudienceRule, ...] = ()
    current_ms: int = HOUR_MS

    def is_history(self, envelope: Envelope, event_ms: int) -> bool:
        """Whether a message is of a time of which Amplitude may know what came later.

        That is each row of an imported file, and what the Pull API or the Data Locker brings late.
        """
        source = envelope.source
        return source is FILE or (source in READ and envelope.received_ms - event_ms > HISTORY_MS)

    def days_of(self, envelope: Envelope, *, is_conversion: bool) -> int:
        """Return for how many days the content key of a message is remembered."""
        days = CONVERSION_DAYS if is_conversion else self.kept.dedup_days
        return max(days, self.kept.history_days) if envelope.source in READ else days
