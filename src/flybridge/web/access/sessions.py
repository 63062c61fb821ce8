"""Sessions of the console: a random id in a signed cookie, and what belongs to it in the store.

The store has the hash of the id, so that who reads the store can't take a session over. A session ends after some time
without a request, after some time in any case, when it is revoked, and when the password it was begun with changes.
The time of its last request has a name of its own, so that writing it can't bring back a session that is being revoked.

While the store can't be written, as with a full disk, a session is kept in the signed cookie alone: it lets its visitor
look and not act, as a password does that is sent with each request, and ends after `BRIEF_MS`, because it can't be
revoked one by one.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from hmac import compare_digest, digest
from secrets import token_urlsafe
from typing import Final

import msgspec
from msgspec import Struct, structs

from flybridge.clock import Clock
from flybridge.config.console import Grant
from flybridge.errors import StoreUnavailable
from flybridge.store.protocol import Store
from flybridge.store.state_values import with_times

SESSIONS: Final = "console/session/"
SECURE_COOKIE: Final = "__Host-flybridge"
SEEN: Final = "/seen"
PLAIN_COOKIE: Final = "flybridge_session"
"""Without TLS, on this machine alone: browsers keep no cookie named `__Host-` from an http address."""
TOUCH_MS: Final = 30_000
"""How often the time of the last request is written."""
BRIEF_MS: Final = 600_000
"""How long a session lasts that is kept in its cookie alone."""


class Session(Struct, frozen=True):
    """A session in the store. `proof` is the fingerprint of what it was begun with; `user` is as it was given."""

    user: str
    grant: Grant
    way: str
    proof: str
    address: str
    began_ms: int
    seen_ms: int


class Signer:
    """Signs short texts, such as cookies and CSRF tokens, under a key derived from the installation's secret.

    All processes of an installation have the same. Each purpose has signatures of its own.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = digest(secret, b"flybridge console v1", sha256)

    def signature(self, purpose: str, text: str) -> str:
        """Return the signature of a text."""
        found = digest(self._key, f"{purpose}\0{text}".encode("utf-8", "replace"), sha256)
        return urlsafe_b64encode(found[:24]).decode()

    def fits(self, purpose: str, text: str, signature: str) -> bool:
        """Whether a signature is that of the text."""
        return compare_digest(self.signature(purpose, text).encode(), signature.encode("utf-8", "replace"))

    def signed(self, purpose: str, text: str) -> str:
        """Return a text with its signature."""
        return f"{text}.{self.signature(purpose, text)}"

    def opened(self, purpose: str, signed: str) -> str | None:
        """Return the text of a signed one; None if the signature does not fit."""
        text, dot, signature = signed.rpartition(".")
        return text if dot and self.fits(purpose, text, signature) else None


_decode: Final = msgspec.json.Decoder(Session).decode


