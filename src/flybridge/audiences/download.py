"""Download of a cohort: request, poll, then stream the file into the stage in pieces of bounded size.

The next run continues an unfinished request, so that a download that broke off does not count twice against the
monthly limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Final
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct, field

from flybridge.amplitude import cohort as amplitude
from flybridge.amplitude.cohort_file import AMPLITUDE_ID, USER_ID, CohortFile, CohortFileError, reader
from flybridge.audiences.plan import Ended, Work, ended
from flybridge.audiences.rules import AudienceRule, member_of
from flybridge.clock import Clock
from flybridge.delivery.exchange import Accepted, Download, Halt, HttpRequest, HttpResponse, Retry, Transport
from flybridge.delivery.pace import Bucket, Pace, bucket, take
from flybridge.delivery.whole import whole_answer
from flybridge.errors import ForbiddenAddress, TransportError
from flybridge.identity import Keyring
from flybridge.records import Member
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.performance import label

PAGE: Final = 5_000
POLL_FIRST_S: Final = 2.0
POLL_MOST_S: Final = 30.0
NOT_COUNTED: Final = ("unreachable", "rate_limited")
PATIENCE_MS: Final = 3_600_000
"""How long a request is waited for and continued; after that a new one is made."""
TAKE_OVER_MS: Final = 600_000
"""How long the lease lasts while a snapshot is applied.

