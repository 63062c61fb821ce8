"""The plan, options, state and end of an audience run."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from flybridge.amplitude import cohort as amplitude
from flybridge.appsflyer import audience as appsflyer
from flybridge.audiences.lease import AudienceLease
from flybridge.audiences.rules import AudienceRule
from flybridge.delivery.exchange import Halt, Limits, Retry, Verdict
from flybridge.store.audiences.records import NEVER_MS, Action, Applied, Claim


class AudiencePlan(Struct, frozen=True):
    """How one audience is synced. Without `credentials` nothing is downloaded; Amplitude sends the changes."""

    rule: AudienceRule
    audience: appsflyer.ImportTarget
    credentials: amplitude.Credentials | None = None
    reserve: int = 0
    limits: Limits = appsflyer.LIMITS

    @property
    def cadence(self) -> str:
        """How often the audience is synced."""
        return self.rule.settings.cadence.value


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


class Work:
    """The state of a run."""

    def __init__(
        self, plan: AudiencePlan, claim: Claim, began_ms: int, lease: AudienceLease, *, scheduled: bool = False
    ) -> None:
        self.plan = plan
        self.claim = claim
        self.lease = lease
        most = plan.rule.settings.max_devices
        self.limit = min(most, plan.limits.max_items, claim.max_devices or most)
        self.began_ms = began_ms
        self.scheduled = scheduled
        self.requested = False  # whether this run has made a request that counts against the month's limit
        self.usage: amplitude.Usage | None = None
        self.rows = self.size = 0  # of the file, and of the cohort as Amplitude lists it; 0: not known
        self.incomplete = False
        self.applied = Applied()
        self.sent = {Action.ADD: 0, Action.REMOVE: 0}
        self.refused = self.extras = self.requests = 0
        self.tried = b""  # the mark of the device that was sent last
        self.extras_due_ms = NEVER_MS

    async def hold(self, stop: asyncio.Event | None) -> None:
        """Renew the lease. Raises `Ended` if the process is stopping, `LeaseLost` if the lease is lost."""
        if stop is not None and stop.is_set():
            raise Ended(Retry("stopping", 0.0, counts=False), "flybridge is stopping")
        await self.lease.confirm()


def ended(verdict: Verdict, stage: str) -> Ended:
    """Return the exception for a verdict other than success."""
    if isinstance(verdict, Retry | Halt):
        return Ended(verdict, stage)
    return Ended(Retry("unexpected_answer"), stage)
