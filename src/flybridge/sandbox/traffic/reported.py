"""What AppsFlyer knows of a message, from which the sandbox makes AppsFlyer's reports.

It is written down when a message is made, and handed to the sandbox beside the messages that go to flybridge:

    POST /sandbox/reports/facts        one `Reported` a line, as JSON; a fact that came before is not counted again

What advertising has cost, as networks report it, is planned with the traffic and told beside the facts. Each paid
install has its cost, clicks and impressions, and campaigns spend on some days that bring nobody, too. A cost is less
than all of it on the first days, and some are corrected after 14, 29 or 88 days, as AppsFlyer's Cost ETL has them
(https://support.appsflyer.com/hc/en-us/articles/360008849238, read 2026-11-27). How much is invented.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from random import Random
from typing import Final

from msgspec import Struct, structs

from flybridge.records import DAY_MS


class AdSpend(Struct, frozen=True, gc=False):
    """What a network reports to AppsFlyer about one install.

    `costs` are in US dollars, each from so many days after the day of the install on; empty: none is reported.
    """

    costs: tuple[tuple[int, float], ...]
    clicks: int
    impressions: int | None


class Reported(Struct, frozen=True, gc=False):
    """One conversion or in-app event as AppsFlyer has it. Times are in milliseconds since 1970.

    `media_source` and `campaign` are those of aggregates, `raw_source` and `raw_campaign` those of raw data, which may
    be restricted. `learned_ms` is when AppsFlyer came to know it, `installation` the AppsFlyer id. `secondary`: it is
    the copy of an in-app event for the source of the install, while a re-engagement window is open. `readable`: the
    message says what it is about. `amount` is in `currency`. `cost_usd` is what the install's own message says, and
    `spent` what its network reports.
    """

    app_id: str
    kind: str
    event_name: str
    time_ms: int
    install_ms: int
    learned_ms: int
    installation: str
    media_source: str
    campaign: str | None
    raw_source: str
    raw_campaign: str | None
    country: str
    touch_type: str | None
    retargeting: bool
    secondary: bool
    readable: bool
    amount: float | None
    currency: str
    revenue_usd: float
    cost_usd: float | None
    spent: AdSpend | None = None


SPENDING: Final = "spending"
"""The kind of a fact about a cost without an install."""
IDLE: Final = 97
"""A campaign spends on one of so many days without an install."""
CORRECTIONS: Final = {1: (14, 1.02), 2: (29, 0.97), 3: (88, 1.01)}
"""A fifth of the costs each: after so many days it is so many times as much."""


def spent(cost_usd: float | None, bits: int) -> AdSpend:
    """Return what is reported for one install. AppsFlyer's own links have clicks, and no cost."""
    if cost_usd is None:
        return AdSpend((), 3, None)
    clicks = 8 + bits % 33
    costs = [(0, 0.6 * cost_usd), (1, (0.92 if bits % 3 == 0 else 1.0) * cost_usd), (7, cost_usd)]
    if (correction := CORRECTIONS.get(bits % 5)) is not None:
        since, times = correction
        costs.append((since, times * cost_usd))
    return AdSpend(tuple((since, round(cost, 2)) for since, cost in costs), clicks, clicks * (20 + bits // 64 % 101))


def idle_days(facts: Iterable[Reported]) -> list[Reported]:
    """Return what campaigns spend on days that bring nobody, among the days of these facts of one app."""
    paid: defaultdict[tuple[str, str | None, str], list[Reported]] = defaultdict(list)
    days: set[int] = set()
    for fact in facts:
        days.add(fact.install_ms // DAY_MS)
        if fact.spent is not None and fact.spent.costs:
            paid[fact.media_source, fact.campaign, fact.country].append(fact)
    found = []
    for (source, campaign, country), installs in sorted(paid.items(), key=lambda one: str(one[0])):
        busy = {one.install_ms // DAY_MS for one in installs}
        random = Random(f"idle {source} {campaign} {country}")  # noqa: S311 - repeatable on purpose
        for day in sorted(days):
            draw, bits = random.randrange(IDLE), random.getrandbits(32)
            # Next to midnight a day may be another in the app's zone.
            if draw or day in busy:
                continue
            at_ms = day * DAY_MS + DAY_MS // 2
            mean = sum(one.cost_usd or 0.0 for one in installs) / len(installs)
            found.append(
                structs.replace(
                    installs[0], kind=SPENDING, time_ms=at_ms, install_ms=at_ms, learned_ms=at_ms, installation="",
                    cost_usd=mean, spent=spent(mean, bits),
                )
            )  # fmt: skip
    return found
