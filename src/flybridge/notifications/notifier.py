"""Sends, through every channel, what needs attention: once until it changes, and once more when it is over.

What was sent stands in the store, so that neither a restart nor another process sends it again. In any number of
processes one at a time does it, by a lease in the store. A message that does not arrive is sent again after growing
waits, a bounded number of times. A process that dies between sending a message and noting it sends the same message,
with the same id, once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct, field, structs

from flybridge.clock import Clock, rest
from flybridge.errors import FlybridgeError, contained
from flybridge.notifications.channel import Channel, NotSent
from flybridge.notifications.concern import (
    BAD,
    FINDING,
    RANK,
    WORST,
    Concern,
    News,
    Notified,
    Settling,
    after,
    key_of,
    news,
    notification_key,
)
from flybridge.notifications.message import Message
from flybridge.notifications.settings import Notify
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable

STATE: Final = "notify/"
TURN: Final = "notify"
TURN_MS: Final = 120_000
"""How long a process that has gone keeps others from sending. Longer than one message through one channel takes."""

LOOK_S: Final = 10.0
WAITS_MS: Final = (30_000, 120_000, 600_000, 1_800_000, 3_600_000)
"""Before each further try of a message. After the last one it is given up."""

AWAY: Final = Concern(
    key_of("store"), "store", BAD, "flybridge can't use its store: events wait in the inbox.", "/flow"
)
"""Remembered in memory: while it lasts, nothing can be noted."""


class ChannelState(Struct, frozen=True):
    """What one channel has sent. `sent` counts messages; `tries` and `due_ms` are of one that did not arrive.

    `problem` says why the last message did not arrive; empty if it did.
    """

    notified: dict[str, Notified] = field(default_factory=dict)
    sent: int = 0
    sent_ms: int = 0
    tries: int = 0
    due_ms: int = 0
    problem: str = ""


Read = Callable[[], Awaitable[Sequence[Concern]]]
Sent = Callable[[str, str, str], None]
"""Called with a channel, `sent`, `failed` or `given_up`, and why."""


async def read_states(store: Store) -> dict[str, ChannelState]:
    """Return what each channel has sent."""
    # What another version has written is sent anew.
    states = readable(await store.states(STATE), msgspec.json.Decoder(ChannelState).decode)
    return {name.removeprefix(STATE): state for name, state in states.items()}


class Notifier(Struct, dict=True):
    """Sends through `channels` what `read` returns. `holder` is the name of this process in its lease, `address` that
    of the console.
    """

    store: Store
    channels: Sequence[Channel]
    read: Read
    settings: Notify
    clock: Clock
    holder: str
    address: str = ""
    sent: Sent = lambda *_: None
    _states: dict[str, ChannelState] | None = None
    """What was sent, as this process knows it while it has its turn; None while another process has it."""

    @cached_property
    def _settling(self) -> dict[str, Settling]:
        return {one.name: Settling(round(self.settings.after_minutes * 60_000)) for one in self.channels}

    async def run(self, stop: asyncio.Event, failed: Callable[[FlybridgeError], None]) -> None:
        """Look every ten seconds until `stop` is set, then let another process go on."""
        while not stop.is_set():
            try:
                with contained("notifications"):
                    await self.look()
            except FlybridgeError as problem:
                failed(problem)
            await rest(stop, LOOK_S)
        if self._states is not None:
            with suppress(FlybridgeError):
                await self.store.take_turn(TURN, self.holder, self.clock.now_ms(), 0)

    async def look(self) -> None:
        """Send what is new, if it is this process's turn."""
        now_ms = self.clock.now_ms()
        try:
            if not await self.store.take_turn(TURN, self.holder, now_ms, TURN_MS):
                await self._hand_over(now_ms)
                return
            if self._states is None:
                self._states = await read_states(self.store)
            concerns = await self.read()
        except FlybridgeError:
            if self._states is None:
                raise
            concerns = [AWAY]
        away = AWAY in concerns
        await asyncio.gather(*(self._send_news(channel, concerns, now_ms, away=away) for channel in self.channels))

    async def _hand_over(self, now_ms: int) -> None:
        """Forget what was sent. That the store was away only this process knows: it sends that it is back."""
        states, self._states = self._states or {}, None
        for channel in self.channels:
            state = states.get(channel.name, ChannelState())
            if notified := state.notified.get(AWAY.key):
                await self._send(
                    channel, state, self._message(channel, state, News(ended=[notified]), (), now_ms), now_ms
                )

    async def _send_news(self, channel: Channel, concerns: Sequence[Concern], now_ms: int, *, away: bool) -> None:
        assert self._states is not None
        state = self._states.get(channel.name, ChannelState())
        own = key_of(notification_key(channel.name))
        concerns = [one for one in concerns if one.key != own]  # it can't send that it does not arrive
        settled, gone = self._settling[channel.name].look(concerns, state.notified, now_ms)
        chosen = self.settings
        # While the store is away nothing is known of the rest: it is not over.
        found = news(state.notified, settled, () if away else gone, warnings=chosen.warnings, findings=chosen.findings)
        waits = state.tries > 0 and now_ms < state.due_ms <= now_ms + WAITS_MS[-1]
        quiet = chosen.quiet.contain(now_ms) and not (chosen.urgent_in_quiet_hours and found.urgent)
        if not found or waits or quiet:
            return
        state = await self._send(channel, state, self._message(channel, state, found, concerns, now_ms), now_ms)
        self._states[channel.name] = state
        if not away:
            await self.store.put_state(STATE + channel.name, msgspec.json.encode(state))

    async def _send(self, channel: Channel, state: ChannelState, message: Message, now_ms: int) -> ChannelState:
        notified = after(state.notified, message.news, now_ms)
        try:
            await channel.send(message)
        except NotSent as problem:
            if state.tries < len(WAITS_MS):
                self.sent(channel.name, "failed", str(problem))
                due_ms = now_ms + WAITS_MS[state.tries]
                return structs.replace(state, tries=state.tries + 1, due_ms=due_ms, problem=str(problem))
            self.sent(channel.name, "given_up", str(problem))
            return structs.replace(state, notified=notified, tries=0, due_ms=0, problem=str(problem))
        self.sent(channel.name, "sent", "")
        return ChannelState(notified, state.sent + 1, now_ms)

    def _message(
        self, channel: Channel, state: ChannelState, found: News, concerns: Sequence[Concern], now_ms: int
    ) -> Message:
        new = {one.key for one in (*found.began, *found.changed)}
        conditions = sorted(
            (one for one in concerns if one.level != FINDING and one.key not in new), key=lambda one: RANK[one.level]
        )
        still = [one for one in conditions if one.key in state.notified][:WORST]
        others = len(conditions) - len(still) if self.settings.warnings else 0
        parts = [
            channel.name,
            str(state.sent),
            *(f"{one.key} {one.standing}" for one in (*found.began, *found.changed)),
        ]
        parts += [one.concern.key for one in found.ended]
        id_ = sha256("\0".join(parts).encode()).hexdigest()[:32]
        return Message(id_, now_ms, found, still, others, self.address)


async def send_test(channels: Sequence[Channel], now_ms: int, address: str) -> dict[str, str]:
    """Send a test message through each channel, whatever the hour. Returns why it did not arrive; empty if it did."""
    message = Message(sha256(f"test {now_ms}".encode()).hexdigest()[:32], now_ms, address=address, test=True)

    async def attempt(channel: Channel) -> str:
        try:
            await channel.send(message)
        except NotSent as problem:
            return str(problem)
        return ""

    return dict(zip((one.name for one in channels), await asyncio.gather(*map(attempt, channels)), strict=True))
