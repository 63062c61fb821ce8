"""A row of raw data becomes the same event as the message that AppsFlyer pushed about it."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from empty_stores import write_empty_store
from flybridge.flow import AppFlow, Flow, app
from flybridge.history.csv_rows import CsvReader
from flybridge.history.files import local_file
from flybridge.history.progress import Progress
from flybridge.history.raw_rows import RawRows
from flybridge.history.rows import BadRow, RawRow, Zone
from flybridge.history.survey_outcomes import outcome_of
from flybridge.identity import Keyring
from flybridge.mapping.conditions import Condition
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Deliver, Envelope, Filing, Hold, Media, Source
from flybridge.sandbox.traffic.traffic import TrafficApp, generate
from flybridge.sandbox.vendors.raw_data import ADDITIONAL, DEFAULT, cell, report_of
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore

NOW_MS = 1_769_904_000_000
APP = TrafficApp("shop", "android", "com.example.shop")
FLOW = Flow({"shop": AppFlow(Rules(app="shop", platform="android"))}, Keyring(b"secret"))


def _messages() -> list[dict[str, Any]]:
    """Return messages of every kind that are in a report, in whole seconds as reports have them."""
    found = []
    for one in generate(7, 400, [APP]):
        message = json.loads(one.body) if one.path.startswith("/v1/push") else None
        if not isinstance(message, dict) or report_of(message) is None:
            continue
        message = {
            name: value.partition(".")[0] + ".000" if name.endswith("_time") and isinstance(value, str) else value
            for name, value in message.items()
        }
        found.append(message)
    return found


MESSAGES = _messages()
CONVERSIONS = {"install", "reinstall", "re-engagement", "re-attribution"}
# A secondary copy is left out without a look at what was filed.
COUNTED = [one for one in MESSAGES if str(one.get("is_primary_attribution")).lower() != "false"]
DISPLAY = {name: column for column, name in DEFAULT} | {name: column for _, column, name in ADDITIONAL}
ASKED = {name: field for field, _, name in ADDITIONAL}
EMPTY = st.sampled_from(["", "null", "None", "N/A", " "])
SPELL = st.sampled_from([str, str.lower, lambda text: text.replace(" ", "_"), lambda text: f" {text}"])


def _contributors() -> dict[str, str]:
    found = {}
    for number in (1, 2, 3):
        found |= {
            f"contributor_{number}_{name}": f"{name} {number}"
            for name in ("media_source", "campaign", "af_prt", "touch_type", "match_type")
        }
        found[f"contributor_{number}_touch_time"] = f"2026-01-0{number} 10:00:00.000"
    return found


INSTALLED = "2026-01-20 09:30:00.000"
RETARGETED = {"is_retargeting": "true", "campaign_type": "retargeting", "media_source": "criteonew_int"}
AD_REVENUE = {
    "event_name": "af_ad_revenue",
    "event_value": None,
    "monetization_network": "mopub",
    "mediation_network": "ironsource",
    "ad_unit": "rewarded",
    "placement": "level end",
    "segment": "whales",
    "impressions": "3",
    "event_revenue": 0.0123,
    "event_revenue_currency": "EUR",
}
KINDS: dict[str, dict[str, Any]] = {
    "install": {"event_name": "install", "event_time": INSTALLED, "event_value": None},
    "reinstall": {"event_name": "reinstall", "conversion_type": "reinstall", "event_value": None},
    "re-engagement": RETARGETED
    | {"event_name": "re-engagement", "conversion_type": "re-engagement", "event_value": None},
    "re-attribution": RETARGETED
    | {"event_name": "re-attribution", "conversion_type": "reinstall", "event_value": None},
    "old retargeting": {
        "event_name": "re-engagement",
        "is_retargeting": "true",
        "retargeting_conversion_type": "re-engagement",
        "event_value": None,
    },
    "in-app event": {"event_name": "af_purchase", "event_revenue": 9.99, "event_revenue_currency": "EUR"},
    "retargeted event": RETARGETED | {"event_name": "af_purchase", "conversion_type": "re-engagement"},
    "secondary attribution": RETARGETED | {"event_name": "af_purchase", "is_primary_attribution": "false"},
    "ad revenue": AD_REVENUE,
    "retargeted ad revenue": AD_REVENUE | RETARGETED | {"conversion_type": "re-engagement"},
    "organic ad revenue": AD_REVENUE | {"media_source": "organic", "campaign_type": "organic"},
    "uninstall": {"event_name": "uninstall", "conversion_type": "uninstall", "event_value": None},
    "SKAdNetwork": {
        "event_name": "skad_install",
        "skad_transaction_id": "6aafb7a5-0170-41b5-bbe4-fe71dedf1e28",
        "skad_campaign_id": "42",
        "skad_version": "4.0",
        "skad_redownload": "false",
        "skad_ad_network_id": "su67r6k2v3.skadnetwork",
    },
    "contributors": _contributors(),
    "selected currency": {
        "event_name": "af_purchase",
        "event_revenue": 9.99,
        "event_revenue_currency": "EUR",
        "revenue_in_selected_currency": "1650.25",
        "selected_currency": "JPY",
    },
}
"""What makes another kind of a message."""

BERLIN = ZoneInfo("Europe/Berlin")


def _unpadded(moment: datetime) -> str:
    return f"{moment.year}-{moment.month}-{moment.day} {moment.hour}:{moment:%M:%S}"


def _written_as(form: str) -> Callable[[datetime], str]:
    return lambda moment: moment.strftime(form)


TIMES: dict[str, tuple[str, Callable[[datetime], str]]] = {
    "as reported": ("UTC", _written_as("%Y-%m-%d %H:%M:%S")),
    "fraction": ("UTC", _written_as("%Y-%m-%d %H:%M:%S.000")),
    "T": ("UTC", _written_as("%Y-%m-%dT%H:%M:%S")),
    "Z": ("Asia/Tokyo", _written_as("%Y-%m-%dT%H:%M:%SZ")),
    "offset": ("UTC", lambda moment: f"{moment + timedelta(hours=2):%Y-%m-%d %H:%M:%S}+02:00"),
    "half a day": ("UTC", _written_as("%Y-%m-%d %I:%M:%S %p")),
    "one digit": ("UTC", _unpadded),
    "slashes": ("UTC", _written_as("%Y/%m/%d %H:%M:%S")),
    "month in words": ("UTC", _written_as("%d-%b-%Y %H:%M:%S")),
    "month first": ("UTC", _written_as("%b %d, %Y, %I:%M:%S %p")),
    "Unix date": ("UTC", _written_as("%a %b %d %H:%M:%S UTC %Y")),
    "digits": ("UTC", _written_as("%Y%m%d%H%M%S")),
    "seconds since 1970": ("Asia/Tokyo", lambda moment: str(int(moment.replace(tzinfo=UTC).timestamp()))),
    "in the app's zone": (
        "Europe/Berlin",
        lambda moment: f"{moment.replace(tzinfo=UTC).astimezone(BERLIN):%Y-%m-%d %H:%M:%S}",
    ),
}
"""How times are written, and the zone that the import is given."""


def _written(
    message: dict[str, Any], draw: st.DataObject, *, by_api_names: bool, spelled: Callable[[str], str] = str
) -> bytes:
    """Write a message as a file of one row, with its columns in any order and spelling."""
    known = {name for name in message if name in DISPLAY or name.startswith("skad_")}
    names = draw.draw(st.permutations(sorted(known)))
    nothing = draw.draw(st.lists(st.sampled_from(sorted(set(DISPLAY) - set(message))), unique=True, max_size=10))
    spell, empty = draw.draw(SPELL), draw.draw(EMPTY)
    joined = draw.draw(st.booleans())
    header = [
        ASKED.get(name, name)
        if by_api_names
        else spell(DISPLAY.get(name, name))
        if name != "appsflyer_id"
        else "AppsFlyer ID"
        for name in [*names, *nothing]
    ]
    if joined:
        header = [re.sub(r"(?i)(contributor)[ _](?=\d)", r"\1", column) for column in header]
    values = [
        spelled(cell(name, message[name])) if name.endswith("_time") and message[name] else cell(name, message[name])
        for name in names
    ] + [empty] * len(nothing)
    if (revenue := message.get("revenue_in_selected_currency")) is not None:
        currency = message["selected_currency"]
        header.append(f"event_revenue_{currency.lower()}" if by_api_names else f"Event Revenue {currency}")
        values.append(revenue)
    text = io.StringIO(newline="")
    csv.writer(text, quoting=draw.draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))).writerows([header, values])
    return draw.draw(st.sampled_from(["", "\ufeff"])).encode() + text.getvalue().encode()


def _row(content: bytes, zone: str = "UTC") -> RawRow:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "january.csv"
        path.write_bytes(content)
        (row,) = RawRows(local_file(path), Zone(zone), None)
    assert isinstance(row, RawRow)
    return row


def _events(filing: Filing) -> Any:
    """Return what is sent or held, without the ids that tell a second's occurrences apart."""
    decision = filing.decision
    if isinstance(decision, Hold):
        return ["held", sorted(decision.keys), _bodies(decision.item)]
    return (
        ["sent", decision.user_id, decision.device_id, _bodies(decision)] if isinstance(decision, Deliver) else decision
    )


