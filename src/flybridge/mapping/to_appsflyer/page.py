"""The reference page of the mapping to AppsFlyer: `python -m flybridge.mapping.to_appsflyer.page`."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from flybridge.mapping import consent
from flybridge.mapping.table import Row, derived_as_markdown
from flybridge.mapping.to_appsflyer import rows as table
from flybridge.mapping.to_appsflyer.map import MAX_BYTES


def page() -> str:
    """Return docs/reference/mapping-to-appsflyer.md."""
    return "\n\n".join(
        (
            _HEAD,
            "## What is sent without configuration",
            rows_as_markdown(table.ROWS),
            "## What is decided by a rule",
            derived_as_markdown(table.DERIVED, to="AppsFlyer", source="Amplitude"),
            _OPTIONAL,
            rows_as_markdown(table.OPTIONAL),
            _CONSENT,
            consent.as_markdown(),
            _withheld(),
            _SIZE.format(bytes=f"{MAX_BYTES:,}"),
            _order(),
            _TAIL,
        )
    )


def rows_as_markdown(rows: Iterable[Row]) -> str:
    lines = ["| AppsFlyer | Amplitude | As | Note |", "| --- | --- | --- | --- |"]
    for row in rows:
        lines.append(f"| [`{row.target}`]({row.doc}) | `{row.source}` | {row.convert.__name__} | {row.note} |")
    return "\n".join(lines)


def _withheld() -> str:
    names = ", ".join(f"`{name}` (as `{called}`)" for name, called in table.WITHHELD_AS.items())
    return f"The parameters that the rules speak of: {names}."


def _order() -> str:
    always = ", ".join(f"`{name}`" for name in ("eventName", "eventTime", *sorted(table.ESSENTIAL)))
    rest = ", ".join(f"`{name}`" for name in table.PARAMETERS if name not in table.ESSENTIAL)
    return (
        f"- Always: {always}, and `eventValue.af_revenue`.\n- Then, the most important first: {rest}.\n"
        "- Then the other keys of `eventValue` that rows or `properties` give.\n"
        "- Then `extras`, in the order in which they are listed."
    )


_HEAD = """\
# Mapping: from Amplitude to AppsFlyer

This page is printed from the table that maps (`python -m flybridge.mapping.to_appsflyer.page`), so it says what the
software does. `flybridge explain` shows the same rows for one event. How to set it up: [stream to
AppsFlyer](../how-to/stream-to-appsflyer.md).

An event is read in the Export API's format. Of several rows with one parameter, the first that gives a value wins;
`apps.streams.properties` replaces all rows of a parameter, `without` leaves it out. A value that AppsFlyer would
not take is left out and noted, and never costs the event. A parameter of the other platform is not sent. What
follows `eventValue.` is a key of that JSON text; an event without any sends the empty text."""

_OPTIONAL = """\
## Parameters to add

These are sent only if `apps.streams.properties` says where they are found; the source here is an example. `value:`
and a text is a value of your own. Contacts are normalised and hashed as AppsFlyer asks (SHA-256, hex); what is a
hash already goes as it is. A phone number needs `+` or `00` and its country code: a national number is left out and
counted in [`flybridge_stream_remarks_total`](metrics.md) as `bad_contact`, and `flybridge explain` says why. The clear
value never leaves. Any other key of `eventValue` is configured as `eventValue.` and its name."""

_CONSENT = """\
## Consent

An identifier that may not leave is left out; the event is sent. A TCF text is passed on, and not read. A property
that contains a device identifier is no extra, and neither is one that holds an e-mail address, a phone number or a
name, by its value or by its key; that is counted as `contact_left_out`.

## Platform

An app of Android or iOS sends the events of its own platform and those of no mobile platform (web, servers); events
of the other one are filtered as `other_platform`, so that one Amplitude project may be streamed to an app of each. Of
what is not the app's own platform `os`, `app_version_name` and `ip` are not taken from the event, unless `properties`
name them."""

_SIZE = """\
## One kilobyte

AppsFlyer takes "up to 1KB" per event; flybridge keeps to {bytes} bytes, the smaller reading. What there is no room
for is left out in this order, from the end, and said: in `flybridge explain`, and in
[`flybridge_stream_remarks_total`](metrics.md) as `trimmed`. An event whose first line alone is too large is kept as
a dead letter (`larger_than_1kb`)."""

_TAIL = """\
## Time

`eventTime` is Amplitude's `event_time`, UTC with milliseconds. AppsFlyer stamps an event with its own time if it
arrives by 02:00 UTC of the following day, and with its arrival after that. Such an event is sent all the same, and
counted as `late`.

## One event once

An event is known by app, `$insert_id` and device (else user), without an `$insert_id` by its `uuid`, and without
either by its bytes. While it is remembered (`retention.dedup_days`) a repeat is a duplicate: Amplitude tries up to
ten times over four hours, and a file of the Export API may bring it again. AppsFlyer itself recognises no repeat;
what that means for lost answers is in [verdicts](verdicts.md#what-exactly-once-means-here).
"""


if __name__ == "__main__":
    sys.stdout.write(page())
