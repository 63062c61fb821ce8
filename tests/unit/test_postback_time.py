"""AppsFlyer's times."""

from __future__ import annotations

import pytest

from flybridge.appsflyer.postback_time import time_ms, zoned_ms

NOON = 1_769_860_811_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31 12:00:11", NOON),
        ("2026-01-31 12:00:11.311", NOON + 311),
        ("2026-01-31 12:00:11.311999", NOON + 311),
        ("2026-01-31T12:00:11Z", NOON),
        ("2026-01-31T12:00:11.311Z", NOON + 311),
        ("2026-01-31 12:00:11.311+0000", NOON + 311),
        ("2026-01-31 13:00:11.311+0100", NOON + 311),
        ("2026-01-31 13:00:11.311+01:00", NOON + 311),
        ("2026-01-31 04:00:11 -0800", NOON),
        ("2026-01-31 13:00:11.311 0100", NOON + 311),
        ("2026-01-31 12:00:11 UTC", NOON),
        (" 2026-01-31 12:00:11 ", NOON),
        ("1769860811", NOON),
        ("1769860811311", NOON + 311),
        ("", None),
        ("yesterday", None),
        ("2026-02-30 12:00:00", None),
        ("2026-01-31 25:00:00", None),
        ("0001-01-01 00:00:00", None),
        ("1970-01-01 00:00:00", None),
        ("9999-12-31 23:59:59", None),
        ("0001-01-01 00:00:00+2300", None),
        ("9" * 400, None),
    ],
)
def test_times_are_milliseconds_utc_or_nothing(text: str, expected: int | None) -> None:
    """What is no time is None; without a zone a time is UTC."""
    assert time_ms(text) == expected


def test_a_selected_timezone_twin_needs_its_offset() -> None:
    """A local time without an offset means no moment, unless the app's zone is UTC."""
    assert zoned_ms("2026-01-31 13:00:11.311+0100", "Europe/Berlin") == NOON + 311
    assert zoned_ms("2026-01-31 13:00:11.311", "Europe/Berlin") is None
    assert zoned_ms("2026-01-31 12:00:11.311", "UTC") == NOON + 311
    assert zoned_ms("nonsense", "UTC") is None
