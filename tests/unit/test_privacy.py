import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.errors import SealBroken
from flybridge.sealing import Seal


@given(st.binary())
def test_what_was_sealed_opens(clear):
    """Sealing loses nothing, for any bytes."""
    seal = Seal(b"a secret of ours")
    assert seal.open(seal.seal(clear)) == clear


def test_sealed_bytes_show_nothing_and_never_repeat():
    """The clear text is not in the sealed one, and sealing twice gives two texts."""
    seal, clear = Seal(b"a secret of ours"), b"aebe52e7-03ee-455a-b3c4-e57283966239"
    first, second = seal.seal(clear), seal.seal(clear)
    assert clear not in first
    assert first != second


def test_a_former_secret_still_opens_and_the_new_one_seals():
    """Rotation: old rows stay readable while the former secret is configured."""
    old = Seal(b"former").seal(b"body")
    assert Seal(b"current", b"former").open(old) == b"body"
    with pytest.raises(SealBroken, match="former_secrets"):
        Seal(b"current").open(old)


@given(st.binary(max_size=60))
def test_damaged_bytes_are_never_opened_as_something_else(noise):
    """Authenticated: what was changed or cut does not open."""
    with pytest.raises(SealBroken):
        Seal(b"a secret of ours").open(noise)
