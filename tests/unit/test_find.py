"""What is worth a look is found with its numbers, and nothing that chance or small numbers make."""

from __future__ import annotations

from math import exp
from random import Random

import pytest

from flybridge.insight.comparison import ComparedKey, ComparedRow, DayComparison, Part
from flybridge.insight.coverage import Fall
from flybridge.insight.find import CampaignRetention, FindingEvidence, SourceDay, find
from flybridge.insight.findings import KINDS, Finding

TODAY = 20_600
MICRO = 1_000_000


def steady(days: int = 28, **fields) -> dict[int, SourceDay]:
    """Return so many equal days up to yesterday."""
    made = {"installs": 100, "reached": 80, "events": 300} | fields
    return {TODAY - ago: SourceDay(**made) for ago in range(1, days + 1)}


def found(**fields) -> list[Finding]:
    """Return the findings of this evidence."""
    given = {"days": {}} | fields
    return find(FindingEvidence("shop", TODAY, "USD", **given))


def kinds(**fields) -> list[str]:
    """Return the kinds of the findings of this evidence."""
    return [one.kind for one in found(**fields)]


def compared(*rows: ComparedRow, is_final: bool = True) -> DayComparison:
    """Return the comparison of a day."""
    return DayComparison("shop", TODAY - 3, 0, is_final, "UTC", "UTC", "aggregate", "segmentation", list(rows))


def row(appsflyer: int | None, flybridge: int, amplitude: int | None, *parts: Part) -> ComparedRow:
    """Return a row of installs."""
    return ComparedRow(ComparedKey("install", "", "tiktok"), appsflyer, flybridge, amplitude, list(parts))


def test_steady_figures_are_no_finding():
    """With and without costs."""
    days = {"tiktok": steady(spend=50 * MICRO), "organic": steady(), "email": steady(installs=1, reached=0)}
    campaigns = [CampaignRetention("tiktok", name, 1, 1000, 300) for name in "abc"]
    assert found(days=days, retention=campaigns, comparisons=[compared(row(1000, 1000, 1000))]) == []


def test_a_source_that_went_silent():
    """So many days that chance would not do it; the others go on."""
    silent = {day: one for day, one in steady(installs=4).items() if day < TODAY - 3}
    (one,) = found(days={"tiktok": silent, "organic": steady()})
    assert (one.kind, one.media_source, one.evidence) == (
        "source_silent", "tiktok", {"installs_a_day": 4.0, "days": 3, "expected": 12.0},
    )  # fmt: skip


@pytest.mark.parametrize(
    "days",
    [
        {"tiktok": {day: one for day, one in steady(installs=4).items() if day < TODAY - 2}, "organic": steady()},
        {"tiktok": {day: one for day, one in steady(installs=9).items() if day % 7 == 0}, "organic": steady()},
        {"tiktok": {TODAY - 28 + n: SourceDay(installs=50) for n in range(6)}, "organic": steady()},
        {"tiktok": {day: one for day, one in steady().items() if day < TODAY - 3}},
        {"": {day: one for day, one in steady().items() if day < TODAY - 3}, "organic": steady()},
    ],
    ids=["2 days of 4", "once a week", "not long enough", "all are silent", "no source"],
)
def test_no_source_went_silent(days):
    """Too short, too few, or not the source's fault."""
    assert kinds(days=days) == []


def test_chance_makes_hardly_ever_a_silent_source():
    """2,000 sources whose installs of a day are drawn by chance, around half an install to five a day."""
    random = Random(7)

    def drawn(mean: float) -> int:
        n, left = 0, random.random()
        while (left := left * 1.0) > exp(-mean):
            left *= random.random()
            n += 1
        return n

    days = {
        f"s{number}": {
            TODAY - ago: SourceDay(installs=drawn(0.5 + number % 10 / 2)) for ago in range(1, 29)
        }
        for number in range(2000)
    }  # fmt: skip
    # In apps of 100 sources each: a source is compared with all others of its app.
    names = list(days)
    apps = [{name: days[name] for name in names[first : first + 100]} for first in range(0, len(names), 100)]
    assert sum(kinds(days=app | {"organic": steady()}).count("source_silent") for app in apps) <= 2


def test_a_matched_share_that_fell():
    """Of days whose installs do not wait any more."""
    days = steady(installs=200, reached=160)
    for ago in (5, 6, 7):
        days[TODAY - ago].reached = 60
    (one,) = found(days={"tiktok": days})
    assert (one.kind, one.evidence) == ("matched_share_fell", {"share": 0.3, "before": 0.8, "installs": 600})
    waiting = steady(installs=200, reached=160) | {TODAY - ago: SourceDay(200, 20) for ago in (1, 2, 3, 4)}
    assert kinds(days={"tiktok": waiting}) == []
    few = steady(installs=20, reached=16)
    for ago in (5, 6, 7):
        few[TODAY - ago].reached = 6
    assert kinds(days={"tiktok": few}) == []


