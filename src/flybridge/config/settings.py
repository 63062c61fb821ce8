"""The configuration: one TOML file, read once, checked as a whole, and never changed after that.

`load` is strict: a key it does not know, a value of the wrong kind and settings that contradict each other
are refused as `errors.ConfigError`, with the path of the key and what to write instead.

The text under each field is its documentation: docs/reference/config.md is printed from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, field

from flybridge.amplitude.event import MIN_ID_LENGTH
from flybridge.config.apps import App
from flybridge.config.check import check_console, check_notify, check_origin, check_secret
from flybridge.config.check_apps import check_app, check_never_both, check_shared, check_trailing_days
from flybridge.config.console import Console
from flybridge.config.env_file import NAME as ENV_FILE
from flybridge.config.env_file import read_env_file
from flybridge.config.read import ConfigReader, parse, unset_variables
from flybridge.delivery.settings import DeliverySettings
from flybridge.errors import ConfigError
from flybridge.notifications.settings import Notify
from flybridge.store.records import Retention
from flybridge.system.secret import Secret

DEFAULT_PATH: Final = "flybridge.toml"
PATH_VARIABLE: Final = "FLYBRIDGE_CONFIG"


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The address to listen on, and limits of intake."""

    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    """The address to listen on. `0.0.0.0` for all; put a proxy that speaks TLS in front."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8700
    """The port to listen on. 0 lets the system choose."""
    public_url: str = ""
    """The address at which AppsFlyer and Amplitude reach flybridge, such as `https://bridge.example.com`. It is shown
    with the values to enter at the vendors, entered by `flybridge setup --apply`, and linked in notifications, and the
    console answers under its name. Empty: host and port are shown."""
    max_body_bytes: Annotated[int, Meta(ge=1024, le=64 * 1024 * 1024)] = 1_000_000
    """The largest message taken, in bytes. A larger one is answered 413. The default fits what a NATS server takes."""
    max_pending: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """How many messages may wait for the disk at once, in one process. One more is answered 503 with
    `Retry-After`, so that memory stays bounded."""
    metrics_token: Secret | None = None
    """The bearer token of `/metrics`, `/openapi.json` and the details of `/readyz`: 8 characters or more. Absent: they
    answer direct requests from private networks, made to an address or a name without a domain."""
    drain_s: Annotated[float, Meta(ge=0, le=300)] = 0.0
    """How long messages are still accepted after SIGTERM while `/readyz` answers 503, in seconds: the time that a load
    balancer needs to notice. 0 without one."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


