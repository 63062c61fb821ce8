"""The client of NATS: encrypted where its address says so, and what it heard of the servers."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from flybridge.errors import FlybridgeError, InboxUnavailable

if TYPE_CHECKING:
    from nats.aio.client import Client


class ServerErrors:
    """What servers said unasked: that the user is refused, or may not do something; and why no connection was made."""

    def __init__(self, hosts: str) -> None:
        self.denied = asyncio.Event()
        self._hosts = hosts
        self._last = ""
        self._forbidden = ""
        self._forbidden_s = 0.0

    async def hear(self, error: Exception) -> None:
        """Note an error, as the client calls it."""
        said = str(error).removeprefix("nats: ").strip("'")
        if "permissions violation" in said.lower():
            self._forbidden, self._forbidden_s = said, monotonic()
        elif "authorization" in said.lower() or "authentication" in said.lower():
            self.denied.set()
        else:
            self._last = said

    def check_permitted(self, since_s: float) -> None:
        """Raise `InboxUnavailable` if the servers have said since then that the user may not do something."""
        if self._forbidden_s >= since_s:
            raise InboxUnavailable(
                f"NATS at {self._hosts} does not permit that to the user in cluster.nats: {self._forbidden}. Permit it."
            )

    def unreachable(self) -> InboxUnavailable:
        """Return the error that there is no connection, with the last reason."""
        if "certificate" in self._last.lower():
            return InboxUnavailable(
                f"The certificate of NATS at {self._hosts} is not trusted: {self._last}. Name that of its authority in "
                "the environment variable SSL_CERT_FILE, or correct the host in cluster.nats."
            )
        last = f" ({self._last})" if self._last else ""
        return InboxUnavailable(f"No NATS server answers at {self._hosts}{last}. Start them, or correct cluster.nats.")


def new_client() -> Client:
    """Return a client that sends nothing, not even a password, to a server without TLS if its address is `tls://`."""
    try:
        from nats.aio.client import Client  # noqa: PLC0415 - part of the extra `cluster`
        from nats.errors import Error  # noqa: PLC0415
    except ImportError:
        raise FlybridgeError(
            "The inbox on NATS needs the package nats-py: install flybridge[cluster], or leave [cluster] out."
        ) from None

    class EncryptedClient(Client):
        def _connect_command(self) -> bytes:
            server = self._current_server
            if server is not None and server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
                raise Error("the address is tls://, and the server does not offer TLS")
            return super()._connect_command()

    return EncryptedClient()
