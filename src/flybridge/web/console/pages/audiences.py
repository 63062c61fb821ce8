"""Audiences that follow a cohort: how each stands, what its runs did, and running one now."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flybridge.records import clock_time
from flybridge.store.audiences.records import NEVER_MS, Run
from flybridge.system.counted import plural
from flybridge.web.console.acting import act, first, form_of
from flybridge.web.console.operations import AudienceState
from flybridge.web.console.site import Entry, Site
from flybridge.web.console.words import masked_sentence, shown

ENTRY: Final = Entry("audiences", "/audiences", "Audiences")
DOWNLOADS: Final = "A download counts against the month's downloads of the Amplitude project."


def routes(site: Site) -> list[Route]:
    """Return the page and its action."""

    async def show(request: Request) -> Response:
        rows = [_row(one) for one in await site.operations.audiences()]
        return await site.page(request, ENTRY, "audiences.html", rows=rows)

    async def run(request: Request) -> Response:
        form, operations = form_of(request), site.operations
        app, name, accept = first(form, "app"), first(form, "name"), first(form, "accept_shrink") == "yes"
        state = next(
            (one for one in await operations.audiences() if (one.standing.app, one.standing.name) == (app, name)), None
        )
        if state is None:
            return await site.page(request, ENTRY, "missing.html", 404, what="audience")
        stands = state.standing
        if accept:
            question = (
                f"Take Amplitude's cohort over for {shown(name)}, although {plural(stands.held, 'member')} of "
                f"{stands.people:,} would leave?"
            )
        else:
            question = (
                f"Bring {shown(name)} in step now? As far as is known before Amplitude is asked, "
                f"{plural(stands.to_add, 'device')} will be added and {stands.to_remove:,} removed."
            )
        return await act(
            site, request, ENTRY, action="run_audience", question=question, target=f"{app}/{name}",
            button="Accept and run" if accept else "Run now",
            warning="" if state.cadence == "realtime" else DOWNLOADS,
            work=lambda: operations.run_audience(app, name, accept_shrink=accept),
        )  # fmt: skip

    return site.routes(ENTRY, show, {"/audiences/run": run})


def _row(one: AudienceState) -> dict[str, Any]:
    stands = one.standing
    last = one.runs[0] if one.runs else None
    if stands.running:
        level, state = "", "runs now"
    elif one.stopped:
        level, state = "bad", f"stopped: {masked_sentence(last.detail) if last else ''}"
    elif one.held:
        level, state = "warn", f"waits for you: {plural(stands.held, 'member')} would leave"
    elif stands.tries:
        level, state = "warn", f"failed {plural(stands.tries, 'time')}: {masked_sentence(last.detail) if last else ''}"
    elif not one.cadence:
        level, state = "warn", "not configured any more"
    else:
        level, state = "", "in step" if not stands.to_add + stands.to_remove else "catching up"
    following = (
        "by hand" if stands.next_ms >= NEVER_MS else clock_time(stands.next_ms) if stands.next_ms > 0 else "at once"
    )
    return {
        "app": stands.app,
        "name": stands.name,
        "cohort": shown(f"{stands.title or 'Cohort'} {stands.cohort}"),
        "cadence": one.cadence or "-",
        "people": stands.people,
        "listed": stands.listed,
        "lacking": stands.lacking,
        "refused": stands.refused,
        "to_add": stands.to_add,
        "to_remove": stands.to_remove,
        "level": level,
        "state": state,
        "next": following,
        "held": one.held,
        "stopped": one.stopped,
        "runs": [_run(run) for run in one.runs],
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "began": clock_time(run.began_ms),
        "seconds": round((run.ended_ms - run.began_ms) / 1000, 1),
        "outcome": run.outcome,
        "changes": f"{run.joined:,} joined, {run.left:,} left; {run.added:,} added, {run.removed:,} removed",
        "detail": masked_sentence(run.detail),
    }
