"""What needs attention, from a reading: each finding is a sentence with what to do. Pure.

The bridge is well only if nothing is found: the banner on every page is made of these findings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from flybridge.delivery.circuit import Circuit, Phase
from flybridge.insight.heard import refused_sentence, silence_sentence, unstored_sentence
from flybridge.insight.hints import Known, hint
from flybridge.insight.native import native_warnings
from flybridge.insight.standstill import audience_sentence, refused_start_sentence, standing_still
from flybridge.insight.unwritten import silent_sentence, unwritten_sentence
from flybridge.notifications.concern import notification_key
from flybridge.records import OutcomeKind
from flybridge.system.counted import plural, span
from flybridge.web.console.reading import Reading
from flybridge.web.console.words import lane_name, masked_sentence, shown

SLOW_INBOX_MS: Final = 300_000

BAD: Final = "bad"
WARN: Final = "warn"


class Notice(Struct, frozen=True):
    """Something that needs attention: `bad` if an operator has to act, `warn` if it should be looked at.

    `key` says what it is and of what, and is the same as long as it lasts; `state` changes if it becomes something else
    in a way that people want to hear of. A number in the sentence may change with each reading.
    """

    level: str
    sentence: str
    path: str = ""
    key: str = ""
    state: str = ""


class BridgeCondition(Struct, frozen=True):
    """All findings, the worst first."""

    findings: Sequence[Notice] = ()

    @property
    def level(self) -> str:
        """The worst level, or `good`."""
        levels = {one.level for one in self.findings}
        return BAD if BAD in levels else WARN if WARN in levels else "good"

    @property
    def sentence(self) -> str:
        """The state in a few words."""
        bad = sum(one.level == BAD for one in self.findings)
        if bad:
            return f"{plural(bad, 'problem')}: action needed"
        return f"{plural(len(self.findings), 'thing')} to check" if self.findings else "All is well"


def condition(reading: Reading) -> BridgeCondition:
    """Return what needs attention."""
    parts = (
        _of_starts,
        _of_store,
        _of_account,
        _of_lanes,
        _of_senders,
        _of_audiences,
        _of_inbox,
        _of_retries,
        _of_events,
        _of_messages,
    )
    found = [finding for part in parts for finding in part(reading)]
    return BridgeCondition(sorted(found, key=lambda one: one.level != BAD))


def _of_starts(reading: Reading) -> list[Notice]:
    return [
        Notice(BAD, refused_start_sentence(one), "/setup", f"refused_start/{one.role}")
        for one in reading.refused_starts
    ]


def _of_store(reading: Reading) -> list[Notice]:
    if reading.unwritten:
        return [Notice(BAD, masked_sentence(unwritten_sentence(reading.unwritten)), "/flow", "store")]
    if reading.silent_ms:
        return [Notice(BAD, silent_sentence(span(reading.silent_ms)), "/flow", "store")]
    return []


def _of_account(reading: Reading) -> list[Notice]:
    return [
        Notice(
            BAD,
            f"{shown(wrong.app)}, {wrong.day}: {wrong.what} Expected {wrong.expected:,}, found {wrong.found:,}.",
            "/account",
            f"account/{wrong.app}/{wrong.day}",
        )
        for wrong in reading.account.discrepancies
    ]


def _of_lanes(reading: Reading) -> list[Notice]:
    return [
        Notice(
            level_of(circuit),
            f"{lane_name(lane)}: {paused(circuit, reading.at_ms)}",
            "/flow",
            f"lane/{lane.app}/{lane.endpoint}",
            circuit.reason if circuit.halted else "",
        )
        for lane, circuit in sorted((reading.circuits or {}).items())
        if circuit.phase is not Phase.CLOSED
    ]


def _of_retries(reading: Reading) -> list[Notice]:
    """Return lanes that send, and yet have deliveries that have to be tried again for long."""
    circuits = reading.circuits or {}
    return [
        Notice(
            WARN,
            f"{lane_name(depth.lane)}: {plural(depth.later, 'event')} could not be sent, and "
            f"{'waits' if depth.later == 1 else 'wait'} for another try.",
            "/flow",
            f"lane/{depth.lane.app}/{depth.lane.endpoint}",
        )
        for depth in reading.lanes
        if depth.later and (depth.lane not in circuits or circuits[depth.lane].phase is Phase.CLOSED)
    ]


def _of_senders(reading: Reading) -> list[Notice]:
    found = []
    for one in reading.heard:
        for status, refusals in one.wrong(reading.at_ms).items():
            sentence = masked_sentence(refused_sentence(one, status, refusals.n))
            found.append(Notice(BAD, sentence, "/setup", f"refused/{one.app}/{one.source}/{status}"))
        if n := one.unstored(reading.at_ms):
            sentence = masked_sentence(unstored_sentence(one, n))
            found.append(Notice(BAD, sentence, "/flow", f"unstored/{one.app}/{one.source}"))
        if silent := one.silent_ms(reading.at_ms):
            sentence = masked_sentence(silence_sentence(one, silent))
            found.append(Notice(WARN, sentence, "/setup", f"silent/{one.app}/{one.source}"))
    return found


def _of_audiences(reading: Reading) -> list[Notice]:
    return [
        Notice(
            BAD if run.outcome == "stopped" else WARN,
            masked_sentence(audience_sentence(app, name, run)),
            "/audiences",
            f"audience/{app}/{name}",
            run.outcome,
        )
        for app, name, run in standing_still(reading.runs)
    ]


def _of_inbox(reading: Reading) -> list[Notice]:
    if reading.inbox_away:
        sentence = f"The inbox can't be read, so what it holds is missing from these sums: {reading.inbox_away}"
        return [Notice(BAD, masked_sentence(sentence), "/flow", "inbox")]
    depth, found = reading.depth, []
    if depth and depth.unreadable:
        sentence = (
            f"{plural(depth.unreadable, 'message')} in the inbox can't be opened: put the former `secret` into "
            "`former_secrets`, or restore the inbox from a copy."
        )
        found.append(Notice(BAD, sentence, "/flow", "unreadable"))
    if depth and depth.oldest_ms and reading.at_ms - depth.oldest_ms > SLOW_INBOX_MS:
        age = span(reading.at_ms - depth.oldest_ms)
        sentence = f"The oldest message in the inbox has waited for {age}: is a worker running?"
        found.append(Notice(WARN, sentence, "/flow", "inbox_late"))
    return found


def _of_events(reading: Reading) -> list[Notice]:
    found = []
    if dead := sum(count.n for count in reading.counts if count.outcome == OutcomeKind.DEAD):
        sentence = f"{plural(dead, 'event')} could not be processed or delivered."
        found.append(Notice(WARN, sentence, "/dead", "dead", _magnitude(dead)))
    found += [
        Notice(WARN, masked_sentence(one), "/events?reason=native_integration", f"native/{one.partition(':')[0]}")
        for one in native_warnings(reading.counts, reading.at_ms)
    ]
    if uncertain := sum(count.n for count in reading.uncertain):
        sentence = (
            f"{plural(uncertain, 'event')} may be at the vendor more than once, because answers were lost: see "
            "`flybridge lanes uncertain`."
        )
        found.append(Notice(WARN, sentence, key="uncertain", state=_magnitude(uncertain)))
    found += [
        Notice(WARN, masked_sentence(fall.sentence), "/holds", f"coverage/{fall.app}/{fall.platform}/{fall.kind}")
        for fall in reading.falls
    ]
    waiting = Counter[str]()
    for held in reading.holds:
        waiting[held.app] += held.n
    for app, n in sorted(waiting.items()):
        known = reading.known.get(app, Known())
        if not known.streaming or not known.kinds:
            sentence = f"{plural(n, 'event waits', 'events wait')}. {hint(shown(app), (), 0, known)}"
            found.append(Notice(WARN, sentence, "/holds", f"unmatched/{app}"))
    return found


def _of_messages(reading: Reading) -> list[Notice]:
    return [
        Notice(
            WARN, f"The last notification by {channel} did not arrive: {problem}", "/setup", notification_key(channel)
        )
        for channel, problem in sorted(reading.unsent.items())
    ]


def _magnitude(n: int) -> str:
    """Return the number of digits: what has grown tenfold is worth another word."""
    return str(len(str(n)))


def level_of(circuit: Circuit) -> str:
    """Return how bad it is that a lane is paused: an outage ends by itself, a refusal needs an operator."""
    return BAD if circuit.halted else WARN


def paused(circuit: Circuit, now_ms: int) -> str:
    """Return why a lane is paused, what the vendor said, what to do, and when it tries again."""
    again = f"Tries again in {span(circuit.until_ms - now_ms)}." if circuit.until_ms > now_ms else "Tries again now."
    why = f"{circuit.reason}. " if circuit.reason else ""
    answer = f"{masked_sentence(circuit.words)}. " if circuit.words else ""
    return f"Paused: {why}{answer}{masked_sentence(circuit.remedy)} {again}"
