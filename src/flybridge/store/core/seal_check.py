"""The seal check: whether the configured secrets open what a store holds, before anything is done with it.

A known text is kept sealed beside the data. If it does not open, the secret was changed, or that very text is damaged:
the second is so if other content opens.
"""

from __future__ import annotations

from typing import Final

from flybridge.errors import SealBroken
from flybridge.sealing import Seal
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.tables import Read, Rows, Write

NAME: Final = "seal"
CLEAR: Final = b"flybridge store"
GIVEN_UP: Final = b""
"""The check of an operator who has lost the secret and gives up what was sealed with it."""

SAMPLE: Final = 50
"""How many of the newest pieces of each kind are tried."""

REFUSAL: Final = (
    "The configured secret does not open what the store holds. If `secret` was changed, put the former one into "
    "`former_secrets`; if this is another installation's store, name your own. Nothing was changed."
)

CHANGED: Final = (
    "What is to be delivered is sealed under a secret that this process does not have: `secret` was changed while it "
    "runs. Restart it with the new one, and the former one in `former_secrets`. Nothing was changed."
)


def is_checked(db: Rows, seal: Seal) -> bool:
    """Whether the check is in place, under the current secret.

    Raises `SealBroken` when the configured secrets open nothing of what the store holds.
    """
    check = next((value for (value,) in db.read(Read.STATE, NAME)), None)
    if check == GIVEN_UP:
        return False
    if check is not None and seal.opened(check) is not None:
        return seal.is_current(check)
    sample = [sealed for (sealed,) in db.read(Read.SEALED, SAMPLE)]
    if all(seal.opened(sealed) is None for sealed in sample) and (sample or check is not None):
        raise SealBroken(REFUSAL)
    return False


def check_unchanged(db: Rows, seal: Seal) -> None:
    """Raise `SealBroken` if the check is under a secret that this process does not have: it was changed meanwhile."""
    check = next((value for (value,) in db.read(Read.STATE, NAME)), GIVEN_UP)
    if check != GIVEN_UP and seal.opened(check) is None:
        raise SealBroken(CHANGED)


def put_check(ledger: LedgerWriter, seal: Seal) -> None:
    """Seal the check under the current secret."""
    ledger.tables.write(Write.STATE, [(NAME, seal.seal(CLEAR))])
