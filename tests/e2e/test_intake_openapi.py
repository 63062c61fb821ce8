"""The served description is true: schemathesis makes requests of it, good and bad, and checks every answer."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection

from flybridge.clock import SystemClock
from flybridge.inbox.protocol import Depth
from flybridge.records import Envelope
from flybridge.telemetry.metrics import Metrics
from flybridge.web.app import WebApp, description
from flybridge.web.intake import Intake, IntakeApp


class Counting:
    """Counts what it is given; lives in whatever event loop it is called from."""

    def __init__(self) -> None:
        self.kept = 0

    async def accept(self, envelope: Envelope) -> None:
        self.kept += 1

    async def depth(self, now_ms: int) -> Depth:
        return Depth(self.kept, 0, 0)


def _without_app(methods: dict[str, Any]) -> dict[str, Any]:
    return {name: method for name, method in methods.items() if name != "parameters"}


DOORS = {path: methods for path, methods in description("1.0")["paths"].items() if path.startswith("/v1/")}
inbox = Counting()
intake = Intake([IntakeApp("shop", b"right", b"right", cohorts=frozenset({"c1"}))], inbox, SystemClock())
app = WebApp(intake, inbox, Metrics("1.0", intake.counts), SystemClock(), version="1.0")
schema = schemathesis.openapi.from_dict(description("1.0"))
schema.app = app

# The same with the one app and list that exist, so that requests get past the path.
HERE = {"{app}": "shop", "{list}": "c1", "{action}": "add"}


def _here(path: str) -> str:
    for name, value in HERE.items():
        path = path.replace(name, value)
    return path


of_shop = schemathesis.openapi.from_dict(
    description("1.0") | {"paths": {_here(p): _without_app(m) for p, m in DOORS.items()}}
)
of_shop.app = app


# Without a console nothing is at /api/.
@schema.exclude(path_regex="^/api/").parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_as_described(case):
    """Any request to any app: no failure, only described statuses, and bodies of the described shape."""
    case.call_and_validate()


@of_shop.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_behind_the_token_are_as_described(case):
    """With the right app and token the bodies are stored and answered 200, or refused."""
    before = inbox.kept
    # What is wrong is stored as well: it becomes a dead letter.
    response = case.call_and_validate(headers={"Authorization": "right"}, excluded_checks=[negative_data_rejection])
    # A list that is created leaves nothing to be stored; one of messages is stored as its parts.
    assert (inbox.kept > before) == (response.status_code == 200 and response.json() == {"stored": True})


@pytest.mark.parametrize("path", ["/v1/push/{app}", "/v1/stream/{app}", "/v1/cohorts/{app}", "/readyz", "/metrics"])
def test_every_door_is_described(path):
    """No path is missing from the description."""
    assert path in schema.raw_schema["paths"]
