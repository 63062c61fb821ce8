"""What a command prints arrives whole, also where Python does not buffer it."""

from __future__ import annotations

import subprocess
import sys
import time

PRINTS = """
import signal, sys
from flybridge.cli import app
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
app.app = lambda: sys.stdout.write("x" * 299_999 + "\\n")
app.main()
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_a_full_pipe_that_is_interrupted_loses_nothing():
    """As when `flybridge holds --json` is read slowly, in a container that sets PYTHONUNBUFFERED."""
    process = subprocess.Popen([sys.executable, "-u", "-c", PRINTS], stdout=subprocess.PIPE)
    time.sleep(1)  # the pipe is full, and the write is interrupted
    printed, _ = process.communicate()
    assert process.returncode == 0
    assert len(printed) == 300_000
