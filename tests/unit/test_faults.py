"""Scripted faults: the same seed gives the same weather, and events keep their fate whatever else happens."""

from __future__ import annotations

import pytest

from flybridge.sandbox.faults import SCRIPTS, FaultKind, Faults, FaultScript, Window
from flybridge.sandbox.vendors.validation import UploadedEvent


def steps(faults: Faults, count: int, now_s: float = 0.0) -> list[tuple[FaultKind, int, float]]:
    return [(step.kind, step.status, step.wait_s) for step in (faults.step(now_s) for _ in range(count))]


def events(count: int) -> list[UploadedEvent]:
    return [UploadedEvent(event_type="login", insert_id=f"insert-{number}") for number in range(count)]


def test_the_same_seed_gives_the_same_steps_and_another_seed_others():
    """A failed run can be repeated."""
    first = steps(Faults.named("all", 1), 500, 100.0)
    assert first == steps(Faults.named("all", 1), 500, 100.0)
    assert first != steps(Faults.named("all", 2), 500, 100.0)


def test_none_does_nothing():
    """No faults means none."""
    faults = Faults.named("none")
    assert {act for act, _, _ in steps(faults, 1000)} == {FaultKind.PASS}
    assert not faults.looks_at_events


def test_flaky_plays_every_act_about_as_often_as_scripted():
    """Shares are of requests."""
    faults = Faults.named("flaky", 5)
    steps(faults, 10_000)
    for act, share in SCRIPTS["flaky"].requests:
        assert 0.7 * share < faults.counts[act] / 10_000 < 1.3 * share
    assert sum(faults.counts.values()) == 10_000


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_no_scripts_shares_exceed_one(name):
    """What is drawn must leave room for a good answer."""
    assert sum(share for _, share in SCRIPTS[name].requests) < 0.5


def test_an_unknown_name_is_refused_with_the_names_there_are():
    """The message is the help."""
    with pytest.raises(ValueError, match="flaky"):
        Faults.named("rain")


def test_a_window_ends_by_time_for_a_sender_that_waits():
    """Three seconds of outage are over after three seconds, however few requests came."""
    faults = Faults(FaultScript(windows=(Window(FaultKind.UNAVAILABLE, 503, 1, 100, 3.0),)))
    assert faults.step(0.0).kind is FaultKind.PASS
    assert faults.step(50.0).kind is FaultKind.UNAVAILABLE
    assert faults.step(52.9).kind is FaultKind.UNAVAILABLE
    assert faults.step(53.0).kind is FaultKind.PASS


def test_windows_do_not_shift_what_is_drawn_afterwards():
    """The composition `all` has an outage of known requests and otherwise the weather of its seed."""
    faults = Faults.named("all", 9)
    seen = [act for act, _, _ in steps(faults, 63)]
    assert seen[:20] == [FaultKind.UNAVAILABLE] * 20
    assert seen[60:] == [FaultKind.FORBIDDEN] * 3


def test_an_events_fate_rests_on_its_insert_id_alone():
    """Retries, order and other requests change nothing; another seed chooses other events."""
    faults, again, other = Faults.named("reject", 1), Faults.named("reject", 1), Faults.named("reject", 2)
    chosen = [faults.invalid_field(one) for one in events(5000)]
    steps(again, 100)
    assert chosen == [again.invalid_field(one) for one in reversed(events(5000))][::-1]
    assert chosen != [other.invalid_field(one) for one in events(5000)]
    assert 25 < 5000 - chosen.count(None) < 90
    assert len(set(chosen)) > 2


def test_silenced_devices_stay_silenced_and_nobody_is_silenced_without_a_device():
    """Half a percent of devices, always the same."""
    faults = Faults.named("reject", 4)
    silenced = {n for n in range(10_000) if faults.is_silenced(f"device-{n}")}
    assert silenced == {n for n in range(10_000) if faults.is_silenced(f"device-{n}")}
    assert 25 < len(silenced) < 90
    assert not Faults(FaultScript(silenced_devices=1.0)).is_silenced(None)


def test_a_throttled_device_is_let_through_after_its_times():
    """A sender that waits and tries again succeeds."""
    faults = Faults(FaultScript(throttled_devices=1.0, throttle_times=2))
    assert [faults.throttle("device-1") for _ in range(4)] == [True, True, False, False]
    assert faults.throttle("device-2")
    assert not any(Faults.named("none").throttle(f"device-{n}") for n in range(1000))
