"""Passwords of the console, as argon2id hashes, and how long who gives wrong ones has to wait.

A password in the configuration may be written as it is or as its hash. Either way a given one is compared by argon2id
(RFC 9106), in a thread, and so many at once that nobody can fill memory with tries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from os import urandom
from time import monotonic
from typing import TYPE_CHECKING, Final

from flybridge.config.console import Console, Grant
from flybridge.system.secret import Secret

if TYPE_CHECKING:
    from argon2 import PasswordHasher

HASHED: Final = "$argon2id$"
AT_ONCE: Final = 2
"""Comparisons at the same time: each takes 64 MiB."""
MOST_WAITING: Final = 16
LONGEST: Final = 1024
"""Characters of a password."""
REMEMBERED: Final = 64
REMEMBERED_S: Final = 300.0
FREE: Final = 10
LONGEST_S: Final = 60.0
FORGET_S: Final = 3600.0
PEERS: Final = 1000


class TooBusy(Exception):
    """Too many passwords are being compared."""


class Login:
    """One name and password. An empty name stands for any."""

    __slots__ = ("grant", "hashed", "name", "secret")

    def __init__(self, name: str, secret: Secret, grant: Grant) -> None:
        self.name, self.secret, self.grant = name, secret, grant
        given = secret.reveal()
        self.hashed = given if given.startswith(HASHED) else ""


class Passwords:
    """The passwords of a configuration."""

    def __init__(self, console: Console) -> None:
        self._logins: list[Login] = [Login(one.name, one.password, one.role) for one in console.users]
        if console.password is not None:
            self._logins.append(Login("", console.password, Grant.OPERATE))
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._salt = urandom(16)
        self._known: dict[bytes, tuple[Login, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._logins)

    @property
    def named(self) -> bool:
        """Whether there are users with names."""
        return any(login.name for login in self._logins)

    def login_of(self, user: str, *, shared: bool) -> Login | None:
        """Return the login of a user; the one for any name if `shared`."""
        return next((login for login in self._logins if login.name == ("" if shared else user)), None)

    async def check(self, user: str, password: str, *, remember: bool = False) -> Login | None:
        """Return the login that fits, None if none does. Raises `TooBusy`.

        With `remember` a password that fitted is known for some minutes, for scripts that send it with every request.
        """
        if len(password) > LONGEST or not self._logins:
            return None
        mark = sha256(self._salt + f"{user}\0{password}".encode("utf-8", "replace")).digest()
        login, until_s = self._known.get(mark, (None, 0.0))
        if remember and login is not None and monotonic() < until_s:
            return login
        if self._waiting >= MOST_WAITING:
            raise TooBusy
        self._waiting += 1
        try:
            async with self._turn:
                login = await asyncio.to_thread(self._find, user, password)
        finally:
            self._waiting -= 1
        if login is not None and remember:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[mark] = (login, monotonic() + REMEMBERED_S)
        return login

    def _find(self, user: str, password: str) -> Login | None:
        """Compare with the user's password, then with that of any name. An unknown user takes as long as a known."""
        chosen: Sequence[Login] = [login for login in self._logins if login.name == user and user]
        shared = [login for login in self._logins if not login.name]
        if not chosen and not shared:
            _fits(self._logins[0], password)
        return next((login for login in (*chosen, *shared) if _fits(login, password)), None)


class Guesses:
    """Wrong passwords by peer. After `FREE` of them a peer has to wait, twice as long each time, up to `LONGEST_S`."""

    def __init__(self) -> None:
        self._failed: dict[str, tuple[int, float]] = {}

    def wait_s(self, peer: str, now_s: float) -> float:
        """Return how long this peer has to wait before its next try, in seconds."""
        n, last_s = self._failed.get(peer, (0, 0.0))
        if n < FREE:
            return 0.0
        return max(0.0, last_s + min(2.0 ** min(n - FREE, 10), LONGEST_S) - now_s)

    def failed(self, peer: str, now_s: float) -> int:
        """Note a wrong password. Return how many there were; after `FORGET_S` without one they are forgotten."""
        n, last_s = self._failed.pop(peer, (0, now_s))
        n = n + 1 if now_s - last_s < FORGET_S else 1
        self._failed[peer] = (n, now_s)
        if len(self._failed) > PEERS:
            del self._failed[next(iter(self._failed))]
        return n


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher  # noqa: PLC0415 - needed where somebody logs in, which most processes never see

    return PasswordHasher()


def _fits(login: Login, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415 - as above

    hasher = _hasher()
    if not login.hashed:
        login.hashed = hasher.hash(login.secret.reveal())
    try:
        return hasher.verify(login.hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password, as the configuration takes it."""
    return _hasher().hash(password)
