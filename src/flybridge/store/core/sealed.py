"""What is sealed in the store: items on their way out, identities, and the bytes of dead letters."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct, structs

from flybridge.records import Deliver, Sighting
from flybridge.sealing import Seal


class Item(Struct, frozen=True, array_like=True, gc=False):
    """All of a delivery that a hold, a delivery or a dead letter carries, whatever state it is in."""

    body: bytes
    insert_id: str
    event_type: str
    user_id: str | None = None
    device_id: str | None = None


class Seen(Struct, frozen=True, array_like=True, gc=False):
    """One identity seen with a key."""

    seen_ms: int
    kind: str
    user_id: str | None
    device_id: str | None


_encode: Final = msgspec.msgpack.Encoder().encode
_item: Final = msgspec.msgpack.Decoder(Item).decode
_who: Final = msgspec.msgpack.Decoder(tuple[str | None, str | None]).decode
_seen: Final = msgspec.msgpack.Decoder(list[Seen]).decode
_keys: Final = msgspec.msgpack.Decoder(list[bytes]).decode


def seal_item(seal: Seal, item: Deliver) -> bytes:
    """Seal an item with the identity it has so far."""
    return seal.seal(_encode(Item(item.body, item.insert_id, item.event_type, item.user_id, item.device_id)))


def open_item(seal: Seal, sealed: bytes, who: bytes | None) -> Item:
    """Open an item. `who` is the sealed identity that a match gave it, in place of its own."""
    item = _item(seal.open(sealed))
    if who is None:
        return item
    user_id, device_id = _who(seal.open(who))
    return structs.replace(item, user_id=user_id, device_id=device_id)


def seal_who(seal: Seal, user_id: str | None, device_id: str | None) -> bytes:
    """Seal an identity."""
    return seal.seal(_encode((user_id, device_id)))


def seal_seen(seal: Seal, sightings: tuple[Sighting, ...]) -> bytes:
    """Seal what was seen with one key."""
    return seal.seal(_encode([(s.seen_ms, s.kind, s.user_id, s.device_id) for s in sightings]))


def open_seen(seal: Seal, sealed: bytes, app: str, key: bytes) -> tuple[Sighting, ...]:
    """Open what was seen with one key."""
    return tuple(Sighting(app, key, s.kind, s.seen_ms, s.user_id, s.device_id) for s in _seen(seal.open(sealed)))


def pack_keys(keys: tuple[bytes, ...]) -> bytes:
    """Pack a hold's matching keys."""
    return _encode(keys)


def unpack_keys(packed: bytes) -> list[bytes]:
    """Unpack a hold's matching keys."""
    return _keys(packed)
