"""A small SMTP server for tests: it keeps what it is sent, and what was said before the connection was encrypted."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def certificate(directory: Path) -> Path:
    """Write a certificate of 127.0.0.1 that signs itself, and its key, into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail of a test")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "mail.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(built.public_bytes(pem) + private)
    return path


class MailStand:
    """What the server does and has been given. `answers` replaces its answer to a command."""

    def __init__(self, pem: Path | None = None, *, login: tuple[str, str] | None = None) -> None:
        self.context: ssl.SSLContext | None = None
        if pem is not None:
            self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.context.load_cert_chain(pem)
        self.login = login
        self.answers: dict[str, str] = {}
        self.clear: list[str] = []
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.port = 0

    @asynccontextmanager
    async def served(self, *, tls: bool = False) -> AsyncIterator[MailStand]:
        """Listen; with `tls` encrypted from the beginning."""
        context = self.context if tls else None
        server = await asyncio.start_server(lambda r, w: self._talk(r, w, encrypted=tls), "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, encrypted: bool) -> None:
        known = self.login is None
        writer.write(b"220 mail of a test\r\n")
        while line := (await reader.readline()).decode().strip():
            if not encrypted:
                self.clear.append(line)
            word = line.split(" ")[0].split(":")[0].upper()
            answer = self.answers.get(word)
            match word:
                case _ if answer is not None:
                    pass
                case "EHLO":
                    offers = ["STARTTLS"] if self.context is not None and not encrypted else []
                    offers += ["AUTH PLAIN"] if self.login is not None and (encrypted or self.context is None) else []
                    lines = ["mail of a test", *offers]
                    answer = "\r\n".join(f"250{'-' if n < len(lines) else ' '}{one}" for n, one in enumerate(lines, 1))
                case "STARTTLS":
                    writer.write(b"220 go ahead\r\n")
                    await writer.start_tls(self.context)
                    encrypted, answer = True, ""
                case "AUTH":
                    given = b64decode(line.split(" ")[2]).decode().split("\0")[1:]
                    known = tuple(given) == self.login
                    answer = "235 welcome" if known else "535 secret-user may not log in"
                case "MAIL":
                    answer = "250 fine" if known else "530 log in first"
                case "RCPT":
                    self.recipients.append(line.partition(":")[2].strip("<> "))
                    answer = "250 fine"
                case "DATA":
                    writer.write(b"354 go ahead\r\n")
                    body = await reader.readuntil(b"\r\n.\r\n")
                    self.mails.append(message_from_bytes(body[:-5], policy=policy.default))
                    answer = "250 taken"
                case "QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                case _:
                    answer = "250 fine"
            if answer:
                writer.write(f"{answer}\r\n".encode())
            await writer.drain()
        writer.close()
