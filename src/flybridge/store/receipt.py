"""The receipt of a request to be forgotten: what was removed, what the vendors were asked, and how that stands."""

from __future__ import annotations

from msgspec import Struct, structs


class Removed(Struct, frozen=True):
    """What was removed of a person. All are counts, so that a receipt identifies no one.

    `held`, `pending` and `dead` are envelopes that end as forgotten; `anonymised` are ledger rows that stay counted and
    lost what pointed at their content. `shared` counts keys so widely shared that they were not followed.
    """

    installations: int = 0
    held: int = 0
    pending: int = 0
    dead: int = 0
    anonymised: int = 0
    sightings: int = 0
    tombstones: int = 0
    shared: int = 0
    audiences: int = 0

    def plus(self, other: Removed) -> Removed:
        """Add what a later run removed. Tombstones and shared keys are those of the later run."""
        sums = {name: n + getattr(other, name) for name, n in structs.asdict(self).items()}
        return structs.replace(Removed(**sums), tombstones=other.tombstones, shared=other.shared)


class VendorStep(Struct, frozen=True):
    """One deletion request to a vendor. `request_id` is a random name that stays the same when it is sent again.

    `state` is `open`, `done`, `failed` (run the command again) or `skipped`; `detail` is a sentence of ours, never
    the vendor's, because those quote ids.
    """

    vendor: str
    app: str
    kind: str
    request_id: str
    state: str = "open"
    status: int = 0
    detail: str = ""
    changed_ms: int = 0


class Receipt(Struct, frozen=True):
    """What was done about one request to be forgotten. `keys` are the hashes of the ids that were named."""

    id: str
    made_ms: int
    keys: tuple[bytes, ...]
    removed: Removed
    steps: tuple[VendorStep, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether no vendor request is left to be sent."""
        return all(step.state in {"done", "skipped"} for step in self.steps)
