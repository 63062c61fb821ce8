"""What is remembered of the identities that were seen with a key."""

from hypothesis import given
from hypothesis import strategies as st

from flybridge.records import Sighting
from flybridge.store.core.people import _with, merged

sightings = st.builds(
    Sighting,
    app=st.just("shop"),
    key=st.just(b"k"),
    kind=st.sampled_from(["idfv", "adid"]),
    seen_ms=st.integers(0, 3),
    user_id=st.sampled_from(["u1", "u2", None]),
    device_id=st.just("d1"),
)


@given(before=st.lists(sightings, max_size=3), new=st.lists(sightings, min_size=1, max_size=3))
def test_what_is_new_is_merged_into_what_was_seen(before, new):
    """The short way, of a key that has shown one identity, and the long one give the same."""
    seen = merged(before)
    assert _with(seen, new) == merged((*seen, *new))
