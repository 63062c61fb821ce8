"""Three days of outages, a broken proxy, a wrong key and a spent quota, with poison in them: nothing is unexplained."""

from flybridge.demo.days import DAYS, play


def test_each_day_has_every_kind_of_trouble():
    """An outage, a broken proxy, a wrong key for an hour, and a quota; bad events are there all the time."""
    for day in range(3):
        today = [one for one in DAYS if day * 24 <= one.first_h and one.last_h <= (day + 1) * 24]
        assert {"page", "gzip", "key", "quota"} <= {one.kind for one in today}
        assert any(one.kind == "page" and one.status in {0, 500, 503} for one in today)


async def test_three_days_end_with_everything_delivered_or_dead_for_its_own_reason(tmp_path):
    """Each trouble was met; what is dead is what no vendor takes or nobody can read, and it says so."""
    result = await play(600, 2, tmp_path)
    assert result.unexplained == 0, result.examples
    assert {name.partition(" ")[0] for name in result.troubles} == {trouble.kind for trouble in DAYS}
    assert set(result.outcomes) <= {"applied", "dead", "delivered", "duplicate", "expired", "filtered"}
    assert result.outcomes["delivered"] > 250
    assert set(result.dead) <= {"tries_spent", "invalid_event", "no_event_name", "not_an_object"}
    assert result.dead["tries_spent"] > 1
    assert result.uncertain
    assert result.requests < 10_000
