"""Why the counts of AppsFlyer, flybridge and Amplitude differ: the closed list of causes, as data.

A cause belongs to one of two steps: from AppsFlyer's count to flybridge's, and from there to Amplitude's. What none of
them explains is `UNEXPLAINED`, which is no cause. docs/reference/differences.md is printed from this module.

https://support.appsflyer.com/hc/en-us/articles/19384888063249 and
https://amplitude.com/docs/faq/data-discrepancies-with-other-platforms (read 2026-11-27).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from msgspec import Struct

APPSFLYER: Final = "appsflyer"
"""The step from AppsFlyer's count to flybridge's."""

AMPLITUDE: Final = "amplitude"
"""The step from flybridge's count to Amplitude's."""

STEPS: Final[Mapping[str, str]] = {
    APPSFLYER: "From AppsFlyer to flybridge",
    AMPLITUDE: "From flybridge to Amplitude",
}

UNEXPLAINED: Final = "unexplained"


class DifferenceCause(Struct, frozen=True):
    """One cause. `sentence` is for a marketer, `remedy` says what can be done, `evidence` what it is counted by."""

    step: str
    code: str
    title: str
    sentence: str
    remedy: str
    evidence: str


_APPSFLYER: Final = partial(DifferenceCause, APPSFLYER)
_AMPLITUDE: Final = partial(DifferenceCause, AMPLITUDE)
_ALL: Final = (
    _APPSFLYER(
        "booking_day",
        "Booked on another day",
        "AppsFlyer books in-app events on the day of the install, flybridge and Amplitude on the day they happened.",
        "Compare events over several weeks, or installs; with `insight.reconcile_by_master` AppsFlyer's Master API is "
        "asked for events by their own day.",
        "flybridge's own events of these installs, against its events of that day",
    ),
    _APPSFLYER(
        "conversion_definition",
        "Counted as something else",
        "AppsFlyer's user acquisition figures leave out what belongs to retargeting campaigns, and its cohorts what "
        "began with a reinstall.",
        "Nothing; in AppsFlyer choose the unified view to see both together.",
        "events that were received with a retargeting campaign; of cohorts, what began with a reinstall or with a "
        "conversion that never came",
    ),
    _APPSFLYER(
        "secondary_copies",
        "Reported twice by AppsFlyer",
        "Within a re-engagement window AppsFlyer counts an event for the source of the install as well; flybridge "
        "counts it once, for the source that brought the person back.",
        "Nothing; see `mapping.double_attribution`.",
        "messages that are not the primary attribution",
    ),
    _APPSFLYER(
        "rate",
        "Converted at another rate",
        "AppsFlyer converts an amount into the app's currency at its own rate; flybridge by your rate table where the "
        "message has no converted amount, and not at all where there is no rate.",
        "Set `apps.insight.rates`, or select the converted revenue in AppsFlyer's Push API settings.",
        "AppsFlyer's amount of each event in its raw data against flybridge's, by currency",
    ),
    _APPSFLYER(
        "opened_only",
        "Opened without an event",
        "AppsFlyer counts who opened the app; flybridge sees a person only by a conversion or an in-app event.",
        "Nothing; let the app log an event when it is opened if retention is to be the same.",
        "people whom AppsFlyer counts on a day after the install, and of whom flybridge has no event (cohorts only)",
    ),
    _APPSFLYER(
        "restricted",
        "Source withheld by AppsFlyer",
        "Some media sources forbid naming them in raw data: AppsFlyer counts the install for its source, and reports "
        "it as restricted or organic.",
        "Nothing: AppsFlyer's contract with the source says so. To compare, add up named sources, restricted and "
        "organic.",
        "what was received as restricted or organic beyond AppsFlyer's own count of these",
    ),
    _APPSFLYER(
        "unreadable",
        "Received, but not readable",
        "The message came and could not be processed; it waits as a dead letter and is not counted yet.",
        "See `flybridge dead`; correct what its remedy names, and replay it.",
        "dead letters that were never mapped: each as one of the messages of its day, or of a day before it, that "
        "AppsFlyer's raw data has and flybridge has not; else dead letters of that day, and for all in-app events "
        "together of later days too",
    ),
    _APPSFLYER(
        "gap",
        "Never received",
        "AppsFlyer sent messages while flybridge was not running, and does not send them again; or it did not push an "
        "event that its raw data has.",
        "See `flybridge gaps --fill`: it reads exactly what is missing.",
        "events of AppsFlyer's raw data that never came, or what `flybridge gaps` has found missing; else the times at "
        "which no process of flybridge was running",
    ),
    _APPSFLYER(
        "not_final",
        "AppsFlyer still counts",
        "AppsFlyer's figures of a day are final only after 48 hours.",
        "Look again when the day is final.",
        "what remains on a day that is not final",
    ),
    _AMPLITUDE(
        "corrected",
        "Attributed to another source later",
        "AppsFlyer corrected the source after the event was sent: the figures follow, the event in Amplitude stays as "
        "it was sent.",
        "Nothing.",
        "conversions that came again with another source",
    ),
    _AMPLITUDE(
        "held",
        "Waits for its user",
        "No user in Amplitude has shown one of its identifiers yet.",
        "Nothing yet. If many wait for days, let the app pass its Amplitude device id to AppsFlyer.",
        "events that are held, by the kinds of their identifiers",
    ),
    _AMPLITUDE(
        "expired",
        "No user was found in time",
        "No user in Amplitude showed one of its identifiers within the window.",
        "Let the app pass its Amplitude device id to AppsFlyer, or make `hold.window_hours` longer.",
        "events that expired, by the kinds of their identifiers",
    ),
    _AMPLITUDE(
        "no_identity",
        "Nothing to find a user by",
        "The message has no user, no device and no identifier.",
        "Select the identifier fields in AppsFlyer's Push API settings.",
        "events that were refused for it",
    ),
    _AMPLITUDE(
        "privacy",
        "The person has not allowed it",
        "The person has not allowed an advertising or vendor id to be used, and the Attribution API needs one.",
        "Route `http_v2` finds users by other identifiers too.",
        "events that were refused for it",
    ),
    _AMPLITUDE(
        "restricted_by_policy",
        "Source withheld by your policy",
        "The policy for this media source sends nothing, or sends the event as restricted or organic.",
        "Change `apps.restrictions` if your contract with the source allows.",
        "events that were refused, or whose source was changed, by a policy",
    ),
    _AMPLITUDE(
        "fraud",
        "Blocked as fraud",
        "AppsFlyer blocked it as fraud: it is not sent.",
        "Nothing.",
        "events that were counted and then filtered as fraud",
    ),
    _AMPLITUDE(
        "filtered",
        "Left out by your configuration",
        "The configuration leaves this event out.",
        "See `mapping.include`, `mapping.exclude` and `mapping.where`.",
        "events that were filtered, by reason",
    ),
    _AMPLITUDE(
        "refused",
        "Refused by a rule",
        "A rule forbids sending it.",
        "See the reason in docs/reference/reasons.md.",
        "events that were refused, by reason",
    ),
    _AMPLITUDE(
        "silenced",
        "Device silenced in Amplitude",
        "Amplitude has blocked the device or user, and accepts none of its events.",
        "Unless it is a test device, unblock it in Amplitude, and replay the dead letters.",
        "dead letters with Amplitude's answer",
    ),
    _AMPLITUDE(
        "rejected",
        "Rejected by Amplitude",
        "Amplitude refuses the event for what it holds.",
        "Correct the mapping by the dead letter's detail, and replay.",
        "dead letters with Amplitude's answer",
    ),
    _AMPLITUDE(
        "dead",
        "Not deliverable so far",
        "It could not be delivered and waits as a dead letter.",
        "See `flybridge dead`; correct what its remedy names, and replay it.",
        "dead letters, by reason",
    ),
    _AMPLITUDE(
        "in_flight",
        "On its way",
        "It is to be sent: Amplitude is slow or away, or has just begun to answer again.",
        "Nothing; see `flybridge lanes` if it lasts.",
        "events that are due or being sent",
    ),
    _AMPLITUDE(
        "forgotten",
        "Removed on request",
        "The person asked to be forgotten before it was sent.",
        "Nothing.",
        "events that ended as forgotten",
    ),
    _AMPLITUDE(
        "duplicate",
        "Counted on its second arrival",
        "The message came twice: the first was not counted, the second not sent.",
        "Nothing.",
        "duplicates that are counted",
    ),
    _AMPLITUDE(
        "secondary_sent",
        "Second copy sent as well",
        "`mapping.double_attribution` sends both copies of an event that AppsFlyer attributes twice; it is counted "
        "once.",
        'Set `mapping.double_attribution = "primary"` to send one.',
        "copies that were delivered",
    ),
    _AMPLITUDE(
        "same_name",
        "Several kinds under one name",
        "Another kind of event is sent under the same name in Amplitude.",
        "See `mapping.rename`: give each kind a name of its own.",
        "delivered events of the other kinds",
    ),
    _AMPLITUDE(
        "amplitude_unmatched",
        "Amplitude found no user",
        "The Attribution API accepted it, and drops it silently if no user shows its identifier within 72 hours.",
        'Set `hold.v1 = "when-seen"`, so that flybridge waits and accounts for it, or the route `http_v2`.',
        "delivered to the Attribution API, and not in Amplitude",
    ),
    _AMPLITUDE(
        "second_integration",
        "Another integration sends it, too",
        "Amplitude's own AppsFlyer integration is on beside flybridge: events are counted twice.",
        "Switch it off in AppsFlyer or Amplitude.",
        "AppsFlyer events in Amplitude that flybridge has not sent",
    ),
    _AMPLITUDE(
        "sent_by_app",
        "The app sends it, too",
        "Amplitude has in-app events of this name without AppsFlyer's media source: the app, its server or another "
        "tool sends them by itself.",
        "If they are the same events, leave them out with `mapping.exclude`, or keep them apart with `mapping.rename`: "
        "else Amplitude counts them twice.",
        "in-app events in Amplitude without a media source that flybridge has not sent: by their insert ids where each "
        "is looked for, else beyond what is lacking of named sources",
    ),
    _AMPLITUDE(
        "currency",
        "Amounts of several currencies added up",
        "Amplitude adds up the amounts of all currencies as plain numbers; flybridge and AppsFlyer convert them first.",
        'Set `mapping.revenue = "usd"` or "selected", or chart Currency Converted Revenue in Amplitude.',
        "each delivered event's amount as it was sent against the converted one, by currency",
    ),
    _AMPLITUDE(
        "day_boundary",
        "The day begins at another hour",
        "Amplitude's day is that of the project's time zone, and AppsFlyer's that of the app's.",
        "Set both to the same zone, or compare several days together.",
        "Amplitude's own counts by hour",
    ),
)

CAUSES: Final[Mapping[str, DifferenceCause]] = {one.code: one for one in _ALL}
"""All causes by code, in the order in which a report shows them."""
