"""Why an event is probably still held, in a sentence; and the number of held events by age. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Final

from msgspec import Struct

from flybridge.identity import OF_APPSFLYER, IdKind
from flybridge.records import CUSTOM_DATA_WITHOUT_ID, HOUR_MS, Source
from flybridge.store.figures import Count, HeldCount, SightedKind

FRESH_MS: Final = HOUR_MS
"""Amplitude's stream usually shows a user within this time; a shorter wait says nothing."""

AGES: Final = ((1, "1h"), (6, "6h"), (24, "24h"), (72, "72h"))
OLDER: Final = "older"
OTHERS: Final = "(others)"

OTHERWISE: Final = "or pass Amplitude's device id to AppsFlyer as custom data, which needs no match."

REMOVED: Final = (
    "Amplitude removes it from what it shows, and the device id of its SDK is another unless "
    f"{{}} is set. Set it, {OTHERWISE}"
)

REMEDIES: Final[Mapping[str, str]] = {
    IdKind.APPSFLYER_ID: f"set it in Amplitude as the user property appsflyer_id, {OTHERWISE}",
    IdKind.CUSTOMER_USER_ID: f"set the same user id in both SDKs, {OTHERWISE}",
    IdKind.IDFV: (
        "Amplitude shows it only as the device id of its iOS SDK, unless the app sets one of its own. "
        f"Leave the SDK's device id as it is, {OTHERWISE}"
    ),
    IdKind.ADID: REMOVED.format("useAdvertisingIdForDeviceId"),
    IdKind.IDFA: REMOVED.format("useAdvertisingIdForDeviceId"),
    IdKind.APP_SET_ID: REMOVED.format("useAppSetIdForDeviceId"),
    IdKind.OAID: f"set it in Amplitude as the user property oaid, {OTHERWISE}",
}
"""What to do about a kind that Amplitude does not show; the kind that is easiest to mend is first."""

OF_DEVICE: Final = frozenset({IdKind.IDFV.value, IdKind.ADID.value, IdKind.IDFA.value, IdKind.APP_SET_ID.value})
"""Kinds that Amplitude shows only as the device id of its SDK."""


IDENTIFYING: Final = frozenset({Source.STREAM.value, Source.COHORT.value, Source.SIGHTINGS.value})
"""Sources whose messages identify users."""


class Known(Struct, frozen=True):
    """The kinds of identifier that Amplitude has shown for an app, and whether anything has come from it."""

    kinds: Set[str] = frozenset()
    streaming: bool = False


def streaming_apps(counts: Iterable[Count]) -> set[str]:
    """Return the apps for which a message has come that can identify users."""
    return {count.app for count in counts if count.source in IDENTIFYING}


def known_by_app(sighted: Iterable[SightedKind], streaming: Iterable[str]) -> dict[str, Known]:
    """Return what is known of each app. `streaming` are apps for which a stream, cohort or file has come."""
    kinds: dict[str, set[str]] = {app: set() for app in streaming}
    for seen in sighted:
        kinds.setdefault(seen.app, set()).add(seen.kind)
    return {app: Known(frozenset(found), streaming=True) for app, found in kinds.items()}


def hint(
    app: str, key_kinds: Sequence[str], waited_ms: int, known: Known, names: Mapping[str, str] | None = None
) -> str:
    """Return why an event with these kinds of key is probably not matched yet, and what to check.

    `names` are what kinds are called in the sentence, where that is not their code.
    """

    def listed(kinds: Sequence[str]) -> str:
        return ", ".join((names or {}).get(kind, kind) for kind in kinds)

    if CUSTOM_DATA_WITHOUT_ID in key_kinds:
        others = [kind for kind in key_kinds if kind != CUSTOM_DATA_WITHOUT_ID]
        return (
            "Custom data is there but has no id under mapping.device_id_key or mapping.user_id_key: compare these "
            f"with the keys that the app writes. {hint(app, others, waited_ms, known, names)}"
        )
    if key_kinds and set(key_kinds) <= OF_APPSFLYER:
        return (
            "No postback has shown this user's AppsFlyer id yet: does the app pass it to Amplitude as a user property "
            "named appsflyer_id, or its Amplitude device id to AppsFlyer?"
        )
    if not known.streaming:
        return (
            f"No stream from Amplitude has arrived yet for {app}: without it no user can be matched. "
            f"Set up the webhook to /v1/stream/{app}."
        )
    if not known.kinds:
        return "What Amplitude has sent of this app names no identifier: see which fields its webhook sends."
    unseen = [kind for kind in key_kinds if kind not in known.kinds]
    if len(unseen) == len(key_kinds):
        more = f" (nor {listed(unseen[1:])})" if unseen[1:] else ""
        remedy = next((remedy for kind, remedy in REMEDIES.items() if kind in unseen), OTHERWISE)
        return f"Amplitude has not shown a single {listed(unseen[:1])}{more} for this app: {remedy}"
    shown = listed([kind for kind in key_kinds if kind in known.kinds])
    if waited_ms < FRESH_MS and not unseen:
        return "Nothing is wrong so far: it may be matched when the user opens the app."
    if waited_ms < FRESH_MS:
        return f"Nothing is wrong so far: it may be matched by {shown} when the user opens the app."
    if unseen:
        return f"Not seen by {shown} yet; it can't be matched by {listed(unseen)}, which Amplitude has not shown."
    other = ", or its device id there is another" if OF_DEVICE.issuperset(key_kinds) else ""
    return f"Not seen by {shown} yet: the user has not opened the app where Amplitude sees it{other}."


class HeldSum(Struct, frozen=True):
    """The number of held events of one app, media source, set of key kinds and class of age."""

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
    """Return held events by class of age. With `sources`, an app's smaller media sources are summed as others."""
    counts = list(counts)
    named = ((count.app, count.media_source, count.n) for count in counts)
    kept = largest(named, sources) if sources is not None else None
    sums: Counter[tuple[str, str, str, str]] = Counter()
    for count in counts:
        source = count.media_source if kept is None or (count.app, count.media_source) in kept else OTHERS
        sums[count.app, source, " ".join(count.key_kinds), age_of(count.hour_ms, now_ms)] += count.n
    order = {name: place for place, (_, name) in enumerate(AGES)}
    rows = [HeldSum(*key, n) for key, n in sums.items()]
    return sorted(rows, key=lambda row: (row.app, row.media_source, row.keys, order.get(row.age, len(order))))


def largest(named: Iterable[tuple[str, str, int]], n: int) -> set[tuple[str, str]]:
    """Return the `n` largest names of each app, as app and name, of triples with a number."""
    totals: dict[str, Counter[str]] = {}
    for app, name, number in named:
        totals.setdefault(app, Counter())[name] += number
    ranked = {app: sorted(sums, key=lambda name: (-sums[name], name)) for app, sums in totals.items()}
    return {(app, name) for app, names in ranked.items() for name in names[:n]}
