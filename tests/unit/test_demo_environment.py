"""The configuration of the demo's processes."""

from __future__ import annotations

import tomllib

import pytest

from flybridge.demo.cluster import ClusterEnvironment
from flybridge.demo.environment import LocalEnvironment
from flybridge.sandbox.faults import SCRIPTS


@pytest.mark.parametrize("faults", sorted(SCRIPTS))
@pytest.mark.parametrize("kind", [LocalEnvironment, ClusterEnvironment])
def test_the_configuration_can_be_read_with_any_faults(kind, faults, tmp_path):
    """`flybridge demo --cluster --faults poison` had a section twice."""
    text = kind(tmp_path, faults=faults, with_cohort=kind is LocalEnvironment).config("http://127.0.0.1:9")
    delivery = tomllib.loads(text)["delivery"]
    assert delivery.get("max_tries") == (4 if faults == "poison" else None)
    assert delivery.get("gzip") == (True if faults == "proxy" else None)
    assert ("timeout_s" in delivery) == (kind is ClusterEnvironment)
