"""Move an embedded directory to shared servers, with its account.

The store is copied as it is, and the received counts of the directory's inbox are added to the shared one, so that both
sides of the account move. The order makes a move that was interrupted repeatable: the received counts first, which
replace those of a former try, then the store in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from flybridge.config.settings import Config
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.inbox.nats.inbox import JetStreamInbox
from flybridge.insight.account import Account, balance
from flybridge.service import backends
from flybridge.store.protocol import Store
from flybridge.system.counted import plural


class Moved(Struct, frozen=True):
    """What was moved: rows by table, how many messages had been received, and the directory's account."""

    rows: Mapping[str, int]
    received: int
    account: Account


async def relocate(source: Config, target: Config, progress: Callable[[str, int], None]) -> Moved:
    """Move what `source` keeps in its directory to the servers of `target`, and check it there.

    Raises `ConfigError` if the two do not fit or a process works on the directory, and `FlybridgeError` if messages
    wait in it, its account does not balance, or the servers' store has filed something already. Then nothing has
    changed.
    """
    from flybridge.store.copy import copy_store  # noqa: PLC0415 - psycopg is an extra

    _fit(source, target)
    assert target.cluster is not None
    with backends.worker_id_of(source):
        async with backends.opened(source) as (inbox, store):
            received = await inbox.received()
            account = balance(received, await inbox.waiting(), await store.counts(), await store.audit())
        _at_rest(source, account)
        async with backends.opened(target) as (inbox, store):
            assert isinstance(inbox, JetStreamInbox)  # `_fit` has seen that it is a cluster
            if await store.counts():
                raise FlybridgeError(
                    "The cluster has filed messages already, and two ledgers can't become one. Stop its workers, and "
                    "name an empty database in cluster.postgres."
                )
            await inbox.carry(received)
            copied = await copy_store(source.data_dir / "store.db", target.cluster.postgres.reveal(), progress)
            await _same(account, received, inbox, store)
        async with backends.opened_inbox(source) as inbox:
            if await inbox.received() != received:
                raise FlybridgeError(
                    f"A process took messages into {source.data_dir} while it was moved. Stop it, start "
                    "no worker of the cluster, let `flybridge serve` process them, empty the database, and move again."
                )
    return Moved(copied, sum(received.values()), account)


def _fit(source: Config, target: Config) -> None:
    if source.cluster is not None:
        raise ConfigError(
            "cluster",
            "only an embedded directory can be moved.",
            "Name its configuration with --config, without [cluster].",
        )
    if target.cluster is None:
        raise ConfigError(
            "cluster", "is missing in the configuration of --to.", "Name the cluster's configuration with --to."
        )
    if target.secrets[0] != source.secrets[0] or not set(source.secrets) <= set(target.secrets):
        raise ConfigError(
            "secret",
            "the cluster has other secrets, and could open nothing.",
            "Use the same secret and former_secrets.",
        )
    if gone := [app.name for app in source.apps if target.app(app.name) is None]:
        raise ConfigError(
            "apps", f"the cluster does not have {', '.join(gone)}.", "Copy the [[apps]] of the embedded configuration."
        )
    if not (source.data_dir / "store.db").is_file():
        raise ConfigError("data_dir", f"there is no store in {source.data_dir}.", "Name the directory that is to move.")


def _at_rest(source: Config, account: Account) -> None:
    if waiting := sum(line.in_inbox for line in account.lines):
        raise FlybridgeError(
            f"{plural(waiting, 'message waits', 'messages wait')} in the inbox of {source.data_dir}. Direct the "
            "senders to the cluster's intakes, let `flybridge serve` process these, stop it, and move again."
        )
    if not account.balanced:
        raise FlybridgeError(
            f"{len(account.discrepancies)} figures of {source.data_dir} do not agree: see `flybridge account`. "
            "Nothing was moved."
        )


async def _same(before: Account, received: Mapping[tuple[str, str], int], inbox: JetStreamInbox, store: Store) -> None:
    """Check that the cluster shows each day as the directory did. What waits in its own inbox came since."""
    there, waiting = await inbox.received(), await inbox.waiting()
    ours = {key: n - waiting.get(key, 0) for key, n in there.items() if key in received}
    after = balance(ours, {}, await store.counts(), await store.audit())
    shown = {(line.app, line.day): (line.received, line.outcomes) for line in after.lines}
    for line in before.lines:
        if shown.get((line.app, line.day)) != (line.received, line.outcomes):
            raise FlybridgeError(
                f"The cluster's account of {line.app}, {line.day}, is not the directory's. Start no worker, empty the "
                "database, and move again."
            )
