"""The account: what is gone or doubled is found, and what only moves between two questions is not reported."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.insight.account import InboxFigures, balance, balance_moving, by_reason, narrowed, read_account
from flybridge.store.figures import Count, Discrepancy

DAY = "2026-01-31"
CELL = ("shop", DAY)


def count(outcome, n, reason=""):
    return Count("shop", DAY, "push", outcome, reason, n)


def test_an_account_balances_when_every_envelope_has_one_outcome():
    """Received equals outcomes plus what waits in the inbox."""
    counts = [count("delivered", 5), count("pending", 2), count("refused", 1, "no_usable_id")]
    account = balance({("shop", DAY): 10}, {("shop", DAY): 2}, counts)
    assert account.balanced
    assert account.lines[0].in_flight == 4
    assert account.reasons == {"refused": {"no_usable_id": 1}}


def test_a_lost_envelope_is_reported_with_both_figures():
    """One that came in and has no outcome is missing."""
    account = balance({("shop", DAY): 10}, {}, [count("delivered", 9)])
    assert not account.balanced
    assert (account.discrepancies[0].expected, account.discrepancies[0].found) == (10, 9)


def test_an_outcome_without_an_envelope_is_reported():
    """Counting one envelope twice is as wrong as losing it."""
    account = balance({("shop", DAY): 1}, {}, [count("delivered", 1), count("dead", 1)])
    assert account.lines[0].missing == -1
    assert not account.balanced


def test_what_the_store_finds_wrong_in_itself_unbalances_the_account():
    """Counters that disagree with their rows are discrepancies too."""
    found = Discrepancy("shop", DAY, "held differs", 2, 1)
    assert balance({}, {}, [], [found]).discrepancies == [found]


def look(received: int, waiting: int) -> InboxFigures:
    """Return what an inbox says of one cell."""
    return InboxFigures({CELL: received}, {CELL: waiting})


def counted(**outcomes: int) -> list[Count]:
    """Return what a store says of the same cell."""
    return [Count(*CELL, "push", outcome, "", n) for outcome, n in outcomes.items()]


def test_figures_at_rest_agree_to_the_last_one():
    """Nothing moves: the sum must be what was received."""
    assert balance_moving(look(10, 0), counted(delivered=7, held=3), look(10, 0)).balanced


@pytest.mark.parametrize("found", [9, 11])
def test_one_that_is_gone_or_doubled_is_found_at_rest(found):
    """A single envelope without an outcome, or one outcome too many, is a discrepancy with both figures."""
    (wrong,) = balance_moving(look(10, 0), counted(delivered=found), look(10, 0)).discrepancies
    assert (wrong.app, wrong.day, wrong.expected, wrong.found) == (*CELL, 10, found)


def test_one_that_is_gone_is_found_while_others_wait():
    """What waits can't hide more than waits."""
    assert balance_moving(look(10, 4), counted(delivered=6), look(10, 4)).balanced
    (wrong,) = balance_moving(look(10, 4), counted(delivered=5), look(10, 4)).discrepancies
    assert (wrong.expected, wrong.found) == (6, 5)


@given(st.data())
def test_what_moves_is_never_a_discrepancy(data):
    """Whatever is received, filed and acknowledged between the questions, in any order, nothing is reported."""
    received = filed = acked = 0

    def live() -> None:
        nonlocal received, filed, acked
        for step in data.draw(st.lists(st.sampled_from("rfa"), max_size=12)):
            received += step == "r"
            filed += step == "f" and filed < received
            acked += step == "a" and acked < filed

    def asked() -> InboxFigures:
        taken = received
        live()
        return look(taken, received - acked)

    live()
    before = asked()
    live()
    counts = counted(delivered=filed)
    live()
    after = asked()
    account = balance_moving(before, counts, after)
    assert account.balanced
    for line in account.lines:
        assert line.missing == 0, "a line adds up to what was received"
        assert 0 <= line.in_inbox <= line.received


