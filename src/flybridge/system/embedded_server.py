"""Granian's embedded HTTP server, in this process' event loop, on a socket that listens already.

Granian itself binds with SO_REUSEPORT: two processes could then hold one port and share its requests unnoticed.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

BACKLOG: Final = 1024
"""Connections the system keeps waiting before they are accepted."""


def listening(host: str, port: int) -> socket.socket:
    """Return a listening socket. Port 0 means a free one.

    Raises `socket.gaierror` if the host is no address, and `OSError` if the address can't be opened.
    """
    family, kind, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )[0]
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit these. Keep-alive finds senders that vanished inside a request; answers are small
        # and must not wait for more.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class EmbeddedServer(Server):
    """Serves `app` over HTTP/1.1 on `listener`.

    At most `connections` are open at once; more wait in the backlog. Requests that are not finished `grace_s` seconds
    after `stop` are dropped. A connection may take `header_timeout_ms` to send its headers, and may idle as long.
    """

    def __init__(
        self,
        app: Any,
        listener: socket.socket,
        *,
        interface: Interfaces,
        connections: int = BACKLOG,
        grace_s: int,
        header_timeout_ms: int | None = None,
    ) -> None:
        super().__init__(
            app,
            interface=interface,
            http=HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=connections,
            http1_settings=HTTP1Settings(header_read_timeout=header_timeout_ms) if header_timeout_ms else None,
            log_enabled=False,
            log_level=LogLevels.error,
        )
        self.workers_kill_timeout: int | None = grace_s
        self._listener = listener

    def _init_shared_socket(self) -> None:
        self._shd = SocketHolder(self._listener.detach(), False, BACKLOG)  # type: ignore[call-arg,assignment]
