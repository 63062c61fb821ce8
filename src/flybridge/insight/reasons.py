"""The meaning and the remedy of each reason code, in the words of docs/reference/reasons.md.

The page is for reading, this table for programs that show sentences; a test keeps the two the same, word for word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from flybridge.records import OutcomeKind


class Reason(Struct, frozen=True):
    """The meaning of a reason code, and what to do about it."""

    meaning: str
    remedy: str


NEVER_MAPPED: Final = frozenset(
    {
        "not_json", "not_an_object", "not_query", "nested_too_deep", "no_event_name", "no_event_time", "other_app",
        "unknown_app", "too_slow", "fault",
    }
)  # fmt: skip
"""Reasons of dead letters of which not even the event is known: they are in no figure of performance."""

UNKNOWN: Final = Reason("this version has no words for it", "see the log")

_K: Final = OutcomeKind
_LEFT_OUT: Final[Mapping[str, Reason]] = {
    "condition_not_met": Reason(
        "a condition of the stream that names it, or of the mapping, leaves it out",
        "see `apps.streams.where` and `mapping.where`",
    ),
    "native_integration": Reason(
        "an AppsFlyer event that flybridge has not sent: Amplitude's own AppsFlyer integration is on, too",
        "switch it off in AppsFlyer or Amplitude: installs are counted twice",
    ),
    "other_platform": Reason(
        "an event of another mobile platform than the app's", "nothing; stream it to the app of that platform, too"
    ),
    "loop_guard": Reason("the event came from AppsFlyer", "nothing; `loop = true` sends it back"),
}
"""Reasons for which an event of Amplitude is not sent to AppsFlyer, whether it has identified a user or not."""

_BY_OUTCOME: Final[Mapping[OutcomeKind, Mapping[str, Reason]]] = {
    _K.PENDING: {
        "matched": Reason("an identifier was matched to its user", "nothing"),
        "as_customer_user_id": Reason(
            "no user was seen within the window, and it was sent under its customer user id",
            "nothing; see `hold.at_expiry`",
        ),
        "released": Reason("an operator released it", "nothing"),
        "conflict": Reason(
            "its identifiers belong to different users; the newest was used",
            "if there are many, see whether devices are shared, or test devices reused",
        ),
    },
    _K.HELD: {
        "": Reason("waits until Amplitude shows its user", "nothing; if all are held, see step 5 of the set-up"),
    },
    _K.EXPIRED: {
        "": Reason(
            "no user with one of its identifiers was seen within `hold.window_hours`",
            "compare which identifiers both SDKs collect; let the app pass its Amplitude device id; hold longer",
        ),
        "by_hand": Reason("an operator ended the wait", "nothing"),
    },
    _K.DUPLICATE: {
        "": Reason("the same content was filed before", "nothing: a repeat has no effect"),
    },
    _K.FILTERED: {
        "event_excluded": Reason(
            "`mapping.include` or `mapping.exclude` leave this event out", "change them if you miss it"
        ),
        "in_app_on_attribution_route": Reason(
            "an in-app event on the route `attribution`, which takes conversions only",
            "deselect in-app events in AppsFlyer, or choose `http_v2`",
        ),
        "blocked_as_fraud": Reason("AppsFlyer has blocked it as fraud", "nothing"),
        "secondary_attribution": Reason(
            "AppsFlyer reports the event twice, and this copy is not the primary attribution",
            "nothing; see `mapping.double_attribution`",
        ),
        "came_by_stream": Reason(
            "a stream has sent this in-app event from Amplitude to AppsFlyer, which pushes it back",
            "nothing: Amplitude has it; `loop = true` in the stream brings it all the same",
        ),
        "uninstall": Reason("an uninstall: not an action of a user", "nothing"),
        "skadnetwork": Reason(
            "a SKAdNetwork message: it has no user, and is counted by campaign", "nothing; see `flybridge performance`"
        ),
        "not_chosen": Reason("no stream names this event of Amplitude", "add it to `apps.streams` if you miss it"),
        **_LEFT_OUT,
        "no_appsflyer_id": Reason(
            "the event has no AppsFlyer id, and no postback has shown one for its device or user",
            "pass the id to Amplitude, or set `wait_hours`",
        ),
        "bad_appsflyer_id": Reason(
            "its value can't be an AppsFlyer id, and no postback has shown one",
            "correct the property, or where `properties` looks for it",
        ),
        "nothing_to_learn": Reason(
            "an event, user or cohort of Amplitude without an identifier to match by",
            "let the app send one, see the set-up",
        ),
    },
    _K.REFUSED: {
        "restricted_source": Reason(
            "the media source's policy is `drop`", "change `apps.restrictions` if your contract allows"
        ),
        "no_usable_id": Reason(
            "the Attribution API needs an advertising id, vendor id or App Set id; there is none, or the person has "
            "not allowed it",
            "route `http_v2` finds users by other identifiers too",
        ),
        "no_identity": Reason(
            "no user, no device, and no identifier to wait with",
            "select the identifier fields in AppsFlyer's Push API settings; in a report, AppsFlyer ID",
        ),
        "platform_unsupported": Reason("the Attribution API knows Android and iOS only", "route `http_v2`"),
    },
    _K.APPLIED: {
        "sighting": Reason("identified a user; nothing to send", "nothing"),
        "cohort": Reason(
            "changed the members of a cohort that an audience follows; the next run of the audience sends the "
            "difference",
            "nothing",
        ),
        "not_chosen": Reason(
            "identified a user; no stream names this event", "add it to `apps.streams` if AppsFlyer is to have it"
        ),
        **{code: Reason(f"identified a user; {reason.meaning}", reason.remedy) for code, reason in _LEFT_OUT.items()},
    },
    _K.FORGOTTEN: {
        "": Reason("it was held, in flight or dead when its person was forgotten", "nothing"),
        "before_request": Reason(
            "it came, or was processed, later, and happened before the request or does not say when", "nothing"
        ),
    },
    _K.DEAD: {
        "not_json": Reason("the message is not readable JSON", "find out who sends to this address"),
        "bad_row": Reason(
            "a line of a file is not a row: the detail names file and line",
            "correct the line and import the file again",
        ),
        "not_an_object": Reason("JSON, but not an object with fields", "one message per request"),
        "not_understood": Reason(
            "no event, user or cohort of Amplitude can be read from the message; the detail names its keys, or the "
            "field that is wrong",
            "set `amplitude.stream_fields`, or send the default payload; then replay",
        ),
        "not_query": Reason(
            "a GET whose query string holds no fields", "correct the endpoint's address, or choose POST"
        ),
        "nested_too_deep": Reason(
            "objects or lists nested deeper than can be read", "find out who sends to this address"
        ),
        "no_event_name": Reason(
            "it names no event (`event_name`), and is no conversion",
            "select `event_name` in AppsFlyer; in a report, Event Name",
        ),
        "no_event_time": Reason(
            "a row of a file or report without a time that can be read: history can't be dated to today",
            "export it with Event Time, as `2026-01-31 23:59:59`, and import it again",
        ),
        "larger_than_1kb": Reason(
            "an event for AppsFlyer is too large even without all that may be left out",
            "a shorter name (`rename`), fewer parameters (`without`)",
        ),
        "several_events": Reason(
            "a list of events that was stored before the app had streams, or is nested",
            "send its events again: a list is now taken apart on arrival",
        ),
        "other_app": Reason(
            "its `app_id`, `bundle_id` or `platform` is of another app than the address it was posted to",
            "correct the address in AppsFlyer, or `appsflyer_app_id`; then replay",
        ),
        "unknown_app": Reason("the app was taken out of the configuration", "add it again, then replay"),
        "too_slow": Reason("processing this message did not end in time", "report it; replay after an upgrade"),
        "fault": Reason("flybridge itself failed on this message", "report it; replay after an upgrade"),
        "invalid_event": Reason(
            "the vendor refuses the event; the detail has its words", "correct the mapping, or replay after an upgrade"
        ),
        "invalid_fields": Reason("the vendor names fields it refuses", "leave the field out, or correct the mapping"),
        "invalid_appsflyer_id": Reason(
            "AppsFlyer refuses the event's AppsFlyer id", "see `flybridge explain`, correct the property"
        ),
        "silenced": Reason(
            "Amplitude has silenced the event's device", "unblock it in Amplitude, unless it is a test device"
        ),
        "too_large": Reason("one item alone is larger than the vendor takes", "leave fields out in the mapping"),
        "tries_spent": Reason("every try failed; the detail has the last answer", "find the cause, then replay"),
        "refused_alone": Reason(
            "the vendor refused a request with only this item again and again, while others passed",
            "check the item: a firewall may object to a text in it",
        ),
        "taken_out": Reason("an operator took it out of the queue", "nothing; replay it if it is to be sent after all"),
        "unfit": Reason("no request can be built from the item", "report it"),
        "sealed": Reason(
            "its content can't be opened: it was sealed with another secret, or it is damaged",
            "put the former secret into `former_secrets`, restart, and replay",
        ),
        "damaged": Reason(
            "it could not be opened in the inbox, and an operator gave it up: its content is lost",
            "ask the sender to send again what it sent on that day",
        ),
        "uncertain": Reason(
            "the answer was lost, the vendor may have it and can't recognise a repeat, and `delivery.uncertain` is "
            "`park`",
            "look for it at the vendor; replay it if it is not there",
        ),
    },
}

REASONS: Final = {(outcome, code): one for outcome, codes in _BY_OUTCOME.items() for code, one in codes.items()}
"""The sentences of each outcome and code."""


def reason_of(outcome: str, code: str) -> Reason:
    """Return the sentences for a code. Delivered and pending share theirs: their codes say how the user was found."""
    kind = OutcomeKind.PENDING if outcome == OutcomeKind.DELIVERED else OutcomeKind(outcome)
    return REASONS.get((kind, code), UNKNOWN)
