"""Membership changes out of cohort messages."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from flybridge.amplitude import cohort_message
from flybridge.amplitude.streamed import not_understood
from flybridge.appsflyer.additional import extra_of
from flybridge.audiences.rules import AudienceRule, is_told, member_of
from flybridge.identity import Keyring
from flybridge.lenient_json import decode
from flybridge.records import Apply, Dead, Filing, MemberChange, Person, Source, content_key


def with_members(filing: Filing, rules: Sequence[AudienceRule], keyring: Keyring) -> Filing:
    """Return the filing with the membership changes of its message, for every audience of that cohort.

    A message about another cohort is returned as it is; one that can't be read becomes a dead letter.
    """
    envelope = filing.envelope
    if not rules or envelope.source is not Source.COHORT or isinstance(filing.decision, Dead):
        return filing
    messages = cohort_message.read_all(envelope.body)
    if not messages:
        return structs.replace(filing, decision=not_understood(decode(envelope.body), "cohort"))
    followed = [(message, rule) for message in messages for rule in rules if rule.cohort == message.cohort]
    if not followed:
        return filing
    changes = []
    for message, rule in followed:
        said_ms = min(message.computed_ms or envelope.received_ms, envelope.received_ms)
        for entry in message.entries:
            value, told = (entry.properties or {}).get, is_told(rule, entry.properties)
            member = member_of(rule, keyring, extra_of, entry.user_id, entry.amplitude_id, value, told=told)
            if member is not None:
                changes.append(MemberChange(rule.app, rule.audience, said_ms, message.entering, member, message.title))
    # The same list of people may come again with a new meaning, unless it carries the time it was computed.
    (first, *_) = messages
    key = filing.key if first.computed_ms is not None else None
    if first.message_id:
        key = content_key(envelope.app.encode(), b"cohort", first.message_id.encode())
    members = [change.member for change in changes]
    persons = filing.persons or tuple(Person(one.persons + one.anonymous + one.marks) for one in members)
    return structs.replace(filing, decision=Apply("cohort"), key=key, members=tuple(changes), persons=persons)
