"""Nothing is lost: what AppsFlyer pushed in vain is found in its reports and read."""

import pytest

from flybridge.demo.environment import LocalEnvironment
from flybridge.demo.outage import play_outage


@pytest.mark.parametrize("faults", ["none", "flaky"])
async def test_the_gap_of_an_outage_is_filled(tmp_path, faults):
    """Every message of the outage ends in Amplitude, or as the truth says, and none is there twice."""
    environment = LocalEnvironment(tmp_path, faults=faults, seed=2)
    try:
        await environment.start()
        await environment.close()
        verdicts = await play_outage(environment, seed=2, events=120)
    finally:
        await environment.stop()
    assert [one.wrong for one in verdicts] == [[], []]
    assert [(one.lost, one.missing, one.filled, one.left) for one in verdicts] == [(120, 120, 120, 0)] * 2
    assert min(one.delivered for one in verdicts) > 80
