"""The banner: green only if all is well. Each case that looks well from elsewhere turns it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from test_heard import NOW_MS, regular, unstored

from flybridge.delivery.circuit import Circuit, Phase
from flybridge.inbox.protocol import Depth
from flybridge.insight.account import Account
from flybridge.insight.heard import Heard
from flybridge.records import HOUR_MS
from flybridge.store.audiences.records import Run
from flybridge.store.figures import Discrepancy
from flybridge.store.records import Lane, LaneDepth
from flybridge.web.console.condition import condition
from flybridge.web.console.pages.flow import Pulse
from flybridge.web.console.reading import Reading

LANE = Lane("shop", "http_v2")
WELL = Reading(NOW_MS, Account([], {}, []), [], [], [], {}, [], circuits={LANE: Circuit()})


def refused(status: int, app: str = "shop") -> Heard:
    """Return an app whose sender was refused just now."""
    heard = Heard(app, "push")
    heard.refuse(status, 2, NOW_MS)
    return heard


def ran(outcome: str, detail: str = "") -> tuple[str, str, Run]:
    """Return a run of an audience."""
    return ("shop", "buyers", Run(began_ms=NOW_MS, outcome=outcome, detail=detail))


def test_it_is_green_if_nothing_is_found():
    """And says so."""
    found = condition(WELL)
    assert (found.level, found.sentence) == ("good", "All is well")


@pytest.mark.parametrize(
    ("changes", "level", "said"),
    [
        ({"depth": Depth(3, 0, 0, unreadable=2)}, "bad", "2 messages in the inbox can't be opened"),
        ({"heard": [refused(401)]}, "bad", "wrong token"),
        ({"heard": [refused(404, "")]}, "bad", "an address that belongs to no app"),
        ({"runs": [ran("stopped", "The import key is refused.")]}, "bad", "has stopped. The import key is refused."),
        ({"runs": [ran("held")]}, "warn", "held back"),
        ({"circuits": {LANE: Circuit(Phase.OPEN, halted=True, reason="HTTP 401", remedy="Check the key.")}}, "bad",
         "Check the key."),
        ({"circuits": {LANE: Circuit(Phase.OPEN, reason="HTTP 503")}}, "warn", "HTTP 503"),
        ({"lanes": [LaneDepth(LANE, 0, 5, 0, 0)]}, "warn", "5 events could not be sent"),
        ({"heard": [regular(10, last_ms=NOW_MS - 5 * HOUR_MS)]}, "warn", "nothing has come from AppsFlyer for 5 h"),
        ({"inbox_away": "no quorum"}, "bad", "missing from these sums: no quorum"),
        ({"unwritten": "The disk is full."}, "bad", "nothing is filed or sent: The disk is full."),
        ({"silent_ms": 5 * 60_000}, "bad", "No worker has written to the store for 5 min, so that nothing is filed"),
        ({"heard": [unstored()]}, "bad", "got 503, because the inbox does not store: The stream is full."),
        ({"account": Account([], {}, [Discrepancy("shop", "2026-01-01", "Lost.", 2, 1)])}, "bad", "found 1."),
    ],
)  # fmt: skip
def test_each_case_turns_it(changes, level, said):
    """With a sentence that says what to do."""
    found = condition(replace(WELL, **changes))
    assert found.level == level
    assert said in found.findings[0].sentence
    assert found.sentence != "All is well"


def test_only_the_last_run_of_an_audience_counts():
    """One that goes on again is well."""
    assert condition(replace(WELL, runs=[ran("done"), ran("stopped")])).level == "good"


def test_the_worst_is_first():
    """What needs an operator stands before what should be looked at."""
    found = condition(replace(WELL, lanes=[LaneDepth(LANE, 0, 5, 0, 0)], heard=[refused(401)]))
    assert [one.level for one in found.findings] == ["bad", "warn"]
    assert found.sentence == "1 problem: action needed"


def test_text_from_outside_is_masked_and_plain():
    """A vendor's words may repeat what it was sent."""
    words = "<script> of ann@example.com \u202e \x1b[31m"
    (found,) = condition(replace(WELL, circuits={LANE: Circuit(Phase.OPEN, words=words)})).findings
    assert "ann@example.com" not in found.sentence
    assert "\u202e" not in found.sentence
    assert "\x1b" not in found.sentence


def test_rates_are_of_the_last_minute():
    """The first reading knows none, and an old one is forgotten."""
    pulse = Pulse()
    assert pulse.beat(WELL).received is None
    for seconds in range(1, 200):
        rates = pulse.beat(replace(WELL, at_ms=NOW_MS + seconds * 1000))
    assert rates.received == 0
    assert rates.over_s == 60
    assert pulse.beat(replace(WELL, at_ms=NOW_MS)).received is None