Applying a first snapshot of millions locks the rows of its audience for minutes; a renewal would wait behind that lock.
"""


class _Project:
    """Limits that the downloads of one Amplitude project share."""

    def __init__(self) -> None:
        self.rate: Bucket = bucket(amplitude.REQUESTS_PER_S, amplitude.BURST_S)
        self.places = asyncio.Semaphore(amplitude.PARALLEL)


class CohortDownload(Struct, frozen=True):
    """Downloads cohorts. The cohorts of one Amplitude project share its limits."""

    store: CohortStore
    transport: Transport
    download: Download
    clock: Clock
    keyring: Keyring
    _projects: dict[str, _Project] = field(default_factory=dict)

    async def take_over(self, work: Work, credentials: amplitude.Credentials) -> None:
        """Download the cohort and apply it as one snapshot."""
        project = self._projects.setdefault(f"{credentials.origin} {credentials.api_key}", _Project())
        async with project.places:
            request_id, said_ms = await self._request(work, credentials, project)
            await self._poll(work, credentials, request_id)
            await self._fetch(work, credentials, request_id)
            await self._list(work, credentials)
            settings, options = work.plan.rule.settings, work.options
            if work.rows < work.size * (1 - settings.max_missing_percent / 100) and not options.accept_shrink:
                work.incomplete = True
                await self.store.requested(work.claim, "", 0)
                return
            max_shrink = None if options.accept_shrink else settings.max_shrink_percent / 100
            async with work.lease.extended(TAKE_OVER_MS):
                work.applied = await self.store.apply(work.claim, said_ms, max_shrink, dry=options.dry)
            # A dry run, and one that is held, leave the request: a run that accepts it costs no second download.
            if not options.dry and not work.applied.held:
                await self.store.requested(work.claim, "", 0)

    async def _list(self, work: Work, credentials: amplitude.Credentials) -> None:
        """Note the cohort's size and title as listed. Of several sizes the smallest counts: it may have shrunk."""
        with suppress(TransportError):
            request = amplitude.list_request(credentials)
            answer = await whole_answer(self.download, request, amplitude.LIST_BYTES)
            listed = amplitude.read_list(answer) if answer is not None else None
            found = next((one for one in listed or () if one.id == work.plan.rule.settings.cohort), None)
            if found is None:
                return
            work.size = min(work.size or found.size, found.size)
            if found.name and not work.claim.title:
                await self.store.learn(work.claim, title=label(found.name))

    async def _request(self, work: Work, credentials: amplitude.Credentials, project: _Project) -> tuple[str, int]:
        """Request the cohort, or continue an earlier request. Returns its id and the time the snapshot stands for."""
        now_ms, claim = self.clock.now_ms(), work.claim
        if claim.request_id and 0 <= now_ms - claim.requested_ms < PATIENCE_MS:
            return claim.request_id, claim.requested_ms
        await self._count(work, credentials)
        await self._list(work, credentials)
        budget, wait = take(Pace(project.rate, bucket(0)), 1, now_ms)
        project.rate = budget.requests
        if wait > 0:
            await self.clock.sleep(wait)
        work.lease.check()  # places and rates may have been waited for
        # Messages carry whole seconds: one of the same second counts as later than the snapshot.
        said_ms = self.clock.now_ms() // 1000 * 1000 - 1
        rule = work.plan.rule
        request = amplitude.ask_request(credentials, rule.settings.cohort, rule.properties)
        try:
            asked = amplitude.read_asked(await self._ask(request))
        except Ended as problem:
            asked = amplitude.Asked(problem.verdict)
        # What has arrived may count against the month's limit, whatever has become of its answer.
        work.requested = not (isinstance(asked.verdict, Retry) and asked.verdict.reason in NOT_COUNTED)
        if not isinstance(asked.verdict, Accepted):
            raise ended(asked.verdict, "Asking Amplitude for the cohort")
        await self.store.requested(claim, asked.request_id, said_ms)
        return asked.request_id, said_ms

    async def _count(self, work: Work, credentials: amplitude.Credentials) -> None:
        """Read the month's count of downloads. Raises `Ended` for a scheduled run if only the reserve is left."""
        with suppress(TransportError):
            work.usage = amplitude.read_usage(await self.transport.send(amplitude.usage_request(credentials)))
        usage, reserve = work.usage, work.plan.reserve
        if work.scheduled and usage is not None and usage.left is not None and usage.left <= reserve:
            remedy = (
                f"{usage} The last {reserve:,} are kept for runs by hand (apps.amplitude.cohort_reserve). "
                "Use a slower cadence, or Amplitude's cohort webhook, which has no such limit."
            )
            raise Ended(Halt("monthly_limit", remedy, 3600.0), "Before the download")

    async def _poll(self, work: Work, credentials: amplitude.Credentials, request_id: str) -> None:
        """Wait until the file is ready."""
        pause_s, since_ms = POLL_FIRST_S, self.clock.now_ms()
        while True:
            await work.hold()
            asked = amplitude.read_status(await self._ask(amplitude.status_request(credentials, request_id)))
            match asked.verdict:
                case Accepted():
                    return
                case Retry(reason="job_running"):
                    if self.clock.now_ms() - since_ms > PATIENCE_MS:
                        await self.store.requested(work.claim, "", 0)
                        raise Ended(Retry("job_slow"), "Computing the cohort in Amplitude")
                case verdict:
                    # A failed request is not continued; one whose status could not be read is.
                    if isinstance(verdict, Halt) or verdict == Retry("job_failed"):
                        await self.store.requested(work.claim, "", 0)
                    raise ended(verdict, "Computing the cohort in Amplitude")
            await self.clock.sleep(pause_s)
            pause_s = min(POLL_MOST_S, pause_s * 1.5)

    async def _ask(self, request: HttpRequest) -> HttpResponse:
        try:
            return await self.transport.send(request)
        except TransportError as problem:
            raise Ended(Retry("no_answer" if problem.maybe_applied else "unreachable"), "Amplitude") from problem

    async def _fetch(self, work: Work, credentials: amplitude.Credentials, request_id: str) -> None:
        """Stream the file into the stage."""
        file, page = _CohortRows(work.plan.rule, self.keyring), list[Member]()

        async def stage(members: Iterator[Member]) -> None:
            """Stage full pages. A small piece of a compressed file may hold any number of members."""
            while True:
                page.extend(found := await asyncio.to_thread(list, islice(members, PAGE)))
                while len(page) >= PAGE:
                    await work.hold()
                    await self.store.stage(work.claim, page[:PAGE])
                    del page[:PAGE]
                if len(found) < PAGE:
                    return

        try:
            async with self._file(credentials, request_id) as pieces:
                async for piece in pieces:
                    await stage(file.read(piece))
            await stage(file.end())
            await self.store.stage(work.claim, page)
            work.rows = file.rows
        except CohortFileError as problem:
            await self.store.requested(work.claim, "", 0)
            raise Ended(Retry("unreadable_file"), str(problem)) from problem
        except ForbiddenAddress as problem:
            raise Ended(
                Halt("wrong_address", f"{problem}: see any proxy before Amplitude."), "The redirect"
            ) from problem
        except TransportError as problem:
            raise Ended(Retry("broken_download"), "Reading the file from Amplitude") from problem

    @asynccontextmanager
    async def _file(self, credentials: amplitude.Credentials, request_id: str) -> AsyncIterator[AsyncIterator[bytes]]:
        request = amplitude.file_request(credentials, request_id)
        async with self.download.open(request) as answer:
            if answer.status == 200:
                yield answer.pieces()
                return
            if answer.status not in {301, 302, 303, 307, 308}:
                response = HttpResponse(answer.status, answer.headers, b"")
                raise ended(amplitude.refusal(response, "the request"), "Reading the file from Amplitude")
            location = answer.headers.get("location", "")
        own = _same_origin(location, credentials.origin)
        if not own and not location.lower().startswith("https://"):
            raise Ended(Halt("wrong_address", "Amplitude redirects to an address that is not https."), "The redirect")
        async with self.download.open(amplitude.redirected(location), public=not own) as answer:
            if answer.status != 200:
                # The address is valid for a minute; the next run asks for another.
                raise Ended(Retry(f"http_{answer.status}"), "Reading the file from its storage")
            yield answer.pieces()


