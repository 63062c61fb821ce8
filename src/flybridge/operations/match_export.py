"""Look for each event of a day in Amplitude by its insert_id, with the Export API.

An hour of uploads is exported two hours after it is over, and events are uploaded long after they happened: the export
begins with the day and ends with the last event of it that was sent. Hours are those of Amplitude's clock, so that some
minutes before and after are asked for, too. What is too large is asked for in halves.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Collection, Sequence
from typing import IO, Final

from msgspec import Struct

from flybridge.amplitude import export
from flybridge.amplitude.export import DELAY_MS, ExportedEvent, ExportRefused
from flybridge.delivery.exchange import Download, HttpResponse
from flybridge.errors import TransportError
from flybridge.mapping.to_amplitude.native import OURS
from flybridge.operations.reconcile_plan import ReconcilePlan
from flybridge.records import HOUR_MS
from flybridge.store.figures import SentEvent
from flybridge.store.performance import source_label

NAMED: Final = 500
"""Events of one day that are named at most."""
SKEW_MS: Final = 300_000
"""How far Amplitude's clock and this one may be apart."""
IN_MEMORY: Final = 64 * 2**20
ERROR_BYTES: Final = 2_000


class LostEvent(Struct, frozen=True):
    """An event that flybridge has sent, and that is not in Amplitude. Its id is a hash, and identifies nobody."""

    insert_id: str
    event: str
    media_source: str


class ExportMatch(Struct):
    """What was found: by event and source how many are not flybridge's, and which of its own are not there.

    The ids that others give to their events may identify people, and are not kept.
    """

    foreign: dict[str, Counter[str]]
    lost: list[LostEvent]


class ExportFailed(Exception):
    """There is no export. The message is a sentence for the report."""


async def match_export(
    plan: ReconcilePlan,
    download: Download,
    sent: Sequence[SentEvent],
    names: Collection[str],
    *,
    day: int,
    first_ms: int,
    now_ms: int,
) -> ExportMatch:
    """Compare what was sent of a day with what Amplitude exports. Raises `ExportFailed`.

    `names` are the events in Amplitude that are compared, `first_ms` when the day begins.
    """
    until_ms = (now_ms - DELAY_MS) // HOUR_MS * HOUR_MS
    last_ms = max([first_ms + 24 * HOUR_MS, *(one.sent_ms for one in sent)]) + SKEW_MS
    scan = _Scan(plan, day, {one.insert_id for one in sent}, names)
    hours = [(first_ms - SKEW_MS, min(last_ms, until_ms - 1))]
    while hours:
        since, until = hours.pop()
        if since > until:
            continue
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
            refused = await _fetch(plan, download, since, until, file)
            if refused is not None and refused.is_large and until - since > HOUR_MS:
                middle = (since + until) // 2 // HOUR_MS * HOUR_MS
                hours += [(middle + HOUR_MS, until), (since, middle)]
            elif refused is not None and not refused.is_empty:
                raise ExportFailed(refused.problem)
            elif refused is None:
                file.seek(0)
                await asyncio.to_thread(scan.read, file)
    lost = []
    for one in sent:
        name = plan.name_of(one.kind, one.event)
        if one.insert_id in scan.seen or one.sent_ms >= until_ms - SKEW_MS:
            continue
        if name in names and name is not None:
            lost.append(LostEvent(one.insert_id, name, one.media_source))
    return ExportMatch(scan.foreign, lost[:NAMED])


async def _fetch(
    plan: ReconcilePlan, download: Download, since: int, until: int, file: IO[bytes]
) -> ExportRefused | None:
    assert plan.credentials is not None, "the caller has looked"
    try:
        async with download.open(export.request(plan.credentials, since, until)) as answer:
            text = b""
            async for piece in answer.pieces():
                if answer.status == 200:
                    file.write(piece)
                elif len(text) < ERROR_BYTES:
                    text += piece
            return export.refusal(HttpResponse(answer.status, answer.headers, text))
    except TransportError as problem:
        raise ExportFailed(f"Amplitude was not reached: {problem}.") from problem


class _Scan:
    """Reads exports: notes in `seen` which `known` events are there, and counts those that are not flybridge's."""

    def __init__(self, plan: ReconcilePlan, day: int, known: Collection[str], names: Collection[str]) -> None:
        self._plan, self._day, self._known = plan, day, known
        self.seen: set[str] = set()
        self.foreign: dict[str, Counter[str]] = {name: Counter() for name in names}

    def read(self, file: IO[bytes]) -> None:
        """Read one file. Raises `ExportFailed` if it is broken."""
        try:
            for event in export.events(file):
                self._look(event)
        except ValueError as problem:
            raise ExportFailed(str(problem)) from problem

    def _look(self, event: ExportedEvent) -> None:
        plan, name, moment = self._plan, event.event_type, event.time_ms
        if name not in self.foreign or moment is None or plan.insight.day(moment) != self._day:
            return
        if plan.platform and event.platform != plan.platform:
            return
        insert_id = event.insert_id if isinstance(event.insert_id, str) else ""
        if insert_id in self._known:
            self.seen.add(insert_id)
        elif OURS.fullmatch(insert_id) is None:
            # One of flybridge's that is not known is of a person who was forgotten.
            source = source_label(event.value(plan.source_property, of_user=plan.of_user) or "")
            self.foreign[name][source] += 1
