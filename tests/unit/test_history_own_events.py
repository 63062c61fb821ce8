"""Events of an app that are called as AppsFlyer calls conversions: files know them as a push does."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest

from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback import read
from flybridge.appsflyer.postback_kind import kind_of
from flybridge.appsflyer.raw_report import NO_EVENT_TIME, Report
from flybridge.clock import SystemClock
from flybridge.history.equal_rows import IDENTITY, row_identity
from flybridge.history.files import find_files
from flybridge.history.raw_rows import RawRows
from flybridge.history.rows import UTC_TIMES, BadRow, dated, happened_ms, row_of
from flybridge.history.run import HistoryImport, ImportPlan
from flybridge.mapping.to_amplitude.facts import facts_of
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Media

INSTALLED, LATER = "2025-03-01 10:00:00", "2025-03-05 10:00:00"
RULES = Rules(app="shop", platform="android")
VALUE = '{"a":1}'
NAMES = (
    "appsflyer_id", "event_name", "event_time", "install_time", "event_value", "event_revenue",
    "event_revenue_currency", "conversion_type", "campaign_type",
)  # fmt: skip
OWN = [
    {"event_name": "install", "event_time": LATER, "event_value": VALUE},
    {"event_name": "install", "event_time": INSTALLED, "event_value": VALUE},
    {"event_name": "install", "event_time": LATER},
    {"event_name": "install", "event_value": VALUE},
    {"event_name": "install", "event_revenue": "5", "event_revenue_currency": "EUR"},
    {"event_name": "reinstall", "event_time": LATER, "conversion_type": "install"},
    {"event_name": "re-engagement", "event_time": LATER, "conversion_type": "Install"},
    {"event_name": "re-attribution", "event_time": LATER, "event_value": VALUE},
    {"event_name": "uninstall", "event_time": LATER, "event_value": VALUE},
    {"event_name": "uninstall", "event_value": VALUE},
    {"event_name": "install ", "event_time": LATER, "event_value": VALUE},
    {"event_name": "install", "event_time": "2025-03-01 10:00:02"},
]
APPSFLYERS = [
    {"event_name": "install", "event_time": INSTALLED},
    {"event_name": "install"},
    {"event_name": "install", "event_value": "{}"},
    {"event_name": "install", "event_revenue": "0"},
    {"event_name": "install", "event_time": "2025-03-01 10:00:00.400"},
    {"event_name": "install", "event_time": "2025-03-01 10:00:01"},
    {"event_name": "install", "event_time": "2025-03-01 09:59:59.500"},
    {"event_name": "reinstall", "event_time": LATER, "conversion_type": "reinstall"},
    {"event_name": "reinstall", "event_time": LATER, "conversion_type": "re-install"},
    {"event_name": "re-engagement", "event_time": LATER, "conversion_type": "re-engagement"},
    {"event_name": "re-engagement", "event_time": LATER, "conversion_type": "install", "campaign_type": "retargeting"},
    {"event_name": "re-attribution", "event_time": LATER, "conversion_type": "reinstall"},
    {"event_name": " install\u200b", "event_time": INSTALLED},
    {"event_name": "install\u3000"},
    {"event_name": "re-engagement ", "event_time": LATER, "conversion_type": "re-engagement"},
]


@pytest.mark.parametrize("said", [*OWN, *APPSFLYERS])
def test_a_row_is_the_event_that_its_message_is(said):
    """Its report, its equal rows and its time."""
    fields = {"appsflyer_id": "1-1", "install_time": INSTALLED, **said}
    message = read(json.dumps(fields).encode(), Media.JSON)
    assert isinstance(message, Postback)
    kind, facts = kind_of(message), facts_of(message, RULES, 0)
    assert kind is not None
    assert kind.is_in_app is (said in OWN)
    row = row_of(2, 3, fields, Report.INSTALLS, UTC_TIMES)
    assert (row.report is Report.EVENTS) is kind.is_in_app
    assert (row_identity(fields, IDENTITY) is None) is kind.is_conversion
    found = dated(row)
    assert isinstance(found, BadRow) is facts.is_undated
    assert not isinstance(found, BadRow) or found.reason == NO_EVENT_TIME
    assert happened_ms(fields) == (None if facts.is_undated else facts.event_ms)


@pytest.mark.parametrize("by_columns", [True, False])
@pytest.mark.parametrize("said", OWN)
async def test_an_event_of_the_app_is_not_the_last_conversion_of_its_person(tmp_path: Path, said, by_columns):
    """Or else its user would not have the source of the install. However the times are read."""
    install = {"appsflyer_id": "1-1", "event_name": "install", "event_time": INSTALLED, "install_time": INSTALLED}
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, NAMES, restval="")
    writer.writeheader()
    writer.writerows([install, {**install, "event_time": "", **said}])
    path = tmp_path / "january.csv"
    path.write_text(text.getvalue(), newline="")
    plan = ImportPlan("shop", "com.example.shop", find_files([str(path)]), "UTC")
    reading = RawRows.timed if by_columns else RawRows.__iter__
    with mock.patch.object(RawRows, "timed", reading), closing(HistoryImport(plan, tmp_path, SystemClock())) as one:
        await one.survey()
        assert one._progress.is_newest(install)
        assert not one._progress.is_newest({**install, **said})


@pytest.mark.parametrize("by_columns", [True, False])
@pytest.mark.parametrize("name", ["re-engagement", " re-engagement", "re-engagement\u200b"])
async def test_a_conversion_may_have_blanks_around_its_name(tmp_path: Path, name, by_columns):
    """As its message may. It is the last of its person."""
    install = {"appsflyer_id": "1-1", "event_name": "install", "event_time": INSTALLED, "install_time": INSTALLED}
    later = {**install, "event_name": name, "event_time": LATER, "conversion_type": "re-engagement"}
    path = tmp_path / "january.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, NAMES, restval="")
        writer.writeheader()
        writer.writerows([install, later])
    plan = ImportPlan("shop", "com.example.shop", find_files([str(path)]), "UTC")
    reading = RawRows.timed if by_columns else RawRows.__iter__
    with mock.patch.object(RawRows, "timed", reading), closing(HistoryImport(plan, tmp_path, SystemClock())) as one:
        await one.survey()
        assert one._progress.is_newest(later)
        assert not one._progress.is_newest(install)


@pytest.mark.parametrize("apart_ms", range(0, 4000, 250))
@pytest.mark.parametrize("from_ms", [0, 400, 999])
def test_a_push_and_the_row_of_a_file_are_the_same_kind(apart_ms, from_ms):
    """The file has no milliseconds. An install and its event may be noted in two seconds."""
    begun = datetime(2025, 3, 1, 10, tzinfo=UTC)
    times = [begun + timedelta(milliseconds=ms) for ms in (from_ms, from_ms + apart_ms)]
    kinds = []
    for spec in ("milliseconds", "seconds"):
        installed, happened = (time.replace(tzinfo=None).isoformat(" ", spec) for time in times)
        said = {"event_name": "install", "event_time": happened, "install_time": installed, "appsflyer_id": "1-1"}
        kinds.append(kind_of(read(json.dumps(said).encode(), Media.JSON)))
    assert kinds[0] == kinds[1]
