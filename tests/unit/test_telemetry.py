"""Metrics say what was counted; log lines never say who it was about."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from pathlib import Path

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from flybridge.delivery.circuit import Circuit, Phase
from flybridge.delivery.exchange import Accepted, Reject, Retry
from flybridge.errors import InboxUnavailable, StoreUnavailable
from flybridge.inbox.protocol import Depth
from flybridge.insight.coverage import Cover
from flybridge.insight.heard import Heard
from flybridge.insight.hints import HeldSum
from flybridge.records import Apply, Envelope, Filing, Media, OutcomeKind, Source
from flybridge.store.audiences.records import Run
from flybridge.store.audiences.records import Standing as Audience
from flybridge.store.figures import Count, CoverageRow, HeldCount
from flybridge.store.records import Filed, Lane, LaneDepth, UncertainCount
from flybridge.telemetry import metrics as telemetry
from flybridge.telemetry.door_counts import DoorCounts, Received, log_received
from flybridge.telemetry.logs import configure_logging
from flybridge.telemetry.metrics import BridgeState, Metrics, bridge_state
from flybridge.telemetry.reporter import Reporter
from flybridge.testing.clocks import ManualClock

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
GAID = "cdda802e-fb9c-47ad-9866-0794d394c912"
APPSFLYER_ID = "1629191854863-7087037"
LANE = Lane("shop", "http_v2")


def tallies() -> list[DoorCounts]:
    """Two doors of one app with something in them, and the place for requests that found none."""
    nowhere, push, stream = DoorCounts("", ""), DoorCounts("shop", "push"), DoorCounts("shop", "stream")
    nowhere.refuse(404)
    push.accept(100_000)  # less than 2**17 nanoseconds
    push.accept(3_000_000)  # less than 2**22
    push.refuse(401)
    stream.refuse(503)
    return [nowhere, push, stream]


def full() -> Metrics:
    """Metrics in which everything that can be counted has been counted."""
    metrics = Metrics("1.2.3", tallies())
    reporter = Reporter(metrics)
    filing = Filing(Envelope("shop", Source.PUSH, Media.JSON, 1, b"{}"), Apply("cohort"), remarks=("late",))
    reporter.filed([filing], Filed({"held": 2, "pending": 3}, matched=1))
    metrics.attempted(LANE, [Accepted(), Retry("later"), Reject("a", "b", "c")], 0.2, [1.5, 2.0, 3.0])
    metrics.console_refused.labels("401").inc()
    reporter.notified("slack", "sent", "")
    reporter.gaps("shop", 9, 3, 2)
    metrics.differences.labels("shop", "held").set(3)
    reporter.notified("mail", "sent", "")
    reporter.on_circuit(LANE, Circuit(Phase.OPEN))
    outcomes = {("shop", "push", OutcomeKind.DEAD.value, "invalid"): 4}
    lanes = [LaneDepth(LANE, 7, 8, 9, 40_000)]
    holds = [HeldSum("shop", "tiktok", "idfv", "6h", 12)]
    covers = [Cover(40, {"any": 30, "idfv": 10}, app="shop", platform="ios")]
    uncertain = [UncertainCount("shop", "delivered", 3, 5)]
    up = {"inbox": True, "store": True}
    heard = [Heard("shop", "push", 40_000)]
    metrics.state = BridgeState(Depth(5, 2, 70_000), outcomes, lanes, up, 100_000, holds, covers, uncertain, heard)
    reporter.ran("shop", "vips", Run(began_ms=0, added=3, removed=1))
    reporter.audiences.standing(
        [Audience("shop", "vips", "c", "VIPs", 9, 2, 6, 1, 3, 1, 5, 2, 0, 1000, 2000, 3000, 4000, False)],
        {("shop", "vips")},
    )
    return metrics


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Read the rendered text back, as Prometheus does: name, and label values in the order of the labels' names."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (s.name, *(s.labels[label] for label in sorted(s.labels))): s.value
        for family in families
        for s in family.samples
    }


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        (("flybridge_info", "1.2.3"), 1),
        (("flybridge_audience_people", "shop", "vips"), 9),
        (("flybridge_audience_lacking", "shop", "vips"), 2),
        (("flybridge_audience_listed", "shop", "vips"), 6),
        (("flybridge_audience_refused", "shop", "vips"), 1),
        (("flybridge_audience_pending", "add", "shop", "vips"), 3),
        (("flybridge_audience_pending", "remove", "shop", "vips"), 1),
        (("flybridge_audience_held_people", "shop", "vips"), 5),
        (("flybridge_audience_failures", "shop", "vips"), 2),
        (("flybridge_audience_stopped", "shop", "vips"), 1),
        (("flybridge_audience_in_step_timestamp_seconds", "shop", "vips"), 3),
        (("flybridge_audience_runs_total", "shop", "vips", "done"), 1),
        (("flybridge_audience_sent_total", "add", "shop", "vips"), 3),
        (("flybridge_intake_accepted_total", "shop", "push"), 2),
        (("flybridge_intake_accepted_total", "shop", "stream"), 0),
        (("flybridge_intake_refused_total", "shop", "push", "401"), 1),
        (("flybridge_intake_refused_total", "shop", "stream", "503"), 1),
        (("flybridge_intake_refused_total", "", "", "404"), 1),
        (("flybridge_intake_seconds_bucket", "6.5536e-05", "push"), 0),
        (("flybridge_intake_seconds_bucket", "0.000131072", "push"), 1),
        (("flybridge_intake_seconds_bucket", "+Inf", "push"), 2),
        (("flybridge_intake_seconds_count", "push"), 2),
        (("flybridge_intake_seconds_sum", "push"), 0.0031),
        (("flybridge_filed_total", "held"), 2),
        (("flybridge_matched_total",), 1),
        (("flybridge_attempts_total", "shop", "http_v2", "accepted"), 1),
        (("flybridge_attempts_total", "shop", "http_v2", "retry"), 1),
        (("flybridge_request_seconds_count", "shop", "http_v2"), 1),
        (("flybridge_delivery_seconds_sum", "shop", "http_v2"), 1.5),
        (("flybridge_circuit_open", "shop", "http_v2"), 1),
        (("flybridge_up", "store"), 1),
        (("flybridge_inbox_waiting",), 5),
        (("flybridge_inbox_oldest_seconds",), 30),
        (("flybridge_envelopes", "shop", "dead", "invalid", "push"), 4),
        (("flybridge_lane_due", "shop", "http_v2"), 7),
        (("flybridge_holds", "6h", "shop", "idfv", "tiktok"), 12),
        (("flybridge_coverage_events", "shop", "ios"), 40),
        (("flybridge_coverage_share", "shop", "idfv", "ios"), 0.25),
        (("flybridge_lane_oldest_seconds", "shop", "http_v2"), 60),
    ],
)
def test_what_was_counted_is_rendered(sample, value):
    """Each figure comes out where its name says."""
    found = {(name, *(_number(label) for label in labels)): v for (name, *labels), v in samples(full()).items()}
    assert found[(sample[0], *(_number(label) for label in sample[1:]))] == pytest.approx(value)


def _number(label: str) -> str | float:
    """Bucket bounds are compared as numbers, whatever their notation."""
    try:
        return float(label)
    except ValueError:
        return label


def test_every_metric_is_in_the_reference():
    """A metric that is rendered is documented with its labels, and what is documented is rendered."""
    families = {f.name: f for f in text_string_to_metric_families(full().render().decode())}
    ours = {name for name in families if name.startswith("flybridge_")}
    documented = {}
    for name, labels in re.findall(r"^\| `(flybridge_\w+)` \| [^|]+ \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE):
        documented[re.sub(r"_total$", "", name)] = set(re.findall(r"`(\w+)`", labels))
    assert set(documented) == ours
    for name in ours:
        labels = {label for sample in families[name].samples for label in sample.labels} - {"le"}
        assert documented[name] == labels, name


class Away:
    """An inbox and a store that can't be reached."""

    async def depth(self, now_ms: int) -> Depth:
        raise InboxUnavailable("away")

    async def counts(self) -> list[Count]:
        raise StoreUnavailable("away")


