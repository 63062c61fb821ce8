"""What the benchmarks of delivery share: a vendor in another process, the bare client, and what either takes."""

from __future__ import annotations

import argparse
import asyncio
import gc
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence

import uvloop

from flybridge.delivery.exchange import HttpRequest
from flybridge.delivery.transport import HttpTransport


class Vendor(asyncio.Protocol):
    """Takes requests as soon as their body is complete. What it answers is up to those who derive from it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport
        self.buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end]).lower()
            at = head.find(b"content-length:")
            total = end + 4 + (int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0)
            if len(self.buffer) < total:
                return
            if head.startswith(b"get"):
                text = self.told(head)
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
            else:
                self.posted(end, total)
            del self.buffer[:total]

    def told(self, head: bytes) -> bytes:
        """Return the answer to a GET."""
        raise NotImplementedError

    def posted(self, start: int, end: int) -> None:
        """Answer a POST, whose body is in the buffer from start to end."""
        raise NotImplementedError


async def serve(vendor: type[Vendor]) -> None:
    """Serve on a free port until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(vendor, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


async def ask(port: int, query: str = "") -> bytes:
    """Return what the vendor tells."""
    transport = HttpTransport()
    answer = await transport.send(HttpRequest("GET", f"http://127.0.0.1:{port}/{query}", {}, b""))
    await transport.close()
    return answer.body


class Spent:
    """Processor time and clock time of a block, in seconds."""

    def __enter__(self) -> Spent:
        gc.collect()
        self.cpu, self.wall = -time.process_time(), -time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu += time.process_time()
        self.wall += time.perf_counter()


async def send_bare(transport: HttpTransport, requests: deque[HttpRequest], at_once: int) -> Spent:
    """Send ready-made requests with the transport alone, and close it."""

    async def sender() -> None:
        while requests:
            assert (await transport.send(requests.popleft())).status == 200

    with Spent() as spent:
        await asyncio.gather(*(sender() for _ in range(at_once)))
    await transport.close()
    return spent


def measured(
    parser: argparse.ArgumentParser,
    vendor: type[Vendor],
    run: Callable[[argparse.Namespace, int], Coroutine[None, None, bool]],
    arguments: Sequence[str] | None,
) -> int:
    """Parse, run against the vendor in another process, and give the exit code."""
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        uvloop.run(serve(vendor))
        return 0
    with subprocess.Popen(
        [sys.executable, sys.argv[0], "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            good = uvloop.run(run(options, int(server.stdout.readline())))
        finally:
            server.stdin.close()
    return 0 if good else 1
