"""Each difference between the three counts of a day is given to its cause, with the right number, and no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from flybridge.cli.reconcile import _cause
from flybridge.insight.causes import AMPLITUDE, APPSFLYER, CAUSES, STEPS, UNEXPLAINED
from flybridge.insight.comparison import (
    ALL_EVENTS,
    ComparedGroup,
    ComparedKey,
    ComparedRow,
    DayComparison,
    Part,
    events_by_cause,
    read,
    written,
)
from flybridge.insight.differences import notes_of, partly_compared, zones_apart
from flybridge.insight.never_came import unreadable_among
from flybridge.insight.performance import AppScope
from flybridge.insight.reconcile import AmplitudeCount, AppsFlyerCounts, DayEvidence, compare
from flybridge.operations.gathered import Gathered
from flybridge.records import OutcomeKind, Source
from flybridge.store.figures import Count, CountedOn, OutcomeCount
from flybridge.store.performance import day_number

NAMES = {("install", ""): "[AppsFlyer] Install", ("reinstall", ""): "[AppsFlyer] Reinstall"}


def evidence(
    outcomes: Mapping[tuple[str, ...], int], *, corrected: Mapping[str, int] | None = None, **fields
) -> DayEvidence:
    """Return the evidence of a day with these ledger rows: by kind, event, source, outcome and, if any, reason."""
    rows = [
        OutcomeCount(1, kind, event, source, outcome, rest[0] if rest else "", rest[1] if len(rest) > 1 else "", n)
        for (kind, event, source, outcome, *rest), n in outcomes.items()
    ]
    entered: dict[tuple[str, str, str], int] = {}
    for row in rows:
        at = (row.kind, row.event, row.media_source)
        entered[at] = entered.get(at, 0) + row.n
    counted = [
        CountedOn(1, kind, event, source, n + (corrected or {}).get(source, 0), n, 0)
        for (kind, event, source), n in entered.items()
    ]
    given = {
        "is_final": True,
        "name_of": lambda kind, event: NAMES.get((kind, event), event),
        "appsflyer": None,
        "amplitude": None,
    } | fields
    return DayEvidence("shop", 1, 0, counted=counted, outcomes=rows, **given)


def amplitude(counts: Mapping[str, int], name: str = "[AppsFlyer] Install", **others: Mapping[str, int]):
    """Return what Amplitude has, in the app's own zone."""
    named = {name: counts, **others}
    return {
        name: {source: AmplitudeCount(n, n) for source, n in by_source.items()} for name, by_source in named.items()
    }


def parts(found: DayComparison, kind: str = "install", event: str = "") -> dict[str, dict[str, int]]:
    """Return the parts of each source's row, by code, summed over details; what is unexplained is in it."""
    result: dict[str, dict[str, int]] = {}
    for row in found.rows:
        if (row.key.kind, row.key.event) != (kind, event):
            continue
        mine = result.setdefault(row.key.media_source, {})
        for part in row.parts:
            mine[part.code] = mine.get(part.code, 0) + part.n
        for step in (APPSFLYER, AMPLITUDE):
            if left := row.unexplained(step):
                mine[f"unexplained {step}"] = left
    return result


@pytest.mark.parametrize(
    ("outcome", "reason", "code"),
    [
        ("held", "", "held"),
        ("expired", "", "expired"),
        ("filtered", "event_excluded", "filtered"),
        ("filtered", "blocked_as_fraud", "fraud"),
        ("refused", "no_identity", "no_identity"),
        ("refused", "no_usable_id", "privacy"),
        ("refused", "restricted_source", "restricted_by_policy"),
        ("refused", "platform_unsupported", "refused"),
        ("dead", "silenced", "silenced"),
        ("dead", "invalid_fields", "rejected"),
        ("dead", "tries_spent", "dead"),
        ("pending", "matched", "in_flight"),
        ("forgotten", "", "forgotten"),
        ("duplicate", "", "duplicate"),
    ],
)
def test_what_was_not_delivered_is_told_by_its_outcome(outcome, reason, code):
    """Exactly as many as the ledger has."""
    found = compare(
        evidence(
            {("install", "", "tiktok", "delivered"): 7, ("install", "", "tiktok", outcome, reason): 3},
            amplitude=amplitude({"tiktok": 7}),
        )
    )
    assert parts(found) == {"tiktok": {code: -3}}