def _bodies(item: Deliver) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in item.body.splitlines()]
    for event in events:
        event.pop("insert_id")
    return events


@given(message=st.sampled_from(MESSAGES), draw=st.data(), by_api_names=st.booleans())
def test_a_row_is_the_event_that_was_pushed(message, draw, by_api_names):
    """Whatever the columns, their order and their spelling: the same bodies, figures, matching keys and content key."""
    _assert_same(FLOW, message, _row(_written(message, draw, by_api_names=by_api_names)))


FLOWS = [
    Flow({"shop": AppFlow(rules)}, Keyring(b"secret"))
    for rules in (
        Rules(app="shop", platform="android"),
        Rules(
            app="shop",
            platform="android",
            uninstalls="send",
            double_attribution="both",
            min_id_length=1,
        ),
        Rules(app="shop", platform="ios"),
    )
]


@pytest.mark.parametrize("kind", KINDS)
@given(
    message=st.sampled_from(MESSAGES),
    time=st.sampled_from(sorted(TIMES)),
    flow=st.sampled_from(FLOWS),
    draw=st.data(),
)
@settings(max_examples=20)
def test_a_row_of_each_kind_is_the_event_that_was_pushed(kind, message, time, flow, draw):
    """Conversions, ad revenue, uninstalls, SKAdNetwork, contributors and times in any spelling, in a stated zone."""
    twins = ("event_time_selected_timezone", "selected_timezone")
    message = {name: value for name, value in message.items() if name not in twins}
    message |= {"install_time": INSTALLED} | KINDS[kind]
    zone, write = TIMES[time]

    def spelled(text: str) -> str:
        return write(datetime.fromisoformat(text))

    by_api_names = zone == "UTC" and draw.draw(st.booleans())  # those have no other zone
    content = _written(message, draw, by_api_names=by_api_names, spelled=spelled)
    _assert_same(flow, message, _row(content, zone))


