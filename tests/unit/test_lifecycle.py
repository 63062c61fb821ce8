"""What becomes of a delivery after each verdict."""

import pytest

from flybridge.delivery.exchange import Accepted, Halt, Reject, Retry, Split
from flybridge.delivery.lifecycle import RetryPolicy, Uncertain, backoff_s, give_back, settle
from flybridge.records import Delivery
from flybridge.store.records import Settlement

NOW = 1_700_000_000_000
POLICY = RetryPolicy(tries=3, base_s=2.0, factor=2.0, cap_s=100.0)


def delivery(tries: int = 0, split: bool = False) -> Delivery:
    """Return a delivery that was tried that often."""
    return Delivery(7, "shop", "http_v2", "i", "e", b"{}", None, None, tries, 0, split, NOW)


def test_accepted_is_delivered() -> None:
    """The vendor has it, and the try is counted."""
    assert settle(delivery(), Accepted(), NOW, 0.5, POLICY) == Settlement(7, "delivered", tries=1)


def test_a_retry_waits_longer_each_time_up_to_the_cap() -> None:
    """The wait doubles, and half of it is random."""
    assert [backoff_s(n, 0.0, POLICY) for n in (1, 2, 3, 7, 500)] == [1.0, 2.0, 4.0, 50.0, 50.0]
    assert backoff_s(1, 0.5, POLICY) == 1.5
    again = settle(delivery(1), Retry("server_error_500"), NOW, 0.0, POLICY)
    assert again == Settlement(7, "due", due_ms=NOW + 2000, tries=2, reason="server_error_500")


def test_the_default_budget_lasts_between_one_and_three_days() -> None:
    """Twenty tries are spent after 24 to 72 hours, whatever the jitter."""
    policy = RetryPolicy()
    for jitter in (0.0, 1.0):
        hours = sum(backoff_s(n, jitter, policy) for n in range(1, policy.tries)) / 3600
        assert 24 < hours < 72


def test_the_last_try_makes_a_dead_letter() -> None:
    """When the tries are spent the item dies with the last reason and a remedy."""
    dead = settle(delivery(2), Retry("server_error_500"), NOW, 0.0, POLICY)
    assert (dead.state, dead.tries, dead.reason) == ("dead", 3, "tries_spent")
    assert "server_error_500" in dead.detail
    assert dead.remedy


def test_an_uncounted_retry_spends_nothing_and_never_dies() -> None:
    """Throttling speaks about the moment and not about the item."""
    again = settle(delivery(2), Retry("throttled", 30.0, counts=False), NOW, 0.0, POLICY)
    assert again == Settlement(7, "due", due_ms=NOW + 30_000, tries=2, reason="throttled")


def test_at_once_means_at_once_whatever_the_jitter() -> None:
    """An item that was not looked at goes with the next request."""
    assert settle(delivery(), Retry("not_tried", 0.0, counts=False), NOW, 0.9, POLICY).due_ms == NOW


def test_the_vendors_wait_is_the_least() -> None:
    """Retry-After is never undercut, and does not shorten the backoff of a counted try."""
    assert settle(delivery(0), Retry("x", 60.0), NOW, 0.0, POLICY).due_ms == NOW + 60_000
    assert settle(delivery(1), Retry("x", 0.5), NOW, 0.0, POLICY).due_ms == NOW + 2_000


def test_what_waits_for_the_same_time_does_not_return_at_the_same_time() -> None:
    """The jitter spreads a throttled crowd, and only to later."""
    waits = [settle(delivery(), Retry("x", 30.0, counts=False), NOW, j, POLICY).due_ms for j in (0.0, 0.5, 0.999)]
    assert waits == sorted(set(waits))
    assert waits[0] == NOW + 30_000


def test_rejected_is_dead_with_what_the_vendor_said() -> None:
    """Reason, detail and remedy reach the dead letter."""
    dead = settle(delivery(), Reject("invalid_fields", "the field time is invalid", "fix it"), NOW, 0.0, POLICY)
    assert dead == Settlement(
        7, "dead", tries=1, reason="invalid_fields", detail="the field time is invalid", remedy="fix it"
    )


def test_too_large_in_company_goes_alone_next_and_alone_dies() -> None:
    """A split item is sent alone at once; refused alone it can never go."""
    again = settle(delivery(1), Split("too_large"), NOW, 0.0, POLICY)
    assert again == Settlement(7, "due", due_ms=NOW, tries=1, split=True, reason="too_large")
    for dead in (
        settle(delivery(split=True), Split("too_large"), NOW, 0.0, POLICY),
        settle(delivery(), Split("too_large"), NOW, 0.0, POLICY, alone=True),
    ):
        assert (dead.state, dead.reason) == ("dead", "too_large")


def test_a_halt_costs_no_try() -> None:
    """A bad key is not the item's fault, so it can last for weeks."""
    back = settle(delivery(2, split=True), Halt("invalid_api_key", "check it", 60.0), NOW, 0.9, POLICY)
    assert back == Settlement(7, "due", due_ms=NOW + 60_000, tries=2, split=True, reason="invalid_api_key")


def test_giving_back_changes_nothing_but_the_owner() -> None:
    """What was leased and not sent is due at once, as it was."""
    assert give_back(delivery(2, split=True), NOW) == Settlement(7, "due", due_ms=NOW, tries=2, split=True)


@pytest.mark.parametrize(("uncertain", "state"), [(Uncertain.RESEND, "due"), (Uncertain.PARK, "parked")])
def test_what_may_have_been_applied_is_counted_and_follows_the_policy(uncertain: Uncertain, state: str) -> None:
    """A lost answer of a vendor that does not deduplicate is sent again, or waits for a person."""
    policy = RetryPolicy(tries=3, uncertain=uncertain)
    settlement = settle(delivery(), Retry("no_answer"), NOW, 0.0, policy, maybe_applied=True)
    assert (settlement.state, settlement.uncertain, settlement.tries) == (state, 1, 1)


def test_what_was_answered_is_never_uncertain() -> None:
    """Only a retry can repeat something: every other verdict is an answer."""
    for verdict in (Accepted(), Reject("r", "d", "f"), Split("s"), Halt("h", "f")):
        assert settle(delivery(), verdict, NOW, 0.0, POLICY, maybe_applied=True).uncertain == 0
