"""A message to people about what has begun, changed and ended: as text, as JSON, and as Slack's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.notifications.concern import BAD, FINDING, Concern, News, Notified
from flybridge.records import utc_time
from flybridge.system.counted import plural

MOST: Final = 20
"""How many concerns of a sort are written out; findings may be many."""
SLACK_MOST: Final = 2_800
"""Characters of a block of text; Slack takes 3,000 (https://docs.slack.dev/reference/block-kit/blocks/section-block)."""
_MARKS: Final[Mapping[str, str]] = {BAD: "Act", "warn": "Check", FINDING: "Finding"}


class Message(Struct, frozen=True):
    """One message. `id` is the same if it is sent again because its answer was lost.

    `others` is how many conditions need attention beside those that are named. `address` is that of the console.
    """

    id: str
    at_ms: int
    news: News = News()
    still: Sequence[Concern] = ()
    others: int = 0
    address: str = ""
    test: bool = False

    @property
    def subject(self) -> str:
        """The message in a few words."""
        if self.test:
            return "flybridge: a test message"
        news = self.news
        if worse := [*news.began, *news.changed]:
            bad = sum(one.level == BAD for one in worse)
            if bad:
                return f"flybridge: {plural(bad, 'problem')}, action needed"
            return f"flybridge: {plural(len(worse), 'thing')} to check"
        return f"flybridge: {'all is well again' if not self.still and not self.others else 'some is well again'}"

    @property
    def text(self) -> str:
        """The whole message as plain text."""
        if self.test:
            return _joined(["This is a test message of flybridge: notifications arrive here.", *self._where()])
        parts = []
        for title, lines in self.sections():
            parts += [title, *(f"- {line}" for line in lines), ""]
        return _joined([*parts, *self._where()])

    def sections(self) -> list[tuple[str, list[str]]]:
        """Return the parts of the message: headings with their sentences."""
        news, found = self.news, []
        for title, concerns in (("New", news.began), ("Changed", news.changed)):
            if concerns:
                found.append((title, _cut([f"{_MARKS[one.level]}: {one.sentence}" for one in concerns])))
        if news.ended:
            found.append(
                ("Well again", _cut([f"Since {utc_time(one.since_ms)}: {one.concern.sentence}" for one in news.ended]))
            )
        if self.still or self.others:
            lines = [f"{_MARKS[one.level]}: {one.sentence}" for one in self.still]
            if self.others:
                lines.append(f"{self.others} more, on the console.")
            found.append(("Notified before, and not over", _cut(lines)))
        return found

    def as_json(self) -> bytes:
        """Return it as JSON, for programs."""
        return msgspec.json.encode(
            {
                "type": "test" if self.test else "conditions",
                "id": self.id,
                "at": utc_time(self.at_ms),
                "console": self.address or None,
                "summary": self.subject,
                "began": [self._concern(one) for one in self.news.began[:MOST]],
                "changed": [self._concern(one) for one in self.news.changed[:MOST]],
                "ended": [self._concern(one.concern, one) for one in self.news.ended[:MOST]],
                "still": [self._concern(one) for one in self.still[:MOST]],
                "others": self.others,
            }
        )

    def as_slack(self) -> bytes:
        """Return it as the JSON of Slack's incoming webhooks, which other chats take, too."""
        lines = [self.text] if self.test else [f"*{title}*\n" + "\n".join(rows) for title, rows in self.sections()]
        lines += self._where() if not self.test else []
        blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": _slack(line)[:SLACK_MOST]}} for line in lines]
        return msgspec.json.encode({"text": _slack(self.subject), "blocks": blocks})

    def _concern(self, one: Concern, notified: Notified | None = None) -> dict[str, Any]:
        return {
            "key": one.key,
            "kind": one.kind,
            "level": one.level,
            "sentence": one.sentence,
            "see": f"{self.address}{one.path}" if self.address and one.path else None,
            **({"since": utc_time(notified.since_ms)} if notified is not None else {}),
        }

    def _where(self) -> list[str]:
        return [f"The console: {self.address}/"] if self.address else []


def _cut(lines: list[str]) -> list[str]:
    return lines if len(lines) <= MOST else [*lines[: MOST - 1], f"And {len(lines) - MOST + 1} more."]


def _joined(lines: list[str]) -> str:
    return "\n".join(lines).strip() + "\n"


def _slack(text: str) -> str:
    """Return a text that Slack shows as it is (https://docs.slack.dev/messaging/formatting-message-text)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
