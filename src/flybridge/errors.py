"""What flybridge raises, as one small tree.

    FlybridgeError
    ├── ConfigError        the configuration can't be used; says which key and what to write instead
    ├── InboxUnavailable   the durable log refuses (disk full, server away); the sender should try again
    ├── StoreUnavailable   the state store refuses; the work is given back and tried again
    ├── SealBroken         sealed bytes can't be opened: another secret, or damaged data
    └── TransportError     an HTTP exchange has no answer; carries whether the request may have been applied

Exceptions are for the unexpected. What is expected, a postback that can't be mapped or a delivery that
is refused, is a value: `records.Outcome` and `delivery.exchange.Verdict`.
"""

from __future__ import annotations


class FlybridgeError(Exception):
    """Root of everything flybridge raises on purpose. The text is a sentence with a remedy."""


class ConfigError(FlybridgeError):
    """The configuration can't be used. `path` names the key (`apps[0].route`), `remedy` what to do."""

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem} {remedy}" if path else f"{problem} {remedy}")
        self.path = path
        self.problem = problem
        self.remedy = remedy


class InboxUnavailable(FlybridgeError):
    """The inbox did not make the bytes durable. Nothing was promised; `retry_after_s` is in seconds."""

    def __init__(self, reason: str, retry_after_s: int = 5) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class StoreUnavailable(FlybridgeError):
    """The store did not commit. Nothing of the batch was filed."""


class SealBroken(FlybridgeError):
    """Sealed bytes can't be opened with any configured secret."""


class TransportError(FlybridgeError):
    """An HTTP exchange ended without an answer.

    `maybe_applied` is False only when the request certainly never reached the vendor (no connection).
    """

    def __init__(self, reason: str, *, maybe_applied: bool) -> None:
        super().__init__(reason)
        self.maybe_applied = maybe_applied
