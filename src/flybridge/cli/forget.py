"""`flybridge forget`: removing a person."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer

from flybridge.cli.audit import audited
from flybridge.cli.common import AppName, AsJson, ConfigPath, configured, with_store
from flybridge.cli.printing import print_json, print_rows, say
from flybridge.clock import SystemClock
from flybridge.identity import Keyring
from flybridge.operations.forget import PersonIds
from flybridge.operations.forget import forget as forget_person
from flybridge.service import backends
from flybridge.store.protocol import Store
from flybridge.store.receipt import Receipt

Given = str | None


def forget(
    config: ConfigPath = None,
    customer_user_id: Annotated[Given, typer.Option("--customer-user-id", help="The company's id of the user.")] = None,
    device_id: Annotated[Given, typer.Option("--device-id", help="The Amplitude device id.")] = None,
    appsflyer_id: Annotated[Given, typer.Option("--appsflyer-id", help="The AppsFlyer id.")] = None,
    advertising_id: Annotated[
        Given, typer.Option("--advertising-id", help="An advertising, vendor or App Set id.")
    ] = None,
    only_app: AppName = None,
    no_vendors: Annotated[bool, typer.Option("--no-vendors", help="Don't ask Amplitude and AppsFlyer.")] = False,
    requester: Annotated[str, typer.Option("--requester", help="Who asks, for Amplitude's records.")] = "",
    as_json: AsJson = False,
) -> None:
    """Remove a person everywhere, ask the vendors to do so too, and print a receipt. May be run again."""
    person = PersonIds(customer_user_id, device_id, appsflyer_id, advertising_id)
    if not person.values:
        raise typer.BadParameter("Name the person by at least one id.")
    settings = configured(config, only_app)

    async def work(store: Store) -> Receipt:
        keyring, clock = Keyring(*settings.secrets), SystemClock()
        async with nullcontext() if no_vendors else backends.opened_transport() as transport:
            return await forget_person(
                person,
                settings.apps_named(only_app),
                store,
                keyring,
                clock=clock,
                transport=transport,
                requester=requester,
            )

    with audited(settings, "forget", only_app or "all apps") as result:
        receipt = with_store(settings, work)
        result.detail, result.ok = f"Receipt {receipt.id}.", receipt.settled
    if as_json:
        print_json(receipt_rows(receipt))
    else:
        show_receipt(receipt)
    if not receipt.settled:
        raise typer.Exit(1)


def receipt_rows(receipt: Receipt) -> dict[str, Any]:
    """Return a receipt as plain values. It holds no identifier of a person."""
    return {
        "receipt": receipt.id,
        "made": datetime.fromtimestamp(receipt.made_ms / 1000, UTC).isoformat(timespec="seconds"),
        "keys": [key.hex() for key in receipt.keys],
        "settled": receipt.settled,
        "removed": msgspec.structs.asdict(receipt.removed),
        "vendors": [
            {name: value for name, value in msgspec.structs.asdict(step).items() if name != "changed_ms"}
            for step in receipt.steps
        ],
    }


def show_receipt(receipt: Receipt) -> None:
    removed = receipt.removed
    say(f"Receipt {receipt.id}")
    rows = [
        {"what": "installations found", "n": removed.installations},
        {"what": "waiting events ended and erased", "n": removed.held},
        {"what": "deliveries ended and erased", "n": removed.pending},
        {"what": "dead letters ended and erased", "n": removed.dead},
        {"what": "ledger rows made anonymous", "n": removed.anonymised},
        {"what": "sightings deleted", "n": removed.sightings},
        {"what": "audiences left; AppsFlyer is asked in their next run, at once", "n": removed.audiences},
        {"what": "tombstones in place", "n": removed.tombstones},
    ]
    print_rows("Removed here", rows, "")
    if removed.shared:
        say(f"{removed.shared} identifiers are shared by so many installations that they were not followed.")
    columns = ("vendor", "app", "kind", "state", "detail")
    steps = [{name: getattr(step, name) for name in columns} for step in receipt.steps]
    print_rows("Asked of the vendors", steps, "The vendors were not asked.")
    if not receipt.settled:
        say("Not everything is done: do what is said above, and run the same command again.", "bold")
