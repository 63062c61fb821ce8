"""The exceptions of flybridge, as one small tree.

    FlybridgeError
    ├── ConfigError        the configuration is invalid; names the key and the remedy
    │   └── NotAvailable   what it names can't be had at present, such as a port; it may be later
    ├── InboxUnavailable   the inbox did not store the message (disk full, server away); the sender retries
    ├── StoreUnavailable   the store did not commit; the work is returned and retried
    ├── SealBroken         sealed bytes can't be decrypted: another secret, or damaged data
    ├── Defect             flybridge itself has failed; says where
    └── TransportError     an HTTP request got no answer; says whether it may have been applied
        └── ForbiddenAddress   a redirect leads to an address that is not public

Expected failures, such as a postback that can't be mapped or a delivery that is refused, are values:
`records.Outcome` and `delivery.exchange.Verdict`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb


class FlybridgeError(Exception):
    """Base class of all exceptions of flybridge. The text names the problem and the remedy."""


class ConfigError(FlybridgeError):
    """The configuration is invalid. `path` names the key (`apps[0].route`)."""

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem} {remedy}" if path else f"{problem} {remedy}")
        self.path = path
        self.problem = problem
        self.remedy = remedy


class NotAvailable(ConfigError):
    """What the configuration names can't be had at present, such as a directory or a port. A supervisor tries again."""


class InboxUnavailable(FlybridgeError):
    """The inbox did not store the message durably, and the sender was not acknowledged."""

    def __init__(self, reason: str, retry_after_s: int = 5) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class StoreUnavailable(FlybridgeError):
    """The store did not commit: no row of the batch was written."""


class SealBroken(FlybridgeError):
    """Sealed bytes can't be decrypted with any configured secret."""


class Defect(FlybridgeError):
    """An exception that was not expected. Its kind and place are named; its own text may quote what was read."""

    def __init__(self, what: str, fault: Exception) -> None:
        ours = [(frame.f_globals.get("__name__", ""), line) for frame, line in walk_tb(fault.__traceback__)]
        places = [
            f" in {name}, line {line}" for name, line in ours if name.startswith("flybridge.") and name != __name__
        ]
        place = places[-1] if places else ""
        super().__init__(f"{what} failed: a {type(fault).__name__}{place}. Report it; it is tried again.")


@contextmanager
def contained(what: str) -> Iterator[None]:
    """Raise a `FlybridgeError` in place of any other exception, so that what a job meets does not end the process."""
    try:
        yield
    except FlybridgeError:
        raise
    except OSError as fault:  # such as a full disk
        raise FlybridgeError(f"{what}: {fault}.") from fault
    except Exception as fault:
        raise Defect(what, fault) from fault


class TransportError(FlybridgeError):
    """An HTTP request ended without an answer.

    `maybe_applied` is False only when the request certainly never reached the vendor (no connection).
    """

    def __init__(self, reason: str, *, maybe_applied: bool) -> None:
        super().__init__(reason)
        self.maybe_applied = maybe_applied


class ForbiddenAddress(TransportError):
    """A redirect leads to a host without a public address. The request was not sent."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} has no public address", maybe_applied=False)
