"""When a lane stops sending, and how it finds out that it may send again. Pure.

    closed ──halt, or `threshold` whole requests failed in a row──> open ──wait is over──> half_open
       ^                                                            ^                         │
       └────────────── a request is answered for ───────────────────┼─────────────────────────┤
                                                                    └──── it fails again ─────┘

The wait doubles with each failed probe, up to `cap_s`, or is as long as the vendor asks for. What waits in an open lane
costs no tries.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from flybridge.delivery.exchange import Halt

RESUMES: Final = "Sending resumes by itself when the vendor answers again."
UNREACHABLE: Final = "Check the address, and that this machine may connect to it. Sending resumes by itself."


class Phase(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Admission(StrEnum):
    """What a lane may send at a moment."""

    ALL = "all"
    PROBE = "probe"
    NONE = "none"


class CircuitRules(Struct, frozen=True):
    """When a circuit opens, and for how many seconds.

    `dead_share` is the share of items that a vendor may refuse before the lane halts; 0 for any share.
    """

    threshold: int = 5
    base_s: float = 5.0
    factor: float = 2.0
    cap_s: float = 300.0
    dead_share: float = 0.2


class Circuit(Struct, frozen=True):
    """The state of one lane, as the console and the metrics show it.

    `failures` counts whole requests that failed in a row, `opens` how often it has opened since it last worked,
    `since_ms` is when it left closed, `until_ms` when it may be probed. `halted` distinguishes a refusal by
    the vendor (an operator must act, see `remedy`) from an outage. `words` is what the vendor said, and who it is.
    """

    phase: Phase = Phase.CLOSED
    failures: int = 0
    opens: int = 0
    since_ms: int = 0
    until_ms: int = 0
    halted: bool = False
    reason: str = ""
    remedy: str = ""
    words: str = ""


def admission(circuit: Circuit, now_ms: int) -> Admission:
    """Return what may be sent now."""
    match circuit.phase:
        case Phase.CLOSED:
            return Admission.ALL
        case Phase.OPEN:
            return Admission.PROBE if now_ms >= circuit.until_ms else Admission.NONE
        case Phase.HALF_OPEN:
            return Admission.PROBE


def probing(circuit: Circuit) -> Circuit:
    """Return the circuit while a probe is in flight."""
    return replace(circuit, phase=Phase.HALF_OPEN) if circuit.phase is Phase.OPEN else circuit


def succeeded(circuit: Circuit) -> Circuit:
    """Return the circuit after an answered request. One sent before the circuit opened proves nothing."""
    if circuit.phase is Phase.OPEN or circuit == CLOSED:
        return circuit
    return CLOSED


def failed(circuit: Circuit, reason: str, now_ms: int, rules: CircuitRules, words: str = "") -> Circuit:
    """Return the circuit after a whole request failed: no answer, a server error, or a retry for every item."""
    match circuit.phase:
        case Phase.OPEN:
            return circuit
        case Phase.CLOSED if circuit.failures + 1 < rules.threshold:
            return replace(circuit, failures=circuit.failures + 1, reason=reason, words=words)
        case _:
            remedy = UNREACHABLE if reason == "unreachable" else RESUMES
            return _open(circuit, Halt(reason, remedy, 0.0), now_ms, rules, words, halted=False)


def halted(circuit: Circuit, halt: Halt, now_ms: int, rules: CircuitRules, words: str = "") -> Circuit:
    """Return the circuit after the vendor refused the lane as a whole."""
    if circuit.phase is Phase.OPEN:
        return replace(circuit, halted=True, reason=halt.reason, remedy=halt.remedy, words=words)
    return _open(circuit, halt, now_ms, rules, words, halted=True)


def _open(circuit: Circuit, cause: Halt, now_ms: int, rules: CircuitRules, words: str, *, halted: bool) -> Circuit:
    wait_s = max(cause.after_s, min(rules.cap_s, rules.base_s * rules.factor ** min(circuit.opens, 64)))
    return Circuit(
        phase=Phase.OPEN,
        failures=circuit.failures + 1,
        opens=circuit.opens + 1,
        since_ms=circuit.since_ms or now_ms,
        until_ms=now_ms + round(wait_s * 1000),
        halted=halted,
        reason=cause.reason,
        remedy=cause.remedy,
        words=words,
    )


CLOSED: Final = Circuit()
