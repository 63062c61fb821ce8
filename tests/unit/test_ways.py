"""Which way of matching works for an app, and what it reaches."""

from __future__ import annotations

import pytest

from flybridge.identity.matching import RANK
from flybridge.insight.ways import WAYS, Reach, reach
from flybridge.store.figures import Count, CoverageRow, SightedKind

DAY = "2026-11-20"
DAY_MS = 1_795_132_800_000


def of(rows: list[tuple], shown: list[str] = (), matched: int = 0, expired: int = 0) -> Reach:
    """Reckon for one app, beside another that must not count."""
    covered = [CoverageRow("shop", DAY, "android", "1", "", tuple(kinds.split()), *n) for kinds, *n in rows]
    covered += [
        CoverageRow("shop", "2026-11-19", "android", "1", "", ("adid",), 1000),
        CoverageRow("game", DAY, "ios", "1", "", ("idfv",), 1000, 1000),
    ]
    sighted = [SightedKind("shop", kind, 1, DAY_MS + 5) for kind in shown]
    sighted += [SightedKind("shop", "oaid", 1, DAY_MS - 5), SightedKind("game", "adid", 1, DAY_MS + 5)]
    counts = [
        Count("shop", DAY, "push", "delivered", "matched", matched),
        Count("shop", DAY, "push", "delivered", "", 77),
        Count("shop", DAY, "push", "expired", "", expired),
        Count("shop", "2026-11-19", "push", "expired", "", 1000),
    ]
    return reach("shop", covered, sighted, counts, since_day=DAY, since_ms=DAY_MS)


@pytest.mark.parametrize(
    ("rows", "shown", "share", "works"),
    [
        ([("adid appsflyer_id", 10)], [], 0.0, []),
        ([("adid appsflyer_id", 10)], ["adid"], 1.0, [3]),
        ([("oaid", 10)], [], 0.0, []),
        ([("adid appsflyer_id", 10)], ["appsflyer_id"], 1.0, [1]),
        ([("amplitude_device_id appsflyer_id", 6), ("appsflyer_id", 4)], [], 0.6, [0]),
        ([("amplitude_user_id", 5), ("idfv", 3), ("", 2)], ["idfv"], 0.8, [2, 3]),
        ([("customer_user_id", 5), ("adid", 5)], ["customer_user_id"], 0.5, [2]),
    ],
)
def test_a_way_works_if_postbacks_carry_what_amplitude_shows(rows, shown, share, works):
    """In the days that are looked at, of this app; a message that several ways reach counts once."""
    found = of(rows, shown)
    assert found.share == pytest.approx(share)
    assert [number for number, reached in enumerate(found.ways) if reached.works] == works
    assert found.works == bool(works)


def test_the_sentence_says_what_works_and_what_to_do_next():
    """The best way that does not work is recommended, as long as it is worth it."""
    said = of([("amplitude_device_id appsflyer_id", 50), ("appsflyer_id adid", 50)], ["adid"], 30, 20).sentence
    assert said.startswith(
        "Of 100 messages, at most 100% can be matched: by Amplitude's device id in the message (50%)"
    )
    assert "the device id of Amplitude's SDK (50%)" in said
    assert "30 of 50 that were held found their user in time." in said
    assert "Next, set the AppsFlyer id in Amplitude as the user property appsflyer_id." in said
    assert "Next" not in of([("amplitude_device_id", 99), ("adid", 1)], []).sentence
    assert of([("adid", 7)]).sentence.startswith("Of 7 messages, none can be matched")


def test_the_share_is_that_of_installs():
    """In-app events outnumber them, and often carry a customer user id that the install has not."""
    found = of(
        [("appsflyer_id", 10, 10), ("amplitude_user_id appsflyer_id", 990, 0), ("adid", 30, 30)], ["appsflyer_id"]
    )
    assert (found.installs, found.share, found.ways[2].works) == (40, 0.25, False)
    assert found.sentence.startswith("Of 40 installs, at most 25% can be matched: by the AppsFlyer id (25%).")


def test_only_all_is_all_and_only_none_is_none():
    """As in the console: one of a thousand is not nothing, and all but one not everything."""
    few = of([("appsflyer_id", 1, 1), ("adid", 999, 999)], ["appsflyer_id"])
    assert few.sentence.startswith("Of 1,000 installs, at most <1% can be matched: by the AppsFlyer id (<1%).")
    most = of([("appsflyer_id", 999, 999), ("adid", 1, 1)], ["appsflyer_id"])
    assert most.sentence.startswith("Of 1,000 installs, at most >99% can be matched: by the AppsFlyer id (>99%).")


def test_an_app_without_messages_is_not_wrong():
    """It has just been set up."""
    assert (of([]).works, of([]).sentence) == (True, "No message from AppsFlyer in these days.")


def test_every_kind_that_is_matched_belongs_to_a_way():
    """A new kind of identifier needs a way that says how the app passes it."""
    assert {kind for way in WAYS for kind in way.kinds} == set(RANK)
