"""Stored content that attacks who looks at it: every free text of every source shows nothing but text."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from starting import serving, written
from typer.testing import CliRunner

from flybridge.cli.app import app

SCRIPT = "<script>alert(1)</script>"
FORMULA = "=HYPERLINK(1)"
HOSTILE = f"{SCRIPT}\x1b[31m\x9b31m\u202ereversed\u2066 \" onload='x' {{{{7*7}}}} {{% raw %}}"
CONTROL = ("\x1b", "\x9b", "\u202e", "\u2066")
MARKUP = ("<script>alert", "onload='x' ")

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%d")
USUAL = {
    "event_name": "install", "conversion_type": "install", "media_source": "network", "campaign": "one",
    "event_time": f"{YESTERDAY} 11:59:59.123", "install_time": f"{YESTERDAY} 11:59:59.123", "platform": "ios",
    "idfv": "BCCE52E7-03EE-321A-B3D4-E57123966239", "country_code": "DE",
}  # fmt: skip
FREE = (
    "event_name", "conversion_type", "media_source", "campaign", "af_adset", "af_ad", "af_channel", "country_code",
    "app_version", "platform", "event_revenue", "event_revenue_currency", "event_value", "custom_data", "app_id",
    "customer_user_id", "af_sub1", "device_type", "language", "city",
)  # fmt: skip
COSTS = f"""date,media_source,campaign,country,spend,currency
{YESTERDAY},"{SCRIPT}","{FORMULA}",DE,10,USD
"""
PAGES = (
    "/", "/?period=7d&media_source=network", "/cohorts", "/differences", "/flow", "/account", "/holds", "/dead",
    "/holds?single=1", "/dead?app=shop", "/events", "/audiences", "/jobs", "/setup", "/access", "/audit",
    "/sources.csv", "/cohorts.csv", "/differences.csv", "/audit.csv",
)  # fmt: skip
STORIES = 60
AUDIENCE = """
[[apps.audiences]]
cohort = "c1"
identifier = "idfv"
cadence = "realtime"
name = "buyers"
"""
SHOWN = (
    ["account"], ["holds"], ["dead"], ["performance", "--by", "media_source,campaign"], ["lanes"], ["lanes", "queue"],
    ["cohorts"], ["cohorts", "history"], ["findings"], ["gaps", "--from", "2026-01-01"], ["lanes", "uncertain"],
)  # fmt: skip


def clean(text: str, where: str, *, markup: bool = False) -> None:
    """Fail if a text has anything that is more than text; tags are no more than that unless it is markup."""
    for sign in CONTROL + (MARKUP if markup else ()):
        assert sign not in text, f"{sign!r} in {where}"


def bodies() -> list[bytes]:
    """Return a postback for each free text, with the attack in it, and some that are nothing but attack."""
    found = []
    for number, name in enumerate(FREE):
        value = HOSTILE if name != "campaign" else FORMULA
        message = USUAL | {"appsflyer_id": f"1629191854863-{7087037 + number}", name: value}
        found.append(json.dumps(message).encode())
    found += [json.dumps(HOSTILE).encode(), HOSTILE.encode(), json.dumps({HOSTILE: HOSTILE}).encode()]
    return found


async def posted(session: aiohttp.ClientSession, path: str, body: bytes, token: str) -> None:
    """Send a message, whatever becomes of it."""
    headers = {"Authorization": token, "Content-Type": "application/json"}
    async with session.post(path, data=body, headers=headers) as response:
        await response.read()


async def attacked(path: Path) -> dict[str, str]:
    """Send everything to a bridge; give its pages."""
    async with serving(path) as origin, aiohttp.ClientSession(origin) as session:
        for body in bodies():
            await posted(session, "/v1/push/shop", body, "push-token")
        event = {"event_type": HOSTILE, "user_id": "user-one", "device_id": HOSTILE, "user_properties": {"a": HOSTILE}}
        await posted(session, "/v1/stream/shop", json.dumps(event).encode(), "stream-token")
        cohort = {
            "cohort_id": "c1", "cohort_name": HOSTILE, "in_cohort": True, "computed_time": "1",
            "users": [{"user_id": HOSTILE, "amplitude_id": 7, "user_properties": {HOSTILE: HOSTILE}}],
        }  # fmt: skip
        await posted(session, "/v1/cohorts/shop", json.dumps(cohort).encode(), "stream-token")
        await posted(session, f"/v1/push/{SCRIPT}", b"{}", HOSTILE.encode("unicode_escape").decode())
        async with asyncio.timeout(30):
            while True:
                async with session.get("/account") as response:
                    account = await response.text()
                async with session.get("/metrics") as response:
                    is_filed = "flybridge_inbox_waiting 0.0" in await response.text()
                if is_filed and "received" in account and "Balanced" in account:
                    break
                await asyncio.sleep(0.1)
        answers = {}
        for page in PAGES:
            async with session.get(page) as response:
                answers[page] = (await response.read()).decode()
        for number in re.findall(r'href="(/events/\d+)"', answers["/events"])[:STORIES]:
            async with session.get(number) as response:
                answers[number] = (await response.read()).decode()
        for query in (f"/events?event={SCRIPT}", f"/events?media_source={SCRIPT}", f"/events?reason={SCRIPT}"):
            async with session.get(query) as response:
                answers[query] = (await response.read()).decode()
        for query in (f"/?campaign={SCRIPT}", f"/?period={SCRIPT}", f"/?app={SCRIPT}", f"/differences?event={SCRIPT}"):
            async with session.get(query) as response:
                answers[query] = (await response.read()).decode()
    return answers


def test_pages_csv_log_and_commands_show_nothing_but_text(tmp_path, monkeypatch, capfd):
    """Whatever a message says, whichever way it comes."""
    path = written(tmp_path, app=AUDIENCE)
    path.write_text(path.read_text().replace('push_token = "push-token"', 'push_token = "push-token"\napi_token = "t"'))
    answers = asyncio.run(attacked(path))
    for page, answer in answers.items():
        clean(answer, page, markup=not page.endswith(".csv"))
        assert "49" not in re.findall(r"\{\{.*?\}\}|7\*7=(\d+)", answer)
    assert "&lt;script&gt;" in answers["/"]
    assert "&lt;script&gt;" in answers["/events"]
    assert sum(page.startswith("/events/") for page in answers) > len(FREE)
    assert all(answer.startswith("\ufeff") for page, answer in answers.items() if page.endswith(".csv"))
    assert not re.search(r"(^|,|\")=HYPERLINK", answers["/sources.csv"])
    clean("".join(capfd.readouterr()), "the log")
    costs = tmp_path / "costs.csv"
    costs.write_text(COSTS)
    monkeypatch.setenv("FLYBRIDGE_CONFIG", str(path))
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()
    assert runner.invoke(app, ["costs", "import", str(costs)]).exit_code == 0
    for words in SHOWN:
        result = runner.invoke(app, words)
        assert result.exit_code == 0 or words[0] == "gaps", result.output
        clean(result.output, f"flybridge {' '.join(words)}")
    for words in SHOWN:  # and as JSON, which escapes what is no text
        printed = runner.invoke(app, [*words, "--json"])
        if printed.exit_code == 0:
            json.loads(printed.stdout or "null")


@pytest.mark.parametrize("name", FREE)
def test_every_field_is_attacked(name):
    """The messages above have the attack where they are to have it."""
    attacked = [body for body in bodies() if b"HYPERLINK" in body or b"alert(1)" in body]
    assert any(name.encode() in body for body in attacked)
