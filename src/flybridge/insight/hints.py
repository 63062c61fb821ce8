"""Why an event probably still waits, in a sentence; and how many wait, in classes of age. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Final

from msgspec import Struct

from flybridge.identity import IdKind
from flybridge.records import HOUR_MS, Source
from flybridge.store.figures import Count, HeldCount, SightedKind

FRESH_MS: Final = HOUR_MS
"""Amplitude's stream usually names people within this time: before it, waiting says nothing."""

AGES: Final = ((1, "1h"), (6, "6h"), (24, "24h"), (72, "72h"))
OLDER: Final = "older"
OTHERS: Final = "(others)"

REMEDIES: Final[Mapping[str, str]] = {
    IdKind.IDFA: "is the advertising id passed to Amplitude's SDK, and do people allow tracking?",
    IdKind.IDFV: "is idfv tracking switched on in the SDK?",
    IdKind.ADID: "is adid tracking switched on in the SDK, and does the app have the permission to read it?",
    IdKind.OAID: "does the app pass it to Amplitude as a user property named oaid?",
    IdKind.APP_SET_ID: "is App Set id tracking switched on in the SDK?",
    IdKind.APPSFLYER_ID: "does the app pass it to Amplitude as a user property named appsflyer_id?",
    IdKind.CUSTOMER_USER_ID: "do both SDKs get the same user id?",
}


TOLD_BY: Final = frozenset({Source.STREAM.value, Source.COHORT.value, Source.SIGHTINGS.value})
"""Sources that tell who is who."""


OF_APPSFLYER: Final = frozenset({IdKind.INSTALLED_BY_USER.value, IdKind.INSTALLED_ON_DEVICE.value})
"""What events on their way to AppsFlyer wait by: postbacks show it, and not Amplitude."""


class Known(Struct, frozen=True):
    """What Amplitude has told of one app so far: with which kinds of identifier, and whether it told anything."""

    kinds: Set[str] = frozenset()
    told: bool = False


def told_apps(counts: Iterable[Count]) -> set[str]:
    """Name the apps from which anything has come that tells who is who."""
    return {count.app for count in counts if count.source in TOLD_BY}


def known_by_app(sighted: Iterable[SightedKind], told: Iterable[str]) -> dict[str, Known]:
    """Put together what is known of each app. `told` are apps from which a stream, cohort or file has come."""
    kinds: dict[str, set[str]] = {app: set() for app in told}
    for seen in sighted:
        kinds.setdefault(seen.app, set()).add(seen.kind)
    return {app: Known(frozenset(found), told=True) for app, found in kinds.items()}


def hint(app: str, key_kinds: Sequence[str], waited_ms: int, known: Known) -> str:
    """Return why an event with these kinds of key is probably not matched yet, and what to look at."""
    if key_kinds and set(key_kinds) <= OF_APPSFLYER:
        return (
            "No postback has told this person's AppsFlyer id yet: does the app pass it to Amplitude as a user property "
            "named appsflyer_id, or its Amplitude device id to AppsFlyer?"
        )
    if not known.told:
        return (
            f"No stream from Amplitude has arrived yet for {app}: without it nobody can be recognised. "
            f"Set up the webhook to /v1/stream/{app}."
        )
    if not known.kinds:
        return "What Amplitude has sent of this app names no identifier: see which fields its webhook sends."
    unseen = [kind for kind in key_kinds if kind not in known.kinds]
    if len(unseen) == len(key_kinds):
        first = unseen[0]
        more = f" (nor {', '.join(unseen[1:])})" if unseen[1:] else ""
        return f"Amplitude has not shown a single {first}{more} for this app: {REMEDIES.get(first, 'see its SDK.')}"
    shown = ", ".join(kind for kind in key_kinds if kind in known.kinds)
    if waited_ms < FRESH_MS:
        return f"Nothing is wrong so far: it may be matched by {shown} when the person opens the app."
    if unseen:
        return f"Not seen by {shown} yet; it can't be found by {', '.join(unseen)}, which Amplitude never shows."
    return f"Not seen by {shown} yet: the person has not opened the app where Amplitude sees it."


class HeldSum(Struct, frozen=True):
    """How many events wait, of one app, media source, set of key kinds and class of age."""

    app: str
    media_source: str
    keys: str
    age: str
    n: int


def age_of(hour_ms: int, now_ms: int) -> str:
    """Return the class of age of what was received in the hour from `hour_ms`: less than 1h, 6h, 24h, 72h, or older."""
    hours = (now_ms - hour_ms) // HOUR_MS
    return next((name for limit, name in AGES if hours < limit), OLDER)


def summed(counts: Iterable[HeldCount], now_ms: int, *, sources: int | None = None) -> list[HeldSum]:
    """Sum what waits into classes of age. With `sources`, an app's smaller media sources are taken together."""
    counts = list(counts)
    kept = _largest(counts, sources) if sources is not None else None
    sums: Counter[tuple[str, str, str, str]] = Counter()
    for count in counts:
        source = count.media_source if kept is None or (count.app, count.media_source) in kept else OTHERS
        sums[count.app, source, " ".join(count.key_kinds), age_of(count.hour_ms, now_ms)] += count.n
    order = {name: place for place, (_, name) in enumerate(AGES)}
    rows = [HeldSum(*cell, n) for cell, n in sums.items()]
    return sorted(rows, key=lambda row: (row.app, row.media_source, row.keys, order.get(row.age, len(order))))


def _largest(counts: Iterable[HeldCount], sources: int) -> set[tuple[str, str]]:
    totals: Counter[tuple[str, str]] = Counter()
    for count in counts:
        totals[count.app, count.media_source] += count.n
    kept: set[tuple[str, str]] = set()
    per_app: Counter[str] = Counter()
    for (app, source), _ in sorted(totals.items(), key=lambda one: (-one[1], one[0])):
        if per_app[app] < sources:
            kept.add((app, source))
            per_app[app] += 1
    return kept