def test_reasons_are_summed_per_app_with_their_days():
    """Sources and days are taken together; the most first."""
    counts = [
        Count("shop", "2026-01-30", "push", "dead", "not_json", 1),
        Count("shop", "2026-02-02", "file", "dead", "not_json", 2),
        Count("game", "2026-02-01", "push", "dead", "silenced", 9),
        Count("shop", "2026-02-01", "push", "delivered", "matched", 5),
    ]
    assert by_reason(counts, "dead") == [
        ("game", "silenced", 9, "2026-02-01", "2026-02-01"),
        ("shop", "not_json", 3, "2026-01-30", "2026-02-02"),
    ]


class Bridge:
    """An inbox and a store of one cell, between which something moves whenever either is asked."""

    def __init__(self, lost: int, doubled: int) -> None:
        self._random = Random(1)
        self._received, self._filed, self._acked = 1_000 + lost, 950 + doubled, 900
        self._lost = lost
        self.asked: list[str] = []

    def _move(self, name: str) -> None:
        self.asked.append(name)
        self._received += self._random.randrange(1, 9)
        self._filed += self._random.randrange(1, 9)
        self._acked += self._random.randrange(1, 9)

    async def received(self) -> dict[tuple[str, str], int]:
        self._move("received")
        return {CELL: self._received}

    async def waiting(self) -> dict[tuple[str, str], int]:
        self._move("waiting")
        return {CELL: self._received - self._lost - self._acked}

    async def counts(self) -> list[Count]:
        self._move("counts")
        return counted(delivered=self._filed)

    async def audit(self) -> list[Discrepancy]:
        self._move("audit")
        return []


@pytest.mark.parametrize(("lost", "doubled", "balanced"), [(0, 0, True), (500, 0, False), (0, 500, False)])
def test_a_bridge_that_never_rests_is_read_once(lost, doubled, balanced):
    """No question is repeated until figures happen to agree, and what can't be movement is found all the same."""
    bridge = Bridge(lost, doubled)
    account, counts = asyncio.run(read_account(bridge, bridge, audit=True))
    assert account.balanced is balanced
    assert sum(count.n for count in counts) == sum(account.lines[0].outcomes.values())
    assert bridge.asked == ["received", "waiting", "counts", "received", "waiting", "audit"]


def test_the_audit_is_asked_for_only_where_it_is_wanted():
    """It reads every row: a page that is looked at each second can't afford it."""
    bridge = Bridge(0, 0)
    asyncio.run(read_account(bridge, bridge))
    assert "audit" not in bridge.asked


def test_what_is_filed_and_not_yet_acknowledged_is_counted_once():
    """A worker that is killed between the two leaves both figures: the envelope has its outcome."""
    account = balance_moving(look(10, 4), counted(delivered=8), look(10, 4))
    assert account.balanced
    assert (account.lines[0].in_inbox, account.lines[0].missing) == (2, 0)


def test_an_account_can_be_narrowed_to_an_app_and_days():
    """Lines, reasons and discrepancies of others are left out; one of all stays."""
    counts = [
        Count("shop", "2026-01-30", "push", "filtered", "old", 1),
        Count("shop", DAY, "push", "filtered", "new", 2),
        Count("other", DAY, "push", "dead", "theirs", 3),
    ]
    received = {("shop", "2026-01-30"): 1, ("shop", DAY): 3, ("other", DAY): 4}
    audit = [Discrepancy("", "", "all", 1, 2), Discrepancy("other", DAY, "x", 1, 2)]
    whole = balance(received, {}, counts, audit)
    mine = narrowed(whole, counts, "shop", DAY)
    assert [(line.app, line.day) for line in mine.lines] == [CELL]
    assert mine.reasons == {"filtered": {"new": 2}}
    assert [(one.app, one.day) for one in mine.discrepancies] == [CELL, ("", "")]
    assert narrowed(whole, counts, None, "") == whole
