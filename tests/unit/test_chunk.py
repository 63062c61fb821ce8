"""Groups of envelopes as one sealed blob."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.errors import SealBroken
from flybridge.inbox.chunk import pack, unpack
from flybridge.records import Envelope, Media, Source
from flybridge.sealing import NONCE_BYTES, Seal

SEAL = Seal(b"the secret of the tests")
TAG_BYTES = 16


def envelopes(*bodies: bytes) -> list[Envelope]:
    """Build one envelope for each body."""
    return [Envelope("shop", Source.PUSH, Media.JSON, 1_764_000_000_000, body) for body in bodies]


def received(group: list[Envelope]) -> list[Envelope]:
    """Return them with the receipts of the chunk 7f."""
    return [msgspec.structs.replace(envelope, receipt=f"7f.{place}") for place, envelope in enumerate(group)]


@given(bodies=st.lists(st.binary(max_size=3_000), min_size=1, max_size=6))
def test_what_is_packed_is_unpacked_and_never_grows(bodies):
    """Whatever the bodies are, they come back, and compressing them takes no more room than leaving them."""
    group = envelopes(*bodies)
    chunk = pack(SEAL, group)
    assert unpack(SEAL, "7f", chunk) == received(group)
    assert len(chunk) <= len(msgspec.msgpack.encode(group)) + NONCE_BYTES + TAG_BYTES


@pytest.mark.parametrize("field", [field.name for field in msgspec.structs.fields(Envelope)])
def test_every_field_of_an_envelope_comes_back(field):
    """A field that it gets in time must not be lost on the way through the inbox; only the receipt is made anew."""
    full = Envelope("shop", Source.COHORT, Media.QUERY, 1_764_000_000_000, b"{}", "7f.0", 2, True)
    (declared,) = (each for each in msgspec.structs.fields(Envelope) if each.name == field)
    assert getattr(full, field) != declared.default, "give it a value above"
    (found,) = unpack(SEAL, "7f", pack(SEAL, [full]))
    assert getattr(found, field) == getattr(full, field)


def test_messages_that_say_much_the_same_take_a_fraction_of_the_room():
    """A hundred postbacks of one campaign."""
    bodies = [b'{"event_name":"af_purchase","campaign":"spring","appsflyer_id":"%d"}' % n for n in range(100)]
    assert len(pack(SEAL, envelopes(*bodies))) < sum(map(len, bodies)) / 4


def test_a_chunk_of_a_version_that_did_not_compress_is_read():
    """An inbox that was left full before an upgrade is worked off after it."""
    group = envelopes(b"{}", b'{"event_name":"install"}')
    assert unpack(SEAL, "7f", SEAL.seal(msgspec.msgpack.encode(group))) == received(group)


@pytest.mark.parametrize("clear", [b"", b"{}", b"\x28\xb5\x2f\xfd and no more", b"\x91\x01"])
def test_what_is_no_chunk_is_told_as_such(clear):
    """Sealed by us, but something else: nothing of it is taken for an envelope."""
    with pytest.raises(SealBroken):
        unpack(SEAL, "7f", SEAL.seal(clear))


def test_a_chunk_of_another_secret_stays_closed():
    """Compressed or not, it says nothing."""
    with pytest.raises(SealBroken):
        unpack(SEAL, "7f", pack(Seal(b"another secret"), envelopes(b"{}")))
