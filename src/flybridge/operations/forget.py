"""Remove a person: from the store, from what could not be read, and at the vendors, by their own deletion APIs.

A removal can be repeated: what is done stays done, and a vendor request that failed is sent again under the same id.
The receipt says which steps are done and holds no identifier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence, Set
from typing import Final
from uuid import UUID, uuid4

from msgspec import Struct, structs

from flybridge.amplitude import deletion as amplitude
from flybridge.amplitude.stream import device_ids
from flybridge.appsflyer import deletion as appsflyer
from flybridge.clock import Clock
from flybridge.config.apps import App
from flybridge.delivery.exchange import Erasure, HttpRequest, Transport
from flybridge.errors import FlybridgeError, TransportError
from flybridge.identity import IdKind, Keyring, device_identifier, installation, usable
from flybridge.identity.mentions import keys_in, mentions
from flybridge.records import DeadLetter
from flybridge.store.protocol import Store
from flybridge.store.receipt import Receipt, VendorStep
from flybridge.wiring import appsflyer_account_of, cohort_credentials_of

ADVERTISING: Final = (IdKind.IDFA, IdKind.ADID, IdKind.OAID, IdKind.IDFV, IdKind.APP_SET_ID)

PAGE: Final = 500
"""How many dead letters are held in memory."""

ASKED_OF_AMPLITUDE: Final = (IdKind.CUSTOMER_USER_ID, IdKind.AMPLITUDE_DEVICE_ID)
ASKED_OF_APPSFLYER: Final = (
    IdKind.APPSFLYER_ID, IdKind.CUSTOMER_USER_ID, IdKind.IDFA, IdKind.IDFV, IdKind.ADID, appsflyer.AMAZON
)  # fmt: skip
"""The kinds of ids that each vendor finds people by; AppsFlyer not by all of them on every platform."""

NOT_ASKED: Final = {
    "amplitude": "Amplitude was not asked: it finds people by --customer-user-id or --device-id. Name one of them, or "
    "look the person up in Amplitude and delete them there.",
    "appsflyer": "AppsFlyer was not asked: on this platform it does not find people by these ids. Name --appsflyer-id "
    "or --customer-user-id, or ask AppsFlyer by hand.",
}
OTHER_IDS: Final = (
    "Amplitude was not asked: mapping.customer_user_id says that its user ids are not AppsFlyer's. Name --device-id, "
    "or look the person up in Amplitude and delete them there."
)
NOT_SET: Final = {
    "amplitude": "The app has no apps.amplitude.secret_key: set it and run the command again, or delete by hand.",
    "appsflyer": "The app has no apps.appsflyer.api_token: set it and run the command again, or ask AppsFlyer by hand.",
}


class PersonIds(Struct, frozen=True):
    """The ids that a person is found by. `device_id` is Amplitude's."""

    customer_user_id: str | None = None
    device_id: str | None = None
    appsflyer_id: str | None = None
    advertising_id: str | None = None

    @property
    def values(self) -> tuple[str, ...]:
        """The ids, trimmed, without zeros and placeholders, and what a device id was made of."""
        made_of = [value for _, value in device_ids(usable(self.device_id) or "", "")]
        given = dict.fromkeys([*(value for _, value in self.kinds), *made_of])
        return tuple(found for value in given if (found := usable(value)) is not None)

    @property
    def kinds(self) -> list[tuple[IdKind, str | None]]:
        """The ids with the kinds that they may be of. Those of devices are without quotes and braces around them."""
        found = [(IdKind.CUSTOMER_USER_ID, self.customer_user_id)]
        found.append((IdKind.AMPLITUDE_DEVICE_ID, self.device_id))
        found.append((IdKind.APPSFLYER_ID, installation(self.appsflyer_id)))
        advertising_id = device_identifier(self.advertising_id) or self.advertising_id
        return found + [(kind, advertising_id) for kind in ADVERTISING]

    def of_kind(self, kind: str) -> str | None:
        """Return the id of a kind; None if there is none. An advertising id may be Amazon's."""
        return dict(self.kinds).get(IdKind.ADID if kind == appsflyer.AMAZON else IdKind(kind))