def _assert_same(flow: Flow, message: dict[str, Any], row: RawRow) -> None:
    """Check that a row gives the bodies, figures, matching keys and content key of the message that was pushed."""
    pushed = flow.filing(Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, json.dumps(message).encode()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "HISTORY_MS", NOW_MS)  # what is read late is history, and leaves out the present attribution
        read = flow.filing(Envelope("shop", Source.PULL, Media.JSON, NOW_MS, row.body, ordinal=1))
    # Only what is read can be old.
    assert _without_skip(read) == _without_skip(pushed)
    assert (read.performance, read.persons) == (pushed.performance, pushed.persons)
    # What counts nowhere is known by its bytes alone.
    assert (read.key == read.digest) == (pushed.key == pushed.digest)
    assert read.key in {pushed.key, read.digest}
    assert [(s.key, s.user_id, s.device_id) for s in read.sightings] == [
        (s.key, s.user_id, s.device_id) for s in pushed.sightings
    ]


def _without_skip(filing: Filing) -> Any:
    events = _events(filing)
    if isinstance(events, list):
        for event in events[-1]:
            event.pop("$skip_user_properties_sync", None)
    return events


@given(chosen=st.lists(st.sampled_from(COUNTED), min_size=1, max_size=8), order=st.randoms(), draw=st.data())
@settings(max_examples=40)
async def test_what_was_pushed_is_known_in_a_file_and_the_other_way(chosen, order, draw):
    """As many are filed as have happened, whether they are pushed first or read first, in parts that overlap."""
    with tempfile.TemporaryDirectory() as place:
        store = SqliteStore(write_empty_store(Path(place) / "store.db"), Seal(b"secret"))
        await store.open()
        progress = Progress(Path(place) / "imports.db")
        equal = progress.counting(by_attribution=False)
        rows = [_row(_written(message, draw, by_api_names=False)) for message in chosen]
        read = [
            Envelope("shop", Source.FILE, Media.JSON, NOW_MS, row.body, ordinal=ordinal)
            for row, ordinal in zip(rows, equal.ordinals([row.fields for row in rows]), strict=True)
        ]
        # Of equal messages each happened at a millisecond of its own, in the same second.
        pushed = [
            Envelope(
                "shop",
                Source.PUSH,
                Media.JSON,
                NOW_MS,
                json.dumps(message | {"event_time": message["event_time"][:-3] + f"{number + 1:03}"}).encode(),
            )
            for number, message in enumerate(chosen)
        ]
        batches = [read, pushed, read[: len(read) // 2 + 1]]
        order.shuffle(batches)
        for batch_number, batch in enumerate(batches):
            filings = [FLOW.filing(_with_receipt(one, f"{batch_number}.{number}")) for number, one in enumerate(batch)]
            assert await store.are_known(filings, NOW_MS) == await _as_filed(store, filings)
        new = sum(count.n for count in await store.counts() if count.outcome != "duplicate")
        assert new == _happened(chosen)
        progress.close()
        await store.close()


def _with_receipt(envelope: Envelope, receipt: str) -> Envelope:
    return structs.replace(envelope, receipt=receipt)


async def _as_filed(store: SqliteStore, filings: list[Filing]) -> list[bool]:
    found = []
    for filing in filings:
        outcome = await store.file([filing], NOW_MS)
        found.append("duplicate" in outcome.outcomes)
    return found


def _happened(messages: list[dict[str, Any]]) -> int:
    """Count what happened: a conversion once, an in-app event as often as it is in the list."""
    conversions = {json.dumps(one, sort_keys=True) for one in messages if one["event_name"] in CONVERSIONS}
    return len(conversions) + sum(one["event_name"] not in CONVERSIONS for one in messages)


class LineByLine(CsvReader):
    """Reads each record on its own."""

    def _plain_rows(self) -> list[RawRow | BadRow]:
        return []


PIECES = st.sampled_from(
    [
        *("a", "b,c", '"', '""', ",", "\n", "\r\n", "\r", '"x,y"', '"two\nlines"', "é", "\udce9", " ", "null", "\0"),
        *("AppsFlyer ID,Event Name,Event Time", "7-1,sale,2026-01-31 10:00:00", '7-1,"sale",2026-01-31 10:00:00\n'),
    ]
)


@given(st.lists(PIECES, max_size=60), st.integers(1, 4))
def test_records_that_are_read_together_are_those_that_are_read_alone(pieces: list[str], block: int) -> None:
    text = "AppsFlyer ID,Event Name,Event Time\n" + "".join(pieces)
    data = text.encode("utf-8", "surrogateescape")

    def read(kind: type[CsvReader], size: int) -> list[RawRow | BadRow]:
        with mock.patch("flybridge.history.csv_rows.BLOCK", size):
            return list(kind(io.BytesIO(data), "one.csv", None, Zone("UTC")))

    rows = read(CsvReader, 1 << 18)
    assert rows == read(LineByLine, 1 << 18)
    assert rows == read(CsvReader, 9**block)
    for row in rows:
        rest = list(CsvReader(io.BytesIO(data), "one.csv", None, Zone("UTC"), row.end))
        assert rest == [one for one in rows if one.end > row.end]


RULES = [
    Rules(app="shop", platform="android"),
    Rules(app="shop", platform="android", double_attribution="both"),
    Rules(app="shop", platform="android", min_id_length=60),
    Rules(app="shop", platform="ios", route="attribution"),
    Rules(app="shop", platform="android", where=(Condition(path="media_source", one_of=("googleadwords_int",)),)),
]


@given(
    message=st.sampled_from(MESSAGES),
    lacking=st.sets(st.sampled_from(sorted(set().union(*MESSAGES)))),
    ordinal=st.integers(1, 3),
    rules=st.sampled_from(RULES),
)
def test_what_would_become_of_a_row_is_what_becomes_of_it(message, lacking, ordinal, rules):
    """A dry run does less work on a row, and says the same of it."""
    flow = Flow({"shop": AppFlow(rules)}, Keyring(b"secret"))
    body = json.dumps({name: value for name, value in message.items() if name not in lacking}).encode()
    envelope = Envelope("shop", Source.FILE, Media.JSON, NOW_MS, body, ordinal=ordinal)
    (said,), (done,) = flow.prospects([envelope]), flow.filings([envelope])
    assert outcome_of(said.decision) == outcome_of(done.decision)
    assert (said.key, said.key_ms, said.ordinal) == (done.key, done.key_ms, done.ordinal)
