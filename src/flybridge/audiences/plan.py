"""What a run of an audience is made of: its plan, what is asked of it, how it goes, and how it ends."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from flybridge.amplitude import cohort as amplitude
from flybridge.appsflyer import audience as appsflyer
from flybridge.audiences.lease import Tenure
from flybridge.audiences.rules import Rule
from flybridge.delivery.exchange import Halt, Limits, Retry, Verdict
from flybridge.store.audiences.protocol import Action, Applied, Claim, Device


class Plan(Struct, frozen=True):
    """How one audience is kept in step. `account` None: it is fed by what Amplitude sends; nothing is downloaded."""

    rule: Rule
    audience: appsflyer.ImportTarget
    cadence: str
    account: amplitude.Account | None = None
    max_devices: int = appsflyer.LIMITS.max_items
    max_shrink: float = 0.5
    limits: Limits = appsflyer.LIMITS


class Wishes(Struct, frozen=True):
    """What an operator asks of one run."""

    accept_shrink: bool = False
    overwrite: bool = False
    download: bool = False  # also an audience that is taken over once, and has been
    dry: bool = False  # say what a download would change; change nothing, send nothing


class Ended(Exception):
    """The run can't go on: why, and where it was."""

    def __init__(self, verdict: Retry | Halt, stage: str) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict
        self.stage = stage


class Work:
    """A run as it goes."""

    def __init__(self, plan: Plan, claim: Claim, began_ms: int, tenure: Tenure) -> None:
        self.plan = plan
        self.claim = claim
        self.tenure = tenure
        self.limit = min(plan.max_devices, plan.limits.max_items, claim.max_devices or plan.max_devices)
        self.began_ms = began_ms
        self.applied = Applied()
        self.sent = {Action.ADD: 0, Action.REMOVE: 0}
        self.refused = self.extras = self.requests = 0
        self.accepted = False
        self.suspects: list[Device] = []

    async def hold(self, stop: asyncio.Event | None) -> None:
        """Hold on to the claim; end here if a stop is asked for. Raises `Lost` if somebody else has it."""
        if stop is not None and stop.is_set():
            raise Ended(Retry("stopping", 0.0, counts=False), "flybridge is stopping")
        await self.tenure.confirm()


def ended(verdict: Verdict, stage: str) -> Ended:
    """Return the end of a run out of a verdict that is no success."""
    if isinstance(verdict, Retry | Halt):
        return Ended(verdict, stage)
    return Ended(Retry("unexpected_answer"), stage)