class Sessions:
    """Begins, finds and ends sessions. `failed` is called with what the store did not take, and when."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        signer: Signer,
        *,
        idle_ms: int,
        longest_ms: int,
        failed: Callable[[StoreUnavailable, int], None] = lambda _, __: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._signer = signer
        self._idle_ms = idle_ms
        self._longest_ms = longest_ms
        self._failed = failed

    async def begin(self, user: str, grant: Grant, way: str, *, proof: str, address: str) -> str:
        """Begin a session, with an id that nobody can have known before, and return what its cookie holds.

        Sessions that are over are deleted. One that the store does not take is kept in its cookie, to look alone.
        """
        id_, now_ms = token_urlsafe(24), self._clock.now_ms()
        session = Session(user, grant, way, proof, address, now_ms, now_ms)
        try:
            await self._drop_ended()
            await self._store.put_state(SESSIONS + _key(id_), msgspec.json.encode(session))
        except StoreUnavailable as problem:
            self._failed(problem, now_ms)
            brief = structs.replace(session, grant=Grant.READ)
            return self._signer.signed("brief session", msgspec.json.encode(brief).hex())
        return self._signer.signed("session", id_)

    async def find(self, cookies: Mapping[str, str], *, plain: bool) -> tuple[str, Session] | None:
        """Return the session that the cookies name, with its key; None if there is none or it is over.

        The key of one that is kept in its cookie is empty. A cookie without TLS counts only with `plain`.
        """
        for name in (SECURE_COOKIE, PLAIN_COOKIE) if plain else (SECURE_COOKIE,):
            cookie = cookies.get(name, "")
            id_ = self._signer.opened("session", cookie)
            if id_ is not None and (found := await self._read(_key(id_))) is not None:
                return _key(id_), found
            if (brief := self._brief(cookie)) is not None:
                return "", brief
        return None

    def _brief(self, cookie: str) -> Session | None:
        text = self._signer.opened("brief session", cookie)
        if text is None:
            return None
        session = _decode(bytes.fromhex(text))
        return session if 0 <= self._clock.now_ms() - session.began_ms < min(BRIEF_MS, self._longest_ms) else None

    async def _read(self, key: str) -> Session | None:
        session = (await self._all(SESSIONS + key)).get(key)
        now_ms = self._clock.now_ms()
        if session is None or self._is_over(session, now_ms):
            return None
        if not 0 <= now_ms - session.seen_ms < TOUCH_MS:
            try:
                await self._store.put_state(SESSIONS + key + SEEN, str(now_ms).encode())
            except StoreUnavailable as problem:  # while the disk is full the pages that say so can be read
                self._failed(problem, now_ms)
        return session

    def _is_over(self, session: Session, now_ms: int) -> bool:
        # What was noted while the clock was ahead may have been at any time.
        idle_ms, age_ms = now_ms - session.seen_ms, now_ms - session.began_ms
        return not (-self._idle_ms < idle_ms < self._idle_ms and -self._idle_ms < age_ms < self._longest_ms)

    async def end(self, key: str) -> None:
        """End a session at once. One that is kept in its cookie ends with that."""
        if not key:
            return
        await self._store.drop_states([SESSIONS + key, SESSIONS + key + SEEN])

    async def running(self) -> Sequence[tuple[str, Session]]:
        """Return the sessions that are not over, with their keys, the newest first."""
        now_ms = self._clock.now_ms()
        found = [(key, one) for key, one in (await self._all(SESSIONS)).items() if not self._is_over(one, now_ms)]
        return sorted(found, key=lambda pair: -pair[1].began_ms)

    async def _all(self, beginning: str) -> dict[str, Session]:
        states = [(name.removeprefix(SESSIONS), value) for name, value in await self._store.states(beginning)]
        return {
            key: structs.replace(one, seen_ms=max(one.seen_ms, seen_ms))
            for key, (one, seen_ms) in with_times(states, SEEN, _decode).items()
        }

    async def _drop_ended(self) -> None:
        kept = {key for key, _ in await self.running()}
        ended = [
            name
            for name, _ in await self._store.states(SESSIONS)
            if name.removeprefix(SESSIONS).removesuffix(SEEN) not in kept
        ]
        if ended:
            await self._store.drop_states(ended)


def set_cookie(name: str, value: str, *, seconds: int | None = None) -> str:
    """Return a Set-Cookie header for the whole console. Scripts can't read the cookie, nor other sites send it."""
    age = "" if seconds is None else f"; Max-Age={seconds}"
    secure = "; Secure" if name.startswith("__Host-") else ""
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}"


def cookies_of(header: str) -> dict[str, str]:
    """Read a Cookie header. Of two with the same name the first counts."""
    found: dict[str, str] = {}
    for part in header.split(";"):
        name, equals, value = part.strip().partition("=")
        if equals:
            found.setdefault(name, value)
    return found


def _key(id_: str) -> str:
    return sha256(id_.encode()).hexdigest()
