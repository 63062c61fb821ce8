"""`flybridge notify`: what people were notified of, and a test message to them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flybridge.cli.common import AsJson, ConfigPath, configured, with_store
from flybridge.cli.printing import print_json, print_rows, say
from flybridge.clock import SystemClock
from flybridge.config.settings import Config
from flybridge.errors import ConfigError
from flybridge.notifications.notifier import ChannelState, read_states, send_test
from flybridge.records import clock_time
from flybridge.service.backends import opened_download
from flybridge.system.running import run
from flybridge.wiring import channel_names, channels_of


def notify(
    config: ConfigPath = None,
    test: Annotated[
        bool, typer.Option("--test", help="Send a test message through every channel, at any hour.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what each channel of `notify` has sent and what is not over, or send a test message with --test."""
    settings = configured(config)
    names = channel_names(settings)
    if not names:
        raise ConfigError(
            "notify", "no channel is configured.", "Add [notify.email], [notify.slack] or [notify.webhook]."
        )
    if test:
        _test(settings, as_json=as_json)
        return
    states = with_store(settings, read_states)
    rows = [_row(name, states.get(name, ChannelState())) for name in names]
    lasting = [
        {"channel": name, "level": one.concern.level, "since": clock_time(one.since_ms), "what": one.concern.sentence}
        for name in names
        for one in states.get(name, ChannelState()).notified.values()
    ]
    if as_json:
        print_json({"channels": rows, "not_over": lasting})
        return
    print_rows("Channels", rows, "")
    print_rows("Sent, and not over", lasting, "All that was sent is over.")


def _test(settings: Config, *, as_json: bool) -> None:
    async def work() -> dict[str, str]:
        clock = SystemClock()
        async with opened_download() as download:
            channels = channels_of(settings, download, clock)
            return await send_test(channels, clock.now_ms(), settings.server.public_url)

    results = run(work())
    if as_json:
        print_json([{"channel": name, "sent": not problem, "problem": problem} for name, problem in results.items()])
    else:
        for name, problem in results.items():
            say(f"{name}: {problem or 'sent.'}", "red" if problem else "")
    if any(results.values()):
        raise typer.Exit(1)


def _row(name: str, state: ChannelState) -> dict[str, Any]:
    return {
        "channel": name,
        "sent": state.sent,
        "last": clock_time(state.sent_ms) if state.sent_ms else "",
        "not_over": len(state.notified),
        "problem": state.problem,
        "tries": state.tries,
    }
