"""The reference page of the mapping, printed from the rows and rules that map.

`python -m flybridge.mapping.to_amplitude.page` prints it.
"""

from __future__ import annotations

import sys

from flybridge.appsflyer.postback_kind import Kind
from flybridge.mapping import consent
from flybridge.mapping.restrictions import ADVERTISING, DEFAULTS
from flybridge.mapping.table import as_markdown, derived_as_markdown
from flybridge.mapping.to_amplitude.rows import DERIVED, EVENT, OPTIONAL, TOP, USER
from flybridge.mapping.to_amplitude.rules import TITLES


def page() -> str:
    """Return docs/reference/mapping.md."""
    return "\n\n".join(
        (_HEAD, _kinds(), _ROUTES, *_tables(), _RESTRICTIONS, _restricted(), _CONSENT, consent.as_markdown(), _TAIL)
    )


def _kinds() -> str:
    lines = ["| AppsFlyer message | Route `http_v2` | Route `attribution` |", "| --- | --- | --- |"]
    for kind in Kind:
        if kind.is_conversion:
            name = f"`[AppsFlyer] {TITLES[kind.family]}`"
            lines.append(f"| `{kind}` | {name} | {name} |")
        elif kind.is_in_app:
            lines.append(f"| `{kind}` | the event's own name | filtered: `in_app_on_attribution_route` |")
        else:
            lines.append(f"| `{kind}` | filtered: `{kind}` | filtered: `{kind}` |")
    return "\n".join(lines)


def _tables() -> tuple[str, ...]:
    return (
        "## The event's own fields",
        as_markdown(TOP),
        "## Event properties",
        as_markdown(EVENT),
        "## User properties",
        as_markdown(USER),
        "## What is decided from several fields",
        derived_as_markdown(DERIVED, to="Amplitude", source="AppsFlyer"),
        _OPTIONAL,
        as_markdown(OPTIONAL),
    )


def _restricted() -> str:
    defaults = ", ".join(f"`{source}` is `{policy}`" for source, policy in DEFAULTS.items())
    fields = ", ".join(f"`{name}`" for name in sorted(ADVERTISING))
    return (
        f"Without configuration {defaults}. `source/touch type` stands before `source`; who names a source decides "
        f"about all of its touches.\n\nThe fields that do not leave: {fields}.\n\nEvery change is counted, by source, "
        "policy and day of the event: `flybridge account` shows the sums."
    )


_HEAD = """\
# Mapping: from AppsFlyer to Amplitude

This page is printed from the table that maps (`python -m flybridge.mapping.to_amplitude.page`), so it says what
the software does. `flybridge explain` shows the same rows for one message.

A message is read tolerantly: absent, null, blank and words for nothing (`null`, `N/A`, ...) are the same; numbers and
flags may be text; what can't be understood is left out and noted, and never costs the message. Blanks around names of
events, sources and campaigns are removed. GET and POST give the same. Messages of Push API v1 are read by their own
names.

Which event a message is follows from `event_name`, `conversion_type`, `campaign_type` and, where there is one,
`event_type`; in older messages from `is_retargeting` and `retargeting_conversion_type`. Only AppsFlyer's exact names
are conversions: an event of the app that is called `Install` or `redownload` is an in-app event. So is one that has
AppsFlyer's very name and an event value; one called `install` that did not happen at its install time; and one called
`reinstall`, `re-engagement` or `re-attribution` whose `conversion_type` is `install`, outside retargeting.

A message whose `app_id` is that of another app (with or without `id` in front), or whose `platform` is the other one,
becomes a dead letter (`other_app`)."""

_ROUTES = """\
Advertising revenue (`af_ad_revenue`) is an in-app event with revenue. An uninstall is filtered, because AppsFlyer
learns of it up to days later and Amplitude would count it as activity. SKAdNetwork messages name no person: they
are filtered, and their installs counted by campaign ([performance](performance.md), `skad_installs`). Messages with a
`blocked_reason` (Protect360) are filtered as `blocked_as_fraud`.

On the route `attribution` an event has identifiers and user properties and nothing else; without an identifier that
the Attribution API takes it is refused (`no_usable_id`), and so is a platform other than iOS and Android
(`platform_unsupported`).

User properties are plain values, set by conversions: Amplitude reads `$set` and `$setOnce` only in `$identify`
events, so the last conversion's values stand, and the history is in the events. Text longer than 1,024 characters is
cut, and nesting deeper than 40 layers becomes text."""

_OPTIONAL = """\
## Rows to add

These are not sent unless they are configured (`apps.mapping.rows`). A row of the configuration comes before the
table's own. Its source may also be a field that is not listed here, or a key of custom data (`custom_data.plan`) or of
the event's value (`event_value.shop`). Device identifiers can't be made properties."""

_RESTRICTIONS = """\
## Restricted sources

`pass` sends all. `redact` sends the event without its source, campaign and their details. `organic` does the same and
tells the source as `organic`: an install or reinstall becomes an organic one, and so does a re-attribution; a
re-engagement stays one. `drop` refuses the event (`restricted_source`). In-app events follow the source they are
attributed to. A field that flybridge does not know is treated as one that may reveal the source."""

_CONSENT = """\
## Consent

An identifier that may not leave is not used for matching either. Vendor ids (IDFV, App Set ID), the AppsFlyer id and
the customer user id are not advertising ids and stay. Identifiers are only ever in Amplitude's own fields, in the case
they came in; a property that contains one is left out."""

