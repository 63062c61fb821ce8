import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.identity.matching import Match, choose, expires_ms
from flybridge.records import Sighting


def seen(ms, user=None, device=None, kind="idfv"):
    return Sighting("app", b"k", kind, ms, user, device)


def test_nobody_sighted_is_no_match():
    """Without a sighting there is nobody."""
    assert choose([]) is None
    assert choose([seen(1)]) is None


def test_the_newest_sighting_wins_and_the_conflict_is_kept():
    """A device that changed hands belongs to its newest user."""
    assert choose([seen(1, "ann", "d1"), seen(2, "bob", "d1")]) == Match("bob", "d1", conflict=True)


def test_the_better_kind_wins_at_the_same_moment():
    """An advertising id is believed before a vendor id."""
    assert choose([seen(5, "ann", kind="idfv"), seen(5, "bob", kind="idfa")]).user_id == "bob"


def test_a_missing_user_is_taken_from_the_same_device():
    """The device's newest sighting has no user; an older one of the same device names them."""
    assert choose([seen(2, None, "d1"), seen(1, "ann", "d1")]) == Match("ann", "d1")


def test_ids_of_two_people_are_never_joined():
    """A user is not given somebody else's device."""
    assert choose([seen(2, None, "d1"), seen(1, "ann", "d2")]) == Match(None, "d1")


sightings = st.lists(
    st.builds(
        seen,
        st.integers(0, 5),
        st.sampled_from([None, "ann", "bob"]),
        st.sampled_from([None, "d1", "d2"]),
        st.sampled_from(["idfa", "idfv"]),
    )
)


@given(sightings, st.randoms())
def test_the_order_of_arrival_does_not_matter(found, random):
    """The same sightings give the same match in any order."""
    shuffled = list(found)
    random.shuffle(shuffled)
    assert choose(found) == choose(shuffled)


@given(sightings)
def test_a_match_is_somebody_who_was_sighted(found):
    """The pair of ids was sighted together, or joined by one of them; nothing is made up."""
    match = choose(found)
    if match is None:
        assert not any(s.user_id or s.device_id for s in found)
    else:
        assert match.user_id in {None, *(s.user_id for s in found)}
        assert match.device_id in {None, *(s.device_id for s in found)}


def test_expiry_is_the_window_after_receipt():
    """The window is counted from receipt, as Amplitude counts its own."""
    assert expires_ms(1_000, 72) == 1_000 + 72 * 3_600_000


@pytest.mark.parametrize("hours", [0, -1, 721])
def test_a_window_outside_its_bounds_is_refused(hours):
    """More than 30 days, or none at all, is a mistake."""
    with pytest.raises(ValueError, match="hold window"):
        expires_ms(0, hours)
