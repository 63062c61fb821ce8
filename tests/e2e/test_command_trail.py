"""What commands change stands in the audit trail: who, what, with which number, begun and ended."""

from __future__ import annotations

import asyncio

import pytest
from starting import INSTALL, command, serving, written
from test_notifications import push

from flybridge.config.settings import load
from flybridge.errors import ConfigError
from flybridge.service.backends import opened_store
from flybridge.testing.processes import environment

IDFV = "BCCE52E7-03EE-321A-B3D4-E57123966239"
WAITS = INSTALL | {"custom_data": "", "idfv": IDFV}
AUDIENCE = """
[[apps.audiences]]
cohort = "c1"
identifier = "idfv"
name = "buyers"
"""


async def trail(path):
    """Return action, target, detail and outcome of all rows, the oldest first."""
    async with opened_store(load(path, environment())) as store:
        assert await store.trail_fault() == ""
        rows = await store.trail(limit=100)
    assert all(row.actor.endswith("(command line)") for row in rows)
    return [(row.action, row.target, row.detail, row.outcome) for row in reversed(rows)]


@pytest.fixture
async def bridge(tmp_path):
    """Return the configuration of a bridge in which one event waits for its user, and the id of that."""
    path = written(tmp_path, app=AUDIENCE)
    path.write_text(path.read_text().replace('push_token = "push-token"', 'push_token = "push-token"\napi_token = "t"'))
    async with serving(path) as origin:
        await push(origin, WAITS)
        async with opened_store(load(path, environment())) as store:
            async with asyncio.timeout(20):
                while not (holds := await store.holds()):  # noqa: ASYNC110 - it happens in another task
                    await asyncio.sleep(0.05)
    return path, str(holds[0].id)


@pytest.mark.parametrize(
    ("words", "code", "rows"),
    [
        (["holds", "expire", "HOLD"], 0, [("expire", "HOLD", "Expired: 1.", "done")]),
        (["holds", "expire", "77"], 1, [("expire", "77", "Expired: 0.", "failed")]),
        (["holds", "release", "HOLD", "--user-id", "ann-of-shop"], 0, [("release", "HOLD", "Released: 1.", "done")]),
        (["replay", "--all"], 0, [("replay", "all apps, all reasons", "0 due for delivery", "done")]),
        (["lanes", "retry"], 1, [("retry", "all apps, all endpoints", "Lanes: 0.", "failed")]),
        (["lanes", "take-out", "5"], 1, [("take_out", "5", "Taken out: 0.", "failed")]),
        (["discard", "--yes"], 0, [("discard", "", "0 messages", "done")]),
        (["discard"], 0, []),
        (["forget", "--device-id", IDFV, "--no-vendors"], 0, [("forget", "all apps", "Receipt ", "done")]),
        (["cohorts", "run", "buyers"], 1, [("run_audience", "buyers", "The run ended as stopped", "failed")]),
        (["cohorts", "drop", "nothing"], 1, [("drop_audience", "nothing", "There is no audience", "failed")]),
        (["account"], 0, []),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) and one and isinstance(one[0], str) else "",
)
async def test_each_command_that_changes_something_is_in_the_trail(bridge, words, code, rows):
    """A row before, a row after; and no id of a person."""
    path, hold = bridge
    done = await command(path, *(hold if word == "HOLD" else word for word in words))
    assert done.exit_code == code, done.output
    found = await trail(path)
    assert [one[3] for one in found] == [outcome for row in rows for outcome in ("begun", row[3])]
    for (action, target, detail, outcome), row in zip(found[1::2], rows, strict=True):
        assert (action, target.replace(hold, "HOLD"), outcome) == (row[0], row[1], row[3])
        assert row[2] in detail
    assert IDFV not in str(found)
    assert "ann-of-shop" not in str(found)


async def test_a_command_without_a_bridge_makes_none(tmp_path):
    """The trail is that of a store that is there."""
    path = written(tmp_path)
    done = await command(path, "holds", "expire", "1")
    assert isinstance(done.exception, ConfigError)
    assert not list(tmp_path.glob("data/store.db"))
