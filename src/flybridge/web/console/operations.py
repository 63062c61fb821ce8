"""What the console can have done. The service provides it from the same functions that the commands use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from flybridge.config.apps import App
from flybridge.config.settings import Config
from flybridge.notifications.notifier import ChannelState
from flybridge.records import Envelope
from flybridge.store.audiences.records import Run, Standing
from flybridge.store.job_runs import JobRun


class Done(Struct, frozen=True):
    """What an operation did, as a sentence with its numbers; `ok` is False if it did not do what was asked."""

    sentence: str
    ok: bool = True


class AudienceState(Struct, frozen=True):
    """How an audience stands, and its last runs, newest first. `cadence` is empty where it is not configured any more.

    With `held` its last run waits for an operator because too many would leave; `stopped` needs one, too.
    """

    standing: Standing
    cadence: str
    runs: Sequence[Run]

    @property
    def held(self) -> bool:
        return bool(self.runs) and self.runs[0].outcome == "held"

    @property
    def stopped(self) -> bool:
        return bool(self.runs) and self.runs[0].outcome == "stopped"


JOBS: Final[Mapping[str, str]] = {
    "pull": "Read AppsFlyer's raw-data reports",
    "locker": "Follow the Data Locker",
    "gaps": "Find and fill gaps",
    "costs": "Pull costs",
    "compare": "Compare counts, and find what is worth a look",
    "import": "Import files",
    "import-costs": "Import costs",
    "cohorts": "Bring an audience in step",
}
"""What jobs do, by their kinds. The last three run by hand; audiences have a schedule and a page of their own."""


class JobState(Struct, frozen=True):
    """A job that runs by schedule. Times are 0 where they are not known; at `next_ms` 0 it is due.

    `problem` says what went wrong the last time; empty if nothing did. `runs` are the last ones, newest first.
    """

    kind: str
    app: str
    title: str
    every_ms: int
    ran_ms: int
    next_ms: int
    problem: str
    runs: Sequence[JobRun] = ()


class CheckResult(Struct, frozen=True):
    """The result of one check of `flybridge doctor`: `level` is good, warn or bad."""

    what: str
    level: str
    detail: str


class Operations(Protocol):
    """Operations on a bridge. Each may raise `FlybridgeError`."""

    @property
    def config(self) -> Config:
        """The configuration of the bridge."""
        ...

    async def replay(self, ids: Sequence[int]) -> Done:
        """Replay these dead letters."""
        ...

    async def replay_all(self, app: str | None, reason: str | None) -> Done:
        """Replay the dead letters of an app and a reason."""
        ...

    async def audiences(self) -> Sequence[AudienceState]:
        """Return all audiences."""
        ...

    async def run_audience(self, app: str, name: str, *, accept_shrink: bool = False) -> Done:
        """Bring an audience in step now."""
        ...

    async def jobs(self) -> Sequence[JobState]:
        """Return the jobs that run by schedule."""
        ...

    async def run_job(self, job: JobState) -> Done:
        """Let a worker run a job at once."""
        ...

    async def doctor(self) -> Sequence[CheckResult]:
        """Check the bridge, and each credential at its vendor."""
        ...

    def explain(self, envelope: Envelope) -> list[dict[str, Any]]:
        """Return what becomes of a message, row by row, as `flybridge explain --json` has it."""
        ...

    def keys_of(self, kind: str, value: str) -> Sequence[bytes]:
        """Return the hashes by which the events of a person are found, by an id of this kind."""
        ...

    async def keys_of_amplitude_id(self, value: str) -> tuple[Sequence[bytes], str]:
        """Return the hashes by which the events of a user of Amplitude are found, and what could not be found out.

        Amplitude is asked for the user's other ids, because most messages do not carry its own number.
        """
        ...

    async def send_test(self, app: App) -> str:
        """Put a test message into the inbox, as AppsFlyer would send it. Returns its AppsFlyer id."""
        ...

    async def gaps(self) -> Sequence[str]:
        """Return what the last comparison of each app with AppsFlyer's side has found, a sentence each."""
        ...

    async def notifications(self) -> Mapping[str, ChannelState]:
        """Return what each channel of notifications has sent."""
        ...

    async def send_test_notification(self) -> Done:
        """Send a test message to people, in every way that is configured."""
        ...
