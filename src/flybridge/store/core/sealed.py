"""Sealed content of the store: items to be sent, identities, sightings."""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from zlib import compress, decompress

import msgspec
from msgspec import Struct, structs

from flybridge.records import Deliver, Envelope, Sighting
from flybridge.sealing import Seal


class SealedItem(Struct, frozen=True, array_like=True, gc=False):
    """The content of a delivery that a hold, a delivery or a dead letter carries in any state."""

    body: bytes
    insert_id: str
    event_type: str
    user_id: str | None = None
    device_id: str | None = None


class SealedMessage(Struct, frozen=True, array_like=True, gc=False):
    """A message as it came. App, source and time of reception stand in its ledger row."""

    media: str
    packed: bytes

    @property
    def body(self) -> bytes:
        return decompress(self.packed)


class SealedSighting(Struct, frozen=True, array_like=True, gc=False):
    """One identity seen with a key."""

    seen_ms: int
    kind: str
    user_id: str | None
    device_id: str | None


_encode: Final = msgspec.msgpack.Encoder().encode
_item: Final = msgspec.msgpack.Decoder(SealedItem).decode
_message: Final = msgspec.msgpack.Decoder(SealedMessage).decode
_who: Final = msgspec.msgpack.Decoder(tuple[str | None, str | None]).decode
_seen: Final = msgspec.msgpack.Decoder(list[SealedSighting]).decode
_keys: Final = msgspec.msgpack.Decoder(list[bytes]).decode


def seal_item(seal: Seal, item: Deliver) -> bytes:
    return seal.seal(_encode(SealedItem(item.body, item.insert_id, item.event_type, item.user_id, item.device_id)))


def open_item(seal: Seal, sealed: bytes, who: bytes | None) -> SealedItem:
    """Open an item. `who` is the sealed identity that a match gave it, in place of its own."""
    item = _item(seal.open(sealed))
    if who is None:
        return item
    user_id, device_id = _who(seal.open(who))
    return structs.replace(item, user_id=user_id, device_id=device_id)


def seal_message(seal: Seal, envelope: Envelope) -> bytes:
    # Compressed, because two messages of the usual size do not fit into one page of SQLite.
    return seal.seal(_encode(SealedMessage(envelope.media.word, compress(envelope.body, 1))))


def open_message(seal: Seal, sealed: bytes) -> SealedMessage:
    return _message(seal.open(sealed))


def seal_who(seal: Seal, user_id: str | None, device_id: str | None) -> bytes:
    return seal.seal(_encode((user_id, device_id)))


def seal_seen(seal: Seal, sightings: tuple[Sighting, ...]) -> bytes:
    return seal.seal(_encode([(s.seen_ms, s.kind, s.user_id, s.device_id) for s in sightings]))


@lru_cache(2_048)
def open_seen(seal: Seal, sealed: bytes, app: str, key: bytes) -> tuple[Sighting, ...]:
    """Open the sightings of a key. Remembered, because a person's events come together."""
    return tuple(Sighting(app, key, s.kind, s.seen_ms, s.user_id, s.device_id) for s in _seen(seal.open(sealed)))


def pack_keys(keys: tuple[bytes, ...]) -> bytes:
    return _encode(keys)


def unpack_keys(packed: bytes) -> list[bytes]:
    """Return packed keys; none if they are damaged, so that no other is held up."""
    try:
        return _keys(packed)
    except msgspec.DecodeError:
        return []
