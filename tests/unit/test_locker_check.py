"""`flybridge doctor` lists the Data Locker that an app follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from flybridge.config.settings import loads
from flybridge.operations.credentials import locker_checks

NOW_MS = 1_768_003_200_000  # 2026-01-10 00:00 UTC
CONFIG = """
secret = "0123456789abcdef0123456789abcdef"
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
appsflyer.push_token = "push-token"
amplitude.api_key = "key"
history.locker = "{locker}"
"""


@pytest.mark.parametrize(
    ("keys", "ok", "warning", "said"),
    [
        (
            ["t=inapps/dt=2026-01-09/h=9/part-0.gz", "t=inapps/dt=2026-01-09/h=10/_SUCCESS"],
            True,
            False,
            "The newest folder is that of inapps 2026-01-09 10.",
        ),
        (["t=inapps/dt=2026-01-07/h=9/part-0.gz"], True, True, "no folder of the app since 2026-01-08"),
        (["t=inapps/dt=2026-01-09/h=9/app_id=com.example.other/part-0.gz"], True, True, "no folder of the app"),
        (["exports/installs.csv"], True, True, "no folder of the app since 2026-01-08"),
        (None, False, False, "there is no directory"),
    ],
)
async def test_what_a_data_locker_has_is_said(
    tmp_path: Path, keys: list[str] | None, ok: bool, warning: bool, said: str
):
    """That nothing is there yet is a warning: AppsFlyer begins to write after some hours."""
    place = tmp_path / "locker"
    for key in keys or ():
        (place / key).parent.mkdir(parents=True, exist_ok=True)
        (place / key).write_bytes(b"x")
    (check,) = await locker_checks(loads(CONFIG.format(locker=place), Path("x"), {}).apps, NOW_MS)
    assert (check.what, check.ok, check.warning) == ("history.locker of shop", ok, warning)
    assert said in check.detail


async def test_an_app_that_follows_none_is_not_checked():
    """Most don't."""
    assert await locker_checks(loads(CONFIG.format(locker=""), Path("x"), {}).apps, NOW_MS) == []