def test_a_source_of_which_appsflyer_says_nothing_is_not_compared():
    """Neither as 0, nor as unexplained; the others are."""
    found = compare(
        evidence(
            {("install", "", "TikTok", "delivered"): 7, ("install", "", "other", "delivered"): 3},
            appsflyer=AppsFlyerCounts("aggregate", {"other": 4}, frozenset({"tiktok"})),
        )
    )
    assert {row.key.media_source: row.appsflyer for row in found.rows} == {"TikTok": None, "other": 4}
    assert parts(found) == {"TikTok": {}, "other": {"unexplained appsflyer": -1}}


def test_what_waits_is_told_by_the_kinds_of_its_identifiers():
    """So that a marketer sees which one is missing."""
    found = compare(
        evidence(
            {("install", "", "a", "held", "", "idfa idfv"): 2, ("install", "", "a", "held", "", "adid"): 1},
            amplitude=amplitude({}),
        )
    )
    assert [(part.detail, part.n) for part in found.rows[0].parts] == [("idfa idfv", -2), ("adid", -1)]


def test_a_source_withheld_by_appsflyer_is_missing_there_and_more_elsewhere():
    """The sum is the same; who lacks most is given most."""
    rows = {
        ("install", "", "tiktok", "delivered"): 5,
        ("install", "", "meta", "delivered"): 8,
        ("install", "", "restricted", "delivered"): 6,
        ("install", "", "organic", "delivered"): 12,
    }
    counts = AppsFlyerCounts("aggregate", {"tiktok": 10, "meta": 11, "organic": 10})
    assert parts(compare(evidence(rows, appsflyer=counts))) == {
        "tiktok": {"restricted": -5},
        "meta": {"restricted": -3},
        "restricted": {"restricted": 6},
        "organic": {"restricted": 2},
    }


def test_no_more_is_withheld_than_came_without_its_source():
    """The rest is unexplained, or an outage."""
    rows = {("install", "", "tiktok", "delivered"): 5, ("install", "", "restricted", "delivered"): 2}
    counts = AppsFlyerCounts("aggregate", {"tiktok": 10})
    assert parts(compare(evidence(rows, appsflyer=counts)))["tiktok"] == {
        "restricted": -2, "unexplained appsflyer": -3,
    }  # fmt: skip
    assert parts(compare(evidence(rows, appsflyer=counts, was_down=True)))["tiktok"] == {"restricted": -2, "gap": -3}
    assert parts(compare(evidence(rows, appsflyer=counts, unreadable=1, was_down=True)))["tiktok"] == {
        "restricted": -2, "unreadable": -1, "gap": -2,
    }  # fmt: skip
    assert parts(compare(evidence(rows, appsflyer=counts, is_final=False)))["tiktok"] == {
        "restricted": -2, "not_final": -3,
    }  # fmt: skip


def test_what_never_came_is_of_the_source_that_raw_data_names():
    """A source that lacks more for another reason does not take it."""
    rows = {("install", "", "a", "delivered"): 5, ("install", "", "b", "delivered"): 5}
    counts = AppsFlyerCounts("aggregate", {"a": 12, "b": 9})
    missing = {ComparedKey("install", "", "b"): 3, ComparedKey("install", "", "restricted"): 2}
    found = compare(evidence(rows, appsflyer=counts, missing=missing, unreadable_among={("install", ""): 1}))
    assert parts(found) == {
        "a": {"gap": -2, "unexplained appsflyer": -5},
        "b": {"unreadable": -1, "gap": -2, "unexplained appsflyer": -1},
    }
    searched = compare(evidence(rows, appsflyer=counts, missing_of_kind={"install": 3}))
    assert parts(searched) == {
        "a": {"gap": -3, "unexplained appsflyer": -4}, "b": {"unexplained appsflyer": -4},
    }  # fmt: skip


