"""How far a reading command is: on a terminal a line that changes, else a line every few seconds."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from flybridge.cli.app import app
from flybridge.cli.meter import PLAIN_S, Meter
from flybridge.clock import SystemClock
from flybridge.history.files import RawFile, find_files
from flybridge.history.run import HistoryImport, ImportPlan
from flybridge.history.take import BLOCK

ROWS = 3 * BLOCK


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


class Seconds:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def file(name: str, size: int) -> RawFile:
    """Return a file of that size."""
    return RawFile(name, name, size, "")


def test_without_a_terminal_there_is_a_line_every_few_seconds(capsys):
    """A log is not filled, and no minute passes without a word."""
    seconds = Seconds()
    meter = Meter("rows looked at", [file("a", 1000), file("b", 1000)], seconds)
    for step in range(100):
        seconds.now += 0.5
        name, position = ("a", step * 20) if step < 50 else ("b", (step - 50) * 20)
        meter.show(file(name, 1000), position, (position // 20) * 100)
    meter.end()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 50 / PLAIN_S
    assert lines[0] == "900 rows looked at, 180 a second, 9%, 46 s left"
    assert lines[-1] == "9,800 rows looked at, 196 a second, 99%, 1 s left"


def test_what_is_read_on_is_not_measured_by_what_was_read_before(capsys):
    """A file that was broken off begins in its middle: its first half took no time of this run."""
    seconds = Seconds()
    meter = Meter("rows imported", [file("a", 1000)], seconds)
    for step in range(21):
        seconds.now += 1
        meter.show(file("a", 1000), 500 + step * 10, step * 100)
    assert capsys.readouterr().err.splitlines()[-1].endswith("69%, 31 s left")


def test_without_files_only_rows_are_shown(capsys):
    """How many there will be is not known."""
    seconds = Seconds()
    meter = Meter("rows compared", now=seconds)
    meter.count(100)
    seconds.now += 10
    meter.count(200)
    assert capsys.readouterr().err == "200 rows compared, 20 a second\n"


@pytest.fixture
def config(tmp_path: Path, smallest_config: Path) -> Path:
    """Write a configuration, files of rows and of sightings, and a Data Locker."""
    folder = tmp_path / "locker" / "t=inapps" / "dt=2025-03-02" / "h=10"
    folder.mkdir(parents=True)
    rows = "".join(f"1-{n},buy,2025-03-02 10:{n // 60 % 60:02}:{n % 60:02}\n" for n in range(ROWS))
    for place in (tmp_path, folder):
        (place / "rows.csv").write_text("AppsFlyer ID,Event Name,Event Time\n" + rows)
    (tmp_path / "seen.json").write_text("".join(f'{{"user_id":"user-{n}","event_type":"x"}}\n' for n in range(ROWS)))
    with smallest_config.open("a") as file:
        file.write(f'history.locker = "{tmp_path / "locker"}"\n')
    return smallest_config


IMPORT = ("import", "rows.csv", "--timezone", "UTC")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*IMPORT, "--dry-run"), "rows looked at"),
        ((*IMPORT, "--yes"), "rows looked at"),
        ((*IMPORT, "--yes"), "rows imported"),
        (("gaps", "--from", "2025-03-01", "--to", "2025-03-03", "--locker"), "rows compared"),
        (("import", "seen.json", "--sightings"), "lines read of seen.json"),
    ],
)
def test_each_command_that_reads_much_shows_how_far_it_is(config, monkeypatch, words, said):
    """Also what comes before a question, and what finds nothing to take."""
    terminal = Terminal()
    monkeypatch.chdir(config.parent)
    monkeypatch.setattr(sys, "stderr", terminal)
    app([*words, "--config", str(config)], standalone_mode=False)
    assert re.search(rf"[1-9][0-9,]* {said}, [0-9,]+ a second", terminal.getvalue())
    assert terminal.getvalue().rpartition("\r\x1b[K")[2] in {"", *_complaints(terminal)}


def _complaints(terminal: Terminal) -> list[str]:
    """Return what may follow the last state of a line: it is cleared first."""
    text = terminal.getvalue().rpartition("\r\x1b[K")[2]
    return [text] if " a second" not in text else []


async def test_what_was_imported_before_is_not_still_to_be_read(config):
    """The time that is left would count it."""
    (config.parent / "more.csv").write_text("AppsFlyer ID,Event Name,Event Time\n1-1,buy,2025-03-02 10:00:00\n")
    names = [str(config.parent / name) for name in ("rows.csv", "more.csv")]

    async def accept(envelope: object) -> None:
        pass

    for given, left in ((names[:1], ["rows.csv"]), (names, ["more.csv"]), (names, [])):
        importing = HistoryImport(
            ImportPlan("shop", "com.example.shop", find_files(given), "UTC"), config.parent / "data", SystemClock()
        )
        assert [Path(one.name).name for one in importing.unread()] == left
        await importing.take(accept)
        importing.close()
