"""Members of cohorts are filed and forgotten with everything else, on every store."""

from __future__ import annotations

from filings import NOW_MS, envelope, key

from flybridge.records import Apply, Filing, Member, MemberChange, Person, Source


def said(name: str, *, at: int, wanted: bool = True, phone: str = "phone", extra: bytes = b"") -> Filing:
    """Say that somebody came into a cohort or left it."""
    member = Member((key(name),), (key(phone),), "gaid", phone, extra=extra)
    change = MemberChange("shop", "spenders", NOW_MS + at, wanted, member, "Spenders")
    person = Person((key(name), key(phone)))
    return Filing(envelope(source=Source.COHORT), Apply("cohort"), members=(change,), persons=(person,))


async def audiences(store, name: str, receipt: str) -> int:
    """Forget somebody; give in how many audiences they were."""
    return (await store.forget([key(name)], NOW_MS + 100, receipt=receipt)).removed.audiences


async def test_members_are_filed_with_their_line_and_forgotten_with_their_person(store):
    """Who came, who came and left, who shares a phone; and who was never there."""
    await store.file([said("ada", at=1), said("bob", at=1, extra=b"{}"), said("cid", at=1, phone="other")], NOW_MS)
    await store.file([said("cid", at=2, wanted=False, phone="other"), said("bob", at=2, extra=b"{1}")], NOW_MS)
    assert await audiences(store, "eve", "r1") == 0
    assert await audiences(store, "ada", "r2") == 1
    assert await audiences(store, "bob", "r3") <= 1
    await store.file([said("ada", at=200)], NOW_MS)
    assert {count.outcome: count.n for count in await store.counts()}["forgotten"] >= 1
    assert await store.audit() == []