INSTALLS, BUYS = ("install", ""), ("event", "buy")


@pytest.mark.parametrize(
    ("received", "stopped", "found"),
    [
        ({}, (), {}),
        ({"1970-01-02": 9}, (), {1: {INSTALLS: 2, BUYS: 3}}),
        ({"1970-01-02": 1}, (), {1: {INSTALLS: 1}}),
        ({"1970-01-02": 1, "1970-01-03": 3}, (), {1: {INSTALLS: 1}, 2: {INSTALLS: 3}}),
        ({"1970-01-03": 5}, (), {1: {INSTALLS: 1}, 2: {INSTALLS: 4}}),
        ({"1970-01-05": 5}, (), {1: {INSTALLS: 1}, 2: {INSTALLS: 4}}),
        ({"1970-01-05": 5}, (2,), {1: {INSTALLS: 2, BUYS: 3}}),
        ({"1970-01-01": 5}, (), {}),
    ],
)
def test_each_dead_letter_is_one_of_the_messages_that_never_came(received, stopped, found):
    """Of the day of its reception first, else of the last day before on which something was running."""
    missing = {1: Counter({INSTALLS: 2, BUYS: 3}), 2: Counter({INSTALLS: 4})}
    dates = {1: ["1970-01-02"], 2: ["1970-01-03"]}
    assert unreadable_among(missing, received, dates, stopped) == found


def test_a_dead_letter_on_a_date_of_two_days_is_counted_once():
    """Where the app's day begins within one of UTC."""
    missing = {1: Counter({INSTALLS: 1}), 2: Counter({INSTALLS: 1})}
    dates = {1: ["1970-01-01", "1970-01-02"], 2: ["1970-01-02", "1970-01-03"]}
    assert unreadable_among(missing, {"1970-01-02": 1}, dates, ()) == {1: {INSTALLS: 1}}


def test_more_than_appsflyer_counts_is_no_outage():
    """Nor anything else that is missing."""
    counts = AppsFlyerCounts("aggregate", {"tiktok": 3})
    found = compare(
        evidence({("install", "", "tiktok", "delivered"): 5}, appsflyer=counts, was_down=True, unreadable=9)
    )
    assert parts(found) == {"tiktok": {"unexplained appsflyer": 2}}


def test_events_are_booked_on_the_day_of_the_install():
    """All together, against flybridge's own events of these installs."""
    rows = {("event", "buy", "a", "delivered"): 6, ("event", "login", "a", "delivered"): 3}
    counts = AppsFlyerCounts("aggregate", booked_events={"a": 20, "b": 4})
    found = compare(evidence(rows, appsflyer=counts, cohort_events={"a": 20, "b": 4}))
    assert parts(found, "event", ALL_EVENTS) == {"a": {"booking_day": -11}, "b": {"booking_day": -4}}


def test_retargeted_events_and_second_copies_on_their_own_day():
    """AppsFlyer's user acquisition view has the copy, and not the primary."""
    rows = {
        ("event", "buy", "a", "delivered"): 6,
        ("secondary", "buy", "a", "filtered", "secondary_attribution"): 2,
        ("retargeted-event", "buy", "criteo", "delivered"): 2,
    }
    counts = AppsFlyerCounts("master", events={"buy": {"a": 8}})
    found = compare(evidence(rows, appsflyer=counts, amplitude=amplitude({"a": 6, "criteo": 2}, "buy")))
    assert parts(found, "event", "buy") == {
        "a": {"secondary_copies": -2},
        "criteo": {"conversion_definition": 2},
    }


def test_second_copies_that_are_sent_are_more_in_amplitude():
    """They are counted once."""
    rows = {("event", "buy", "a", "delivered"): 6, ("secondary", "buy", "a", "delivered"): 2}
    found = compare(evidence(rows, amplitude=amplitude({"a": 8}, "buy")))
    assert parts(found, "event", "buy") == {"a": {"secondary_sent": 2}}


