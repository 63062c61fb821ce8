"""Ports for servers: no two processes that run at once get the same."""

import subprocess
import sys

PORTS_OF_ONE = 120
PRINT = f"""
import sys
from flybridge.testing.processes import free_port
print(*(free_port() for _ in range({PORTS_OF_ONE})), flush=True)
sys.stdin.read()
"""


def test_processes_that_run_at_once_get_different_ports():
    running = [
        subprocess.Popen([sys.executable, "-c", PRINT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    ports = [port for process in running for port in process.stdout.readline().split()]
    for process in running:
        process.communicate()
    assert len(ports) == len(set(ports)) == 6 * PORTS_OF_ONE