class Present:
    """An inbox and a store with something in them."""

    async def depth(self, now_ms: int) -> Depth:
        return Depth(3, 1, 5)

    async def counts(self) -> list[Count]:
        return [Count("shop", day, "push", "held", "", 2) for day in ("2026-11-23", "2026-11-24")]

    async def depths(self, now_ms: int) -> list[LaneDepth]:
        return [LaneDepth(LANE, 1, 2, 3, 4)]

    async def hold_counts(self) -> list[HeldCount]:
        return [HeldCount("shop", "tiktok", ("idfv",), hour * 3_600_000, 2) for hour in (1, 2)]

    async def uncertain_counts(self) -> list[UncertainCount]:
        return []

    async def states(self, prefix: str) -> list[tuple[str, bytes]]:
        return []

    async def covered(self, *, since_day: str) -> list[CoverageRow]:
        return [CoverageRow("shop", since_day, "ios", version, "tiktok", ("idfv",), 3) for version in ("1", "2")]


async def test_parts_that_are_away_are_reported_as_down():
    """A scrape works, and says so, while inbox and store are away."""
    metrics = Metrics("1")
    metrics.state = await bridge_state(Away(), Away(), 0)
    found = samples(metrics)
    assert (found["flybridge_up", "inbox"], found["flybridge_up", "store"]) == (0, 0)
    assert ("flybridge_inbox_waiting",) not in found


class Frozen:
    """An inbox and a store whose servers are connected and never answer, as those of a suspended machine."""

    async def depth(self, now_ms: int) -> Depth:
        await asyncio.Event().wait()
        raise AssertionError

    async def counts(self) -> list[Count]:
        await asyncio.Event().wait()
        raise AssertionError


