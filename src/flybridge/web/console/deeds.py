"""What visitors do, written to the audit trail and to the log."""

from __future__ import annotations

import structlog
from msgspec import Struct
from starlette.requests import Request

from flybridge.clock import Clock
from flybridge.errors import StoreUnavailable
from flybridge.store.protocol import Store
from flybridge.store.trail import Deed, TrailRow
from flybridge.web.access.identity import Visitor

DONE = "done"
BEGUN = "begun"
FAILED = "failed"
REFUSED = "refused"


class Deeds(Struct, frozen=True):
    """Writes what visitors do. The log has each row's number and chain, so that rows cut off later show."""

    store: Store
    clock: Clock

    async def write(self, visitor: Visitor, action: str, outcome: str, *, target: str = "", detail: str = "") -> None:
        """Write one row."""
        deed = Deed(
            actor=visitor.actor, address=visitor.address, action=action, outcome=outcome, target=target, detail=detail
        )
        log_row(await self.store.record(deed, self.clock.now_ms()))

    async def write_login(self, visitor: Visitor, outcome: str, detail: str) -> None:
        """Write the row of a login. While the store can't be written, the log alone has it."""
        try:
            await self.write(visitor, "login", outcome, detail=detail)
        except StoreUnavailable as problem:
            structlog.get_logger("flybridge").warning(
                "audit", actor=visitor.actor, peer=visitor.address, action="login", detail=detail, outcome=outcome,
                problem=str(problem),
            )  # fmt: skip


def log_row(row: TrailRow) -> None:
    """Write a row of the audit trail to the log."""
    structlog.get_logger("flybridge").info(
        "audit",
        number=row.number,
        actor=row.actor,
        peer=row.address,
        action=row.action,
        target=row.target,
        detail=row.detail,
        outcome=row.outcome,
        chain=row.chain.hex("-", 4),  # in groups: the log masks long hexadecimal numbers
    )


def visitor_of(request: Request) -> Visitor:
    """Return who a request is from. The gate has put it there."""
    visitor: Visitor = request.scope["visitor"]
    return visitor