def test_few_are_not_said_to_be_none():
    """Nor nearly all to be all."""
    days = steady(installs=1000, reached=999)
    for ago in (5, 6, 7):
        days[TODAY - ago].reached = 2
    (one,) = found(days={"tiktok": days})
    assert "<1% reached a person" in one.sentence
    assert "before it was >99%" in one.sentence
    rest = CampaignRetention("tiktok", "good", 30, 10_000, 9_999)
    (one,) = found(retention=[rest, CampaignRetention("tiktok", "bad", 30, 10_000, 3)])
    assert "<0.1% came back" in one.sentence
    assert "other campaigns >99.9%" in one.sentence


def test_money_that_brought_nobody():
    """Judged by what an install costs elsewhere."""
    days = {"tiktok": steady(spend=200 * MICRO), "meta": steady(installs=0, reached=0, events=0, spend=4 * MICRO)}
    (one,) = found(days=days)
    assert (one.kind, one.media_source) == ("cost_without_installs", "meta")
    assert one.evidence == {"spend": 28.0, "installs": 0, "expected": 14.0}
    for a_week in (14 * MICRO, 19 * MICRO):  # that brings 7, and nearly 10
        days["meta"] = steady(installs=0, reached=0, events=0, spend=a_week // 7)
        assert kinds(days=days) == []
    assert kinds(days={"meta": steady(installs=0, reached=0, events=0, spend=400 * MICRO)}) == []


def test_installs_without_their_cost():
    """Of a source that had costs; not of one that never has."""
    days = steady(spend=50 * MICRO)
    for ago in range(1, 8):
        days[TODAY - ago].spend = None
    (one,) = found(days={"tiktok": days, "email": steady(), "organic": steady()})
    assert (one.kind, one.media_source, one.evidence) == (
        "installs_without_cost",
        "tiktok",
        {"installs": 300, "days": 3},
    )
    for ago in range(1, 5):  # only the last days, whose cost may be on its way
        days[TODAY - ago].spend = None
    for ago in range(5, 8):
        days[TODAY - ago].spend = 5
    assert kinds(days={"tiktok": days}) == []


def test_a_campaign_that_keeps_half_as_many():
    """Against the other campaigns of its source, once for all horizons."""
    rest = [CampaignRetention("tiktok", name, day, 1000, 300) for name in "ab" for day in (1, 7)]
    poor = [CampaignRetention("tiktok", "bad", day, 400, 40) for day in (1, 7)]
    (one,) = found(retention=rest + poor)
    assert (one.kind, one.campaign) == ("low_retention", "bad")
    assert one.evidence == {"share": 0.1, "rest": 0.3, "day": 1, "installs": 400}
    assert kinds(retention=[*rest, CampaignRetention("tiktok", "small", 1, 50, 2)]) == []
    assert kinds(retention=[*rest, CampaignRetention("tiktok", "less", 1, 1000, 200)]) == []
    assert kinds(retention=poor) == []


def test_revenue_without_a_rate():
    """A per cent of the events, and ten."""
    assert kinds(days={"tiktok": steady(not_converted=3)}) == ["unknown_currency"]
    assert kinds(days={"tiktok": steady(not_converted=2)}) == []
    assert kinds(days={"tiktok": steady(events=10, not_converted=1)}) == []


def test_differences_that_nothing_explains():
    """On final days, above two per cent and ten."""
    one, two = found(comparisons=[compared(row(1000, 960, 990, Part("held", -5)))])
    assert [(x.kind, x.evidence["n"], x.evidence["step"]) for x in (one, two)] == [
        ("unexplained", -40, "appsflyer"), ("unexplained", 35, "amplitude"),
    ]  # fmt: skip
    assert "nothing explains a difference of -40." in one.sentence
    assert kinds(comparisons=[compared(row(1000, 960, None), is_final=False)]) == []
    assert kinds(comparisons=[compared(row(1000, 985, None))]) == []
    assert kinds(comparisons=[compared(row(20, 11, None))]) == []
    assert kinds(comparisons=[compared(row(1000, 960, None, Part("gap", -9), Part("unreadable", -31)))]) == []


def test_what_is_counted_without_its_source_is_not_unexplained():
    """Where a day has too many combinations: no more than that is lacking for it."""
    rest = ComparedRow(ComparedKey("install", "", "(other)"), 0, 90, None)
    assert kinds(comparisons=[compared(row(1000, 910, None))]) == ["unexplained"]
    assert kinds(comparisons=[compared(row(1000, 910, None), rest)]) == []
    assert kinds(comparisons=[compared(row(1000, 899, None), rest)]) == ["unexplained"]


def test_another_integration_and_missed_messages():
    """Over all days that were compared."""
    double, gap = Part("second_integration", 6), Part("gap", -5)
    twice = [compared(row(100, 95, 101, double, gap))] * 2
    assert sorted(kinds(comparisons=twice)) == ["missed_messages", "second_integration"]
    assert kinds(comparisons=twice[:1]) == []


def test_a_version_that_lost_an_identifier():
    """As coverage finds it."""
    one = Fall("shop", "ios", "idfv", "4.2", "app_version", 0.2, 0.9, 500)
    (finding,) = found(falls=[one])
    assert (finding.kind, finding.sentence) == ("identifier_lost", one.sentence)
    assert finding.evidence["app_version"] == "4.2"


def test_every_kind_can_be_found():
    """By the tests above; the words of each stand with it."""
    assert all(Finding(kind, "shop", "x", {}).as_dict()["remedy"] for kind in KINDS)
