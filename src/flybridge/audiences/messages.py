"""Membership changes out of cohort messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import structs

from flybridge.amplitude import cohort_message
from flybridge.amplitude.cohort_message import CohortMessage, shows_any, value_of
from flybridge.amplitude.streamed import keys_of, not_understood, unwrapped
from flybridge.audiences.rules import AudienceRule, member_of
from flybridge.identity import Keyring
from flybridge.lenient_json import decode
from flybridge.records import Apply, Dead, Filing, MemberChange, Person, Source, content_key


def with_members(filing: Filing, rules: Sequence[AudienceRule], keyring: Keyring) -> Filing:
    """Return the filing with the membership changes of its message, for every audience of that cohort.

    A message about another cohort is returned as it is; one that can't be read becomes a dead letter. So does one with
    members that can't be read, and the others are filed.
    """
    envelope = filing.envelope
    if not rules or envelope.source is not Source.COHORT or isinstance(filing.decision, Dead):
        return filing
    messages = cohort_message.read_all(envelope.body)
    if not messages:
        sent = cohort_message.without_frame(decode(envelope.body))
        fault = cohort_message.fault_of(unwrapped(sent))
        return structs.replace(filing, decision=not_understood(sent, "cohort", fault))
    followed = [(message, rule) for message in messages for rule in rules if rule.settings.cohort == message.cohort]
    if not followed:
        return filing
    changes = []
    for message, rule in followed:
        said_ms = min(message.computed_ms or envelope.received_ms, envelope.received_ms)
        for entry in message.entries:
            value, told = value_of(entry.properties or {}), shows_any(entry.properties, rule.properties)
            member = member_of(rule, keyring, entry.user_id, entry.amplitude_id, value, told=told)
            if member is not None:
                changes.append(MemberChange(rule.app, rule.audience, said_ms, message.entering, member, message.title))
    # The same list of people may come again with a new meaning, unless it carries the time it was computed.
    (first, *_) = messages
    key = filing.key if first.computed_ms is not None else None
    if first.message_id:
        key = content_key(envelope.app.encode(), b"cohort", first.message_id.encode())
    members = [change.member for change in changes]
    persons = filing.persons or tuple(Person(one.persons + one.anonymous + one.marks) for one in members)
    decision = unread(messages) or Apply("cohort")
    return structs.replace(filing, decision=decision, key=key, members=tuple(changes), persons=persons)


def unread(messages: Sequence[CohortMessage]) -> Dead | None:
    """Return the dead letter of messages with members that can't be read; None if all can be."""
    left = [user for message in messages for user in message.unread]
    if not left:
        return None
    keys = next((", ".join(keys_of(user)) for user in left if isinstance(user, Mapping)), "")
    named = f"the keys of the first are {keys}" if keys else "they are not objects"
    return Dead(
        "decode",
        "not_understood",
        f"Of {len(left) + sum(len(message.entries) for message in messages)} members {len(left)} can't be read, the "
        f"others are taken: {named}.",
        "Send user_id for each member, and a cohort's flag as true or false, then replay.",
    )
