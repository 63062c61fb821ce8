"""A Data Locker in an object store is listed as one in a directory is, in few requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flybridge.history.locker_folders import Locker

FIRST_DAY = "2026-01-10"
DAYS = ("2026-01-09", "2026-01-10", "2026-01-11")
REPORTS = ("installs", "inapps", "clicks")
HOURS = ("h=0", "h=2", "h=10", "h=late")


class CountedLocker(Locker):
    """A Data Locker that counts the folders that are listed."""

    listings = 0

    def _page(self, prefix: str) -> tuple[list[Any], list[str]]:
        self.listings += 1
        return super()._page(prefix)


@pytest.mark.parametrize(
    ("layout", "listings"),
    [
        ("{home}/data-locker-hourly/t={t}/dt={dt}/{h}/{name}", 2 + 2 + 2 * 2),
        ("{home}/data-locker-hourly/t={t}/dt={dt}/{h}/app=com.example.shop/{name}", 2 + 2 + 2 * 2),
        ("{home}/app/data-locker-hourly/t={t}/dt={dt}/app/{h}/{name}", 3 + 2 + 2 * 2),
        ("{home}/dt={dt}/t={t}/{h}/{name}", 1 + 2 + 2 * 2),
        ("{home}/{h}/dt={dt}/t={t}/{name}", 1 + 4 * (1 + 2 + 2 * 2)),
        ("{home}/t={t}/dt={dt}/{name}", 1 + 2 + 2 * 2),
    ],
)
def test_a_bucket_is_listed_as_a_directory_is(tmp_path: Path, layout: str, listings: int):
    """Whatever stands before, between and behind report, day and hour; one listing holds all of a report and day."""
    for report in REPORTS:
        for day in DAYS:
            for hour in HOURS:
                for name in ("part-00000.gz", "part-00001.gz", "_SUCCESS"):
                    path = Path(layout.format(home=tmp_path / "home", t=report, dt=day, h=hour, name=name))
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(b"x")
    bucket = CountedLocker(f"file://{tmp_path}/home")
    listed = bucket.folders(FIRST_DAY)
    expected = Locker(str(tmp_path / "home")).folders(FIRST_DAY)
    assert [(one.name, one.is_complete, len(one.files)) for one in listed] == [
        (one.name, one.is_complete, len(one.files)) for one in expected
    ]
    assert {one.day for one in listed} == set(DAYS[1:])
    assert {one.report for one in listed} == {"installs", "inapps"}
    assert sorted(file.key for one in listed for file in one.files) == sorted(
        file.key.lstrip("/") for one in expected for file in one.files
    )
    assert bucket.listings == listings
