"""Which event each row of a file is, and what would become of it, by the few columns that this rests on.

What a row is and whether it is sent depends on fields that repeat: it is decided once for each combination of them, by
the mapping itself, and cached. Of the others only the time, the person, the amount and the event's value take part.
A row is left to be read and mapped as usual where these are not in their usual form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.appsflyer import postback
from flybridge.appsflyer.columns import Columns
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_kind import NAMES
from flybridge.appsflyer.raw_report import FRAUD, TAKEN, Report, is_conversion, report_of
from flybridge.history.column_blocks import Codes, ColumnBlock, Texts, are_provable, second_of
from flybridge.identity import installation
from flybridge.mapping.counting import Counting
from flybridge.mapping.performance import performance_of
from flybridge.mapping.to_amplitude.classify import DECIDING
from flybridge.mapping.to_amplitude.content_key import conversion_key, event_key, value_of_key
from flybridge.mapping.to_amplitude.facts import INSTALLED, facts_of
from flybridge.mapping.to_amplitude.rules import Rules, SentAs
from flybridge.records import Dead, Filter, Media, PerformanceKind, Refuse, content_key

NEEDED: Final = ("appsflyer_id", "event_name", "event_time")
USED: Final = ("install_time", "event_value", "event_revenue", "event_revenue_currency")
MARKS: Final = ("campaign", "monetization_network", *FRAUD)
"""Fields of which it only matters whether they have a value."""
REPEATING: Final = (*DECIDING, *MARKS)
UNUSUAL: Final = ("install_time_selected_timezone", "appsflyer_device_id")
"""Fields that take part in what is proved here without them."""
MAX_REMEMBERED: Final = 4096
MAX_ID: Final = 256
SHORT: Final = 512
"""Values of so many characters are remembered."""
TIME: Final = "2026-01-01 00:00:00"
PRESENT: Final = "x"

_AMOUNT: Final = re.compile(r"-?\d{1,12}(?:\.\d{1,15})?", re.ASCII)
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_installation: Final = lru_cache(8192)(installation)  # a person is often that of a row nearby


class Decided(Struct, frozen=True, eq=False, gc=False):
    """What the fields that repeat say of a row.

    It `is_named` if it has one of the names that AppsFlyer gives, and `is_conversion` by the name as it is written.
    `family` is that of a conversion, empty for an in-app event. `outcome` is why it is not sent, None if it is. `more`
    are parts of its key; `apart` is what makes the key of a copy that is counted on its own.
    """

    report: Report
    name: str | None
    is_named: bool
    is_conversion: bool
    family: str
    outcome: Filter | Refuse | None
    more: tuple[Any, ...]
    apart: tuple[bytes, bytes] | None


class ColumnEvent(Struct, frozen=True, gc=False):
    """An event that columns prove, and the second in which it happened. `value` is that of an in-app event, parsed."""

    decided: Decided
    second: int
    key: bytes
    value: Any


class ColumnEvents:
    """Proves the events of one file by the rules of its app."""

    def __init__(self, rules: Rules, header: Columns, named: Report | None, also: Sequence[str] = ()) -> None:
        self._rules, self._named = rules, named
        self._by_attribution = rules.double_attribution == "both"
        self._decided: dict[tuple[str | None, ...], Decided | None] = {}
        fields = header.fields
        self._repeating = tuple(name for name in REPEATING if name in fields)
        self.needed = tuple(dict.fromkeys(name for name in (*NEEDED, *USED, *REPEATING, *also) if name in fields))
        """The columns that are read, `also` those that the caller wants; none if nothing can be proved."""
        if not are_provable(header, named, NEEDED) or any(name in fields for name in UNUSUAL):
            self.needed = ()

    def of(self, block: ColumnBlock) -> Iterator[ColumnEvent | None]:
        """Yield the event of each row; None for a row that is to be read and mapped as usual."""
        app, texts = self._rules.app, block.texts
        rows = zip(
            self._of_repeating(block),
            texts("appsflyer_id"),
            texts("event_time"),
            texts("install_time"),
            texts("event_value"),
            texts("event_revenue"),
            texts("event_revenue_currency"),
            strict=True,
        )
        for decided, person, time, installed, written, amount, currency in rows:
            if decided is None or person is None or time is None or len(person) > MAX_ID:
                yield None
                continue
            who, second, value, of_key = _installation(person), second_of(time), None, None
            if who is None or second is None:
                yield None
                continue
            if decided.is_named:  # an event of the app may have such a name
                says_more = written is not None or amount is not None
                moment = None if installed is None or says_more else second_of(installed)
                if moment is None or (decided.name == "install" and installed != time):
                    yield None
                    continue
                if decided.family in INSTALLED:
                    second = moment
            if decided.family:
                key = conversion_key(app, who, decided.family, second)
            else:
                if written is not None:
                    value, of_key = (_value if len(written) <= SHORT else _read_value)(written)
                    if value is None:
                        yield None
                        continue
                if amount is None:
                    revenue = paid_in = None
                elif _AMOUNT.fullmatch(amount) and _is_code(currency):
                    revenue, paid_in = float(amount) + 0.0, (currency or "").upper()  # -0 is 0
                else:
                    yield None
                    continue
                key = event_key([app, who, decided.name, second, revenue, paid_in, *decided.more], of_key)
            if decided.apart is not None:
                key = content_key(decided.apart[0], key, decided.apart[1])
            yield ColumnEvent(decided, second, key, value)

    def _of_repeating(self, block: ColumnBlock) -> Iterator[Decided | None]:
        """Yield what the fields that repeat say of each row; None if they don't prove it."""
        values_of, places_of = list[Texts](), list[Sequence[int | None]]()
        said: list[str | None] = [None] * len(self._repeating)
        varying = list[int]()
        for at, name in enumerate(self._repeating):
            if not block.has(name):
                continue
            values, places = block.codes(name)
            if name in MARKS and not (name == "campaign" and self._by_attribution):
                values, places = _presences(values, places)
            if len(set(places)) == 1:
                said[at] = None if places[0] is None else values[places[0]]
            else:
                varying.append(at)
                values_of.append([*values, None])
                places_of.append(places)
        if not places_of:
            yield from repeat(self._decided_of(tuple(said)), block.rows)
            return
        found = dict[tuple[int | None, ...], Decided | None]()
        for row in zip(*places_of, strict=True):
            try:
                yield found[row]
            except KeyError:
                for at, values, place in zip(varying, values_of, row, strict=True):
                    said[at] = values[-1 if place is None else place]
                decided = found[row] = self._decided_of(tuple(said))
                yield decided

    def _decided_of(self, said: tuple[str | None, ...]) -> Decided | None:
        try:
            return self._decided[said]
        except KeyError:
            if len(self._decided) >= MAX_REMEMBERED:
                self._decided.clear()
            named = zip(self._repeating, said, strict=True)
            found = self._decided[said] = self._decide({name: value for name, value in named if value is not None})
            return found

    def _decide(self, said: dict[str, str]) -> Decided | None:
        if "event_name" not in said:
            return None
        if (report := report_of(said, self._named)) not in TAKEN:
            return None
        said |= {"appsflyer_id": "1-1", "event_time": TIME, "install_time": TIME}
        read = postback.read(_encode(said), Media.JSON)
        if not isinstance(read, Postback):
            return None
        facts, rules = facts_of(read, self._rules, 0), self._rules
        kind, outcome = facts.classification.reported, facts.classification.outcome
        if isinstance(outcome, Dead) or kind is None or not (kind.is_conversion or kind.is_in_app):
            return None
        apart = None
        if not isinstance(outcome, SentAs):
            one_copy = rules.double_attribution != "first"
            is_secondary = one_copy and read.is_primary_attribution is False
            counted = performance_of(facts, Counting(), keys=(), is_secondary=is_secondary)
            if counted is None:  # it is known by its bytes
                return None
            if counted.dimensions.kind == PerformanceKind.SECONDARY:
                apart = counted.dimensions.kind.encode(), counted.dimensions.media_source.encode()
        more = (read.media_source, read.campaign, read.is_primary_attribution is not False)
        return Decided(
            report,
            read.event_name,
            read.event_name in NAMES,
            is_conversion(said),
            kind.family if kind.is_conversion else "",
            None if isinstance(outcome, SentAs) else outcome,
            more if self._by_attribution else (),
            apart,
        )


def _presences(values: Texts, places: Sequence[int | None]) -> Codes:
    """Return only whether there is a value, but of one with blanks around it, in which the mapping may find nothing."""
    shown = [PRESENT if text is not None and text.strip() is text else text for text in values]
    first = {text: place for place, text in reversed(list(enumerate(shown)))}
    return shown, [None if place is None else first[shown[place]] for place in places]


def _read_value(written: str) -> tuple[dict[str, Any] | None, Any]:
    """Return the value of an event and what stands for it in its key; None twice unless it is an object."""
    if written[:1] != "{":
        return None, None
    try:
        value = _decode(written)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None, None
    return (value, value_of_key(value)) if isinstance(value, dict) else (None, None)


_value: Final = lru_cache(MAX_REMEMBERED)(_read_value)  # of a level, an item or a screen there are many events


def _is_code(currency: str | None) -> bool:
    return currency is None or (len(currency) == 3 and currency.isalpha() and currency.isascii())
