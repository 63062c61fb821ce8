"""Plain words for settings and commands that sentences name between backticks.

Those who look at figures read the words alone; for operators the key or the command stands behind them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from markupsafe import Markup, escape

SETTINGS: Final[Mapping[str, str]] = {
    "amplitude.api_key": "Amplitude's API key",
    "amplitude.stream_fields": "the names of the stream's fields",
    "amplitude.base_url": "Amplitude's address",
    "amplitude.secret_key": "Amplitude's secret key",
    "apps.amplitude.api_key": "Amplitude's API key",
    "apps.amplitude.secret_key": "Amplitude's secret key",
    "apps.appsflyer.api_token": "AppsFlyer's API token",
    "apps.appsflyer.s2s_key": "AppsFlyer's server-to-server key",
    "apps.history": "what is read from AppsFlyer",
    "apps.insight": "what is counted",
    "apps.insight.cost_files": "the folder with cost files",
    "apps.insight.costs": "where costs come from",
    "apps.insight.currency": "the app's currency",
    "apps.insight.detail": "the detail that is counted",
    "apps.insight.rates": "the exchange rates",
    "apps.insight.timezone": "the app's time zone",
    "apps.restrictions": "the rules for sources that may not be named",
    "apps.streams": "the streams to AppsFlyer",
    "apps.streams.where": "the conditions of the stream",
    "appsflyer.api_token": "AppsFlyer's API token",
    "appsflyer.base_url": "AppsFlyer's address",
    "appsflyer.contacts": "the rule for e-mail addresses and phone numbers",
    "appsflyer.s2s_key": "AppsFlyer's server-to-server key",
    "appsflyer_app_id": "the app's id at AppsFlyer",
    "delivery.gzip": "the rule for compression",
    "delivery.uncertain": "the rule for lost answers",
    "hold.at_expiry": "the rule for the end of the hold window",
    "hold.v1": "the rule for waiting on the Attribution API",
    "hold.window_hours": "the hold window",
    "http_v2": "HTTP V2",
    "insight.max_cells": "the limit of what is counted by name",
    "insight.reconcile_by_cohorts": "the comparison by AppsFlyer's Cohort API",
    "insight.reconcile_by_export": "the comparison event by event",
    "insight.reconcile_by_master": "the comparison by AppsFlyer's Master API",
    "insight.reconcile_by_raw_data": "the comparison by AppsFlyer's raw data",
    "mapping.double_attribution": "the rule for events that are attributed twice",
    "mapping.exclude": "the list of events to leave out",
    "mapping.include": "the list of events to send",
    "mapping.rename": "the list of events that get other names",
    "mapping.revenue": "the rule for revenue",
    "mapping.where": "the conditions of the mapping",
    "server.public_url": "the public address",
}
"""What the console calls a setting."""

COMMANDS: Final[Mapping[str, str]] = {
    "flybridge account": "the page Account",
    "flybridge costs import FILE.csv": "a file with costs",
    "flybridge costs status": "the page Jobs and streams",
    "flybridge dead": "the page Dead letters",
    "flybridge doctor": "the checks on the page Set-up",
    "flybridge explain": "the content on the event's page",
    "flybridge gaps --fill": "the job Find and fill gaps on the page Jobs and streams",
    "flybridge holds": "the page Holds",
    "flybridge lanes": "the page Flow",
    "flybridge lanes uncertain": "the list of uncertain events",
    "flybridge performance": "the page Sources",
    "flybridge setup": "the page Set-up",
}
"""What stands in the console in place of a command, or what the command does."""

WORDS: Final = {**SETTINGS, **COMMANDS}


def ticked(sentence: str, *, operates: bool = True) -> Markup:
    """Return a sentence as escaped HTML. Between backticks stands code, or a name that `WORDS` puts into words."""
    parts = [escape(part) for part in sentence.split("`")]
    if len(parts) % 2 == 0:
        return escape(sentence)
    return Markup("").join(_worded(part, operates) if n % 2 else part for n, part in enumerate(parts))


def _worded(name: Markup, operates: bool) -> Markup:
    key, _, value = name.unescape().partition(" = ")
    words, code = WORDS.get(key), Markup("<code>{}</code>").format(name)
    if words is None:
        return code
    if value:
        words += f" to {value.strip(chr(34))}"
    return Markup("{} ({})").format(words, code) if operates else escape(words)
