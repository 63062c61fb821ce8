"""The sentences that the console shows are those of the page, word for word."""

from __future__ import annotations

import re

from flybridge.insight.reasons import REASONS

HEADINGS = {"Delivered, in flight": "pending"}


def test_the_page_and_the_table_say_the_same(root):
    """A code that is new on one side is added to the other; links are for the page only."""
    text = (root / "docs/reference/reasons.md").read_text(encoding="utf-8").partition("\n## Why something waits")[0]
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    written = {
        (HEADINGS.get(heading, heading.lower()), "" if code == "(none)" else code.strip("`")): (
            _plain(meaning),
            _plain(remedy),
        )
        for heading, part in zip(parts[1::2], parts[2::2], strict=True)
        for code, meaning, remedy in re.findall(r"^\| (\S+) \| (.+?) \| (.+?) \|$", part, re.MULTILINE)
        if code not in {"code", "---"}
    }
    told = {(kind.value, code): (reason.meaning, reason.remedy) for (kind, code), reason in REASONS.items()}
    assert told == written


def _plain(text: str) -> str:
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
