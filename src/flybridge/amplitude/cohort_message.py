"""Messages of Amplitude about cohorts: webhook batches, and the calls of a list-based partner integration.

https://amplitude.com/docs/data/destination-catalog/cohort-webhooks and
https://amplitude.com/docs/partners/receiving-behavioral-cohorts (read 2026-11-24). A webhook batch is `{cohort_name,
cohort_id, in_cohort, computed_time, message_id, users: [{user_id, user_properties}]}`; `computed_time` is seconds as
text, `message_id` stays the same when it is sent again. A list is created with a name `[Amplitude] {cohort_name}:
{cohort_id}`, and members are added and removed with `{userIds: [...]}`; the customer chooses the content of the list
in the integration, so an entry may be an object with properties, too.

The list endpoints store a body inside a frame with the list and the action (`framed`), because both stand in the
address and the body has to stay as received.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from flybridge.amplitude.cohort_file import column
from flybridge.amplitude.stream import number_of, object_of, time_ms, users_of
from flybridge.amplitude.streamed import unwrapped
from flybridge.lenient_json import decode, json_type
from flybridge.system.yes_or_no import yes_or_no

FRAME: Final = "flybridge_list"
_FIELDS: Final = frozenset({"amplitude_id", "amplitude_attribution_ids", "amplitude_event_type"})
"""Fields of users and events whose names begin as those of flags do."""
ADD: Final = "add"
REMOVE: Final = "remove"


class CohortEntry(Struct, frozen=True):
    """One member in a message. `properties` is None if the message carries none."""

    user_id: str
    amplitude_id: str = ""
    properties: Mapping[str, Any] | None = None


class CohortMessage(Struct, frozen=True):
    """Members who entered or left a cohort. `computed_ms` is None if the message does not carry it.

    `unread` has the users that could not be read: they have properties or keys, but no id where one is looked for.
    """

    cohort: str
    entering: bool
    entries: Sequence[CohortEntry]
    title: str = ""
    message_id: str = ""
    computed_ms: int | None = None
    unread: Sequence[Any] = ()


def framed(cohort: str, action: str, body: bytes) -> bytes:
    """Return the JSON body of a list call inside its frame. What is no JSON stands in it as a text."""
    try:
        decode(body)
    except (msgspec.DecodeError, RecursionError):
        body = msgspec.json.encode(body.decode("utf-8", "replace"))
    return b'{"%s":%s,"action":%s,"message":%s}' % (
        FRAME.encode(),
        msgspec.json.encode(cohort),
        msgspec.json.encode(action),
        body.removeprefix(BOM_UTF8),  # within the frame it could not be read
    )


def cohort_of(name: str) -> str:
    """Return the cohort id in a list name such as `[Amplitude] {cohort_name}: {cohort_id}`; empty if there is none."""
    _, colon, cohort = name.rpartition(":")
    return cohort.strip() if colon else ""


def read_all(body: bytes) -> list[CohortMessage]:
    """Return the messages of a body: a webhook batch, a list call, or users who carry a flag for each cohort.

    Such users come from Amplitude's templates for updates per user (`amplitude_{cohort_name}_{cohort_id}`) and from
    property-based integrations (`traits` with `[Amplitude] {cohort_name}: {cohort_id}`). A template may put each of
    them into `{"input": {...}}` or a list. Raises `msgspec.DecodeError`.
    """
    message = unwrapped(decode(body))
    batch = _batch(message)
    if batch is not None:
        return [batch]
    batches = [_batch(part) for part in message] if isinstance(message, list) else []
    found = [one for one in batches if one is not None]
    if found and len(found) == len(batches):
        return found
    return _flagged(message)


def _flagged(message: Any) -> list[CohortMessage]:
    users = message.get("batch", message.get("users", message)) if isinstance(message, Mapping) else message
    found: dict[tuple[str, bool], list[CohortEntry]] = {}
    unread = []
    for user in users if isinstance(users, list) else (users,):
        entry = _entry(user) if isinstance(user, Mapping) else None
        flags = _flags(user) if entry is not None else {}
        if entry is None or not flags or None in flags.values():
            if not _is_anonymous(user):
                unread.append(user)
            continue
        for cohort, entering in flags.items():
            found.setdefault((cohort, bool(entering)), []).append(entry)
    messages = [CohortMessage(cohort, entering, entries) for (cohort, entering), entries in found.items()]
    if messages and unread:
        messages[0] = structs.replace(messages[0], unread=unread)
    return messages


def _flags(user: Mapping[str, Any]) -> dict[str, bool | None]:
    """Return whether a user is in a cohort, by cohort; None where that can't be read."""
    traits = user.get("traits")
    named = traits if isinstance(traits, Mapping) else user
    # Amplitude's page writes the name of such a trait with and without its own name before it.
    bare = named is traits and user.get("type") == "identify"
    flags = {}
    for name, value in named.items():
        if cohort := _flag_of(name) or (bare and _is_boolean(value) and cohort_of(name)):
            flags[cohort] = yes_or_no(value)
    return flags


