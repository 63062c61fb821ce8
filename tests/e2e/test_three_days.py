"""Three days of outages, a broken proxy, a wrong key and a spent quota, with poison in them: nothing is unexplained."""

from flybridge.demo.days import DAYS, play


async def test_three_days_end_with_everything_delivered_or_dead_for_its_own_reason(tmp_path):
    """Each trouble was met; what is dead is what no vendor takes or nobody can read, and it says so."""
    result = await play(600, 2, tmp_path)
    assert result.unexplained == 0, result.examples
    assert set(result.troubles) == {trouble.name for trouble in DAYS}
    assert set(result.outcomes) <= {"applied", "dead", "delivered", "duplicate", "expired", "filtered"}
    assert result.outcomes["delivered"] > 250
    assert set(result.dead) <= {"tries_spent", "invalid_event", "no_event_name", "not_an_object"}
    assert result.dead["tries_spent"] > 1
    assert result.uncertain
    assert result.requests < 10_000
