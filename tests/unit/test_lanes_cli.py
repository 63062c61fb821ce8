"""`flybridge lanes`: how sending stands, from another process than the one that sends."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from flybridge.cli.app import app
from flybridge.clock import SystemClock
from flybridge.delivery.circuit import Circuit, Phase
from flybridge.delivery.lane_reports import ORDERS, LaneReport, WorkerReport, write_report
from flybridge.errors import ConfigError
from flybridge.records import Deliver, Envelope, Filing, Media, Source, clock_time
from flybridge.sealing import Seal
from flybridge.store.records import Lane, Settlement
from flybridge.store.sqlite.store import SqliteStore

CONFIG = """
secret = "a secret for tests only"
[[apps]]
name = "shop"
platform = "android"
appsflyer_app_id = "com.shop"
[apps.amplitude]
api_key = "0123456789abcdef"
[apps.appsflyer]
push_token = "a-token-of-the-tests"
"""
LANE = Lane("shop", "http_v2")


def on_store(path, work):
    """Run `work` on the store of a configuration."""

    async def opened():
        store = SqliteStore(path.parent / "data" / "store.db", Seal(b"a secret for tests only"))
        await store.open()
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())


@pytest.fixture
def place(tmp_path):
    """Return a configuration whose store has three deliveries in a halted lane; one is uncertain and delivered."""
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG)
    (tmp_path / "data").mkdir()
    on_store(path, filled)
    return path


async def filled(store):
    """File deliveries, and report that the lane is halted."""
    now_ms = SystemClock().now_ms()
    filings = [
        Filing(
            Envelope("shop", Source.PUSH, Media.JSON, now_ms, b"{}", f"r{n}"),
            Deliver("http_v2", f"i{n}", f"event-{n}", b"{}", "ada", None),
        )
        for n in range(4)
    ]
    await store.file(filings, now_ms)
    (first,) = await store.lease(LANE, 1, now_ms, 60_000, "w")
    await store.settle([Settlement(first.id, "delivered", uncertain=2)], "w", now_ms)
    (second,) = await store.lease(LANE, 1, now_ms, 60_000, "w")
    await store.settle([Settlement(second.id, "due", due_ms=now_ms + 900_000, tries=3)], "w", now_ms)
    circuit = Circuit(
        Phase.OPEN, 5, 1, now_ms, now_ms + 60_000, True, "unauthorized", "Check the key.", "[/x] answered 401"
    )
    await write_report(store, WorkerReport("w", now_ms, (LaneReport("shop", "http_v2", circuit, 125),)))


def asked(path, *words):
    """Run a command and return its exit code and what it printed."""
    done = CliRunner().invoke(app, ["lanes", "-c", str(path), *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def test_lanes_say_why_they_are_paused_and_what_helps(place):
    """In words and as JSON; text of the vendor is printed as text."""
    path = place
    code, text = asked(path)
    assert code == 0
    assert "[/x] answered 401" in text
    code, text = asked(path, "--json")
    (row,) = json.loads(text)
    assert {name: row[name] for name in ("app", "endpoint", "due", "later", "state", "reason", "most_items")} == {
        "app": "shop", "endpoint": "http_v2", "due": 2, "later": 1, "state": "halted", "reason": "unauthorized",
        "most_items": 125,
    }  # fmt: skip
    assert row["what_to_do"] == "Check the key."


def test_the_queue_is_listed_without_anything_that_names_a_person(place):
    """With ids, tries, and when each is due."""
    path = place
    code, text = asked(path, "queue", "--json")
    rows = json.loads(text)
    assert code == 0
    assert [row["event"] for row in rows] == ["event-2", "event-3", "event-1"]
    assert [row["state"] for row in rows] == ["due", "due", "later"]
    assert rows[2]["tries"] == 3
    assert "ada" not in text
    with pytest.raises(ConfigError, match="nowhere"):
        asked(path, "queue", "--endpoint", "nowhere")


@pytest.mark.parametrize(
    "words", [("queue",), ("retry",), ("fewer",), ("uncertain",), ("take-out", "1")], ids=lambda words: words[0]
)
def test_the_configuration_may_be_named_before_and_behind_each_command(place, words):
    """As with every other command: `flybridge lanes queue --config FILE`."""
    done = CliRunner().invoke(app, ["lanes", *words, "--config", str(place)])
    assert done.exit_code == asked(place, *words)[0], done.output
    assert "No such option" not in done.output


def test_a_retry_makes_everything_due_and_leaves_an_order(place):
    """For the workers, wherever they run."""
    path = place
    code, text = asked(path, "retry", "--json")
    assert code == 0
    assert json.loads(text) == {"order": "retry", "lanes": [{"app": "shop", "endpoint": "http_v2"}]}
    (depth,) = on_store(path, lambda store: store.depths(SystemClock().now_ms()))
    assert (depth.due, depth.later) == (3, 0)
    assert asked(path, "fewer")[0] == 0
    assert len(on_store(path, lambda store: store.states(ORDERS))) == 2


def test_what_is_taken_out_becomes_a_dead_letter(place):
    """And an id that does not wait is said, with exit code 1."""
    path = place
    number = on_store(path, lambda store: store.queued(LANE))[0].id
    code, text = asked(path, "take-out", str(number), "--json")
    assert (code, json.loads(text)) == (0, {"taken_out": [number]})
    assert [letter.reason for letter in on_store(path, lambda store: store.dead())] == ["taken_out"]
    assert asked(path, "take-out", str(number))[0] == 1


def test_what_may_be_there_twice_is_listed_and_counted(place):
    """By lanes and in the account."""
    path = place
    (row,) = json.loads(asked(path, "uncertain", "--json")[1])
    assert (row["insert_id"], row["outcome"], row["times"]) == ("i0", "delivered", 2)
    assert clock_time(row["received_ms"]) in asked(path, "uncertain")[1]
    done = CliRunner().invoke(app, ["account", "-c", str(path), "--json"])
    assert json.loads(done.stdout)["uncertain"] == [{"app": "shop", "outcome": "delivered", "n": 1, "times": 2}]