class Cluster(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shared servers for several machines. Absent: everything is embedded in `data_dir`."""

    nats: Annotated[tuple[Secret, ...], Meta(min_length=1)]
    """Addresses of the NATS servers whose JetStream is the inbox, `nats://host:4222`. They may hold a password
    and are not printed. nats-server 2.12 or newer."""
    postgres: Secret
    """The address of the PostgreSQL database that is the store. It may hold a password and is not printed."""
    stream: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")] = "flybridge"
    """The name of the stream, and the beginning of its subjects. It is created if missing."""
    replicas: Annotated[int, Meta(ge=1, le=5)] = 3
    """On how many NATS servers each message is kept. A message is answered 200 when most of them have it: with 3, one
    server may be lost."""
    max_bytes: Annotated[int, Meta(ge=0)] = 0
    """The most bytes that may wait in the stream, on each server. Beyond that, senders are answered 503; nothing stored
    is dropped. It has to be below the servers' own limit, at which nothing can be acknowledged either. 0: a stream
    without a bound gets 13.7 GB, or half, a quarter, ... of that if the servers have less."""
    max_age_hours: Annotated[float, Meta(ge=0)] = 0.0
    """After how many hours NATS drops an unprocessed message. It is lost then, and the account says so.
    0: never."""


class Insight(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is counted about performance, for all apps."""

    max_cells: Annotated[int, Meta(ge=1, le=10_000_000)] = 20_000
    """How many combinations of kind, event, media source, campaign, country and platform are counted by name for one
    app and day. All others are counted together as `(other)`."""
    costs_every_hours: Annotated[float, Meta(ge=1, le=168)] = 8.0
    """How often costs are pulled, where `apps.insight` says from where. Each time the last 90 days are replaced, by two
    of the 24 calls that AppsFlyer's aggregate reports allow an app in a day (120 an account)."""
    reconcile_days: Annotated[int, Meta(ge=0, le=31)] = 7
    """How many days up to yesterday are compared with AppsFlyer and Amplitude, once a day, for apps with an
    `appsflyer.api_token` or an `amplitude.secret_key`. 0 compares none by itself; see `flybridge reconcile`.
    What in the figures is worth a look is found once a day in any case; see `flybridge findings`."""
    reconcile_by_export: bool = False
    """Whether each event is looked for in Amplitude by its insert id, too, with the Export API: the events of the whole
    project are downloaded, two hours late. It shows exactly what another integration has sent, and names the events
    that were sent and are not there."""
    reconcile_events: Annotated[int, Meta(ge=0, le=200)] = 10
    """How many in-app events of each day are compared with Amplitude, the most frequent first. Each costs one query a
    day; one with revenue costs a second query, which counts as three."""
    reconcile_by_raw_data: bool = True
    """Whether AppsFlyer's raw data is read for it, too, for apps with an `appsflyer.api_token`: it takes one of the
    calls that AppsFlyer allows for each report and day. It says what each event was worth and in which currency, so
    that differences in revenue can be split, and which messages never came."""
    reconcile_by_master: bool = False
    """Whether in-app events are compared by name with AppsFlyer's counts of the day on which they happened, for apps
    with an `appsflyer.api_token`. Only AppsFlyer's Master API has these, which is premium; without it all in-app events
    together are compared by the day of the install."""
    reconcile_by_cohorts: bool = False
    """Whether the cohorts of installs are compared as well, for apps with an `appsflyer.api_token`: those of each day
    2 days after they are 0, 1, 3, 7, 14, 30, 60 and 90 days old. AppsFlyer's Cohort API, which is premium, is asked 16
    times a day for an app, and no more than 30 of the 60 times a minute that it allows an account."""


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    data_dir: Path = Path("./data")
    """The directory of the embedded inbox and store. A relative one starts at the configuration file."""
    secret: Secret
    """The key for hashing identifiers and encrypting stored data: 16 characters or more. If it is lost, queued data
    cannot be decrypted."""
    former_secrets: tuple[Secret, ...] = ()
    """Earlier secrets. Data and hashes made with them are still read, so that `secret` can be changed."""
    server: Server = field(default_factory=Server)
    """The HTTP server."""
    cluster: Cluster | None = None
    """Shared servers for several machines."""
    console: Console = field(default_factory=Console)
    """The web console."""
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    """How deliveries are sent."""
    retention: Retention = field(default_factory=Retention)
    """How long data is kept."""
    insight: Insight = field(default_factory=Insight)
    """What is counted about performance."""
    notify: Notify = field(default_factory=Notify)
    """Who is notified when something needs attention."""
    apps: tuple[App, ...]
    """The apps, one `[[apps]]` each."""

    @property
    def shortest_id(self) -> int:
        """How long an id of a user or device is at least, for any of the apps."""
        return min((app.amplitude.min_id_length for app in self.apps), default=MIN_ID_LENGTH)

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """All secrets as bytes, the current one first."""
        return tuple(secret.reveal().encode() for secret in (self.secret, *self.former_secrets))

    def app(self, name: str) -> App | None:
        """Return the app of that name; None if there is none."""
        return next((app for app in self.apps if app.name == name), None)

    def apps_named(self, name: str | None) -> tuple[App, ...]:
        """Return the app of that name, all apps for None."""
        return tuple(app for app in self.apps if name in (None, app.name))


def find(path: Path | None, env: Mapping[str, str]) -> Path:
    """Return the path of the configuration: the argument, else FLYBRIDGE_CONFIG, else ./flybridge.toml."""
    return path or Path(env.get(PATH_VARIABLE) or DEFAULT_PATH)


def load(path: Path | None, env: Mapping[str, str]) -> Config:
    """Read and check the configuration file. Raises `errors.ConfigError`, with a remedy, on the first fault."""
    path = find(path, env)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            "",
            f"There is no configuration file {path}.",
            f"Run `flybridge init` to write one, or name another with --config or {PATH_VARIABLE}.",
        ) from None
    except UnicodeDecodeError:
        raise ConfigError("", f"The configuration file {path} is not UTF-8 text.", "Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(
            "", f"The configuration file {path} can't be read: {error.strerror}.", "Check its path and its permissions."
        ) from None
    base = path.absolute().parent
    return loads(text, base, {**read_env_file(base / ENV_FILE), **env})


def loads(text: str, base: Path, env: Mapping[str, str]) -> Config:
    """Read and check a configuration given as TOML text. Relative paths start at `base`."""
    tables = parse(text)
    if len(unset := unset_variables(tables, env)) > 1:
        raise ConfigError(
            "",
            f"{len(unset)} environment variables that the configuration names are not set: {', '.join(unset)}.",
            "Set them, or write them as NAME=value into a file .env beside the configuration.",
        )
    config: Config = ConfigReader(base, env).read(Config, tables)
    check_secret("secret", config.secret)
    for number, former in enumerate(config.former_secrets):
        check_secret(f"former_secrets[{number}]", former)
    users = [(f"console.users[{number}].password", user.password) for number, user in enumerate(config.console.users)]
    for path, secret in (
        ("console.password", config.console.password),
        ("server.metrics_token", config.server.metrics_token),
        *users,
    ):
        if secret is not None and len(secret.reveal()) < 8:
            raise ConfigError(path, "needs 8 characters or more.", "Make one with `openssl rand -hex 16`.")
    check_origin("server.public_url", config.server.public_url)
    check_console(config.console)
    check_notify(config.notify)
    if not config.apps:
        raise ConfigError("apps", "there is no app.", "Add one [[apps]] section for each app.")
    seen: dict[str, int] = {}
    for number, app in enumerate(config.apps):
        if app.name in seen:
            raise ConfigError(
                f"apps[{number}].name",
                f"apps[{seen[app.name]}] is called {app.name!r} too.",
                "Give every app a name of its own.",
            )
        seen[app.name] = number
        check_app(f"apps[{number}]", app, open_intake=config.server.loopback)
        check_trailing_days(f"apps[{number}]", app, config.retention.dedup_days)
    check_never_both(config.apps)
    check_shared(config.apps)
    return config


def shown(config: Config) -> dict[str, Any]:
    """Return the configuration as plain values, with `***` for every secret."""
    plain: dict[str, Any] = msgspec.to_builtins(config, enc_hook=str)
    return plain