def test_a_policy_moves_events_to_another_source():
    """As many as it changed, and no more."""
    rows = {("install", "", "meta", "delivered"): 9, ("install", "", "organic", "delivered"): 4}
    told = amplitude({"meta": 3, "restricted": 5, "organic": 4})
    found = compare(evidence(rows, amplitude=told, changed={"meta": {"redact": 5}}))
    assert parts(found) == {
        "meta": {"restricted_by_policy": -5, "unexplained amplitude": -1},
        "restricted": {"restricted_by_policy": 5},
        "organic": {},
    }


def test_another_integration_is_more_in_amplitude():
    """By what the stream has shown in sum, or exactly where each event was looked at."""
    rows = {("install", "", "a", "delivered"): 5, ("install", "", "b", "delivered"): 5}
    told = amplitude({"a": 10, "b": 10})
    found = compare(evidence(rows, amplitude=told, native=7))
    assert parts(found) == {
        "a": {"second_integration": 5}, "b": {"second_integration": 2, "unexplained amplitude": 3},
    }  # fmt: skip
    exact = {"[AppsFlyer] Install": {"a": AmplitudeCount(10, 10, 5), "b": AmplitudeCount(10, 10, 5)}}
    assert parts(compare(evidence(rows, amplitude=exact))) == {
        "a": {"second_integration": 5}, "b": {"second_integration": 5},
    }  # fmt: skip


def test_what_the_app_sends_by_itself_is_no_second_integration():
    """It is an in-app event without a media source; the stream shows another integration by its conversions only."""
    rows = {("event", "buy", "a", "delivered"): 5, ("event", "buy", "", "delivered"): 1}
    found = compare(evidence(rows, amplitude=amplitude({"a": 5, "": 31}, "buy"), native=9))
    assert parts(found, "event", "buy") == {"a": {}, "": {"sent_by_app": 30}}
    exact = {"buy": {"a": AmplitudeCount(7, 7, 2), "": AmplitudeCount(31, 31, 29)}}
    assert parts(compare(evidence(rows, amplitude=exact)), "event", "buy") == {
        "a": {"second_integration": 2}, "": {"sent_by_app": 29, "unexplained amplitude": 1},
    }  # fmt: skip


def test_events_that_have_lost_their_source_are_not_taken_for_those_of_the_app():
    """What named sources lack may be what Amplitude has without a source."""
    rows = {("event", "buy", "a", "delivered"): 5, ("event", "buy", "b", "delivered"): 4}
    found = compare(evidence(rows, amplitude=amplitude({"a": 2, "b": 4, "": 5}, "buy")))
    assert parts(found, "event", "buy") == {
        "a": {"unexplained amplitude": -3}, "b": {}, "": {"sent_by_app": 2, "unexplained amplitude": 3},
    }  # fmt: skip


def test_a_day_that_begins_at_another_hour():
    """By Amplitude's own hours; what is shown is what its dashboard shows."""
    told = {"[AppsFlyer] Install": {"a": AmplitudeCount(12, 10)}}
    found = compare(evidence({("install", "", "a", "delivered"): 10}, amplitude=told))
    assert (found.rows[0].amplitude, parts(found)) == (12, {"a": {"day_boundary": 2}})


def test_what_the_attribution_api_drops_is_known_on_its_route_only():
    """On the other nothing is dropped silently."""
    rows = {("install", "", "a", "delivered"): 10}
    told = amplitude({"a": 8})
    assert parts(compare(evidence(rows, amplitude=told, route="attribution"))) == {"a": {"amplitude_unmatched": -2}}
    assert parts(compare(evidence(rows, amplitude=told))) == {"a": {"unexplained amplitude": -2}}


def test_what_only_amplitude_has_is_shown_as_what_it_is():
    """An install is one, though flybridge has received none of that day."""
    (row,) = compare(evidence({}, amplitude=amplitude({"a": 4}), native=4)).rows
    assert (row.key.kind, row.key.event, row.flybridge, row.amplitude) == ("install", "", 0, 4)
    assert [(part.code, part.n) for part in row.parts] == [("second_integration", 4)]


