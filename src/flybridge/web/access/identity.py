"""Who a request is from."""

from __future__ import annotations

from msgspec import Struct

from flybridge.config.console import Grant

LOCAL = "this machine"


class Visitor(Struct, frozen=True):
    """Who a request is from, and what they may do.

    `way` is how they are known: `password`, `oidc`, `proxy`, `token`, or `local` for the machine itself where there is
    no way to log in. `session` is the key of their session in the store, empty without one; it is `brief` if the store
    could not take it. `address` is where the request came from. With `scripted` there is no browser that could be
    misled into a request: it needs no CSRF token.
    """

    user: str
    grant: Grant
    way: str
    address: str = ""
    session: str = ""
    scripted: bool = False
    brief: bool = False

    @property
    def operates(self) -> bool:
        return self.grant is Grant.OPERATE

    @property
    def sees_content(self) -> bool:
        """Whether the content of messages may be shown: not to those of whom only the machine is known."""
        return self.operates and self.way != "local"

    @property
    def actor(self) -> str:
        """Their name in the audit trail."""
        return self.user if self.way in {"local", "password"} else f"{self.user} ({self.way})"
