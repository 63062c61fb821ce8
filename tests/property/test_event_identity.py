"""However the reports of one person's events arrive, as many are sent as have happened."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from hypothesis import example, given, settings
from hypothesis import strategies as st

from empty_stores import write_empty_store
from flybridge.flow import AppFlow, Flow
from flybridge.history.rows import Zone
from flybridge.identity import Keyring
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Deliver, Envelope, Filing, Media, Source
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore

NOW_MS = 1_780_000_000_000
SECONDS = ("2026-05-20 10:00:00", "2026-05-20 10:00:01")
FLOW = Flow({"shop": AppFlow(Rules(app="shop", platform="android"))}, Keyring(b"secret"))

# An event that happened: its second, its millisecond, and what it was.
Happened = tuple[int, int, str]
happened = st.tuples(st.sampled_from([0, 1]), st.sampled_from([0, 1, 100, 999]), st.sampled_from(["0.99", "4.99"]))


def message(second: int, price: str, fraction: str) -> dict[str, Any]:
    """Build a purchase whose person Amplitude knows."""
    return {
        "appsflyer_id": "1-1",
        "event_name": "af_purchase",
        "event_time": SECONDS[second] + fraction,
        "event_value": json.dumps({"af_revenue": price}),
        "custom_data": json.dumps({"amplitude_device_id": "device-of-ann"}),
    }


def pushed(event: Happened, media: Media) -> Envelope:
    """Build a push of an event, with milliseconds."""
    fields = message(event[0], event[2], f".{event[1]:03}")
    body = json.dumps(fields) if media is Media.JSON else urlencode(fields)
    return Envelope("shop", Source.PUSH, media, NOW_MS, body.encode())


def file_of(events: list[Happened], fraction: str) -> list[Envelope]:
    """Build the rows of a report of whole seconds, each with its ordinal among the equal ones."""
    rows, met = [], Counter[tuple[int, str]]()
    for second, _, price in events:
        met[second, price] += 1
        body = json.dumps(message(second, price, fraction)).encode()
        rows.append(Envelope("shop", Source.FILE, Media.JSON, NOW_MS, body, ordinal=met[second, price]))
    return rows


async def _sent(batches: list[list[Envelope]]) -> tuple[int, set[str]]:
    """File envelopes in these batches. Returns how many were not duplicates, and the insert_ids of what is sent."""
    with tempfile.TemporaryDirectory() as place:
        store = SqliteStore(write_empty_store(Path(place) / "store.db"), Seal(b"secret"))
        await store.open()
        number, filed, ids = 0, 0, set()
        for batch in batches:
            filings: list[Filing] = []
            for envelope in batch:
                number += 1
                filings.append(FLOW.filing(Envelope(*_parts(envelope), f"r{number}", envelope.ordinal)))
            outcome = await store.file(filings, NOW_MS)
            filed += outcome.outcomes.get("pending", 0)
            ids |= {filing.decision.insert_id for filing in filings if isinstance(filing.decision, Deliver)}
        leased = [d async for d in _all(store)]
        assert await store.audit() == []
        await store.close()
    assert len({delivery.insert_id for delivery in leased}) == len(leased) == filed, "Amplitude would drop one"
    return filed, ids


def _parts(envelope: Envelope) -> tuple[Any, ...]:
    return envelope.app, envelope.source, envelope.media, envelope.received_ms, envelope.body


async def _all(store: SqliteStore):
    for lane in await store.lanes(NOW_MS):
        for delivery in await store.lease(lane, 10_000, NOW_MS, 1000, "me"):
            yield delivery


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[list[Envelope]], int]:
    """Draw what happened, and how it is reported: pushed again, by GET, in files of all or some of it."""
    events = draw(st.lists(happened, max_size=8, unique=True))
    reports: list[Envelope] = []
    reported: set[Happened] = set()
    in_files: Counter[tuple[int, str]] = Counter()
    for event in events:
        for media in draw(st.lists(st.sampled_from([Media.JSON, Media.QUERY]), max_size=3)):
            reports.append(pushed(event, media))
            reported.add(event)
    for _ in range(draw(st.integers(0, 2))):
        some = draw(st.lists(st.sampled_from(events), unique=True)) if events else []
        rows = file_of(some, draw(st.sampled_from(["", ".000"])))
        reports += rows
        for key, n in Counter((second, price) for second, _, price in some).items():
            in_files[key] = max(in_files[key], n)
    keys = {(second, price) for second, _, price in reported} | set(in_files)
    exact = Counter((second, price) for second, _, price in reported)
    order = draw(st.permutations(reports))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=4)))
    batches = [list(order[a:b]) for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    return batches, sum(max(exact[key], in_files[key]) for key in keys)


@given(arrivals())
@settings(max_examples=120, deadline=None)
@example(([[pushed((0, 100, "0.99"), Media.JSON)], [pushed((0, 950, "0.99"), Media.JSON)]], 2))
@example((
    [[pushed((0, 100, "1"), Media.JSON), pushed((0, 950, "1"), Media.QUERY)], file_of([(0, 0, "1")] * 2, "")], 2)
)  # fmt: skip
@example(([file_of([(0, 0, "1")] * 3, ""), [pushed((0, 100, "1"), Media.JSON)]], 3))
@example(([file_of([(0, 0, "1")] * 3, "")[::-1], file_of([(0, 0, "1")] * 3, "")], 3))
def test_the_number_of_events_is_that_of_milliseconds_or_of_equal_rows(given: tuple[list[list[Envelope]], int]) -> None:
    """Whichever is greater, in any order, in any batches, by any way."""
    batches, expected = given
    assert asyncio.run(_sent(batches))[0] == expected


@given(st.permutations([pushed((0, ms, "1"), Media.JSON) for ms in range(0, 1000, 37)]))
@settings(max_examples=10, deadline=None)
def test_every_millisecond_is_an_event(order: list[Envelope]) -> None:
    """A burst within one second is as many events as it has different milliseconds."""
    assert asyncio.run(_sent([list(order), list(reversed(order))]))[0] == len(order)


HOURS = ("2026-10-25 00:30:00", "2026-10-25 01:30:00")
"""The same time in Berlin, before and after its clocks are set back."""
BERLIN = Zone("Europe/Berlin")

# An event that happened: in the first or second hour, its millisecond, and its price.
in_hours = st.tuples(st.sampled_from([0, 1]), st.sampled_from([0, 250, 999]), st.sampled_from(["0.99", "4.99"]))


def at_utc(event: Happened, fraction: str, ordinal: int = 0) -> Envelope:
    """Build a push of an event of either hour, or a row of a file in UTC."""
    body = message(0, event[2], "") | {"event_time": HOURS[event[0]] + fraction}
    source = Source.FILE if ordinal else Source.PUSH
    return Envelope("shop", source, Media.JSON, NOW_MS, json.dumps(body).encode(), ordinal=ordinal)


def local_rows(events: list[Happened], *, twin: bool, fraction: str) -> list[Envelope]:
    """Build the rows of a report in local time: in that of a file, or in columns that say their zone."""
    rows, met = [], Counter[str]()
    for _, _, price in events:
        met[price] += 1
        fields = message(0, price, "")
        local = "2026-10-25 02:30:00" + fraction
        if twin:
            del fields["event_time"]
            fields |= {"event_time_selected_timezone": local, "selected_timezone": "Europe/Berlin"}
        else:
            fields["event_time"] = local
            BERLIN.convert(fields)
        body = json.dumps(fields).encode()
        rows.append(Envelope("shop", Source.FILE, Media.JSON, NOW_MS, body, ordinal=met[price]))
    return rows


@st.composite
def doubled(draw: st.DrawFn) -> tuple[list[list[Envelope]], int]:
    """Draw what happened in the two hours, and how it is reported: pushed, in files of UTC, in files of local time."""
    events = draw(st.lists(in_hours, max_size=6, unique=True))
    pushed_ones = draw(st.lists(st.sampled_from(events), unique=True)) if events else []
    reports = [at_utc(event, f".{event[1]:03}") for event in pushed_ones]
    exact = Counter((hour, price) for hour, _, price in pushed_ones)
    rows, local = Counter[tuple[int, str]](), Counter[str]()
    for _ in range(draw(st.integers(0, 2))):
        some, met = draw(st.lists(st.sampled_from(events), unique=True)) if events else [], Counter[tuple[int, str]]()
        for hour, ms, price in some:
            met[hour, price] += 1
            reports.append(at_utc((hour, ms, price), "", met[hour, price]))
        rows |= met
    for _ in range(draw(st.integers(1, 2))):
        some = draw(st.lists(st.sampled_from(events), unique=True)) if events else []
        reports += local_rows(some, twin=draw(st.booleans()), fraction=draw(st.sampled_from(["", ".0"])))
        local |= Counter(price for _, _, price in some)
    order = draw(st.permutations(reports))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=3)))
    batches = [list(order[a:b]) for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    prices = {price for _, price in exact | rows} | set(local)
    known = {price: sum(max(exact[hour, price], rows[hour, price]) for hour in (0, 1)) for price in prices}
    return batches, sum(max(known[price], local[price]) for price in prices)


@given(doubled())
@settings(max_examples=120, deadline=None)
@example(
    (
        [
            [at_utc((0, 250, "1"), ".250"), at_utc((1, 999, "1"), ".999")],
            local_rows([(0, 0, "1")] * 2, twin=False, fraction=""),
        ],
        2,
    )
)
@example(([local_rows([(0, 0, "1")] * 2, twin=True, fraction=""), [at_utc((1, 0, "1"), ".000")]], 2))
def test_an_event_of_an_hour_that_occurs_twice_is_sent_once(given: tuple[list[list[Envelope]], int]) -> None:
    """A row of local time is what was filed of either hour, in any order and as often as it happened."""
    batches, expected = given
    assert asyncio.run(_sent(batches))[0] == expected