class _CohortRows:
    """Turns pieces of a file into members. Runs in a worker thread."""

    def __init__(self, rule: AudienceRule, keyring: Keyring) -> None:
        self._rule = rule
        self._keyring = keyring
        self._file = CohortFile()
        self._columns: Mapping[str, int] = {}
        self._user: int | None = None
        self._number: int | None = None
        self._told = False
        self._row: Sequence[str] = ()
        self._places: dict[str, int | None] = {}

    @property
    def rows(self) -> int:
        """The rows read so far."""
        return self._file.rows

    def read(self, piece: bytes) -> Iterator[Member]:
        """Yield the members in the rows that this piece completes."""
        return (member for row in self._file.feed(piece) if (member := self._member(row)) is not None)

    def end(self) -> Iterator[Member]:
        """Yield the members in the remaining rows."""
        return (member for row in self._file.end() if (member := self._member(row)) is not None)

    def _member(self, row: Sequence[str]) -> Member | None:
        if not self._columns:
            header = self._file.header or {}
            self._columns = header
            self._user, self._number = reader(header, USER_ID), reader(header, AMPLITUDE_ID)
            self._told = any(reader(header, (name,)) is not None for name in self._rule.properties)
        user_id, number = _cell(row, self._user) or "", _cell(row, self._number) or ""
        self._row = row
        return member_of(self._rule, self._keyring, user_id, number, self._value, told=self._told)

    def _value(self, name: str) -> str | None:
        """Return the current row's value in a column. The column is looked up once per file."""
        if name not in self._places:
            self._places[name] = reader(self._columns, (name,)) if name else None
        return _cell(self._row, self._places[name])


def _cell(row: Sequence[str], at: int | None) -> str | None:
    return row[at].strip() if at is not None and at < len(row) else None


def _same_origin(location: str, origin: str) -> bool:
    try:
        found, own = urlsplit(location), urlsplit(origin)
        return (found.scheme, found.hostname, _port(found)) == (own.scheme, own.hostname, _port(own))
    except ValueError:
        return False


def _port(parts: SplitResult) -> int | None:
    return parts.port or {"http": 80, "https": 443}.get(parts.scheme)