def test_a_corrected_attribution_stays_in_amplitude_as_it_was_sent():
    """The figures follow AppsFlyer."""
    rows = {("install", "", "a", "delivered"): 5, ("install", "", "b", "delivered"): 5}
    found = compare(evidence(rows, corrected={"a": -1, "b": 1}, amplitude=amplitude({"a": 5, "b": 5})))
    assert parts(found) == {"a": {"corrected": 1}, "b": {"corrected": -1}}


def test_kinds_that_share_a_name_are_told_apart():
    """Amplitude's count is compared with the first of them."""
    rows = {("install", "", "a", "delivered"): 5, ("reinstall", "", "a", "delivered"): 2}
    found = compare(evidence(rows, name_of=lambda kind, event: "Install", amplitude=amplitude({"a": 7}, "Install")))
    assert parts(found) == {"a": {"same_name": 2}}
    assert [row.amplitude for row in found.rows] == [7, None]


def test_a_side_that_was_not_asked_is_not_compared():
    """Nor explained, nor unexplained."""
    (row,) = compare(evidence({("install", "", "a", "delivered"): 5})).rows
    assert (row.appsflyer, row.amplitude) == (None, None)
    assert (row.unexplained(APPSFLYER), row.unexplained(AMPLITUDE)) == (None, None)


def test_days_past_their_retention_are_not_compared_with_amplitude():
    """What became of their events is not known any more."""
    whole = evidence({("install", "", "a", "delivered"): 5}, amplitude=amplitude({"a": 9}))
    counted = [CountedOn(1, "install", "", "a", 9, 9, 4)]
    found = compare(DayEvidence("shop", 1, 0, is_final=True, counted=counted, outcomes=whole.outcomes,
                                name_of=whole.name_of, amplitude=whole.amplitude))  # fmt: skip
    assert found.rows[0].unexplained(AMPLITUDE) is None


counts = st.dictionaries(st.sampled_from(["a", "b", "organic", "restricted"]), st.integers(0, 30))


rows_of_a_day = st.dictionaries(
    st.tuples(
        st.sampled_from(["install", "reinstall", "event", "retargeted-event", "secondary"]),
        st.just(""),
        st.sampled_from(["a", "b", "organic", "restricted"]),
        st.sampled_from(list(OutcomeKind)),
    ),
    st.integers(1, 30),
)


@given(
    rows=rows_of_a_day,
    told=st.tuples(counts, counts),
    sums=st.fixed_dictionaries({"native": st.integers(0, 20), "unreadable": st.integers(0, 20)}),
    states=st.fixed_dictionaries({"was_down": st.booleans(), "is_final": st.booleans()}),
    route=st.sampled_from(["http_v2", "attribution"]),
    changed=st.dictionaries(st.sampled_from(["a", "b"]), st.fixed_dictionaries({"redact": st.integers(0, 9)})),
)
def test_the_sums_hold_and_no_evidence_is_used_twice(*, rows, told, sums, states, route, changed):
    """Whatever the counts are."""
    appsflyer, theirs = AppsFlyerCounts("aggregate", told[0]), amplitude(told[1])
    found = compare(
        evidence(rows, appsflyer=appsflyer, amplitude=theirs, route=route, changed=changed, **sums, **states)
    )
    used: dict[str, int] = {}
    for row in found.rows:
        for step, before, after in (
            (APPSFLYER, row.appsflyer, row.flybridge),
            (AMPLITUDE, row.flybridge, row.amplitude),
        ):
            if before is None or after is None:
                assert row.unexplained(step) is None
                continue
            explained = sum(part.n for part in row.parts if CAUSES[part.code].step == step)
            assert before + explained + row.unexplained(step) == after
        for part in row.parts:
            assert part.n
            used[part.code] = used.get(part.code, 0) + part.n
    assert 0 <= used.get("second_integration", 0) <= sums["native"]
    assert -sums["unreadable"] <= used.get("unreadable", 0) <= 0
    assert used.get("restricted", 0) == 0  # what is taken from one source is given to another
    assert used.get("restricted_by_policy", 0) == 0
    whole = ComparedGroup()
    for row in found.rows:
        whole.add(row)
    left = [abs(n) for row in found.rows for step in STEPS if (n := row.unexplained(step)) is not None]
    assert whole.left == (sum(left) if left else None)
    compared = {step: [row for row in found.rows if row.unexplained(step) is not None] for step in STEPS}
    named = {part.code for step in STEPS for row in compared[step] for part in row.parts
             if CAUSES[part.code].step == step}  # fmt: skip
    assert set(whole.by_cause()) == named
    assert read(written(found)) == found


