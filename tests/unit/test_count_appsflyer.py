"""What AppsFlyer's two reports are read as, and what is said where one of them tells nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from flybridge.config.settings import loads
from flybridge.delivery.exchange import HttpRequest
from flybridge.operations.count_appsflyer import count_appsflyer
from flybridge.operations.reconcile_plan import reconcile_plans_of
from flybridge.store.performance import day_number

DAY = day_number(date(2026, 3, 2))
CONFIG = """
secret = "sixteen characters or more"
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
appsflyer.push_token = "token"
appsflyer.api_token = "api-token"
amplitude.api_key = "key"
"""
INSTALLS = "Date,Media Source (pid),Campaign (c),Installs,Total Revenue,won (Event counter),won (Sales in USD)\n"
BACK = "Date,Media Source (pid),Campaign (c),Clicks,Conversions,Conversion Type\n"


class Answers:
    """Answers user acquisition and retargeting, each with a status and a text."""

    def __init__(self, acquisition: tuple[int, str], retargeting: tuple[int, str]) -> None:
        self._texts = {False: acquisition, True: retargeting}
        self.asked: list[dict[str, list[str]]] = []

    @asynccontextmanager
    async def open(self, request: HttpRequest, **_: Any) -> AsyncIterator[Any]:
        query = parse_qs(urlsplit(request.url).query)
        self.asked.append(query)
        status, text = self._texts["reattr" in query]

        async def pieces() -> AsyncIterator[bytes]:
            yield text.encode()

        yield SimpleNamespace(status=status, headers={}, pieces=pieces)


async def counted(acquisition: tuple[int, str], retargeting: tuple[int, str], days: int = 1):
    (plan,) = reconcile_plans_of(loads(CONFIG, Path(), {}))
    answers = Answers(acquisition, retargeting)
    download: Any = answers
    return await count_appsflyer(plan, download, DAY - days + 1, DAY), answers


UA = (
    INSTALLS
    + "2026-03-02,tiktok_int,a,4,1.5,2,1.5\n2026-03-02,tiktok_int,b,3,0,0,N/A\n2026-03-02,Organic,None,N/A,0,0,N/A\n"
)


@pytest.mark.parametrize("named", ["re-engagement", "Re-engagement", "RE_ENGAGEMENT", "reengagement", " Re engagement"])
async def test_each_spelling_of_a_conversion_is_that_conversion(named):
    told, _ = await counted((200, UA), (200, f"{BACK}2026-03-02,criteo_int,x,N/A,5,{named}\n"))
    assert told.days[DAY].conversions == {"re-engagement": {"criteo_int": 5}, "re-attribution": {}}


@pytest.mark.parametrize("named", ["Re-attribution", "reattribution", "Reinstall"])
async def test_what_was_installed_again_is_a_re_attribution(named):
    told, _ = await counted((200, UA), (200, f"{BACK}2026-03-02,criteo_int,x,N/A,5,{named}\n"))
    assert told.days[DAY].conversions == {"re-engagement": {}, "re-attribution": {"criteo_int": 5}}


async def test_what_is_not_available_is_no_zero():
    told, _ = await counted((200, UA), (200, BACK + "2026-03-02,criteo_int,x,N/A,N/A,re-engagement\n"))
    found = told.days[DAY]
    assert (found.installs, set(found.unknown)) == ({"tiktok_int": 7}, {"organic"})
    assert found.conversions == {"re-engagement": {}, "re-attribution": {}}
    assert told.problems == ("AppsFlyer does not say how many installs organic brought.",)


@pytest.mark.parametrize(
    "retargeting",
    [
        (503, "<html>"),
        (403, "Limit reached for partners-daily-report"),
        (200, BACK + "2026-03-02,criteo_int,x,N/A,5,whatever\n"),
        (200, INSTALLS + "2026-03-02,criteo_int,x,5,0,0,N/A\n"),
    ],
)
async def test_installs_are_compared_though_retargeting_can_not_be(retargeting):
    """And it is said why; conversions stay unknown."""
    told, _ = await counted((200, UA), retargeting)
    assert told.days[DAY].installs == {"tiktok_int": 7}
    assert told.days[DAY].conversions == {}
    assert told.problems[-1].startswith("Retargeting was not compared: AppsFlyer")


async def test_without_installs_nothing_more_is_asked():
    told, answers = await counted((503, "<html>"), (200, BACK))
    assert (told.days, len(told.problems), len(answers.asked)) == ({}, 1, 1)


@pytest.mark.parametrize(("days", "first"), [(1, "02-28"), (2, "02-28"), (3, "02-28"), (7, "02-24")])
async def test_a_short_range_is_not_asked_for_twice_within_a_minute(days, first):
    """AppsFlyer takes one call a minute for up to two days of a report; a longer range has a quota of its own."""
    _, answers = await counted((200, UA), (200, BACK), days)
    assert answers.asked[1]["from"] == [f"2026-{first}"]


async def test_another_currency_is_said_and_its_revenue_not_compared():
    told, _ = await counted((200, UA.replace("Sales in USD", "Sales in EUR")), (200, BACK))
    assert told.days[DAY].booked_revenue is None
    assert told.days[DAY].booked_events == {"tiktok_int": 2, "organic": 0}
    assert "Set apps.insight.currency." in told.problems[0]
