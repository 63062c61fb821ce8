"""Why something waits, in a sentence, and how much waits."""

from __future__ import annotations

import pytest

from flybridge.identity.matching import RANK
from flybridge.insight.hints import OTHERS, REMEDIES, Known, age_of, hint, known_by_app, summed
from flybridge.records import HOUR_MS
from flybridge.store.figures import HeldCount, SightedKind

LONG_MS = 9 * HOUR_MS


@pytest.mark.parametrize(
    ("kinds", "waited_ms", "known", "words"),
    [
        (("idfv",), LONG_MS, Known(), "No stream from Amplitude has arrived yet for shop"),
        (("idfv",), LONG_MS, Known(streaming=True), "names no identifier"),
        (
            ("idfv",),
            LONG_MS,
            Known({"adid"}, True),
            "not shown a single idfv for this app: Amplitude shows it only as the device id",
        ),
        (
            ("adid", "appsflyer_id"),
            LONG_MS,
            Known({"customer_user_id"}, True),
            "a single adid (nor appsflyer_id) for this app: set it in Amplitude as the user property appsflyer_id",
        ),
        (("adid",), LONG_MS, Known({"adid"}, True), "sees it, or its device id there is another."),
        (("idfv", "idfa"), LONG_MS, Known({"adid"}, True), "a single idfv (nor idfa) for this app"),
        (("idfv",), 1000, Known({"idfv"}, True), "Nothing is wrong so far: it may be matched when the user opens"),
        (("idfv", "adid"), 1000, Known({"idfv"}, True), "Nothing is wrong so far: it may be matched by idfv when"),
        (("idfv",), LONG_MS, Known({"idfv"}, True), "Not seen by idfv yet: the user has not opened"),
        (("idfv", "appsflyer_id"), LONG_MS, Known({"idfv"}, True), "can't be matched by appsflyer_id"),
    ],
)
def test_the_hint_names_the_likely_cause(kinds, waited_ms, known, words):
    """From the larger cause to the smaller one."""
    assert words in hint("shop", kinds, waited_ms, known)


def test_every_kind_has_a_remedy():
    """A new kind of identifier gets advice of its own."""
    assert set(REMEDIES) == set(RANK)


def test_no_hint_blames_consent_for_what_amplitude_removes():
    """An app that has done everything right was told to look at permissions and at tracking."""
    for kind in REMEDIES:
        for known in (Known(), Known({"other"}, True), Known({kind}, True)):
            said = hint("shop", (kind,), LONG_MS, known).lower()
            assert not any(word in said for word in ("consent", "permission", "allow", "tracking"))


def test_every_hint_about_a_missing_kind_names_the_way_that_always_works():
    """Amplitude's device id, passed to AppsFlyer."""
    for kind in REMEDIES:
        assert "custom data" in hint("shop", (kind,), LONG_MS, Known({"other"}, True))


def test_known_is_per_app():
    """An app that told something without identifiers is known to have told."""
    known = known_by_app([SightedKind("shop", "idfv", 3, 9), SightedKind("shop", "idfa", 1, 9)], ["game", "shop"])
    assert known == {"game": Known(frozenset(), True), "shop": Known(frozenset({"idfv", "idfa"}), True)}


@pytest.mark.parametrize(
    ("hours", "age"),
    [(0, "1h"), (1, "6h"), (5, "6h"), (6, "24h"), (24, "72h"), (71, "72h"), (72, "older"), (700, "older")],
)
def test_ages_are_classes(hours, age):
    """The limits are as the names say."""
    assert age_of(0, hours * HOUR_MS + 5) == age


def test_sums_add_hours_up_and_take_small_sources_together():
    """No event is lost in the sum."""
    now_ms = 100 * HOUR_MS
    counts = [
        HeldCount("shop", source, ("idfv",), (100 - hours) * HOUR_MS, n)
        for source, hours, n in (("meta", 1, 5), ("meta", 3, 5), ("tiktok", 1, 4), ("email", 50, 1), ("push", 50, 2))
    ]
    rows = summed(counts, now_ms, sources=2)
    assert [(row.media_source, row.age, row.n) for row in rows] == [
        (OTHERS, "72h", 3),
        ("meta", "6h", 10),
        ("tiktok", "6h", 4),
    ]
    assert sum(row.n for row in summed(counts, now_ms)) == 17


def test_an_event_for_appsflyer_waits_for_a_postback():
    """What Amplitude shows has nothing to do with it."""
    said = hint("shop", ("installed_on_device", "installed_by_user"), 0, Known())
    assert said.startswith("No postback has shown this user's AppsFlyer id yet")
