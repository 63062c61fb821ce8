from flybridge.insight.account import balance
from flybridge.store.figures import Count, Discrepancy

DAY = "2026-01-31"


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
