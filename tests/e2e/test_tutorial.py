"""Tutorial and trials do what they say: their configuration and commands, as a newcomer types them, one by one."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from flybridge.testing.processes import Process, free_port

DOCS = Path(__file__).parents[2] / "docs"
HERE = ".venv/bin/flybridge"
PATIENCE_S = 30.0

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial's commands need curl")


class Newcomer:
    """Types the blocks of a text in a directory of its own, on ports that are free."""

    def __init__(self, directory: Path, text: str, config_name: str) -> None:
        ports = {"8700": str(free_port()), "8701": str(free_port())}
        for known, free in ports.items():
            text = text.replace(f"127.0.0.1:{known}", f"127.0.0.1:{free}").replace(f"--port {known}", f"--port {free}")
        self._directory = directory
        blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        self.blocks = [block for language, block in blocks if not language]
        config = next(block for language, block in blocks if language == "toml")
        # The port stands in no block: it is the default one.
        server = f"[server]\nport = {ports['8700']}\n"
        (directory / config_name).write_text(f"{config}\n{server}", encoding="utf-8")

    def block(self, words: str) -> str:
        """Return the block that has these words."""
        found = [block for block in self.blocks if words in block]
        assert found, f"no block has {words!r}"
        return found[0]

    def process(self, words: str) -> Process:
        """Return a process for a block that is one long-running command."""
        arguments = self.block(words).strip().removeprefix(HERE).removeprefix("flybridge").split()
        arguments = [str(self._directory / one) if one.endswith(".toml") else one for one in arguments]
        return Process(words, ["flybridge", *arguments], self._directory / "log")

    async def types(self, block: str) -> str:
        """Run a block in a shell, and return what it printed."""
        process = await asyncio.create_subprocess_shell(
            re.sub(rf"^({HERE}|flybridge) ", f"{sys.executable} -m flybridge ", block, flags=re.MULTILINE),
            cwd=self._directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode == 0, printed.decode()
        return printed.decode()

    async def sees(self, block: str, *expected: str) -> str:
        """Run a block until it prints all of this: a figure follows its event within moments."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                printed = await self.types(block)
                if all(one in printed for one in expected):
                    return printed
                await asyncio.sleep(0.2)


async def test_the_tutorial_leads_to_an_event_in_amplitude_and_on_the_events_page(tmp_path):
    """From the first command to the last, everything reads as the tutorial announces it."""
    newcomer = Newcomer(tmp_path, (DOCS / "tutorial.md").read_text(encoding="utf-8"), "tutorial.toml")
    sandbox, bridge = newcomer.process("flybridge sandbox"), newcomer.process("flybridge serve")
    try:
        await sandbox.start()
        await bridge.start()
        push, stream = newcomer.block("install.json"), newcomer.block("seen.json")
        held, account = newcomer.block("flybridge holds").strip().splitlines()

        answer = await newcomer.types(push)
        assert "200 OK" in answer
        assert '{"stored":true}' in answer
        assert "401" in await newcomer.types(push.replace("tutorial-token", "another-token"))
        await newcomer.sees(held, "[AppsFlyer] Install", "shop")
        assert re.search(r"\b1 +1 +0 +0$", await newcomer.sees(account, "held"), re.MULTILINE)

        assert "200 OK" in await newcomer.types(stream)
        await newcomer.sees(account, "delivered: matched 1", "applied: sighting 1")
        saved = await newcomer.types(newcomer.block("/sandbox/record"))
        assert saved.count("\n") == 1
        assert '"event_type":"[AppsFlyer] Install","user_id":"anna-77"' in saved
        page = await newcomer.types(f"curl -s {bridge.origin}/events")
        listed = re.search(
            r"/events/(\d+)[^>]*>(?:(?!</tr>).)*?googleadwords_int(?:(?!</tr>).)*?Delivered", page, re.DOTALL
        )
        assert listed, page
        story = await newcomer.types(f"curl -s {bridge.origin}/events/{listed[1]}")
        assert "An identifier was matched to its user." in story
        assert json.loads(saved)["insert_id"][:6] in story

        await newcomer.types(push)
        await newcomer.sees(account, "duplicate")
        mistake = newcomer.block("hello").strip().splitlines()
        await newcomer.types("\n".join(mistake[:-1]))
        await newcomer.sees(mistake[-1], "no_event_name")
    finally:
        await bridge.stop()
        await sandbox.stop()


async def test_a_cohort_is_tried_on_the_sandbox(tmp_path):
    """Three people in, two out, by the commands of the page; two of three are not removed without being asked for."""
    page = (DOCS / "how-to" / "cohorts.md").read_text(encoding="utf-8")
    trial = page.partition("## Try it on the sandbox")[2].partition("\n## ")[0]
    newcomer = Newcomer(tmp_path, trial, "cohorts.toml")
    sandbox = newcomer.process("flybridge sandbox")
    try:
        await sandbox.start()
        assert '{"stored":true}' in await newcomer.types(newcomer.block("bert-78"))
        joined = await newcomer.types(newcomer.block("cohorts diff"))
        assert "10b96e40000d" in joined
        assert "10b96e40000e" in joined
        assert "10b96e40000f" in joined
        held = await newcomer.types(newcomer.block("--accept-shrink").replace(" --accept-shrink", ""))
        assert "10b96e40000e" in held
        left = await newcomer.types(newcomer.block("--accept-shrink"))
        assert "10b96e40000d" in left
        assert "10b96e40000e" not in left
        assert "10b96e40000f" not in left
    finally:
        await sandbox.stop()