def keys_of(person: PersonIds, apps: Iterable[App], keyring: Keyring) -> tuple[bytes, ...]:
    """Return the matching keys of a person's ids in these apps, under every secret, in a fixed order.

    A device id is searched for as what Amplitude's SDKs make it of, too: a vendor, advertising or App Set id.
    """
    device_id = usable(person.device_id) or ""
    ids = [*person.kinds, (IdKind.IDFV, person.device_id)]
    # An app that streams to AppsFlyer keeps who is installed where under keys of their own.
    streamed = [(IdKind.INSTALLED_BY_USER, person.customer_user_id), (IdKind.INSTALLED_ON_DEVICE, person.device_id)]
    keys: set[bytes] = set()
    for app in apps:
        for kind, value in (*ids, *device_ids(device_id, app.platform), *(streamed if app.streams else ())):
            keys.update(keyring.keys(app.name, kind, value))
    return tuple(sorted(keys))


async def forget(
    person: PersonIds,
    apps: Sequence[App],
    store: Store,
    keyring: Keyring,
    *,
    clock: Clock,
    transport: Transport | None = None,
    requester: str = "",
) -> Receipt:
    """Remove a person from the store, and ask the vendors to if there is a transport. Return the receipt.

    Raises `FlybridgeError` if no id is usable, or if the ids lead to too many installations.
    """
    keys = keys_of(person, apps, keyring)
    if not keys:
        raise FlybridgeError("None of these ids is usable: they are empty, zeros or placeholders. Nothing was removed.")
    earlier = await store.receipts(keys=keys, limit=1)
    unfinished = bool(earlier) and not earlier[0].settled
    receipt = await store.forget(
        keys,
        clock.now_ms(),
        receipt=earlier[0].id if unfinished else uuid4().hex,
        also=await _unreadable(store, person, apps, keys, keyring),
    )
    if transport is None:
        return receipt
    steps = _merged(plan(person, apps), receipt.steps)
    for number, step in enumerate(steps):
        await store.note(receipt.id, steps)
        if step.state != "open":
            continue
        app = next(app for app in apps if app.name == step.app)
        if step.vendor == "amplitude" and any(s.vendor == "amplitude" and s.changed_ms for s in steps[:number]):
            await clock.sleep(amplitude.INTERVAL_S)
        steps[number] = await _ask(step, person, app, transport=transport, clock=clock, requester=requester)
    await store.note(receipt.id, steps)
    return structs.replace(receipt, steps=tuple(steps))


async def _unreadable(
    store: Store, person: PersonIds, apps: Sequence[App], keys: Sequence[bytes], keyring: Keyring
) -> list[int]:
    """Find the dead letters whose content mentions the person: what could not be read has no matching keys.

    They are searched for the ids that were named, and those that could not be read at all also for what else is known
    to be the person's, of which there are only keys.
    """
    names = {app.name for app in apps}
    others = (await store.linked(keys)).difference(keys)
    found: list[int] = []
    after = 0
    while ids := await store.dead_ids(after=after, limit=PAGE):
        letters = [letter for letter in await store.dead(ids=ids) if letter.app in names]
        found += await asyncio.to_thread(_mentioning, letters, person.values, others, keyring)
        after = ids[-1]
    return found


def _mentioning(
    letters: Iterable[DeadLetter], values: Sequence[str], others: Set[bytes], keyring: Keyring
) -> list[int]:
    return [
        letter.id
        for letter in letters
        if mentions(letter.body, values)
        or (
            bool(others)
            and (letter.stage == "decode" or letter.reason == "fault")
            and not others.isdisjoint(keys_in(letter.body, letter.app, keyring))
        )
    ]


