"""Which keys events carry, and when fewer do than before."""

from __future__ import annotations

import pytest

from flybridge.insight.coverage import MIN_EVENTS, covers, falls, fell, version_key, with_largest_platforms
from flybridge.store.figures import CoverageRow


def row(n: int, kinds: str = "idfv", *, day: str = "2026-01-02", version: str = "1.0", **fields) -> CoverageRow:
    """Build one counter."""
    given = {"app": "shop", "platform": "ios", "media_source": "tiktok"} | fields
    return CoverageRow(day=day, app_version=version, kinds=tuple(kinds.split()), n=n, **given)


def test_shares_are_of_all_events_of_the_cell():
    """An event with two kinds counts for both, one without any for none."""
    (cover,) = covers([row(60, "idfa idfv"), row(20, "idfv"), row(20, "")], "app", "platform")
    assert (cover.events, cover.carried["any"]) == (100, 80)
    assert (cover.share("idfv"), cover.share("idfa"), cover.share("adid")) == (0.8, 0.6, 0.0)


def test_cells_are_by_what_is_asked():
    """The largest first; unknown fields are refused with those there are."""
    rows = [row(1, media_source="meta"), row(2, version="2.0"), row(3)]
    assert [(c.media_source, c.events) for c in covers(rows, "media_source")] == [("tiktok", 5), ("meta", 1)]
    assert [(c.app_version, c.events) for c in covers(rows, "app_version")] == [("1.0", 4), ("2.0", 2)]
    with pytest.raises(ValueError, match="no campaign; it has app, day"):
        covers(rows, "campaign")


def test_a_newer_version_that_lost_a_key_is_found():
    """By version, with both shares and a sentence; a key that stayed is not."""
    rows = [row(1000, "appsflyer_id idfv", version="4.9"), row(300, "appsflyer_id", version="4.10")]
    (fall,) = falls(rows)
    assert (fall.kind, fall.by, fall.since, fall.share, fall.before) == ("idfv", "app_version", "4.10", 0.0, 1.0)
    assert "since version 4.10 only 0% of events carry idfv, before it was 100%" in fall.sentence


def test_a_day_that_lost_a_key_is_found():
    """The last day with enough events against the seven before it, not against what is older."""
    before = [row(500, day=f"2026-01-{day:02d}") for day in range(2, 9)]
    lost = [row(400, "idfa", day="2026-01-09"), row(10, day="2026-01-10")]
    older = [row(9000, "oaid", day="2026-01-01")]
    assert [(f.kind, f.by, f.since) for f in falls([*older, *before, *lost]) if f.kind != "any"] == [
        ("idfv", "day", "2026-01-09")
    ]


@pytest.mark.parametrize(("each", "expected"), [(1, True), (10, False)])
def test_events_of_few_people_are_no_alarm(each, expected):
    """Two hundred events of twenty people say less than those of two hundred people."""
    rows = [
        row(n, kinds, version=version, installs=n // each)
        for version, parts in {"1.0": (360, 640), "2.0": (40, 180)}.items()
        for n, kinds in zip(parts, ("appsflyer_id idfv", "appsflyer_id"), strict=True)
    ]
    assert [fall.kind for fall in falls(rows)] == (["idfv"] if expected else [])


@pytest.mark.parametrize(
    ("shares", "expected"), [((50, 51, 49, 50, 50, 50, 49), True), ((90, 10, 80, 20, 95, 5, 50), False)]
)
def test_a_share_that_moves_every_day_did_not_fall(shares, expected):
    """What is usual is how it was before, and not what dice would do."""
    days = [(f"2026-01-{day:02d}", share) for day, share in enumerate((*shares, 28), 2)]
    rows = [one for day, share in days for one in (row(share * 5, day=day), row((100 - share) * 5, "", day=day))]
    assert bool(falls(rows)) is expected


def test_apps_and_platforms_are_not_mixed():
    """Another app that never had the key makes no fall."""
    rows = [row(1000), row(1000, "adid", app="game", version="2.0"), row(1000, "adid", platform="android", version="2")]
    assert falls(rows) == []


@pytest.mark.parametrize(
    ("share", "n", "before", "n_before", "expected"),
    [
        (0.5, 1000, 0.9, 1000, True),
        (0.5, MIN_EVENTS - 1, 0.9, 1000, False),
        (0.5, 1000, 0.9, MIN_EVENTS - 1, False),
        (0.95, 100_000, 1.0, 100_000, False),
        (0.72, 100_000, 0.9, 100_000, False),
        (0.67, 100_000, 0.9, 100_000, True),
        (0.20, 200, 0.31, 200, False),
        (0.20, 5000, 0.31, 5000, True),
        (0.9, 1000, 0.5, 1000, False),
        (1.0, 1000, 1.0, 1000, False),
    ],
)
def test_small_numbers_and_small_falls_are_no_alarm(share, n, before, n_before, expected):
    """Each threshold on its own is enough to keep quiet."""
    assert fell(share, n, before, n_before) is expected


def test_versions_are_in_their_own_order():
    """By numbers, not by letters."""
    versions = ["4.10.0", "4.9", "4.9.1-beta2", "", "10.0", "4.9.1"]
    assert sorted(versions, key=version_key) == ["", "4.9", "4.9.1", "4.9.1-beta2", "4.10.0", "10.0"]


def test_platforms_beyond_the_largest_are_one():
    """However many texts come as platforms, an app has so many series, and no event is left out."""
    rows = [row(n, platform=f"platform {n}") for n in range(1, 5001)] + [row(7, app="other", platform="ios")]
    found = with_largest_platforms(rows, 10)
    assert len({(one.app, one.platform) for one in found}) == 12
    assert sum(one.n for one in found) == sum(one.n for one in rows)
    assert {one.platform for one in found if one.app == "shop"} == {f"platform {n}" for n in range(4991, 5001)} | {
        "(others)"
    }
