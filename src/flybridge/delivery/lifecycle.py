"""The settlement of a delivery after a verdict: the one place that decides about retries. Pure.

The defaults give a delivery 20 counted tries. The wait after the n-th is 2, 4, 8, ... seconds up to 8 hours, half of
it fixed and half random, so that the last try is between 25 and 49 hours after the first. Only tries that are
evidence against the item are counted: throttling, a halted lane and an unreachable vendor cost none.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, assert_never

from msgspec import Struct

from flybridge.delivery.exchange import Accepted, Halt, Reject, Retry, Split, Verdict
from flybridge.delivery.words import said
from flybridge.records import Delivery
from flybridge.store.records import DeliveryState, Settlement

# Looking up an enum member costs more than a module's name.
DELIVERED: Final = DeliveryState.DELIVERED
DUE: Final = DeliveryState.DUE

TOO_LARGE: Final = "The vendor refuses this item as too large even alone; its body has {} bytes."
TOO_LARGE_REMEDY: Final = (
    "Send fewer or shorter properties (leave fields out in the mapping), then replay the dead letter."
)
INVALID_REMEDY: Final = "See with `flybridge explain` what is sent, correct the mapping, then replay the dead letter."
SPENT_REMEDY: Final = "Correct what the vendor complains about, then replay the dead letter."

# Items that were throttled together with the same wait must not all be sent again in the same millisecond.
SPREAD: Final = 0.1


class Uncertain(StrEnum):
    """What to do with an item the vendor may have, at a vendor that does not recognise a repeat."""

    RESEND = "resend"  # nothing is lost, and it may arrive twice
    PARK = "park"  # nothing arrives twice, and an operator decides


class RetryPolicy(Struct, frozen=True):
    """How often and when to try again. `tries` is a count, the waits are in seconds."""

    tries: int = 20
    base_s: float = 2.0
    factor: float = 2.0
    cap_s: float = 8 * 3600.0
    uncertain: Uncertain = Uncertain.RESEND


def backoff_s(tries: int, jitter: float, policy: RetryPolicy) -> float:
    """Return the wait in seconds after that many tries. `jitter` is in [0, 1): half of the wait depends on it."""
    exponent = min(max(tries, 1) - 1, 64)
    full = min(policy.cap_s, policy.base_s * policy.factor**exponent)
    return full * (1 + jitter) / 2


def settle(
    delivery: Delivery,
    verdict: Verdict,
    now_ms: int,
    jitter: float,
    policy: RetryPolicy,
    *,
    alone: bool = False,
    maybe_applied: bool = False,
    words: str = "",
) -> Settlement:
    """Return the settlement of one delivery.

    `alone` says that the request held nothing else. `maybe_applied` says that the vendor does not deduplicate and
    may have taken the item although the verdict is to retry. `words` is what the vendor said, for a dead letter.
    `Settlement.tries` is the new total.
    """
    match verdict:
        case Accepted():
            return Settlement(delivery.id, DELIVERED, tries=delivery.tries + 1)
        case Retry():
            return _again(delivery, verdict, now_ms, jitter, policy, maybe_applied=maybe_applied, words=words)
        case Reject(reason, detail, remedy):
            return _dead(delivery, delivery.tries + 1, reason, said(detail, words), remedy)
        case Split() if alone or delivery.split:
            detail = TOO_LARGE.format(len(delivery.body))
            return _dead(
                delivery, delivery.tries + 1, "too_large", said(detail, words or verdict.words), TOO_LARGE_REMEDY
            )
        case Split():
            return Settlement(delivery.id, DUE, due_ms=now_ms, tries=delivery.tries, split=True, reason=verdict.reason)
        case Halt():
            return give_back(delivery, now_ms + round(verdict.after_s * 1000), verdict.reason)
        case _:
            assert_never(verdict)


def give_back(delivery: Delivery, due_ms: int, reason: str = "") -> Settlement:
    """Return the settlement of an item that was not sent, or whose answer says nothing about it: no try counts."""
    return Settlement(delivery.id, DUE, due_ms=due_ms, tries=delivery.tries, split=delivery.split, reason=reason)


def _again(
    delivery: Delivery,
    retry: Retry,
    now_ms: int,
    jitter: float,
    policy: RetryPolicy,
    *,
    maybe_applied: bool,
    words: str,
) -> Settlement:
    tries = delivery.tries + 1 if retry.counts else delivery.tries
    uncertain = 1 if maybe_applied else 0
    if maybe_applied and policy.uncertain is Uncertain.PARK:
        return Settlement(
            delivery.id,
            DeliveryState.PARKED,
            tries=tries,
            split=delivery.split,
            reason="uncertain",
            detail=said(f"The vendor may have taken this item: {retry.reason}.", words),
            remedy="Look for the event at the vendor. Replay the dead letter if it is not there.",
            uncertain=uncertain,
        )
    if retry.counts and retry.most_tries and tries >= retry.most_tries:
        detail = f"The vendor fails at this item, {tries} times, and takes others: {retry.reason}."
        return _dead(delivery, tries, "invalid_event", said(detail, words), INVALID_REMEDY, uncertain=uncertain)
    if retry.counts and tries >= policy.tries:
        detail = f"Tried {tries} times; the last answer was: {retry.reason}."
        return _dead(delivery, tries, "tries_spent", said(detail, words), SPENT_REMEDY, uncertain=uncertain)
    return Settlement(
        delivery.id,
        DUE,
        due_ms=now_ms + round(wait_s(retry, tries, jitter, policy) * 1000),
        tries=tries,
        split=delivery.split or retry.alone,
        reason=retry.reason,
        uncertain=uncertain,
    )


def wait_s(retry: Retry, tries: int, jitter: float, policy: RetryPolicy) -> float:
    """Return the wait in seconds before the next try: the vendor's own, the backoff, or the longer of the two."""
    if retry.after_s is None:
        return backoff_s(tries, jitter, policy)
    asked = max(0.0, retry.after_s) * (1 + SPREAD * jitter)
    return max(asked, backoff_s(tries, jitter, policy)) if retry.counts else asked


def _dead(delivery: Delivery, tries: int, reason: str, detail: str, remedy: str, *, uncertain: int = 0) -> Settlement:
    return Settlement(
        delivery.id, DeliveryState.DEAD, tries=tries, reason=reason, detail=detail, remedy=remedy, uncertain=uncertain
    )
