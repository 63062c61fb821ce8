"""`flybridge setup`: what to enter at the vendors, and entering it in AppsFlyer."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec import structs

from flybridge.cli.common import AppName, ConfigPath, configured, within
from flybridge.cli.printing import say
from flybridge.config.template import what_to_paste
from flybridge.delivery.exchange import Transport
from flybridge.operations.setup import set_up
from flybridge.service.backends import opened_transport


def setup(
    config: ConfigPath = None,
    only_app: AppName = None,
    apply: Annotated[
        bool,
        typer.Option("--apply", help="Set the Push API endpoint and token in AppsFlyer, by apps.appsflyer.api_token."),
    ] = False,
) -> None:
    """Print what to enter in AppsFlyer and Amplitude, with the tokens in clear. --apply enters AppsFlyer's part."""
    settings = configured(config, only_app)
    apps = settings.apps_named(only_app)
    if not apply:
        typer.echo(what_to_paste(structs.replace(settings, apps=apps)))
        return

    async def work(transport: Transport) -> None:
        for app in apps:
            for sentence in await set_up(settings, app, transport):
                say(sentence)

    within(opened_transport(), work)