def _is_anonymous(user: Any) -> bool:
    """Whether a user has the key of an id and no id in it: somebody without one, who is in no audience."""
    if not isinstance(user, Mapping):
        return user is None or (isinstance(user, str) and not user.strip())
    return not user or any(name in user and _is_anonymous(user[name]) for name in ("user_id", "userId"))


def _flag_of(name: str) -> str:
    """Return the cohort id in the name of a flag, empty if the name is none."""
    if name.startswith("[Amplitude] "):
        return cohort_of(name)
    return name.rpartition("_")[2] if name.startswith("amplitude_") and name not in _FIELDS else ""


def _batch(message: Any) -> CohortMessage | None:
    if not isinstance(message, Mapping):
        return None
    if FRAME in message:
        return _list_call(message)
    cohort, entering = _text(message.get("cohort_id")), yes_or_no(message.get("in_cohort"))
    if not cohort or entering is None or (members := _members(message.get("users"))) is None:
        return None
    return CohortMessage(
        cohort,
        entering,
        members[0],
        _text(message.get("cohort_name")),
        _text(message.get("message_id")),
        time_ms(message.get("computed_time")),
        members[1],
    )


def fault_of(message: Any) -> str:
    """Return which field of a batch can't be read, as part of a sentence; empty if the message has none of a batch."""
    if not isinstance(message, Mapping) or not {"cohort_id", "in_cohort"} & message.keys():
        return ""
    said, users = message.get("in_cohort"), message.get("users")
    if not _text(message.get("cohort_id")):
        return "cohort_id is missing"
    if said is None or yes_or_no(said) is None:
        return f"in_cohort is {'missing' if said is None else 'neither true nor false'}"
    if not isinstance(users, list):
        return "users is missing" if users is None else f"users is {json_type(users)} and not a list"
    return "no member of users has a user_id"


def without_frame(message: Any) -> Any:
    """Return a message as Amplitude sent it: of a list call its body."""
    return message.get("message") if isinstance(message, Mapping) and FRAME in message else message


def _list_call(frame: Mapping[str, Any]) -> CohortMessage | None:
    message, action = frame.get("message"), frame.get("action")
    users = message.get("userIds", message.get("users")) if isinstance(message, Mapping) else message
    if action not in {ADD, REMOVE} or (members := _members(users)) is None:
        return None
    return CohortMessage(_text(frame.get(FRAME)), action == ADD, members[0], unread=members[1])


def _members(users: Any) -> tuple[Sequence[CohortEntry], Sequence[Any]] | None:
    """Return the members in a list of users, and those that can't be read; None if it is no list or none can be."""
    users = users_of(users)
    if not isinstance(users, Sequence) or isinstance(users, str):
        return None
    read = [(user, _entry(user)) for user in users]
    entries = [entry for _, entry in read if entry is not None]
    if users and not entries:
        return None
    return entries, tuple(user for user, entry in read if entry is None and not _is_anonymous(user))


def _entry(user: Any) -> CohortEntry | None:
    if not isinstance(user, Mapping):
        name = _text(user)
        return CohortEntry(name) if name else None
    said = user.get("amplitude_id")
    name, number = _text(user.get("user_id", user.get("userId"))), number_of(said) or _text(said)
    if not name and not number:
        return None
    # Templates for one user leave properties beside the id, those of Amplitude's property-based syncs in `traits`.
    properties = user.get("user_properties", user.get("traits", user if len(user) > 1 else None))
    return CohortEntry(name, number, object_of(properties) or None)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _is_boolean(value: Any) -> bool:
    """Whether a trait is true or false itself, and not only one of the texts and numbers that may mean it."""
    return isinstance(value, bool) or (isinstance(value, str) and value.strip().lower() in {"true", "false"})


def value_of(properties: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return a look-up in a message's properties: by the exact name, or else as a column of a file is found."""
    columns: dict[str, Any] = {}

    def value(name: str) -> Any:
        if not name:
            return None
        if (found := properties.get(name)) is not None:
            return found
        if not columns:
            columns.update((column(key), one) for key, one in properties.items())
        return columns.get(column(name))

    return value


def shows_any(properties: Mapping[str, Any] | None, names: Collection[str]) -> bool:
    """Whether a message's properties include any of these, found as `value_of` finds them."""
    if properties is None:
        return False
    if any(name in properties for name in names):
        return True
    columns = {column(name) for name in properties}
    return any(column(name) in columns for name in names)
