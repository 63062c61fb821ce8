"""Enter in AppsFlyer what flybridge needs: the Push API endpoint of an app and its token."""

from __future__ import annotations

from flybridge.appsflyer import push_config
from flybridge.config.apps import App, Platform, Route
from flybridge.config.settings import Config
from flybridge.config.template import push_url
from flybridge.delivery.exchange import HttpRequest, Transport
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.wiring import appsflyer_account_of


async def set_up(config: Config, app: App, transport: Transport) -> list[str]:
    """Set the app's Push API endpoint and token in AppsFlyer. Return what was done, in sentences.

    Other endpoints of the app stay as they are; the token is that of all of them. Raises `ConfigError` if a setting is
    missing, and `FlybridgeError` with AppsFlyer's reason.
    """
    account, secret = appsflyer_account_of(app), app.appsflyer.push_token
    where = f"apps[{config.apps.index(app)}]"
    if account is None:
        raise ConfigError(
            f"{where}.appsflyer.api_token", "is missing.", "Set AppsFlyer's API token V2 to apply a set-up."
        )
    if not config.server.public_url:
        raise ConfigError("server.public_url", "is missing.", "Set the address that AppsFlyer reaches flybridge by.")
    if app.platform is Platform.OTHER:
        raise ConfigError(
            f"{where}.platform", "is not one that AppsFlyer's API configures.", "Enter the endpoint by hand."
        )
    url = push_url(config, app)
    endpoints = push_config.read(await transport.send(push_config.read_request(account)))
    if isinstance(endpoints, str):
        raise FlybridgeError(endpoints)
    mine, in_app = push_config.ours(endpoints, url), app.route is Route.HTTP_V2
    done = []
    if len(mine) == 1 and not push_config.differences(
        mine[0], app.platform.value, in_app=in_app, streams=bool(app.streams)
    ):
        done.append(f"{app.name}: the endpoint {url} is as flybridge needs it already.")
    else:
        new = push_config.merged(endpoints, url, in_app=in_app)
        await _change(transport, push_config.write_request(account, new))
        done.append(f"{app.name}: the endpoint {url} is {'corrected' if mine else 'added'} in AppsFlyer.")
    if secret is not None and secret.reveal():
        header = app.appsflyer.token_header
        await _change(transport, push_config.token_request(account, secret.reveal(), header))
        others = len(endpoints) - len(mine)
        shared = f" The app's {others} other endpoints are sent it, too." if others else ""
        done.append(f"{app.name}: the token is set, in the header {header}.{shared}")
    return done


async def _change(transport: Transport, request: HttpRequest) -> None:
    if problem := push_config.refusal(await transport.send(request)):
        raise FlybridgeError(problem)
