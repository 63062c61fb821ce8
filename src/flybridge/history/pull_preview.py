"""Look at the reports of the Pull API without taking their rows: what they hold, and what would become of it.

Nothing of a preview is kept. A report has advertising ids in clear, and no person can be forgotten in a file that waits
for a pull: each report is deleted as soon as it was read, and the pull itself asks for it again.
"""

from __future__ import annotations

from contextlib import closing

from msgspec import Struct

from flybridge.appsflyer.raw_pull import PulledReport
from flybridge.appsflyer.raw_report import report_named
from flybridge.flow import Flow
from flybridge.history.files import RawFile
from flybridge.history.progress import Progress
from flybridge.history.pull import HistoryPull, Pulled, PullPlan, Shown
from flybridge.history.raw_rows import RawRows
from flybridge.history.rows import UTC_TIMES
from flybridge.history.survey import Survey, Surveyor
from flybridge.store.protocol import Store


class PullPreview(Struct, frozen=True):
    """What reports hold, and how each could be read: its windows are the `files` of the survey."""

    survey: Survey
    reports: list[Pulled]


async def preview(
    plan: PullPlan,
    puller: HistoryPull,
    span: tuple[int, int],
    flow: Flow,
    store: Store,
    *,
    progress: Progress,
    now_ms: int,
    shown: Shown,
) -> PullPreview:
    """Read a span of all reports with a pull of no kind, and return what would become of their rows."""
    surveyor, rules = Surveyor(plan.app, progress, now_ms, flow, store), flow.rules_of(plan.app)
    assert rules is not None, "what is pulled is of an app of the configuration"

    async def read(report: PulledReport, file: RawFile) -> tuple[int, int]:
        rows = RawRows(file, UTC_TIMES, report_named(report.value))
        with closing(progress.counting(by_attribution=plan.by_attribution)) as equal:
            return await surveyor.read(rows, await surveyor.prospects(rows, rules, equal), equal), 0

    done = await puller.run(*span, read, shown)
    return PullPreview(surveyor.finish([]), done)
