"""API tokens: for programs, with a role and an end, shown once and kept as a hash."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from hmac import compare_digest
from secrets import token_hex, token_urlsafe
from typing import Final

import msgspec
from msgspec import Struct, structs

from flybridge.config.console import Grant
from flybridge.errors import StoreUnavailable
from flybridge.store.protocol import Store
from flybridge.store.state_values import with_times

TOKENS: Final = "console/token/"
BEGINNING: Final = "fbt_"
USED: Final = "/used"
"""After the name of a token: when it was used last. Apart, so that a use can't bring back a token being revoked."""
TOUCH_MS: Final = 60_000


class ApiToken(Struct, frozen=True):
    """A token in the store. `digest` is the hash of its secret part; `used_ms` is 0 until its first use."""

    id: str
    name: str
    grant: Grant
    digest: str
    made_ms: int
    ends_ms: int
    used_ms: int = 0


_decode: Final = msgspec.json.Decoder(ApiToken).decode


async def make_token(store: Store, name: str, grant: Grant, *, now_ms: int, ends_ms: int) -> tuple[ApiToken, str]:
    """Make a token. Returns it with its text, which can't be had again."""
    id_, secret = token_hex(6), token_urlsafe(32)
    token = ApiToken(id_, name, grant, _digest(secret), now_ms, ends_ms)
    await store.put_state(TOKENS + id_, msgspec.json.encode(token))
    return token, f"{BEGINNING}{id_}_{secret}"


async def list_tokens(store: Store) -> Sequence[ApiToken]:
    """Return all tokens, in the order in which they were made."""
    return sorted((await _all(store, TOKENS)).values(), key=lambda token: (token.made_ms, token.id))


async def revoke_token(store: Store, id_: str) -> ApiToken | None:
    """Delete a token. Returns it, None if there is none with this id."""
    token = next((token for token in await list_tokens(store) if token.id == id_), None)
    if token is not None:
        await store.drop_states([TOKENS + id_, TOKENS + id_ + USED])
    return token


async def find_token(store: Store, text: str, now_ms: int) -> ApiToken | None:
    """Return the token with this text; None if there is none or it has ended. Its last use is noted by the minute."""
    id_, _, secret = text.removeprefix(BEGINNING).partition("_")
    if not text.startswith(BEGINNING) or not id_.isalnum() or not id_.isascii():
        return None
    token = (await _all(store, TOKENS + id_)).get(id_)
    if token is None or now_ms >= token.ends_ms or not compare_digest(token.digest, _digest(secret)):
        return None
    if not 0 <= now_ms - token.used_ms < TOUCH_MS:
        with suppress(StoreUnavailable):  # as for sessions
            await store.put_state(TOKENS + id_ + USED, str(now_ms).encode())
    return token


async def _all(store: Store, beginning: str) -> dict[str, ApiToken]:
    states = [(name.removeprefix(TOKENS), value) for name, value in await store.states(beginning)]
    return {
        id_: structs.replace(token, used_ms=used_ms)
        for id_, (token, used_ms) in with_times(states, USED, _decode).items()
    }


def _digest(secret: str) -> str:
    # The secret has 256 random bits, so that a plain hash can't be reversed by guessing.
    return sha256(secret.encode("utf-8", "replace")).hexdigest()
