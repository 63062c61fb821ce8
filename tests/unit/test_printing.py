"""Whatever text comes from outside, each listing prints it as text and nothing else."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from typer.testing import CliRunner

from flybridge import wiring
from flybridge.cli import audiences, inspect, printing
from flybridge.cli.app import app
from flybridge.config.settings import load
from flybridge.insight.account import balance
from flybridge.records import DeadLetter, Envelope, Media, Source
from flybridge.service import backends
from flybridge.store.audiences.records import Run, Standing
from flybridge.store.figures import Count, Discrepancy, RestrictedCount

NOW_MS = 1_764_000_000_000
CONFIG = """
data_dir = "./data"
secret = "0123456789abcdef0123456789abcdef"
[[apps]]
name = "shop"
appsflyer_app_id = "id123456789"
platform = "ios"
appsflyer.push_token = "a-token"
amplitude.api_key = "a-key"
hold.window_hours = 720
"""
HOSTILE = {
    "closing tag": "a[/x]b",
    "style": "a[green]b[/green]",
    "emoji code": "a:warning:b",
    "escape": "a\x1b[2Jb",
    "title": "a\x1b]0;owned\x07b",
    "C1": "a\x9b31mb",
    "right to left": "a\u202eb",
    "isolate": "a\u2066b",
    "line break": "a\nb",
    "carriage return": "a\rb",
    "separator": "a\u2028b",
    "tag": "a\U000e0041b",
    "null": "a\0b",
}
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\U000e0000-\U000e0fff]")


def clean(output: str, text: str) -> None:
    """Assert that output holds the text as it is seen, and nothing that a terminal obeys."""
    assert not FORBIDDEN.search(output)
    assert printing.visible(text) in output


@pytest.fixture(scope="module", params=HOSTILE, ids=lambda name: name.replace(" ", "-"))
def text(request):
    """Return a text that tries to be more than text."""
    return HOSTILE[request.param]


@pytest.fixture(scope="module")
def config(tmp_path_factory, text):
    """Return a configuration whose store holds an install with the text in each free field; the tests only read it."""
    path = tmp_path_factory.mktemp("store") / "flybridge.toml"
    path.write_text(CONFIG)
    body = {
        "event_name": "install",
        "event_time": "2025-11-24 15:00:00.000",
        "platform": "ios",
        "app_version": text,
        "media_source": text,
        "campaign": text,
        "idfv": "9A1B2C3D-0000-4000-8000-000000000001",
    }
    messages = [body, body | {"event_name": text, "idfv": "9A1B2C3D-0000-4000-8000-000000000002"}]

    async def fill() -> None:
        settings = load(path, {})
        envelopes = [
            Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, json.dumps(one).encode(), f"r{n}")
            for n, one in enumerate(messages)
        ]
        async with backends.opened_inbox(settings), backends.opened_store(settings) as store:
            await store.file(wiring.build_flow(settings).filings(envelopes), NOW_MS)

    asyncio.run(fill())
    return path, json.dumps(messages[1])


@pytest.mark.parametrize(
    "words",
    [
        ("holds",),
        ("holds", "--summary"),
        ("holds", "--coverage", "--days", "9999"),
        ("explain", "MESSAGE"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("columns", ["80", "200"])
def test_commands_print_text_as_text(config, text, words, columns, monkeypatch):
    """Neither a traceback nor a forged word, at any width."""
    path, message = config
    monkeypatch.setenv("COLUMNS", columns)
    given = [message if word == "MESSAGE" else word for word in words]
    result = CliRunner().invoke(app, [*given, "--config", str(path)])
    assert result.exit_code == 0, result.exception
    clean(result.stdout, text)
    result = CliRunner().invoke(app, [*given, "--config", str(path), "--json"])
    assert not FORBIDDEN.search(result.stdout)
    assert json.dumps(text)[1:-1] in json.dumps(json.loads(result.stdout))


def test_the_account_prints_text_as_text(text, capsys):
    """Names of apps, reasons, sources and what disagrees."""
    found = Discrepancy(text, "2026-01-31", text, 1, 2)
    counted = Count("shop", "2026-01-31", "push", "filtered", text, 1)
    inspect.show_account(
        balance({("shop", "2026-01-31"): 1}, {}, [counted], [found]),
        [RestrictedCount("shop", "2026-01-31", text, "redact", 7)],
        as_json=False,
    )
    output = capsys.readouterr().out
    clean(output, text)
    assert output.count(printing.visible(text)) >= 4


def test_dead_letters_print_text_as_text(text, capsys):
    """What happened may repeat what the vendor or the message said."""
    letter = DeadLetter(1, "r", "shop", "push", "json", "map", text, text, text, b"", "1", NOW_MS, NOW_MS)
    printing.show(inspect.dead_rows([letter]), "Dead letters", "", False)
    clean(capsys.readouterr().out, text)


def test_cohorts_print_text_as_text(text, capsys):
    """Titles of cohorts are anybody's, and a run's detail repeats the vendor's words."""
    standing = Standing("shop", "vip", "c1", text, *([0] * 13), running=False)
    printing.show([audiences.row(standing, {})], "Audiences", "", False)
    clean(capsys.readouterr().out, text)
    printing.show([audiences.run_row(Run(began_ms=1, detail=text))], "Runs", "", False)
    clean(capsys.readouterr().out, text)


def test_errors_print_text_as_text(text, capsys):
    """A file's name, or a line in it, may be anything."""
    printing.complain(f"File {text} is missing.")
    assert not FORBIDDEN.search(capsys.readouterr().err)


def test_what_fits_stands_side_by_side_and_the_rest_below(capsys, monkeypatch):
    """The first column is never cut or left out, and no line is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    row = {"name": "a name of some length", "people": 7, "why": "word " * 40, "time_left_s": 7200, "empty": ""}
    printing.print_rows("Title", [row], "")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["name", "people", "time", "left", "empty"]
    assert lines[2].startswith("a name of some length       7        2 h")
    assert lines[3].startswith("    why: word word")


def test_a_file_gets_each_row_on_one_line(capsys, monkeypatch):
    """There is no width to respect, so that programs that read lines see rows."""
    monkeypatch.delenv("COLUMNS", raising=False)
    printing.print_rows("Title", [{"name": "a", "why": "word " * 40}], "")
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_joiners_and_wide_characters_stay(capsys):
    """Emoji and words of other scripts are no attack, and columns stay in line."""
    rows = [
        {"name": "\U0001f469\u200d\U0001f469", "n": 1},
        {"name": "\u6771\u4eac", "n": 2},
        {"name": "\u0645\u06cc\u200c\u062e", "n": 3},
    ]
    printing.print_rows("Title", rows, "")
    output = capsys.readouterr().out
    assert all(row["name"] in output for row in rows)
