"""Cuts a connection under a request: the sender gets no answer, not even a bad one.

The server gives an application no handle on its connections, and answers 500 for one that stays silent. So the
connection is looked up among this process' open sockets by its far end, and shut down in both directions.
"""

from __future__ import annotations

import os
import socket


def cut(client: tuple[str, int | str]) -> bool:
    """Shut down the connection that comes from `client` (host and port). False if it can't be found."""
    peer = (client[0], int(client[1]))
    try:
        names = os.listdir("/dev/fd")
    except OSError:
        return False
    return any(_shut_down(int(name), peer) for name in names)


def _shut_down(number: int, peer: tuple[str, int]) -> bool:
    # A duplicate is looked at: other threads open and close sockets meanwhile, and a number may change its owner.
    try:
        duplicate = os.dup(number)
    except OSError:
        return False
    try:
        connection = socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        return False
    with connection:
        try:
            if connection.family not in {socket.AF_INET, socket.AF_INET6} or connection.getpeername()[:2] != peer:
                return False
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return False
        return True
