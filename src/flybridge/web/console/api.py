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

from flybridge.clock import Clock
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
from flybridge.web.console.site import Scopes

FILTERS: Final = ("media_source", "campaign", "country", "platform")
YES: Final = ("1", "true", "yes")

Answering = Callable[[Mapping[str, str], Sequence[AppScope]], Awaitable[Mapping[str, Any]]]
"""Answers a query about these apps."""


class PerformanceApi:
    """The answers. A question that can't be answered is 400, with what to write instead."""

    def __init__(self, store: Store, clock: Clock, scopes: Scopes, headers: Mapping[str, str]) -> None:
        self._store = store
        self._clock = clock
        self._scopes = scopes
        self._headers = {**headers, "content-type": "application/json"}

    def routes(self) -> list[Route]:
        """Return the routes."""
        answers = {
            "performance": self._performance,
            "cohorts": self._cohorts,
            "reconciliation": self._reconciliation,
            "reconciliation/cohorts": self._cohort_differences,
            "reconciliation/findings": self._findings,
        }
        return [
            Route(f"/api/v1/{path}", partial(self._answered, answer), methods=["GET"])
            for path, answer in answers.items()
        ]

    async def _answered(self, answer: Answering, request: Request) -> Response:
        query = request.query_params
        try:
            found = await answer(query, chosen_scopes(self._scopes(self._clock.now_ms()), query.get("app")))
        except ConfigError as problem:
            told = {"error": f"{problem.path}: {problem.problem}", "remedy": problem.remedy}
            return Response(msgspec.json.encode(told), 400, self._headers)
        except FlybridgeError as problem:
            structlog.get_logger("flybridge").error("console", kind=type(problem).__name__, problem=str(problem))
            told = {"error": "The store does not answer.", "remedy": "Ask again in a few seconds."}
            return Response(msgspec.json.encode(told), 503, {**self._headers, "retry-after": "10"})
        return Response(msgspec.json.encode(found), 200, self._headers)

    async def _performance(self, query: Mapping[str, str], scopes: Sequence[AppScope]) -> Mapping[str, Any]:
        question = asked(query, scopes)
        found = await read_performance(self._store, scopes, question)
        if not found.rows:
            found.notes = [await instead_of(self._store, scopes, question)]
        told = plain(found)
        if query.get("compare", "").lower() in YES:
            told["before"] = plain(await read_performance(self._store, scopes, question.before()))
        return told

    async def _cohorts(self, query: Mapping[str, str], scopes: Sequence[AppScope]) -> Mapping[str, Any]:
        metric, grain = chosen_cohort(query.get("metric"), query.get("grain"), scopes)
        question = asked(query, scopes)
        found = await read_cohorts(self._store, scopes[0], question, metric, grain=grain)
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

    async def _reconciliation(self, query: Mapping[str, str], scopes: Sequence[AppScope]) -> Mapping[str, Any]:
        return await read_differences(self._store, scopes, asked_differences(query, scopes))

    async def _cohort_differences(self, query: Mapping[str, str], scopes: Sequence[AppScope]) -> Mapping[str, Any]:
        return await read_cohort_differences(self._store, scopes, asked_cohort_differences(query, scopes))

    async def _findings(self, _: Mapping[str, str], scopes: Sequence[AppScope]) -> Mapping[str, Any]:
        return await read_findings(self._store, scopes)


def plain(found: PerformanceReport) -> dict[str, Any]:
    """Return an answer as plain values."""
    return {
        "from": date_of(found.question.first).isoformat(),
        "to": date_of(found.question.last).isoformat(),
        "days": found.question.last - found.question.first + 1,
        "complete_days": {str(horizon): days for horizon, days in found.complete.items()},
        "zone": found.zone,
        "currency": found.currency or None,
        "rows": [row.as_dict() for row in found.rows],
        "total": found.totals(),
        "notes": found.notes,
    }
