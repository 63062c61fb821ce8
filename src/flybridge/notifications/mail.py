"""Messages by e-mail, over SMTP.

With `starttls` and `tls` nothing is sent, not even the password, before the connection is encrypted and the server's
certificate is found right; a server that does not offer STARTTLS gets nothing.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from flybridge.notifications.channel import NotSent
from flybridge.notifications.message import Message
from flybridge.notifications.settings import NotifyEmail

TIMEOUT_S: Final = 15.0
"""How long one answer of the server may take."""


class MailChannel:
    """Sends the message as a plain text e-mail."""

    name = "email"

    def __init__(self, settings: NotifyEmail) -> None:
        self._settings = settings

    async def send(self, message: Message) -> None:
        try:
            await asyncio.to_thread(_deliver, self._settings, self.written(message))
        except (OSError, smtplib.SMTPException) as problem:
            raise NotSent(_sentence(self._settings, problem)) from None

    def written(self, message: Message) -> EmailMessage:
        """Return the e-mail."""
        mail = EmailMessage()
        mail["From"] = self._settings.sender
        mail["To"] = ", ".join(self._settings.recipients)
        mail["Subject"] = message.subject
        mail["Date"] = format_datetime(datetime.fromtimestamp(message.at_ms / 1000, UTC))
        mail["Message-ID"] = f"<{message.id}@{self._settings.sender.rpartition('@')[2].rstrip('>')}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic replies
        mail.set_content(message.text)
        return mail


def _deliver(server: NotifyEmail, mail: EmailMessage) -> None:
    context = ssl.create_default_context()
    if server.security == "tls":
        client: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.at_port, timeout=TIMEOUT_S, context=context)
    else:
        client = smtplib.SMTP(server.host, server.at_port, timeout=TIMEOUT_S)
    with client:
        if server.security == "starttls":
            client.starttls(context=context)
        if server.password:
            client.login(server.user, server.password.reveal())
        refused = client.send_message(mail)
    if refused:
        raise smtplib.SMTPRecipientsRefused(refused)


def _sentence(server: NotifyEmail, problem: Exception) -> str:
    """Return what went wrong. Servers quote addresses and more in their answers, so that only codes are repeated."""
    where = f"{server.host}:{server.at_port}"
    match problem:
        case smtplib.SMTPAuthenticationError():
            return f"{where} refuses the user or the password ({problem.smtp_code})."
        case smtplib.SMTPNotSupportedError():
            return f"{where} does not offer what is set: {'STARTTLS' if server.security == 'starttls' else 'a login'}."
        case smtplib.SMTPRecipientsRefused():
            return f"{where} refuses {len(problem.recipients)} of the recipients."
        case smtplib.SMTPResponseException():
            return f"{where} answered {problem.smtp_code}."
        case ssl.SSLCertVerificationError():
            return f"{where} has a certificate that can't be trusted: {problem.verify_message}."
        case TimeoutError():
            return f"{where} did not answer within {TIMEOUT_S:.0f} s."
        case OSError():
            return f"{where}: no connection ({problem.strerror or type(problem).__name__})."
    return f"{where}: the exchange broke off ({type(problem).__name__})."