def plan(person: PersonIds, apps: Iterable[App]) -> list[VendorStep]:
    """Return the requests to the vendors, and why some can't be made."""
    steps: list[VendorStep] = []
    projects: set[str] = set()
    for app in apps:
        project, obstacle = app.amplitude.api_key.reveal(), ("open", "")
        if project in projects:
            obstacle = ("skipped", "The project is another app's, too: asked there.")
        elif app.amplitude.secret_key is None:
            obstacle = ("failed", NOT_SET["amplitude"])
        found = _steps("amplitude", person, app, _asked_of_amplitude(app), obstacle)
        projects.update(project for step in found if step.state == "open")
        kinds = [kind for kind in ASKED_OF_APPSFLYER if kind in appsflyer.IDENTITIES[app.platform.value]]
        obstacle = ("open", "") if app.appsflyer.api_token is not None else ("failed", NOT_SET["appsflyer"])
        steps += found + _steps("appsflyer", person, app, kinds, obstacle)
    return steps


def _asked_of_amplitude(app: App) -> tuple[IdKind, ...]:
    """Return the kinds of ids that Amplitude is asked by. AppsFlyer's user id may be another person's there."""
    return ASKED_OF_AMPLITUDE if app.mapping.customer_user != "never" else (IdKind.AMPLITUDE_DEVICE_ID,)


def _steps(
    vendor: str, person: PersonIds, app: App, kinds: Sequence[str], obstacle: tuple[str, str]
) -> list[VendorStep]:
    """Return the requests to a vendor, one for each id of these kinds. `obstacle` is a state and why they are in it."""
    state, detail = obstacle
    steps = [
        VendorStep(vendor, app.name, str(kind), uuid4().hex, state, detail=detail)
        for kind in kinds
        if usable(person.of_kind(kind)) is not None
    ]
    why = NOT_ASKED[vendor]
    if vendor == "amplitude" and person.customer_user_id and IdKind.CUSTOMER_USER_ID not in kinds:
        why = OTHER_IDS
    return steps or [VendorStep(vendor, app.name, "", uuid4().hex, "failed", detail=why)]


def _merged(planned: Iterable[VendorStep], before: Iterable[VendorStep]) -> list[VendorStep]:
    """Return the planned steps with what an earlier run has done, and with its request ids."""
    known = {(step.vendor, step.app, step.kind): step for step in before}
    merged = []
    for step in planned:
        old = known.get((step.vendor, step.app, step.kind))
        if old is None or old.state == "done":
            merged.append(old or step)
        else:
            merged.append(structs.replace(step, request_id=old.request_id))
    return merged


async def _ask(
    step: VendorStep, person: PersonIds, app: App, *, transport: Transport, clock: Clock, requester: str
) -> VendorStep:
    """Send the requests of a step, which lacks no setting."""
    try:
        if step.vendor == "amplitude":
            status, read = await _ask_amplitude(step, person, app, transport, requester)
        else:
            identity = appsflyer.IDENTITIES[app.platform.value][step.kind]
            response = await transport.send(_appsflyer_request(step, person, app, identity, clock.now_ms()))
            status, read = response.status, appsflyer.read(response, identity)
    except TransportError as problem:
        detail = f"{problem}: run the command again."
        return structs.replace(step, state="failed", status=0, detail=detail, changed_ms=clock.now_ms())
    state = "done" if read.done else "failed"
    return structs.replace(step, state=state, status=status, detail=read.detail, changed_ms=clock.now_ms())


async def _ask_amplitude(
    step: VendorStep, person: PersonIds, app: App, transport: Transport, requester: str
) -> tuple[int, Erasure]:
    account = cohort_credentials_of(app)
    assert account is not None, "the plan has seen to it"
    user: str | int = (person.of_kind(IdKind(step.kind)) or "").strip()
    if step.kind == IdKind.AMPLITUDE_DEVICE_ID.value:
        response = await transport.send(amplitude.search_request(account, str(user)))
        found = amplitude.read_search(response)
        if isinstance(found, Erasure):
            return response.status, found
        user = found
    response = await transport.send(amplitude.request(account, user, requester))
    return response.status, amplitude.read(response)


def _appsflyer_request(step: VendorStep, person: PersonIds, app: App, identity: str, now_ms: int) -> HttpRequest:
    account = appsflyer_account_of(app)
    assert account is not None, "the plan has seen to it"
    return appsflyer.request(
        account,
        request_id=str(UUID(step.request_id)),
        identity=identity,
        value=(person.of_kind(step.kind) or "").strip(),
        now_ms=now_ms,
    )