@pytest.mark.parametrize("source", Source)
def test_what_is_unreadable_of_appsflyer_counts_however_it_came(source):
    """Pushed, from a file, a report, or a Data Locker; what is unreadable of Amplitude's is no postback."""
    gathered = Gathered()
    gathered.counts = [Count("shop", f"2026-03-0{day}", source.word, "dead", "not_json", 2) for day in (1, 2, 3)]
    n = 2 if source in {Source.PUSH, Source.FILE, Source.PULL, Source.LOCKER} else 0
    days = frozenset({"2026-03-02"})
    assert gathered.unreadable_on(days) == n
    assert gathered.unreadable_on(days, since=True) == 2 * n


def test_causes_are_added_up_for_metrics():
    """Every cause has a number, also 0, and what moves between sources counts once."""
    rows = [
        ComparedRow(ComparedKey("install", "", "a"), 10, 6, 5, [Part("restricted", -4), Part("held", -1)]),
        ComparedRow(ComparedKey("install", "", "restricted"), 0, 4, 3, [Part("restricted", 4)]),
        ComparedRow(ComparedKey("event", ALL_EVENTS, "a"), 9, 1, None, []),
    ]
    final = DayComparison("shop", 1, 0, True, "UTC", "UTC", "aggregate", "segmentation", rows)
    found = events_by_cause([final, structs.replace(final, is_final=False)])
    assert {cause: n for cause, n in found.items() if n} == {"restricted": 8, "held": 2, "unexplained": 1}
    assert set(found) == {*CAUSES, UNEXPLAINED}


ONLY = "1 of 2 days was compared, and the figures are of no others."


@pytest.mark.parametrize(
    ("compared", "sentences"),
    [
        ([], []),
        ([("shop", "02"), ("shop", "03"), ("game", "02"), ("game", "03")], []),
        ([("shop", "02")], [f"shop: {ONLY}", "game: none of 2 days was compared."]),
        ([("shop", "02"), ("shop", "03"), ("game", "03")], [f"game: {ONLY}"]),
    ],
)
def test_days_that_were_not_compared_are_told(compared, sentences):
    """Those that are over: the fourth day of the month is today."""
    scopes = [AppScope(name, "USD", {}, "android", day_number(date(2026, 3, 4))) for name in ("shop", "game")]
    days = [{"app": app, "date": f"2026-03-{day}"} for app, day in compared]
    assert partly_compared({"from": "2026-03-02", "to": "2026-03-08", "days": days}, scopes) == sentences


def test_what_is_said_about_days_names_the_app_where_there_are_several():
    """A reader of two apps can't tell otherwise of which one a sentence is."""
    day = {"app": "shop", "date": "2026-03-02", "zone": "Europe/Berlin", "amplitude_zone": "UTC", "amplitude": "s"}
    days = [day | {"notes": ["Not all was counted."]}, day | {"date": "2026-03-03", "notes": ["Not all was counted."]}]
    assert notes_of(days) == ["Not all was counted."]
    game = day | {"app": "game", "zone": "UTC", "notes": []}
    assert notes_of([*days, game]) == ["shop: Not all was counted."]
    apart = ["shop: days begin in Europe/Berlin at AppsFlyer and here, and in UTC in Amplitude."]
    assert zones_apart([*days, game]) == apart
    assert zones_apart([one | {"amplitude": None} for one in days]) == []


def test_a_cause_that_adds_nothing_in_all_is_a_plain_nothing():
    """A sign before it would ask which way it goes."""
    cause = {"code": "restricted", "n": 0, "more": 3, "less": 3, "details": []}
    assert _cause(cause)["n"] == "0"
    assert _cause(cause)["details"] == "in some rows -3, in others +3"
