"""Settings of notifications: to whom, how, and when."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from flybridge.system.secret import Secret

_Hour = Annotated[
    str, Meta(pattern=r"\A(([01][0-9]|2[0-3]):[0-5][0-9])?\Z", description='a time of day, such as "22:30", or ""')
]


class QuietHours(Struct, frozen=True):
    """Hours of every day by the clocks of a time zone, over midnight if the end is earlier than the beginning."""

    begin: time
    end: time
    zone: str = "UTC"

    def contain(self, now_ms: int) -> bool:
        """Whether a moment lies in them. The end itself does not."""
        local = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(ZoneInfo(self.zone)).time()
        if self.begin <= self.end:
            return self.begin <= local < self.end
        return local >= self.begin or local < self.end


PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}


class NotifyWebhook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages as JSON, posted to an address of yours and signed."""

    url: Secret
    """The address. It may hold a token, and is not printed."""
    secret: Secret
    """The key of the signature, 16 characters or more."""
    private: bool = False
    """Whether the address may lie in your own network, or be an http address. Else it has to be an https address with
    a public IP address."""


class NotifySlack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages to a channel of Slack, or of another chat that takes what Slack's incoming webhooks take."""

    url: Secret
    """The address of the incoming webhook. Anyone who knows it can post there; it is not printed."""
    private: bool = False
    """Whether the address may lie in your own network, or be an http address."""


class NotifyEmail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages by e-mail."""

    host: Annotated[str, Meta(min_length=1)]
    """The mail server."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """Its port. 0: the usual one, which is 587 with `starttls`, 465 with `tls`, 25 with `none`."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`starttls` encrypts the connection before anything is sent, `tls` from its beginning, `none` never."""
    user: str = ""
    """The name to log in with. Empty: no login."""
    password: Secret | None = None
    """The password to log in with."""
    sender: Annotated[str, Meta(min_length=3)]
    """The address that messages come from."""
    recipients: Annotated[tuple[str, ...], Meta(min_length=1)]
    """The addresses that messages go to."""

    @property
    def at_port(self) -> int:
        """The port, also where none is set."""
        return self.port or PORTS[self.security]


class Notify(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is notified when something needs attention, and when it is well again."""

    webhook: NotifyWebhook | None = None
    """A signed webhook."""
    slack: NotifySlack | None = None
    """Slack, or a chat that takes the same."""
    email: NotifyEmail | None = None
    """E-mail."""
    warnings: bool = True
    """Whether conditions are sent that should be looked at, beside those that need an operator."""
    findings: bool = True
    """Whether findings in the figures are sent; see `flybridge findings`."""
    after_minutes: Annotated[float, Meta(ge=0, le=1440)] = 2.0
    """How long something has to last, or to be well again, before it is sent."""
    quiet_from: _Hour = ""
    """When quiet hours begin: nothing is sent until they end, and what is over by then is not sent. Empty: there are
    none."""
    quiet_to: _Hour = ""
    """When quiet hours end; on the next day if that is earlier than they begin."""
    timezone: str = "UTC"
    """The time zone of the quiet hours, by its IANA name."""
    urgent_in_quiet_hours: bool = False
    """Whether what needs an operator is sent in quiet hours, too."""

    @property
    def quiet(self) -> QuietHours:
        """The quiet hours; without any they end when they begin."""
        begin, end = (time.fromisoformat(one or "00:00") for one in (self.quiet_from, self.quiet_to))
        return QuietHours(begin, end, self.timezone)
