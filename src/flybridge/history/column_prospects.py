"""What would become of a CSV file's rows, by the few columns that it rests on.

A dry run asks of a row which event it is, whether it is sent, and whether it names its user. Where columns prove it,
neither the other fields of the row are read nor its message is written and read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from flybridge.amplitude.event import MAX_TEXT, within_limits
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_kind import is_from_server
from flybridge.history.column_blocks import ColumnBlock, Texts, rows_beside, rows_by_columns
from flybridge.history.column_events import REPEATING, ColumnEvent, ColumnEvents
from flybridge.history.csv_rows import CsvReader
from flybridge.history.equal_rows import RowIdentity
from flybridge.history.rows import BadRow, RawRow, user_of
from flybridge.mapping.person import Keys, identify, named_user
from flybridge.mapping.to_amplitude.facts import MAX_FLAT
from flybridge.mapping.to_amplitude.rules import Rules

IDS: Final = ("custom_data", "customer_user_id")
NONE_REFUSED: Final = frozenset[str]()
MAX_REMEMBERED: Final = 4096

_decode: Final = msgspec.json.Decoder().decode


class Prospects(Struct, frozen=True):
    """The rows of a block, in columns. Of a row that is not read whole `events` has the event and whether it is sent.

    `are_named` says of those that are sent whether they name their user, and `persons` of all whose they are, by a
    hash of this process.
    `identities` are what tells equal rows apart; of conversions no two are equal, and theirs is None. `revenues` and
    `currencies` are as they are written. `read` has by place the rows that their columns don't prove.
    """

    events: list[ColumnEvent | None]
    are_named: list[bool]
    identities: list[RowIdentity | None]
    persons: list[int | None]
    revenues: Texts
    currencies: Texts
    read: Mapping[int, RawRow | BadRow]

    @property
    def rows(self) -> int:
        """How many rows there are: a blank line is none."""
        return len(self.events) - self.events.count(None) + len(self.read)

    def only(self, happened: Callable[[int], bool], ends: Callable[[RawRow | BadRow], bool]) -> Prospects:
        """Return those whose event happened in a millisecond of which this is wanted, and of the others read whole."""
        events = [event if event is not None and happened(event.second * 1000) else None for event in self.events]
        return structs.replace(self, events=events, read={at: row for at, row in self.read.items() if ends(row)})


def prospects_of(
    reader: CsvReader, rules: Rules, names: Sequence[str], *, reads_held: bool, reads_of_servers: bool
) -> Iterator[Prospects | RawRow | BadRow]:
    """Return the rows of a file of which the reader has read the header, by the rules of its app.

    `names` are the fields that tell equal rows apart. With `reads_held`, rows that do not name their user are read
    whole: whether something else shows their user depends on all identifiers that they have. With
    `reads_of_servers`, so are those that came to AppsFlyer from a server: it may be a stream that sent them.
    """
    also = (*names, *IDS, "event_source") if reads_of_servers else (*names, *IDS)
    events = ColumnEvents(rules, reader.columns, reader.named, also)
    chosen = events.needed if rules.route == "http_v2" and not rules.compiled.where else ()
    users = _Users(rules.compiled.keys)

    def rows_of(block: ColumnBlock) -> Iterator[Prospects]:
        found = list(events.of(block))
        if reads_of_servers:
            found = [
                None if is_from_server(source) else event
                for event, source in zip(found, block.texts("event_source"), strict=True)
            ]
        are_named = _are_named(block, found, users)
        if reads_held:
            found = [
                event if is_named or event is None or event.decided.outcome is not None else None
                for event, is_named in zip(found, are_named, strict=True)
            ]
        yield _prospects(reader, block, found, are_named, names)

    return rows_by_columns(reader, chosen, REPEATING, rows_of)


def _are_named(block: ColumnBlock, found: Sequence[ColumnEvent | None], known: _Users) -> list[bool]:
    """Return for each row whether it is sent and names its user."""
    texts, names_one = block.texts, known.names_one
    users = [None if written is None else user_of(written) for written in texts("customer_user_id")]
    rows = zip(found, texts("event_value"), texts("custom_data"), users, strict=True)
    return [
        event is not None and event.decided.outcome is None and names_one(custom, customer, event.value, written)
        for event, written, custom, customer in rows
    ]


def _prospects(
    reader: CsvReader,
    block: ColumnBlock,
    found: list[ColumnEvent | None],
    are_named: list[bool],
    names: Sequence[str],
) -> Prospects:
    texts = block.texts
    numbers, read = rows_beside(reader, block, found)
    identities = [
        None if event is None or event.decided.is_conversion else identity
        for event, identity in zip(found, block.identities(names), strict=True)
    ]
    persons = [
        None if event is None or person is None else hash(person.lower())
        for event, person in zip(found, texts("appsflyer_id"), strict=True)
    ]
    return Prospects(
        found,
        are_named,
        identities,
        persons,
        texts("event_revenue"),
        texts("event_revenue_currency"),
        {number - numbers.start: row for number, row in read.items()},
    )


class _Users:
    """Finds out whether rows name their user or device. `keys` say where it may stand."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._are_enough = lru_cache(MAX_REMEMBERED)(self._name_one)

    def names_one(
        self, custom: str | None, customer: str | None, value: Mapping[str, Any] | None, written: str | None
    ) -> bool:
        """Whether a row names one by its custom data, its value, or its customer user id."""
        if self._are_enough(custom, customer):
            return True
        if customer is not None and len(customer) > MAX_TEXT:
            customer = None
        if value is not None and written is not None and (len(written) > MAX_TEXT or _may_be_deep(written)):
            value = within_limits(value, [])
        if custom is None and self._has_device_id(value):
            return True
        person = identify(Postback(custom_data=custom, customer_user_id=customer), value, self._keys, NONE_REFUSED, [])
        return person.user_id is not None or person.device_id is not None

    def _name_one(self, custom: str | None, customer: str | None) -> bool:
        """Whether these name one whatever the rest of the row holds."""
        is_sent = customer is not None and len(customer) <= MAX_TEXT and self._keys.customer_user_id == "send"
        if is_sent and self._is_id(named_user(customer)):
            return True
        if custom is None:
            return False
        try:
            return self._has_device_id(_decode(custom))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False

    def _has_device_id(self, passed: object) -> bool:
        # Under the exact key an id is found whatever else there is.
        raw = passed.get(self._keys.device_id) if isinstance(passed, dict) else None
        return isinstance(raw, str) and self._is_id(named_user(raw))

    def _is_id(self, named: str | None) -> bool:
        return named is not None and self._keys.min_id_length <= len(named) <= MAX_TEXT


def _may_be_deep(written: str) -> bool:
    return written.count("{") + written.count("[") >= MAX_FLAT
