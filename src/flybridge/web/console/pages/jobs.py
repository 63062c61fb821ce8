"""Jobs that run by schedule, and streams to AppsFlyer: how each stands, and running one now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flybridge.config.apps import App
from flybridge.records import OutcomeKind, Source, clock_time
from flybridge.store.job_runs import JobRun, read_runs
from flybridge.system.counted import span
from flybridge.web.console.acting import act, first, form_of
from flybridge.web.console.operations import JOBS, JobState
from flybridge.web.console.reading import Reading
from flybridge.web.console.site import Entry, Site
from flybridge.web.console.words import masked_sentence, shown

ENTRY: Final = Entry("jobs", "/jobs", "Jobs and streams")
RUNS: Final = 50
QUOTA: Final = "It may cost calls of AppsFlyer's and Amplitude's quotas."


def routes(site: Site) -> list[Route]:
    """Return the page and its action."""

    async def show(request: Request) -> Response:
        reading, operations = await site.reader.read(), site.operations
        now_ms, jobs = site.clock.now_ms(), await operations.jobs()
        return await site.page(
            request, ENTRY, "jobs.html", rows=[_row(one, now_ms) for one in jobs],
            runs=_runs(await read_runs(site.store)),
            streams=[_stream(reading, app) for app in operations.config.apps if app.streams],
        )  # fmt: skip

    async def run(request: Request) -> Response:
        form = form_of(request)
        kind, app = first(form, "kind"), first(form, "app")
        job = next((one for one in await site.operations.jobs() if (one.kind, one.app) == (kind, app)), None)
        if job is None:
            return await site.page(request, ENTRY, "missing.html", 404, what="job")
        did = next((f" The last run: {masked_sentence(run.did)}" for run in job.runs if run.did), "")
        return await act(
            site, request, ENTRY, action="run_job", question=f"{job.title} for {shown(job.app)} now?{did}",
            button="Run now", warning=QUOTA, work=lambda: site.operations.run_job(job), target=f"{job.kind} {job.app}",
        )  # fmt: skip

    return site.routes(ENTRY, show, {"/jobs/run": run})


def _row(one: JobState, now_ms: int) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "app": one.app,
        "title": one.title,
        "every": span(one.every_ms),
        "ran": clock_time(one.ran_ms) if one.ran_ms else "-",
        "next": f"in {span(one.next_ms - now_ms)}" if one.next_ms > now_ms else "now",
        "level": "warn" if one.problem else "",
        "state": masked_sentence(one.problem) or "well",
    }


def _runs(kept: Mapping[str, Sequence[JobRun]]) -> list[dict[str, Any]]:
    """Return the last runs of all jobs, newest first."""
    runs = [(run, *name.partition(" ")[::2]) for name, of_job in kept.items() for run in of_job]
    runs.sort(key=lambda of: of[0].began_ms, reverse=True)
    return [
        {
            "began": clock_time(run.began_ms),
            "took": span(run.ended_ms - run.began_ms),
            "app": shown(app),
            "title": JOBS.get(kind, kind),
            "by": shown(run.by) or "schedule",
            "outcome": "failed" if run.problem else "done",
            "level": "warn" if run.problem else "",
            "detail": masked_sentence(" ".join(part for part in (run.did, run.problem) if part)),
        }
        for run, kind, app in runs[:RUNS]
    ]


def _stream(reading: Reading, app: App) -> dict[str, Any]:
    """Return what came through an app's event stream, and what became of it."""
    outcomes: Counter[str] = Counter()
    for count in reading.counts:
        if (count.app, count.source) == (app.name, Source.STREAM):
            outcomes[count.outcome] += count.n
    heard = next((one for one in reading.heard if (one.app, one.source) == (app.name, Source.STREAM)), None)
    return {
        "app": shown(app.name),
        "events": ", ".join(shown(name) for stream in app.streams for name in stream.events),
        "received": sum(outcomes.values()),
        "delivered": outcomes[OutcomeKind.DELIVERED],
        "waiting": outcomes[OutcomeKind.PENDING] + outcomes[OutcomeKind.HELD],
        "left_out": outcomes[OutcomeKind.APPLIED] + outcomes[OutcomeKind.FILTERED] + outcomes[OutcomeKind.DUPLICATE],
        "failed": outcomes[OutcomeKind.DEAD],
        "heard": f"{span(reading.at_ms - heard.last_ms)} ago" if heard is not None and heard.last_ms else "never",
    }
