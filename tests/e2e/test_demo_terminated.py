"""A demo that is terminated leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from starting import environment, until


def living(directory) -> list[int]:
    """Return the processes that were started on what lies in a directory."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"/proc/{entry.name}/cmdline", "rb") as words:
                    if str(directory).encode() in words.read():
                        found.append(int(entry.name))
            except OSError:
                continue  # it has ended meanwhile
    return found


async def test_a_terminated_demo_removes_its_directory_and_ends_its_processes(tmp_path):
    """In the middle of the traffic; the exit code is that of a terminated program."""
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flybridge", "demo", "--once", "--events", "20000",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment(TMPDIR=str(tmp_path)),
    )  # fmt: skip
    try:
        await until(lambda: list(tmp_path.glob("flybridge-demo-*/data/inbox.db")), 60)
        (directory,) = tmp_path.iterdir()
        assert living(directory)
        demo.send_signal(signal.SIGTERM)
        demo.send_signal(signal.SIGTERM)
        output, told = await asyncio.wait_for(demo.communicate(), 120)
    finally:
        if demo.returncode is None:
            demo.kill()
            await demo.communicate()
    assert (demo.returncode, output) == (143, b"")
    assert b"Terminated." in told
    assert list(tmp_path.iterdir()) == []
    assert living(directory) == []
