"""What AppsFlyer knows of a message, from which the sandbox makes AppsFlyer's reports.

It is written down when a message is made, and handed to the sandbox beside the messages that go to flybridge:

    POST /sandbox/reports/facts        one `Reported` a line, as JSON; a fact that came before is not counted again
"""

from __future__ import annotations

from msgspec import Struct


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
