"""The plan, options, state and end of an audience run."""

from __future__ import annotations

import asyncio

from msgspec import Struct, field

from flybridge.amplitude import cohort as amplitude
from flybridge.appsflyer import audience as appsflyer
from flybridge.audiences.rules import AudienceRule
from flybridge.audiences.settings import Cadence
from flybridge.delivery.exchange import Halt, Limits, Retry, Verdict
from flybridge.store.audiences.records import NEVER_MS, Action, Applied, Claim
from flybridge.store.lease import Lease


class AudiencePlan(Struct, frozen=True):
    """How one audience is synced. Without `credentials` nothing is downloaded; Amplitude sends the changes."""

    rule: AudienceRule
    audience: appsflyer.ImportTarget
    credentials: amplitude.Credentials | None = None
    reserve: int = 0
    limits: Limits = appsflyer.LIMITS

    @property
    def cadence(self) -> Cadence:
        """How often the audience is synced."""
        return self.rule.settings.cadence


class RunOptions(Struct, frozen=True):
    """Options of one run."""

    accept_shrink: bool = False
    overwrite: bool = False
    download: bool = False  # download again although the cadence is `once`
    dry: bool = False  # report what a download would change; change nothing, send nothing


class Ended(Exception):
    """The run can't continue. `stage` names the request that failed."""

    def __init__(self, verdict: Retry | Halt, stage: str) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict
        self.stage = stage


class Work(Struct):
    """The state of a run."""

    plan: AudiencePlan
    options: RunOptions
    claim: Claim
    began_ms: int
    lease: Lease
    stop: asyncio.Event | None
    scheduled: bool
    limit: int = 0
    requested: bool = False  # whether this run has made a request that counts against the month's limit
    usage: amplitude.Usage | None = None
    rows: int = 0  # of the file; 0: not known
    size: int = 0  # of the cohort as Amplitude lists it; 0: not known
    incomplete: bool = False
    applied: Applied = Applied()
    sent: dict[Action, int] = field(default_factory=lambda: {Action.ADD: 0, Action.REMOVE: 0})
    refused: int = 0
    extras: int = 0
    requests: int = 0
    tried: bytes = b""  # the mark of the device that was sent last
    extras_due_ms: int = NEVER_MS

    def __post_init__(self) -> None:
        most = self.plan.rule.settings.max_devices
        self.limit = min(most, self.plan.limits.max_items, self.claim.max_devices or most)

    async def hold(self) -> None:
        """Renew the lease. Raises `Ended` if the process is stopping, `LeaseLost` if the lease is lost."""
        if self.stop is not None and self.stop.is_set():
            raise Ended(Retry("stopping", 0.0, counts=False), "flybridge is stopping")
        await self.lease.confirm()


def ended(verdict: Verdict, stage: str) -> Ended:
    """Return the exception for a verdict other than success."""
    if isinstance(verdict, Retry | Halt):
        return Ended(verdict, stage)
    return Ended(Retry("unexpected_answer"), stage)
