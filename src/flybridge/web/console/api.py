"""Figures as JSON: `/api/v1/performance`, `/api/v1/cohorts` and `/api/v1/reconciliation`, behind the same access check
as the pages.

All read counters and stored reports: an answer costs the same however many events are behind it, and asks no vendor.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flybridge.errors import ConfigError, FlybridgeError
from flybridge.insight.cohort_differences import asked_cohort_differences, read_cohort_differences
from flybridge.insight.cohorts import read_cohorts
from flybridge.insight.differences import asked_differences, read_differences
from flybridge.insight.findings import read_findings
from flybridge.insight.nearest import instead_of
from flybridge.insight.performance import AppScope, PerformanceReport, read_performance
from flybridge.insight.question import asked, chosen_cohort, chosen_scopes
from flybridge.store.performance import date_of
from flybridge.store.protocol import Store
from flybridge.system.yes_or_no import yes_or_no
from flybridge.web.console.site import HEADERS, Site

Answering = Callable[[Store, Mapping[str, str], Sequence[AppScope]], Awaitable[Mapping[str, Any]]]
"""Answers a query about these apps."""


async def _performance(store: Store, query: Mapping[str, str], scopes: Sequence[AppScope]) -> Mapping[str, Any]:
    question = asked(query, scopes)
    found = await read_performance(store, scopes, question)
    if not found.rows:
        found.notes = [await instead_of(store, scopes, question)]
    told = plain(found)
    if yes_or_no(query.get("compare")):
        told["before"] = plain(await read_performance(store, scopes, question.before()))
    return told


async def _cohorts(store: Store, query: Mapping[str, str], scopes: Sequence[AppScope]) -> Mapping[str, Any]:
    metric, grain = chosen_cohort(query.get("metric"), query.get("grain"), scopes)
    question = asked(query, scopes)
    found = await read_cohorts(store, scopes[0], question, metric, grain=grain)
    return {
        "app": scopes[0].name,
        "metric": metric.name,
        "grain": grain,
        "zone": found.zone,
        "currency": found.currency,
        "cohorts": [cohort.as_dict() for cohort in found.cohorts],
        "total": found.whole.values,
        "counted": found.whole.counted,
    }


ANSWERS: Final[Mapping[str, Answering]] = {
    "performance": _performance,
    "cohorts": _cohorts,
    "reconciliation": lambda store, query, scopes: read_differences(store, scopes, asked_differences(query, scopes)),
    "reconciliation/cohorts": lambda store, query, scopes: read_cohort_differences(
        store, scopes, asked_cohort_differences(query, scopes)
    ),
    "reconciliation/findings": lambda store, _, scopes: read_findings(store, scopes),
}


def routes(site: Site) -> list[Route]:
    """Return the answers. A question that can't be answered is 400, with what to write instead."""
    headers = {**HEADERS, "content-type": "application/json"}

    async def answered(answer: Answering, request: Request) -> Response:
        query = request.query_params
        try:
            found = await answer(site.store, query, chosen_scopes(site.scopes(), query.get("app")))
        except ConfigError as problem:
            told = {"error": f"{problem.path}: {problem.problem}", "remedy": problem.remedy}
            return Response(msgspec.json.encode(told), 400, headers)
        except FlybridgeError as problem:
            structlog.get_logger("flybridge").error("console", kind=type(problem).__name__, problem=str(problem))
            told = {"error": "The store does not answer.", "remedy": "Ask again in a few seconds."}
            return Response(msgspec.json.encode(told), 503, {**headers, "retry-after": "10"})
        return Response(msgspec.json.encode(found), 200, headers)

    return [Route(f"/api/v1/{path}", partial(answered, one), methods=["GET"]) for path, one in ANSWERS.items()]


def plain(found: PerformanceReport) -> dict[str, Any]:
    """Return an answer as plain values."""
    return {
        "from": date_of(found.question.first).isoformat(),
        "to": date_of(found.question.last).isoformat(),
        "days": found.question.days,
        "complete_days": {str(horizon): days for horizon, days in found.complete.items()},
        "zone": found.zone,
        "currency": found.currency or None,
        "rows": found.plain_rows(),
        "total": found.totals(),
        "notes": found.notes,
    }
