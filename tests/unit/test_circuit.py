"""When a lane stops, and how it starts again."""

from flybridge.delivery.circuit import (
    CLOSED,
    Admission,
    Circuit,
    CircuitRules,
    Phase,
    admission,
    failed,
    halted,
    probing,
    succeeded,
)
from flybridge.delivery.exchange import Halt

RULES = CircuitRules(threshold=3, base_s=5.0, factor=2.0, cap_s=15.0)
BAD_KEY = Halt("invalid_api_key", "check the key", 60.0)


def down(now_ms: int = 0) -> Circuit:
    """Return a circuit that three failures have opened."""
    circuit = CLOSED
    for _ in range(3):
        circuit = failed(circuit, "server_error_500", now_ms, RULES)
    return circuit


def test_it_opens_after_failures_in_a_row_and_an_answer_between_begins_anew() -> None:
    """Two failures, an answer, two failures: still closed. The third in a row opens it."""
    circuit = failed(failed(CLOSED, "x", 0, RULES), "x", 0, RULES)
    assert admission(circuit, 0) is Admission.ALL
    assert succeeded(circuit) == CLOSED
    assert down().phase is Phase.OPEN


def test_while_open_nothing_goes_and_then_one_probe() -> None:
    """The wait ends at its millisecond."""
    circuit = down(1000)
    assert [admission(circuit, ms) for ms in (1000, 5999, 6000)] == [Admission.NONE, Admission.NONE, Admission.PROBE]
    assert admission(probing(circuit), 6000) is Admission.PROBE


def test_a_failed_probe_waits_longer_up_to_the_cap_and_keeps_the_first_time() -> None:
    """Five, ten, fifteen, fifteen seconds; `since_ms` stays."""
    circuit, waits = down(1000), []
    for _ in range(4):
        waits.append(circuit.until_ms)
        circuit = failed(probing(circuit), "no_answer", 0, RULES)
    assert waits == [6000, 10_000, 15_000, 15_000]
    assert circuit.since_ms == 1000
    assert circuit.reason == "no_answer"


def test_a_probe_that_is_answered_closes_it() -> None:
    """All is forgotten."""
    assert succeeded(probing(down())) == CLOSED


def test_a_straggler_proves_nothing() -> None:
    """An answer or a failure of a request sent before the opening changes nothing."""
    circuit = down()
    assert succeeded(circuit) == circuit
    assert failed(circuit, "late", 9999, RULES) == circuit


def test_a_halt_opens_at_once_for_as_long_as_it_asks_and_says_what_to_do() -> None:
    """One bad key is enough, and the remedy is there for the console."""
    circuit = halted(CLOSED, BAD_KEY, 0, RULES)
    assert (circuit.phase, circuit.halted, circuit.until_ms) == (Phase.OPEN, True, 60_000)
    assert (circuit.reason, circuit.remedy) == ("invalid_api_key", "check the key")


def test_a_halt_while_open_explains_better_and_does_not_prolong() -> None:
    """The vendor's own reason replaces that of the outage."""
    before = down()
    circuit = halted(before, BAD_KEY, 100, RULES)
    assert (circuit.reason, circuit.until_ms, circuit.opens) == ("invalid_api_key", before.until_ms, 1)
