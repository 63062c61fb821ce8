"""Checks of the settings of a bridge that span several of them: secrets, addresses, console, notifications."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flybridge.config.console import Console
from flybridge.errors import ConfigError
from flybridge.notifications.settings import Notify, NotifyEmail
from flybridge.system.secret import Secret

MIN_SECRET_CHARACTERS: Final = 16

_ARGON2ID = re.compile(r"\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")
_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?(:\d+)?")
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")


def check_secret(path: str, secret: Secret) -> None:
    """Raise `ConfigError` for a secret that is too short."""
    found = len(secret.reveal())
    if found < MIN_SECRET_CHARACTERS:
        raise ConfigError(
            path,
            f"has {found} characters and needs {MIN_SECRET_CHARACTERS} or more.",
            "Make one with `openssl rand -hex 32`.",
        )


def check_origin(path: str, address: str) -> None:
    """Raise `ConfigError` unless an address is scheme, host and port only."""
    if not address:
        return
    remedy = 'Write "https://host" or "http://host:port", without a path, a user or a slash at the end.'
    try:
        parts = urlsplit(address)
        fits = _is_http(parts) and "@" not in parts.netloc and len(address.split()) == 1
    except ValueError:
        raise ConfigError(path, "is not an address.", remedy) from None
    if not fits or address != f"{parts.scheme}://{parts.netloc}":
        raise ConfigError(path, "is not the address of a server alone.", remedy)


def _is_http(parts: SplitResult) -> bool:
    """Whether an address is one of a web server. Raises `ValueError` for a port that can't be one."""
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)


def _web_address(url: str) -> SplitResult | None:
    """Return the parts of an address that can be called as it is written; None of any other text."""
    try:
        parts = urlsplit(url)
        fits = _is_http(parts) and url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        return None
    return parts if fits else None


def check_zone(path: str, zone: str) -> None:
    """Raise `ConfigError` for a time zone that this machine does not know."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            path,
            f"there is no zone {zone!r} on this machine.",
            'Write its IANA name, such as "Europe/Berlin"; if the machine has no zones, `pip install tzdata`.',
        ) from None


def check_console(console: Console) -> None:
    """Raise `ConfigError` if a setting of the console can't be used."""
    names = [user.name for user in console.users]
    for number, name in enumerate(names):
        path = f"console.users[{number}].name"
        if name in names[:number]:
            raise ConfigError(path, f"there is another user {name!r}.", "Give every user a name of their own.")
        if name != name.strip() or not name.isprintable():
            raise ConfigError(path, "has blanks around it, or characters that can't be seen.", "Write it without them.")
    secrets = [(f"console.users[{number}].password", user.password) for number, user in enumerate(console.users)]
    for path, secret in (("console.password", console.password), *secrets):
        if secret is not None and secret.reveal().startswith("$argon2") and not _ARGON2ID.fullmatch(secret.reveal()):
            raise ConfigError(path, "is not a whole argon2id hash.", "Make one with `flybridge tokens hash`.")
    for number, host in enumerate(console.hosts):
        if not _HOST.fullmatch(host):
            raise ConfigError(
                f"console.hosts[{number}]",
                f"{host!r} is not the name of a host.",
                "Write a name such as bridge.example.com.",
            )
    if console.oidc is not None:
        _check_issuer(console.oidc.issuer)
    for number, address in enumerate(console.proxy.addresses if console.proxy is not None else ()):
        try:
            ip_network(address, strict=False)
        except ValueError:
            raise ConfigError(
                f"console.proxy.addresses[{number}]", f"{address!r} is neither an address nor a network.",
                "Write 10.0.0.7 or 10.0.0.0/24.",
            ) from None  # fmt: skip


def _check_issuer(issuer: str) -> None:
    parts = _web_address(issuer)
    local = parts is not None and parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if parts is None or (parts.scheme != "https" and not local):
        raise ConfigError("console.oidc.issuer", "is not an https address.", "Write it as the provider names itself.")
    if "@" in parts.netloc or parts.query or parts.fragment:
        # https://openid.net/specs/openid-connect-discovery-1_0.html, section 3
        raise ConfigError("console.oidc.issuer", "is more than a host and a path.", "Write it without ?, # and @.")


def check_notify(notify: Notify) -> None:
    """Raise `ConfigError` if a setting of notifications can't be used. Addresses of webhooks are not repeated."""
    for name, hook in (("webhook", notify.webhook), ("slack", notify.slack)):
        if hook is not None:
            _check_hook(f"notify.{name}.url", hook.url.reveal(), private=hook.private)
    if notify.webhook is not None:
        check_secret("notify.webhook.secret", notify.webhook.secret)
    if notify.email is not None:
        _check_email(notify.email)
    if bool(notify.quiet_from) != bool(notify.quiet_to):
        missing = "quiet_to" if notify.quiet_from else "quiet_from"
        raise ConfigError(f"notify.{missing}", "is missing.", "Quiet hours need a beginning and an end.")
    check_zone("notify.timezone", notify.timezone)


def _check_hook(path: str, url: str, *, private: bool) -> None:
    parts = _web_address(url)
    if parts is None:
        raise ConfigError(path, "is not an http address.", "Write it as the receiver gives it, with https://.")
    if parts.scheme == "http" and not private:
        raise ConfigError(
            path, "is not encrypted.", "Write an https address, or `private = true` if it lies in your own network."
        )


def _check_email(email: NotifyEmail) -> None:
    for path, address in [
        ("notify.email.sender", email.sender),
        *((f"notify.email.recipients[{number}]", one) for number, one in enumerate(email.recipients)),
    ]:
        if not _MAILBOX.fullmatch(address):
            raise ConfigError(path, "is not an e-mail address.", "Write it as name@example.com.")
    if bool(email.user) != bool(email.password):
        missing = "password" if email.user else "user"
        raise ConfigError(f"notify.email.{missing}", "is missing.", "A login needs a user and a password.")
    if email.password and email.security == "none":
        raise ConfigError(
            "notify.email.security", "would send the password in clear.", 'Write "starttls" or "tls", or no password.'
        )