_TAIL = """\
## Identity

The Amplitude device, session and user ids are those that the app passed to AppsFlyer in custom data, or in the event's
value, under the configured keys, which may be paths (`user.device_id`) and match in either case; else the customer
user id is the user id. JSON in text is read also with blanks around it, if it was encoded more than once or in
base64, and as Python, Swift and property lists print an object (`{'a': '1'}`, `["a": "1"]`, `{ a = "1"; }`), which is
noted; the same holds for the event's value. Text whose quotes are lost (`{a=1, b=2}`) stays a property of the event,
and is noted; custom data may be pairs (`a=1&b=2`, `{a=1, b=2}`). If there is custom data, but no id in it, the event
is held with that remark (`custom_data_without_id` among its keys).

No id is ever put in another's place, and no user is made up. What Amplitude would refuse (shorter than 5 characters,
`null`, zeros, ...) is left out and noted. `mapping.customer_user_id` says what AppsFlyer's customer user id is for:
`send` (the default) makes it the
user id, and Amplitude makes a new user of one that it has not seen; `when-seen` only matches by it; `never` does
neither, because it is a name from another space.

## Money

An amount and its currency are taken as a pair, and none goes without the other. `mapping.revenue` says which:

| value | the amount that is sent |
| --- | --- |
| `event` (default) | in the event's currency: `event_revenue`, or `af_revenue` of the event's value |
| `usd` | `event_revenue_usd`, or one of the others if it is in US dollars |
| `selected` | `revenue_in_selected_currency`, or one of the others if it is in `selected_currency` |
| `none` | none |

The event's currency is `event_revenue_currency`, or `af_currency` of its value. Where neither is a code of ISO 4217,
the pair in US dollars stands in, then the one in the app's selected currency.

Amplitude's `revenue` metrics
[add up amounts of all currencies as plain numbers](https://amplitude.com/docs/data/currency-conversion); only its
derived property *Currency Converted Revenue* converts. `flybridge init` therefore writes `usd` into a new
configuration. Text in `af_revenue` is read where it can mean one amount only (`1,234.56`, `9,99`, `$9.99`, `(9.99)`
for a negative one); `1,234`, `10K` and `15.000 €` are left out and noted, and so is what names another currency than
the event's (`$9` with EUR). In a currency without cents three digits are thousands. Where no currency is stated, that
of `9,99 €` is taken.

## Times

AppsFlyer's times are UTC, `2026-01-31 23:59:59.123`; those in the app's zone have an offset, or are of
`selected_timezone`. What spreadsheets and programs make of them is read, too, where it can mean one moment only
(`2026/01/31 11:59:59 PM`, `31.01.2026 23:59`, `Jan 31, 2026, 11:59 PM`, seconds since 1970). `02/01/2026` may be two
days: the message is dated to its reception, and noted.

## User properties

A conversion goes to Amplitude with an `$identify` event, in one request and counted as one message. It sets what the
attribution has and removes what it lacks, so that no media source stands beside the campaign of another. An install
also writes `[AppsFlyer] initial ...` by `$setOnce`: where the user first came from. What is absent there is `(none)`.
On the route `attribution` there is no `$identify`: Amplitude keeps what an attribution lacks from the one before.

A message that is sent more than `amplitude.current_hours` after its reception carries `$skip_user_properties_sync`:
it keeps its own app version and place, and those of the user stay as they are. Its `$identify` event applies all the
same.

## One event once

A conversion is known by app, AppsFlyer id, kind and the second it happened in: pushed or read from a file, it is one
event and has one `insert_id`. A re-engagement without `event_time` is known by all its fields. Without an AppsFlyer id
and a customer user id the person is known by a device identifier, in either case of letters.

An in-app event is known by app, AppsFlyer id, name, second, value and revenue, and within that second:

- Where a message reports milliseconds, as pushes do, each millisecond is an event: two equal purchases 850 ms apart are
  two. The same millisecond again is a repeat.
- Where a report has whole seconds, as files do, its equal rows are counted: two rows are two events.
- Both together: there are as many events as milliseconds, or as equal rows, whichever is greater, in whatever order
  they arrive. Two pushes and a file with two equal rows are two events, a third row is a third.

The `insert_id` is the hash of what the event is known by, with the millisecond or the number of the row.

## Double attribution

Within an open re-engagement window AppsFlyer
[reports an in-app event twice](https://support.appsflyer.com/hc/en-us/articles/360016371077): for the re-engagement
(`is_primary_attribution` is true) and for the source of the install (false).
`mapping.double_attribution` decides:

| value | what is sent |
| --- | --- |
| `primary` (default) | the primary copy; the other is filtered as `secondary_attribution`, whichever comes first |
| `both` | both, as two events: revenue counts twice |
| `first` | whichever comes first; the other is a `duplicate` |

Select `is_primary_attribution` in AppsFlyer: without it the two can't be distinguished, and the first is sent. After a
change from `first` to `primary`, a primary copy whose secondary was sent already is a `duplicate`: Amplitude ignores a
second event with the same `insert_id`, so the attribution of that event can't be corrected there. After a change from
`both` it is sent, because it is an event of its own.
"""


if __name__ == "__main__":
    sys.stdout.write(page())