async def test_parts_that_do_not_answer_are_reported_as_down_before_a_scrape_ends(monkeypatch):
    """Prometheus gives up after ten seconds, and knows nothing then."""
    assert telemetry.INBOX_S + telemetry.STORE_S < 10
    monkeypatch.setattr(telemetry, "INBOX_S", 0.01)
    monkeypatch.setattr(telemetry, "STORE_S", 0.01)
    async with asyncio.timeout(5):
        now = await bridge_state(Frozen(), Frozen(), 0)
        beside = await bridge_state(Frozen(), Present(), 0)
    assert now.up == {"inbox": False, "store": False}
    assert beside.up == {"inbox": False, "store": True}


async def test_days_are_added_up():
    """The store counts per day, the metric doesn't: its series would grow for ever."""
    now = await bridge_state(Present(), Present(), 10)
    assert now.outcomes == {("shop", "push", "held", ""): 4}
    assert (now.depth, now.at_ms) == (Depth(3, 1, 5), 10)
    assert [(cover.app, cover.platform, cover.events) for cover in now.covers] == [("shop", "ios", 6)]
    assert [(row.app, row.age, row.n) for row in now.holds] == [("shop", "1h", 4)]


async def test_an_intake_process_has_no_store():
    """Without a store nothing is said about one."""
    assert (await bridge_state(Present(), None, 10)).up == {"inbox": True}


def test_received_lines_are_differences():
    """Each line says what a door did since the last one; a quiet door has none."""
    doors = tallies()
    received = Received(doors)
    assert received.lines() == [
        {"app": "", "source": "", "accepted": 0, "refused": {"404": 1}},
        {"app": "shop", "source": "push", "accepted": 2, "refused": {"401": 1}},
        {"app": "shop", "source": "stream", "accepted": 0, "refused": {"503": 1}},
    ]
    assert received.lines() == []
    doors[1].accept(1)
    doors[1].refuse(401)
    assert received.lines() == [{"app": "shop", "source": "push", "accepted": 1, "refused": {"401": 1}}]


async def test_what_came_last_is_logged_at_the_end(log):
    """Stopping between two lines loses no count."""
    doors, clock = tallies(), ManualClock()
    task = asyncio.create_task(log_received(Received(doors), clock))
    await clock.asleep.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [line["event"] for line in log()] == ["received"] * 3


@pytest.fixture
def log():
    """Log to memory as JSON; gives the lines, parsed."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("json", "debug", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def test_a_line_has_its_values_level_and_time(log):
    """Lines are JSON with event, level and an ISO time."""
    structlog.get_logger().info("filed", app="shop", n=3)
    (line,) = log()
    assert (line["event"], line["level"], line["app"], line["n"]) == ("filed", "info", "shop", 3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["timestamp"])


def test_ids_and_secrets_never_reach_a_line(log):
    """Keys that name a person or open something are dropped, ids in text are blotted out, bytes become a size."""
    structlog.get_logger().info(
        "attempted",
        idfa=GAID,
        Authorization="Bearer abc",
        api_key="k-123",
        nested={"user_id": "u-1", "kept": 1, "list": [f"x {GAID.upper()} y"]},
        detail=f"refused {GAID} and {APPSFLYER_ID}",
        raw=b"secret bytes",
    )
    (line,) = log()
    assert line["nested"] == {"kept": 1, "list": ["x [id] y"]}
    assert (line["detail"], line["raw"]) == ("refused [id] and [id]", "[12 bytes]")
    assert not {"idfa", "Authorization", "api_key"} & set(line)


@pytest.mark.parametrize("logger", [structlog.get_logger(), logging.getLogger("some.library")])
def test_tracebacks_are_scrubbed_and_show_no_variables(log, logger):
    """The text of an exception may carry an id, its frames' variables always do."""

    def fails(gaid: str) -> None:
        raise ValueError(f"no user for {gaid}")

    try:
        fails(GAID)
    except ValueError:
        logger.exception("request_failed")
    (line,) = log()
    assert "no user for [id]" in line["exception"]
    assert GAID not in json.dumps(line)


def test_lines_of_libraries_look_the_same(log):
    """A library's warning is one JSON line, its chatter is left out."""
    logging.getLogger("some.library").warning("slow %s", GAID)
    logging.getLogger("some.library").info("chatter")
    assert [line["event"] for line in log()] == ["slow [id]"]


def test_console_lines_are_for_people():
    """The console form is no JSON, and shows no variables of a traceback either."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure_logging("console", "info", stream)
        try:
            gaid = GAID
            raise ValueError(gaid)
        except ValueError:
            structlog.get_logger().exception("request_failed", app="shop")
        structlog.get_logger().info("attempted", answer="\x1b[2J\u202egood\x07", reason="\x9b31m", app="caf\u00e9")
        structlog.get_logger().info("attempted", answer="one\n2026-01-01 [info] forged")
        logging.getLogger("library").warning("moved \x1b[1;1H up")
        assert stream.getvalue().replace("\n", "").isprintable()
        assert "\\x1b[2J\\u202egood\\x07" in stream.getvalue()
        assert "\n2026-01-01" not in stream.getvalue()
        assert "caf\u00e9" in stream.getvalue()
        assert "request_failed" in stream.getvalue()
        assert "app=shop" in stream.getvalue()
        assert GAID not in stream.getvalue()
    finally:
        structlog.reset_defaults()
        root.handlers[:], root.level = handlers, level
