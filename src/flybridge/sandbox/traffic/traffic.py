"""Makes traffic: people who install, act, come back and are reported by AppsFlyer, mistakes included.

    for message in generate(seed=7, events=10_000, apps=[App("shop-android", "android", "com.example.shop")]):
        post(message.path, message.body)          # message.truth says what must become of it

The same arguments make the same bytes. Messages come in the order in which they would be sent; memory is held only for
people who still have something to send. All messages of a person are planned when they arrive, because the truth about
the first may depend on the last.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from random import Random
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from flybridge.records import DAY_MS, HOUR_MS
from flybridge.sandbox.traffic.in_app_events import EVENTS, LOGIN, PURCHASE, REFUND
from flybridge.sandbox.traffic.people import ALWAYS, IdentitySource, SeenBy, TrafficPerson, make_person
from flybridge.sandbox.traffic.planned import MessageKind, Planned, Quirk, TrafficMessage, write
from flybridge.sandbox.traffic.postbacks import TrafficApp, TrafficInstallation, install
from flybridge.sandbox.traffic.sources import (
    ORGANIC,
    QUALITY,
    QUALITY_OF_OTHERS,
    Touch,
    Weighted,
    restricted_touch,
    touch,
)

__all__ = ["TrafficApp", "TrafficMessage", "TrafficOptions", "generate"]

START_MS: Final = 1_767_225_600_000
"""2026-01-01 00:00 UTC: when the first person arrives, unless the options say otherwise."""

MESSAGES_PER_PERSON: Final = 7.4
"""About how many messages a person leads to; spreads arrivals over the span."""

MAX_EVENTS: Final = 40


class TrafficOptions(Struct, frozen=True):
    """Shares of messages (0 to 1), and when.

    `held`: from people whom Amplitude never sees. `late_seen`: from people whom only Amplitude's event stream names,
    mostly after the fact. `restricted`: from sources that may not be named. `malformed`: no event named, or no JSON
    object. `odd`: a nonsense date beside a good one. `lat` is the share of people who limit tracking.
    `restricted_policy` is what the app's configuration makes of the source `restricted`. `double_attribution`: in-app
    events of an open re-engagement window come twice, for the retargeting source and for that of the install
    (https://support.appsflyer.com/hc/en-us/articles/360016371077, read 2026-11-27). `away` is the share of pauses
    between two events of a person that last up to `away_days`; the others are minutes. `comes_back`: people of a source
    of the best quality stay away for days after so many of their events, and come back; those of others after fewer.
    """

    duplicates: float = 0.03
    late: float = 0.03
    held: float = 0.08
    late_seen: float = 0.0
    restricted: float = 0.1
    malformed: float = 0.003
    odd: float = 0.003
    lat: float = 0.25
    restricted_policy: str = "redact"
    double_attribution: bool = True
    away: float = 0.06
    away_days: float = 2.0
    comes_back: float = 0.0
    start_ms: int = START_MS
    span_ms: int = 3 * DAY_MS


def generate(
    seed: int,
    events: int,
    apps: Sequence[TrafficApp],
    options: TrafficOptions = TrafficOptions(),  # noqa: B008 - frozen
) -> Iterator[TrafficMessage]:
    """Return `events` postbacks in the order of sending; sightings of people who are seen late come in addition.

    Raises `ValueError` without an app.
    """
    if not apps:
        raise ValueError("traffic needs at least one app")
    return _Traffic(seed, events, apps, options).messages()


class _Traffic:
    def __init__(self, seed: int, events: int, apps: Sequence[TrafficApp], options: TrafficOptions) -> None:
        self._random = Random(f"traffic {seed}")  # noqa: S311 - repeatable on purpose
        self._apps = apps
        self._options = options
        self._left = events
        self._arrival_ms = float(options.start_ms)
        self._gap_ms = options.span_ms / max(1.0, events / MESSAGES_PER_PERSON)
        shares = _shares(options)
        self._identity_sources = Weighted(list(shares), list(shares.values()))
        always = sum(weight for identity_source, weight in shares.items() if identity_source in ALWAYS)
        self._restricted = min(1.0, options.restricted / always) if always else 0.0
        self._malformed = min(1.0, options.malformed / always) if always else 0.0
        self._copies = options.duplicates / (1 - options.duplicates)
        self._heap: list[tuple[int, int, Planned]] = []
        self._pushed = 0
        self._times: set[tuple[str, int]] = set()

    def messages(self) -> Iterator[TrafficMessage]:
        number = 0
        while True:
            while self._left > 0 and (not self._heap or self._heap[0][0] >= self._arrival_ms):
                self._arrive()
            if not self._heap:
                return
            send_ms, _, planned = heapq.heappop(self._heap)
            yield write(planned, number, send_ms, self._options.restricted_policy)
            number += 1

    def _arrive(self) -> None:
        """Add one person, and plan their messages within what is left to send."""
        random = self._random
        arrival_ms = int(self._arrival_ms)
        self._arrival_ms += random.expovariate(1.0) * self._gap_ms
        app = self._apps[int(random.random() * len(self._apps))]
        person = make_person(random, app.platform, self._identity_sources.draw(random), self._options.lat, arrival_ms)
        plans = self._life(app, person, arrival_ms)
        kept: list[Planned] = []
        for planned, following in zip_longest(plans, plans[1:]):
            # AppsFlyer sends an event and the copy for the source of the install both, or neither.
            reserved = int(following is not None and following.secondary)
            if self._left <= reserved:
                break
            self._left -= 1
            if self._left > reserved and random.random() < self._copies and not planned.secondary:
                planned.copies = 1
                self._left -= 1
            kept.append(planned)
        self._settle_identity(person, kept)
        for planned in kept:
            self._send(planned, random)

    def _settle_identity(self, person: TrafficPerson, plans: list[Planned]) -> None:
        late = person.identity_source is IdentitySource.SEEN_LATE
        resolved = (late and person.can_be_matched) or any(planned.carries for planned in plans)
        for planned in plans:
            planned.resolved = resolved
        if late:
            first = plans[0]
            # A device seen before the install can be matched by its device id, not by an AppsFlyer id it had not yet.
            known_before = self._random.random() < 0.3 and person.seen_by is SeenBy.DEVICE_ID
            seen_ms = first.event_ms + int((-1 if known_before else 1) * (self._random.random() * 20 + 0.1) * HOUR_MS)
            seen = Planned(first.installation, MessageKind.SIGHTING, "", seen_ms, self._random.getrandbits(64))
            self._push(max(seen_ms + 500, first.event_ms), seen)

    def _send(self, planned: Planned, random: Random) -> None:
        delay_ms = 300 + random.random() * 60_000
        if random.random() < self._options.late:
            delay_ms += (1 + random.random() * 30) * HOUR_MS
        send_ms = planned.event_ms + int(delay_ms)
        self._push(send_ms, planned)
        for _ in range(planned.copies):
            self._push(send_ms + 1000 + int(random.random() * 900_000), planned)

    def _push(self, send_ms: int, planned: Planned) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (send_ms, self._pushed, planned))

    def _life(self, app: TrafficApp, person: TrafficPerson, arrival_ms: int) -> list[Planned]:
        random = self._random
        restricted = person.identity_source in ALWAYS and random.random() < self._restricted
        came = _hidden(app, person) if restricted else touch(random, app.platform, person.country.code)
        time_ms = self._free(app, arrival_ms)
        appsflyer_id = _appsflyer_id(random, time_ms)
        current = install(
            random, app, person, came, conversion="install", install_ms=time_ms, appsflyer_id=appsflyer_id
        )
        carries = person.identity_source in ALWAYS
        plans = [self._planned(current, MessageKind.INSTALL, "install", time_ms, carries=carries)]
        # Only people who are known everywhere, or nowhere, return: else a second installation would have to be seen.
        turn = (
            random.randrange(12)
            if random.random() < 0.2 and person.identity_source in {*ALWAYS, IdentitySource.NEVER}
            else -1
        )
        names = self._names(person)
        for position, name in enumerate(names):
            time_ms = self._free(app, time_ms + self._pause() + self._absence(came))
            if position == turn:
                current, kind = self._return(current, time_ms)
                plans.append(self._planned(current, kind, kind.value, time_ms, carries=carries))
                time_ms = self._free(app, time_ms + 5_000)
            if person.identity_source is IdentitySource.EVENT_VALUE or (
                person.identity_source is IdentitySource.LOGIN and name == LOGIN
            ):
                carries = True
            plans.append(self._planned(current, MessageKind.IN_APP, name, time_ms, carries=carries))
            if name == REFUND:
                plans[-1].bits = next(p.bits for p in reversed(plans[:-1]) if p.name == PURCHASE)
            # AppsFlyer sends both copies, also where one of them has an odd date.
            both = plans[-1].quirk in {Quirk.NONE, Quirk.NONSENSE_TIME}
            if current.reengages and self._options.double_attribution and both:
                # The copy that AppsFlyer attributes to the source of the install.
                plans.append(replace(plans[-1], installation=plans[0].installation, quirk=Quirk.NONE, secondary=True))
        return plans

    def _names(self, person: TrafficPerson) -> list[str]:
        random = self._random
        names = ["af_complete_registration"] if random.random() < 0.5 else []
        if random.random() < 0.4:
            names.append("af_tutorial_completion")
        if person.identity_source is IdentitySource.LOGIN or random.random() < 0.3:
            names.append(LOGIN)
        for _ in range(min(MAX_EVENTS, int(random.expovariate(0.2)))):
            names.append(EVENTS.draw(random))
            if names[-1] == PURCHASE and random.random() < 0.05:
                names.append(REFUND)
        return names

    def _return(self, before: TrafficInstallation, time_ms: int) -> tuple[TrafficInstallation, MessageKind]:
        random, app, person = self._random, before.app, before.person
        draw = random.random()
        kind, conversion, appsflyer_id = MessageKind.RE_ENGAGEMENT, "re-engagement", before.appsflyer_id
        if draw >= 0.6:
            kind = MessageKind.RE_ATTRIBUTION if draw < 0.8 else MessageKind.REINSTALL
            conversion, appsflyer_id = "reinstall", _appsflyer_id(random, time_ms)
        retargeting = kind is not MessageKind.REINSTALL
        came = touch(random, app.platform, person.country.code, retargeting=retargeting)
        after = install(
            random,
            app,
            person,
            came,
            conversion=conversion,
            install_ms=time_ms,
            appsflyer_id=appsflyer_id,
            retargeting=retargeting,
        )
        return after, kind

    def _planned(
        self, current: TrafficInstallation, kind: MessageKind, name: str, time_ms: int, *, carries: bool
    ) -> Planned:
        random = self._random
        quirk = Quirk.NONE
        if current.person.identity_source in ALWAYS:
            point = random.random()
            if point < self._malformed:
                quirk = Quirk.NO_EVENT if point < self._malformed / 2 else Quirk.NO_OBJECT
            elif point < self._malformed + self._options.odd:
                quirk = Quirk.NONSENSE_TIME
        return Planned(current, kind, name, time_ms, random.getrandbits(64), quirk, carries)

    def _pause(self) -> int:
        random = self._random
        pause_ms = 2_000 + random.expovariate(1.0) * 25 * 60_000
        return int(
            pause_ms
            + (random.random() * self._options.away_days * DAY_MS if random.random() < self._options.away else 0)
        )

    def _absence(self, came: Touch) -> int:
        """Return for how long a person stays away before the next event."""
        if not self._options.comes_back:
            return 0
        random = self._random
        share = self._options.comes_back * QUALITY.get(came.media_source, QUALITY_OF_OTHERS)
        return int(random.expovariate(1 / 6) * DAY_MS) if random.random() < share else 0

    def _free(self, app: TrafficApp, time_ms: int) -> int:
        # An event is found again by its app, name and time: no two of an app have the same.
        while (app.name, time_ms) in self._times:
            time_ms += 1
        self._times.add((app.name, time_ms))
        return time_ms


def _hidden(app: TrafficApp, person: TrafficPerson) -> Touch:
    """Return a restricted attribution. One in eight is restricted in aggregates, too."""
    random = Random(person.ip)  # noqa: S311 - repeatable on purpose
    hidden = touch(random, app.platform, person.country.code)
    return restricted_touch(hidden if hidden.media_source != ORGANIC and random.random() < 7 / 8 else None)


def _shares(options: TrafficOptions) -> dict[IdentitySource, float]:
    rest = max(0.0, 1 - options.held - options.late_seen)
    return {
        IdentitySource.CUSTOM_DATA: rest * 0.55,
        IdentitySource.CUSTOMER_USER_ID: rest * 0.30,
        IdentitySource.EVENT_VALUE: rest * 0.08,
        IdentitySource.LOGIN: rest * 0.07,
        IdentitySource.SEEN_LATE: options.late_seen,
        IdentitySource.NEVER: options.held,
    }


def _appsflyer_id(random: Random, install_ms: int) -> str:
    # 13 digits, a dash, 7 to 19 digits.
    return f"{install_ms}-{random.getrandbits(59) + 1_000_000}"
