"""What a store tells about performance: which slice is asked for, and its sums. None of them identifies a person.

Days are numbers of days since 1970, in the zone of each app; money is in millionths of its currency.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final, TypeVar

from msgspec import Struct, structs

from flybridge.identity.masking import masked

S = TypeVar("S", bound=Struct)

LABELS: Final = ("app", "day", "media_source", "campaign", "adset", "ad", "country", "platform")
"""What sums can be asked for by, beside the name of the event."""

WHOLE: Final = -1
"""The horizon of sums that need no complete day."""

OTHER: Final = "(other)"
"""What is counted under no name of its own, because an app's day has too many cells."""

ORGANIC: Final = "organic"
RESTRICTED: Final = "restricted"
"""What AppsFlyer names in place of a media source: nobody paid for it, or it may not be named."""

MAX_LABEL: Final = 128

_EPOCH: Final = date(1970, 1, 1)


def day_number(day: date) -> int:
    """Return the number of a day since 1970."""
    return (day - _EPOCH).days


def date_of(number: int) -> date:
    """Return the day of a number."""
    return _EPOCH + timedelta(days=number)


def label(text: str | None) -> str:
    """Return a name as it is counted: masked, shortened, and as any database can store and any page can show it."""
    if not text:
        return ""
    return _known_label(text) if len(text) <= MAX_LABEL else _label(text)


def _label(text: str) -> str:
    name = masked(text.strip())[:MAX_LABEL]
    # What can't be printed or turns the direction of text is a mark; PostgreSQL would store neither half of a surrogate
    # pair nor NUL.
    return name if name.isprintable() else "".join(map(_sign, name))


_known_label: Final = lru_cache(8_192)(_label)
"""The same names come with every event. Only what is short is remembered, so that nobody fills the memory."""


def _sign(sign: str) -> str:
    return sign if sign.isprintable() else " " if sign.isspace() else "\ufffd"


def source_label(text: str) -> str:
    """Return a media source as it is counted: AppsFlyer writes `Organic` and `organic`."""
    known = text.strip().lower()
    return known if known in (ORGANIC, RESTRICTED) else label(text)


def country_label(text: str | None) -> str:
    """Return the two letters of a country as AppsFlyer writes them; empty if it is none.

    The United Kingdom is `UK` there, while networks that report spend follow ISO 3166 and write `GB`
    (https://support.appsflyer.com/hc/en-us/articles/360000847378, read 2026-11-29).
    """
    code = (text or "").strip().upper()
    if len(code) != 2 or not code.isascii() or not code.isalpha():
        return ""
    return "UK" if code == "GB" else code


class Slice(Struct, frozen=True):
    """A question: sums of the days from `first` to `last`, by labels of `LABELS` and `event`, of what is named.

    `today` is the day that is not over: an install day has n complete days if the n-th after it is before today.
    """

    first: int
    last: int
    today: int
    by: frozenset[str] = frozenset()
    app: str | None = None
    media_source: str | None = None
    campaign: str | None = None
    country: str | None = None
    platform: str | None = None

    @property
    def parameters(self) -> tuple[object, ...]:
        """The parameters that every statement about performance takes first."""
        flags = tuple(int(label in self.by) for label in (*LABELS, "event"))
        named = (self.app, self.media_source, self.campaign, self.country, self.platform)
        return (self.first, self.last, self.today, *named, *flags)


class Labels(Struct, frozen=True):
    """What a row of sums is of. A label that was not asked for is empty, a day 0."""

    app: str = ""
    day: int = 0
    media_source: str = ""
    campaign: str = ""
    adset: str = ""
    ad: str = ""
    country: str = ""
    platform: str = ""


class Sums(Struct, frozen=True):
    """What happened: `n` conversions or events of a kind, by the day on which they happened.

    `reached` counts installations of which something was given to a person in Amplitude.
    """

    labels: Labels
    kind: str
    event: str
    n: int
    revenue: int
    not_converted: int
    reached: int


class Size(Struct, frozen=True):
    """How many installations began on days that have `horizon` complete days."""

    labels: Labels
    kind: str
    horizon: int
    n: int


class CohortSums(Struct, frozen=True):
    """What the installations of days with `horizon` complete days did: `active` on that day, the others up to it."""

    labels: Labels
    kind: str
    horizon: int
    active: int
    payers: int
    events: int
    revenue: int
    not_converted: int


class CurvePoint(Struct, frozen=True):
    """What the installations of one day did on the day `offset` days later."""

    labels: Labels
    kind: str
    offset: int
    active: int
    payers: int
    events: int
    revenue: int
    not_converted: int


class CostSums(Struct, frozen=True):
    """Spend in one currency, of days with `horizon` complete days. None where nothing was reported."""

    labels: Labels
    horizon: int
    origin: str
    currency: str
    spend: int | None
    clicks: int | None
    impressions: int | None


class CostRow(Struct, frozen=True):
    """What `origin` reported about one app, day, source, campaign and country. `spend` is in millionths."""

    app: str
    day: int
    media_source: str
    campaign: str
    country: str
    currency: str
    spend: int | None = None
    clicks: int | None = None
    impressions: int | None = None

    @property
    def place(self) -> tuple[object, ...]:
        """What it is about."""
        return self.app, self.day, self.media_source, self.campaign, self.country, self.currency

    @property
    def is_known(self) -> bool:
        """Whether it has any figure."""
        return not self.spend is self.clicks is self.impressions is None

    def plus(self, other: CostRow) -> CostRow:
        """Return both rows together, which are about the same."""
        return structs.replace(
            self,
            spend=add(self.spend, other.spend),
            clicks=add(self.clicks, other.clicks),
            impressions=add(self.impressions, other.impressions),
        )


def by_place(rows: Iterable[CostRow]) -> dict[tuple[object, ...], CostRow]:
    """Return rows by what they are about; those about the same are added up."""
    found: dict[tuple[object, ...], CostRow] = {}
    for row in rows:
        before = found.get(row.place)
        found[row.place] = row if before is None else before.plus(row)
    return found


def summed(shape: type[S], rows: Iterable[S], **given: Any) -> S:
    """Return the sums of rows field by field, but for the fields that are given. What none of them knows is None."""
    columns = zip(shape.__struct_fields__, zip(*map(structs.astuple, rows), strict=True), strict=False)
    return shape(**{name: _sum(values) for name, values in columns if name not in given}, **given)


def _sum(values: Sequence[Any]) -> int | None:
    known = [value for value in values if value is not None] if None in values else values
    return sum(known) if known else None


def add(left: int | None, right: int | None) -> int | None:
    """Add two sums of which one may not be known. What was not reported stays unknown."""
    if left is None or right is None:
        return right if left is None else left
    return left + right


ORIGINS: Final = ("csv", "etl", "master", "aggregate")
"""Where figures of cost come from. Of one source and day those of the first origin count that has any."""
