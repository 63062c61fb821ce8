"""Settings of the web console: who may log in, and what they may do."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from flybridge.system.secret import Secret


class Grant(StrEnum):
    """What somebody may do in the console."""

    READ = "read"
    OPERATE = "operate"


class ConsoleUser(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user of the console with a password of their own."""

    name: Annotated[str, Meta(min_length=1, max_length=80)]
    """The name to log in with. It stands in the audit trail."""
    password: Secret
    """The password, 8 characters or more; best its hash, which `flybridge tokens hash` prints."""
    role: Grant = Grant.READ
    """`read` sees the figures and pages; `operate` may also act, and see the content of messages."""


class OidcLogin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Login with an identity provider, by OpenID Connect. Its redirect address is `/oidc/callback` of the console."""

    issuer: Annotated[str, Meta(min_length=1)]
    """The address of the provider, as it names itself, such as `https://login.example.com`."""
    client_id: Annotated[str, Meta(min_length=1)]
    """The client id that the provider has given to flybridge."""
    client_secret: Secret
    """The client secret."""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    """The scopes to ask for. Add what the claim needs, such as `groups`."""
    claim: Annotated[str, Meta(min_length=1)] = "groups"
    """The claim of the identity token whose values give the role."""
    read: tuple[str, ...] = ()
    """Values of the claim that give the role `read`. `*`: everybody who can log in."""
    operate: tuple[str, ...] = ()
    """Values of the claim that give the role `operate`."""
    domains: tuple[str, ...] = ()
    """Domains of verified e-mail addresses that may log in. Empty: all."""


class TrustedProxy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A proxy in front of the console that logs users in, such as oauth2-proxy, and names them in headers."""

    addresses: Annotated[tuple[str, ...], Meta(min_length=1)]
    """Addresses or networks of the proxy, `10.0.0.7` or `10.0.0.0/24`. Its headers are believed from these alone; it
    must remove them from what clients send."""
    user_header: str = "X-Forwarded-User"
    """The header with the user's name. Empty: the proxy does not log users in, and only its `X-Forwarded-For` is
    believed."""
    groups_header: str = "X-Forwarded-Groups"
    """The header with the user's groups, separated by commas."""
    read: tuple[str, ...] = ("*",)
    """Groups, or users, that get the role `read`. `*`: everybody the proxy names."""
    operate: tuple[str, ...] = ()
    """Groups, or users, that get the role `operate`."""


class Console(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The web console."""

    password: Secret | None = None
    """The password of the role `operate`, with any user name: 8 characters or more, or its hash, which
    `flybridge tokens hash` prints. With no way to log in at all, the console answers only direct connections from the
    same machine."""
    users: tuple[ConsoleUser, ...] = ()
    """Users with passwords and roles of their own."""
    hosts: tuple[str, ...] = ()
    """Names by which the console is reached, beside that of `server.public_url`, such as `bridge.example.com`.
    Requests to other names than these, addresses and names without a domain are refused."""
    idle_minutes: Annotated[float, Meta(gt=0, le=1440)] = 30.0
    """After how many minutes without a request a login ends."""
    session_hours: Annotated[float, Meta(gt=0, le=720)] = 12.0
    """After how many hours a login ends in any case."""
    oidc: OidcLogin | None = None
    """Login with an identity provider."""
    proxy: TrustedProxy | None = None
    """Login by a proxy in front."""

    @property
    def open_to_all(self) -> bool:
        """Whether there is no way to log in: then the console is shown on its own machine only."""
        return self.password is None and not self.users and self.oidc is None and not self.proxy_logs_in

    @property
    def proxy_logs_in(self) -> bool:
        return self.proxy is not None and bool(self.proxy.user_header)
