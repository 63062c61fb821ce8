"""What commands do by hand is among the runs of the job that does it by schedule, and on the console's page of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flybridge.cli.app import app
from flybridge.cli.audit import Job, audited
from flybridge.config.settings import load
from flybridge.errors import FlybridgeError
from flybridge.operations.jobs import read_jobs
from flybridge.service.backends import opened_store
from flybridge.store.job_runs import JobRun, note_run, read_runs
from flybridge.web.console.pages.jobs import _runs

CONFIG = """
secret = "sixteen characters or more"
data_dir = "data"
[[apps]]
name = "shop"
appsflyer_app_id = "id1234567890"
platform = "ios"
[apps.appsflyer]
push_token = "token"
api_token = "t"
base_url = "http://127.0.0.1:9"
[apps.amplitude]
api_key = "key"
webhook_token = "a token"
[apps.insight]
costs = "aggregate"
[[apps.audiences]]
cohort = "c1"
identifier = "idfv"
name = "buyers"
[insight]
reconcile_by_raw_data = false  # reports of an address where nothing answers are asked for again, half a minute later
"""
FILES = {
    "ROWS": """Event Time,Install Time,Event Name,AppsFlyer ID,Customer User ID,Media Source
2026-01-31 12:00:00,2026-01-31 12:00:00,install,1629191854863-7087037,ann-of-shop,Facebook Ads
""",
    "COSTS": "date,media_source,spend\n2026-01-01,Facebook Ads,4\n",
    "SHOWN": '{"user_id": "ann-of-shop", "device_id": "a-device", "idfv": "BCCE52E7-03EE-321A-B3D4-E57123966239"}\n{\n',
}
NEVER = ("--from", "2020-01-01", "--to", "2020-01-01")
IMPORT = ("import", "ROWS", "--timezone", "UTC")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the configuration of a bridge that has a store, with files beside it."""
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "data").mkdir()
    return path


def runs_of(config: Path) -> Mapping[str, Sequence[JobRun]]:
    """Return all runs."""

    async def read() -> Mapping[str, Sequence[JobRun]]:
        async with opened_store(load(config, {})) as store:
            return await read_runs(store)

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("words", "job", "did", "problem"),
    [
        ((*IMPORT, "--yes"), "import shop", "1 of 1 rows in 1 file were taken.", ""),
        (IMPORT, "import shop", "", "there is no terminal to ask, and nothing was done."),
        (("import", "SHOWN", "--sightings"), "import shop", "", "1 of 2 lines were taken, and 1 can't be read."),
        (("costs", "import", "COSTS"), "import-costs shop", "1 row.", ""),
        (("costs", "import", "ROWS"), "import-costs shop", "", "Nothing was taken: 1 line can't be read."),
        (("cohorts", "run", "buyers"), "cohorts shop", "", "The run ended as stopped: 0 joined, 0 left; "),
        (("pull", *NEVER), "pull shop", "", "AppsFlyer's reports reach 89 days back."),
        (("gaps", *NEVER), "gaps shop", "", "AppsFlyer's reports reach 89 days back."),
        (("gaps", *NEVER, "--fill"), "gaps shop", "", "AppsFlyer's reports reach 89 days back."),
        (("gaps", *NEVER, "--locker"), "gaps shop", "", "is needed for this."),
        (("pull", "--from", "2099-01-01"), "pull shop", "", "2099-01-01 has not begun"),
        (("costs", "pull"), "costs shop", "", "0 rows. shop: "),
        (("reconcile", "--day", "2026-01-01"), "compare shop", "Compared 2026-01-01 to 2026-01-01.", ""),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else "",
)
def test_what_a_command_does_is_a_run_of_its_job(config, words, job, did, problem):
    """Who ran it, what it did, or what went wrong; once."""
    asyncio.run(_opened(config))
    given = [str(config.parent / word) if word in FILES else word for word in words]
    CliRunner().invoke(app, [*given, "--config", str(config)])
    runs = runs_of(config)
    assert list(runs) == [job]
    ((run,),) = runs.values()
    assert did in run.did
    assert problem in run.problem
    assert bool(run.problem) is bool(problem)
    assert run.by.endswith("(command line)")
    (row,) = _runs(runs)
    assert (row["app"], row["by"], row["outcome"]) == ("shop", run.by, "failed" if problem else "done")
    assert "ann-of-shop" not in str(row)


async def _opened(config: Path) -> None:
    async with opened_store(load(config, {})):
        pass


@pytest.mark.parametrize("words", [(*IMPORT, "--dry-run"), ("reconcile", "--stored"), ("costs", "status")])
def test_what_only_shows_something_is_no_run(config, words):
    """Nothing to look up later."""
    asyncio.run(_opened(config))
    given = [str(config.parent / word) if word in FILES else word for word in words]
    assert CliRunner().invoke(app, [*given, "--config", str(config)]).exit_code == 0
    assert runs_of(config) == {}


@pytest.mark.parametrize("fails", [False, True])
def test_a_store_that_takes_nothing_at_the_end_hides_neither_what_was_done_nor_what_went_wrong(config, capsys, fails):
    """Else a full disk has a command run again that was done, and takes the place of the fault that came before."""
    asyncio.run(_opened(config))
    settings = load(config, {})

    def work() -> None:
        with audited(settings, "replay", job=Job("pull", ["shop"])) as result:
            result.detail = "2 were replayed."
            (settings.data_dir / "store.db").write_bytes(b"no database" * 1000)
            for more in settings.data_dir.glob("store.db-*"):
                more.unlink()
            if fails:
                raise FlybridgeError("The vendor refuses it.")

    if fails:
        with pytest.raises(FlybridgeError, match="The vendor refuses it"):
            work()
    else:
        work()
    assert "This is not in the audit trail: The store" in capsys.readouterr().err


def test_what_a_run_says_is_text():
    """A file may be named after an attack, and a user, too."""
    hostile = "<script>\x1b[31m\u202e\x9b.csv can't be read"
    (row,) = _runs({f"import {hostile}": [JobRun(1, 2, hostile, hostile, hostile)]})
    assert not any(sign in str(value) for value in row.values() for sign in ("\x1b", "\u202e", "\x9b"))


async def test_a_run_by_hand_says_nothing_of_the_schedule(config):
    """The job is not ill because somebody gave wrong dates, and its last run stays that of the schedule."""
    settings = load(config, {})
    async with opened_store(settings) as store:
        await note_run(store, "compare shop", JobRun(1_000, 2_000, "Compared."))
        await note_run(store, "compare shop", JobRun(3_000, 4_000, problem="Wrong dates.", by="ann (command line)"))
        (job,) = [one for one in await read_jobs(settings, store, []) if one.kind == "compare"]
        rows = _runs(await read_runs(store))
    assert (job.ran_ms, job.problem) == (2_000, "")
    assert [row["by"] for row in rows] == ["ann (command line)", "schedule"]
    assert {row["title"] for row in rows} == {"Compare counts, and find what is worth a look"}
