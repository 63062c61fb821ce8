"""Checks of a bridge: data directory, inbox, account, addresses, and what its processes report."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from flybridge.config.settings import Config
from flybridge.errors import ConfigError
from flybridge.inbox.protocol import Depth, Room
from flybridge.insight.account import Account
from flybridge.insight.heard import Heard, refused_sentence, silence_sentence, unstored_sentence
from flybridge.insight.standstill import RefusedStart, audience_sentence, refused_start_sentence, standing_still
from flybridge.insight.unwritten import Unwritten, unwritten_sentence
from flybridge.notifications.notifier import ChannelState
from flybridge.store.audiences.records import Run
from flybridge.store.server_clock import clock_sentence
from flybridge.system.counted import plural
from flybridge.system.private_files import private_directory
from flybridge.wiring import check


class Check(Struct, frozen=True):
    """The result of one check. `detail` says what is wrong and what to do, or what was found to be right.

    With `warning` it is not wrong yet, or could not be proven.
    """

    what: str
    ok: bool
    detail: str
    warning: bool = False


def startable(config: Config) -> Check:
    """Check that `serve` starts with the configuration, by what it builds of it when it starts."""
    try:
        check(config)
    except ConfigError as problem:
        return Check("configuration", False, str(problem))
    return Check("configuration", True, f"{plural(len(config.apps), 'app')}.")


def writable(directory: Path) -> Check:
    """Check that files can be made in the data directory."""
    try:
        private_directory(directory)
        with TemporaryFile(dir=directory) as probe:
            probe.write(b"x")
    except OSError as problem:
        is_full = problem.errno in {errno.ENOSPC, errno.EDQUOT}
        remedy = "Free space on its disk." if is_full else "Give it to flybridge's user."
        return Check("data_dir", False, f"{directory} can't be written: {problem.strerror}. {remedy}")
    return Check("data_dir", True, f"{directory} can be written.")


def balanced(account: Account) -> Check:
    """Check that every event is accounted for."""
    if account.balanced:
        return Check("account", True, "Every event is accounted for.")
    return Check("account", False, f"{len(account.discrepancies)} figures do not agree: see `flybridge account`.")


def readable(depth: Depth) -> Check:
    """Check that the messages in the inbox can be opened."""
    if not depth.unreadable:
        return Check(
            "inbox", True, f"{plural(depth.waiting, 'message waits', 'messages wait')}, none is known to be unreadable."
        )
    return Check(
        "inbox",
        False,
        f"{depth.unreadable} of {depth.waiting} waiting messages can't be opened: put the former `secret` into "
        "`former_secrets`, or restore the inbox from a copy.",
    )


FULL: Final = 0.8


def roomy(room: Room) -> Check:
    """Check that the inbox has room, and a bound below the limit of its servers."""
    most, wrong = room.bound or room.limit, ""
    if room.limit and room.bound >= room.limit:
        wrong = (
            f"The bound of the stream ({_mb(room.bound)}) is not below the limit of the NATS account "
            f"({_mb(room.limit)} for each copy). At that limit workers can't acknowledge either: lower "
            "cluster.max_bytes, or raise the limit."
        )
    elif not most:
        wrong = (
            "The stream has no bound but the limit of its servers, at which workers can't acknowledge either: set "
            "cluster.max_bytes below it."
        )
    elif room.used > FULL * most:
        full = "when that is full, senders get 503. Start workers, or make room."
        wrong = f"The inbox uses {_mb(room.used)} of {_mb(most)}; {full}"
    return Check("room", not wrong, wrong or f"The inbox uses {_mb(room.used)} of {_mb(most)}.")


def _mb(n: int) -> str:
    return f"{n / 1e6:,.1f} MB"


async def resolvable(origins: Iterable[str]) -> list[Check]:
    """Check that the hosts of these origins have an address. Nothing is sent to them."""
    return [await _resolve(host) for host in sorted({urlsplit(origin).hostname or origin for origin in origins})]


async def _resolve(host: str) -> Check:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as problem:
        return Check(host, False, f"has no address: {problem.strerror}. Check the network and the name.")
    return Check(host, True, f"has {len(found)} addresses.")


def started(refused: Sequence[RefusedStart]) -> list[Check]:
    """Check that no process was refused lately because of its secret."""
    return [Check("secret", False, refused_start_sentence(one)) for one in refused]


def written(found: Unwritten) -> list[Check]:
    """Check that what workers write is taken by the store. One whose workers run is not worth a line."""
    return [Check("store", False, unwritten_sentence(found.problem))] if found.problem else []


def in_step(ahead_ms: int) -> list[Check]:
    """Check the clock of this machine, which the store's server is ahead of by so much. One that agrees has no line."""
    sentence = clock_sentence(ahead_ms)
    return [Check("clock", False, sentence)] if sentence else []


def listening(heard: Sequence[Heard], now_ms: int) -> list[Check]:
    """Check that no app is silent for longer than usual, and that no sender is refused.

    It may have a wrong token or address, or the inbox does not store.
    """
    found = [
        Check("senders", False, refused_sentence(one, status, refusals.n))
        for one in heard
        for status, refusals in one.wrong(now_ms).items()
    ]
    found += [Check("senders", False, unstored_sentence(one, n)) for one in heard if (n := one.unstored(now_ms))]
    found += [
        Check("senders", True, silence_sentence(one, silent), warning=True)
        for one in heard
        if (silent := one.silent_ms(now_ms))
    ]
    return found or [Check("senders", True, "None is refused, or silent for longer than usual.")]


def running_audiences(runs: Iterable[tuple[str, str, Run]]) -> list[Check]:
    """Check that no audience has stopped or is held back, by the last run of each. `runs` are the newest first."""
    return [
        Check("audience", run.outcome != "stopped", audience_sentence(app, name, run), warning=run.outcome == "held")
        for app, name, run in standing_still(runs)
    ]


def notified(channels: Collection[str], states: Mapping[str, ChannelState]) -> list[Check]:
    """Check that notifications arrive, by the last message of each channel that is configured."""
    problems = {name: states[name].problem for name in channels if name in states and states[name].problem}
    found = [
        Check(f"notifications by {name}", True, f"The last one did not arrive: {problem}", warning=True)
        for name, problem in problems.items()
    ]
    return found or ([Check("notifications", True, f"By {', '.join(channels)}.")] if channels else [])
