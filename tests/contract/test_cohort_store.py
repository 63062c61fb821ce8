"""Cohorts in the store: the newest truth counts, a snapshot is whole or nothing, what is not known is sent again."""

from __future__ import annotations

import pytest
from filings import NOW_MS, envelope, key

from flybridge.errors import StoreUnavailable
from flybridge.records import DAY_MS, Apply, Filing, Member, MemberChange, Person, Source
from flybridge.store.audiences.records import EXTRAS_WAIT_MS, NEVER_MS, Action, Lack, Run, Target

LEASE_MS = 60_000
NONE = ""


def member(name: str, phone: str | None = None, *, told: bool = True, extra: bytes = b"", lack: int = 0) -> Member:
    """Build a member with a phone of their own, another's, or (the empty text) none."""
    phone = name if phone is None else phone
    if phone == NONE:
        return Member((key(name),), told=told, lack=lack, who=name)
    return Member((key(name),), (key(f"phone {phone}"),), "gaid", f"gaid-{phone}", told, who=name, extra=extra)


def logged_in(name: str, before: str) -> Member:
    """Build a member with a user id who was known by Amplitude's id before."""
    return Member((key(name),), (key(f"phone {name}"),), "gaid", f"gaid-{name}", who=name, anonymous=(key(before),))


async def say(store, *members: Member, at: int = 0, wanted: bool = True, audience: str = "spenders") -> None:
    """File what a message says, as computed so many milliseconds after now."""
    changes = tuple(MemberChange("shop", audience, NOW_MS + at, wanted, one) for one in members)
    persons = tuple(Person(one.persons + one.marks) for one in members)
    filing = Filing(envelope(source=Source.COHORT), Apply("cohort"), members=changes, persons=persons)
    await store.file([filing], NOW_MS)


async def take(cohorts, owner: str = "me", now_ms: int = NOW_MS):
    """Take the audience."""
    claim = await cohorts.claim("shop", "spenders", owner, now_ms, LEASE_MS)
    assert claim is not None
    return claim


async def snapshot(cohorts, *members: Member, at: int = 0, max_shrink: float | None = None):
    """Take a whole cohort over."""
    claim = await take(cohorts)
    await cohorts.stage(claim, members)
    applied = await cohorts.apply(claim, NOW_MS + at, max_shrink)
    await release(cohorts, claim)
    return applied


async def release(cohorts, claim, next_ms: int = NEVER_MS) -> None:
    """Give the audience back."""
    await cohorts.finish(claim, Run(began_ms=NOW_MS, ended_ms=NOW_MS), next_ms=next_ms, tries=0)


async def pending(cohorts, action: Action) -> list[str]:
    """Return what differs, and leave it not known."""
    claim = await take(cohorts)
    devices = await cohorts.changes(claim, action, 100, b"")
    await release(cohorts, claim)
    return sorted(device.value for device in devices)


async def send(cohorts) -> tuple[list[str], list[str]]:
    """Do all that differs; give what was added and removed."""
    claim, done = await take(cohorts), []
    for action in (Action.ADD, Action.REMOVE):
        devices = await cohorts.changes(claim, action, 100, b"")
        await cohorts.settle(claim, action, [device.mark for device in devices], NOW_MS)
        done.append(sorted(device.value for device in devices))
    await release(cohorts, claim)
    return done[0], done[1]


async def standing(cohorts):
    """Return how the audience stands."""
    (one,) = [one for one in await cohorts.standings(NOW_MS) if one.name == "spenders"]
    return one


async def test_what_is_wanted_is_added_and_then_nothing_differs(store, cohorts):
    """A device is given until AppsFlyer has it."""
    await say(store, member("ada"), member("bob"))
    assert await send(cohorts) == (["gaid-ada", "gaid-bob"], [])
    assert await send(cohorts) == ([], [])
    one = await standing(cohorts)
    assert (one.people, one.listed, one.to_add, one.to_remove) == (2, 2, 0, 0)


@pytest.mark.parametrize("first", ["enter", "leave"])
async def test_of_two_messages_the_later_computed_one_counts(first, store, cohorts):
    """Whichever comes first."""
    for which in (first, "leave" if first == "enter" else "enter"):
        await say(store, member("ada"), at=1000 if which == "enter" else 2000, wanted=which == "enter")
    assert await send(cohorts) == ([], [])
    assert (await standing(cohorts)).people == 0


@pytest.mark.parametrize("first", [True, False])
async def test_of_two_said_at_the_same_time_out_wins(first, store, cohorts):
    """In either order; the next message repairs what was meant otherwise."""
    for wanted in (first, not first):
        await say(store, member("ada"), wanted=wanted)
    assert (await standing(cohorts)).people == 0


async def test_a_repeated_message_changes_nothing(store, cohorts):
    """Also where it comes again after a later one."""
    await say(store, member("ada"), at=1000)
    await say(store, member("ada"), at=2000, wanted=False)
    await say(store, member("ada"), at=1000)
    assert (await standing(cohorts)).people == 0


async def test_a_snapshot_becomes_what_differs(store, cohorts):
    """Against what AppsFlyer has accepted, not against the last snapshot."""
    await snapshot(cohorts, member("ada"), member("bob"))
    await send(cohorts)
    applied = await snapshot(cohorts, member("bob"), member("cid"), at=1000)
    assert (applied.rows, applied.joined, applied.left) == (2, 1, 1)
    assert await send(cohorts) == (["gaid-cid"], ["gaid-ada"])


async def test_a_snapshot_wins_over_what_was_said_before_and_loses_to_what_is_said_later(store, cohorts):
    """A late message about before the snapshot is no news, also about somebody it removed."""
    await say(store, member("ada"), at=500)
    await say(store, member("bob"), at=1500)
    await snapshot(cohorts, member("cid"), at=1000)
    await say(store, member("ada"), at=900)
    await say(store, member("cid"), at=1000, wanted=False)
    assert await send(cohorts) == (["gaid-bob", "gaid-cid"], [])
    await say(store, member("cid"), at=1001, wanted=False)
    assert await send(cohorts) == ([], ["gaid-cid"])


async def test_what_is_staged_and_not_taken_over_changes_nothing(store, cohorts, open_cohorts):
    """The download broke off, or the process died; the next one starts anew."""
    await say(store, member("ada"))
    claim = await take(cohorts)
    await cohorts.stage(claim, [member("bob")])
    other = await open_cohorts()
    later = await take(other, "another", NOW_MS + LEASE_MS)
    await other.stage(later, [member("ada"), member("cid")])
    with pytest.raises(StoreUnavailable, match="Another process runs"):
        await cohorts.apply(claim, NOW_MS + 1, None)
    assert (await standing(cohorts)).people == 1
    applied = await other.apply(later, NOW_MS + 1, None)
    assert (applied.rows, applied.joined, applied.left) == (2, 1, 0)
    await release(other, later)


@pytest.mark.parametrize("lack", [0, int(Lack.CONSENT)])
async def test_the_shrink_guard_counts_those_who_stay_without_an_identifier(store, cohorts, lack):
    """A property that was renamed would empty the audience, and nobody would have left the cohort."""
    lacking = [member(name, NONE, lack=lack) for name in "abcd"]
    others = [member(name, NONE) for name in "uvwxyz"]
    await snapshot(cohorts, *(member(name) for name in "abcd"), *others)
    await send(cohorts)
    applied = await snapshot(cohorts, *lacking[:3], member("d"), *others, at=1, max_shrink=0.5)
    assert (applied.held, applied.held_of) == (3, 4)
    assert (await send(cohorts), (await standing(cohorts)).held) == (([], []), 3)
    applied = await snapshot(cohorts, *lacking[:2], member("c"), member("d"), *others, at=2, max_shrink=0.5)
    assert applied.held == 0
    assert await send(cohorts) == ([], ["gaid-a", "gaid-b"])
    await snapshot(cohorts, *lacking, *others, at=3)
    assert await send(cohorts) == ([], ["gaid-c", "gaid-d"])
    assert await cohorts.audit() == []


async def test_the_shrink_guard_holds_a_snapshot_that_removes_too_many(store, cohorts):
    """More than the share: nothing changes but what the audience says about itself. Accepted, it passes."""
    await snapshot(cohorts, *map(member, "abcd"))
    assert (await snapshot(cohorts, member("a"), at=1, max_shrink=0.5)).held == 3
    one = await standing(cohorts)
    assert (one.people, one.held, one.snapshot_ms) == (4, 3, NOW_MS)
    assert (await snapshot(cohorts, member("a"), member("b"), at=2, max_shrink=0.5)).left == 2
    assert (await snapshot(cohorts, at=3)).left == 2
    assert ((await standing(cohorts)).held, (await standing(cohorts)).people) == (0, 0)


async def test_a_device_that_two_share_stays_as_long_as_one_wants_it(store, cohorts):
    """A family's tablet."""
    await say(store, member("ada"), member("bob", "ada"))
    assert await send(cohorts) == (["gaid-ada"], [])
    await say(store, member("ada"), at=1, wanted=False)
    assert await send(cohorts) == ([], [])
    await snapshot(cohorts, at=2)
    assert await send(cohorts) == ([], ["gaid-ada"])


async def test_another_phone_takes_the_place_of_the_first(store, cohorts):
    """By message and by snapshot."""
    await say(store, member("ada"), member("bob"))
    await send(cohorts)
    await say(store, member("ada", "ada's second"), at=1)
    assert await send(cohorts) == (["gaid-ada's second"], ["gaid-ada"])
    await snapshot(cohorts, member("ada", "ada's third"), member("bob"), at=2)
    assert await send(cohorts) == (["gaid-ada's third"], ["gaid-ada's second"])


async def test_a_message_that_says_nothing_about_identifiers_keeps_the_known_one(store, cohorts):
    """And one that says there is none takes it away; the member is then listed as lacking, by name."""
    await say(store, member("ada"))
    await send(cohorts)
    await say(store, member("ada", NONE, told=False), at=1)
    await snapshot(cohorts, member("ada", NONE, told=False), at=2)
    assert await send(cohorts) == ([], [])
    await say(store, member("ada", NONE), at=3)
    assert await send(cohorts) == ([], ["gaid-ada"])
    assert (await standing(cohorts)).lacking == 1
    (lacking,) = await cohorts.lacking("shop", "spenders", 10)
    assert (lacking.who, lacking.lack) == ("ada", Lack.IDENTIFIER)


async def test_consent_withdrawn_takes_out_and_is_counted(store, cohorts):
    """In a snapshot as in a message."""
    await snapshot(cohorts, member("ada"), member("bob"))
    await send(cohorts)
    await snapshot(cohorts, member("ada"), member("bob", NONE, lack=int(Lack.CONSENT)), at=1)
    assert await send(cohorts) == ([], ["gaid-bob"])
    assert [one.lack for one in await cohorts.lacking("shop", "spenders", 10)] == [Lack.CONSENT]


async def test_what_was_given_and_not_settled_is_given_again(store, cohorts):
    """The answer was lost: it may be in, so that it is added again, or removed if nobody wants it any more."""
    await say(store, member("ada"), member("bob"))
    assert await pending(cohorts, Action.ADD) == ["gaid-ada", "gaid-bob"]
    await say(store, member("bob"), at=1, wanted=False)
    assert await pending(cohorts, Action.ADD) == ["gaid-ada"]
    assert await send(cohorts) == (["gaid-ada"], ["gaid-bob"])


async def test_a_device_that_comes_back_while_it_is_removed_is_added_again(store, cohorts):
    """What is settled is what AppsFlyer has, not what is wanted."""
    await say(store, member("ada"))
    await send(cohorts)
    await say(store, member("ada"), at=1, wanted=False)
    claim = await take(cohorts)
    devices = await cohorts.changes(claim, Action.REMOVE, 100, b"")
    await say(store, member("ada"), at=2)
    await cohorts.settle(claim, Action.REMOVE, [device.mark for device in devices], NOW_MS)
    await release(cohorts, claim)
    assert await send(cohorts) == (["gaid-ada"], [])


async def test_one_owner_at_a_time_and_a_former_one_changes_nothing(store, cohorts):
    """A lease lapses; then another may have it, and late answers are stale."""
    await say(store, member("ada"))
    claim = await take(cohorts)
    devices = await cohorts.changes(claim, Action.ADD, 100, b"")
    assert await cohorts.claim("shop", "spenders", "another", NOW_MS, LEASE_MS) is None
    other = await take(cohorts, "another", NOW_MS + LEASE_MS)
    assert not await cohorts.renew(claim, NOW_MS, LEASE_MS)
    assert await cohorts.settle(claim, Action.ADD, [device.mark for device in devices], NOW_MS) == 0
    assert await cohorts.changes(claim, Action.ADD, 100, b"") == []
    await release(cohorts, claim, next_ms=0)
    assert (await standing(cohorts)).running
    await release(cohorts, other)
    assert await send(cohorts) == (["gaid-ada"], [])


async def test_who_finds_an_audience_due_too_late_does_not_run_it_again(store, cohorts):
    """Somebody else has, between the look and the claim. Who does not ask whether it is due may."""
    await release(cohorts, await take(cohorts), next_ms=NOW_MS + 100)
    assert await cohorts.claim("shop", "spenders", "late", NOW_MS + 99, LEASE_MS, due=True) is None
    assert await cohorts.claim("shop", "spenders", "in time", NOW_MS + 100, LEASE_MS, due=True) is not None


async def test_changes_are_given_in_pages(store, cohorts):
    """Each device once in a pass, in the order of marks."""
    await say(store, *map(member, "abcde"))
    claim, after, seen = await take(cohorts), b"", []
    while page := await cohorts.changes(claim, Action.ADD, 2, after):
        assert len(page) <= 2
        seen += [device.value for device in page]
        after = page[-1].mark
    await release(cohorts, claim)
    assert sorted(seen) == [f"gaid-{name}" for name in "abcde"]


async def test_a_refused_device_is_counted_and_not_given_again(store, cohorts):
    """Until nobody wants it; then nothing of it is kept."""
    await say(store, member("ada"))
    claim = await take(cohorts)
    (device,) = await cohorts.changes(claim, Action.ADD, 100, b"")
    await cohorts.settle(claim, Action.ADD, [device.mark], NOW_MS, refused=True)
    await release(cohorts, claim)
    assert await send(cohorts) == ([], [])
    assert (await standing(cohorts)).refused == 1
    await say(store, member("ada"), at=1, wanted=False)
    assert await send(cohorts) == ([], [])
    assert (await standing(cohorts)).refused == 0


async def test_overwriting_makes_the_rest_to_be_added_and_forgets_what_is_out(store, cohorts):
    """What AppsFlyer had before does not matter any more."""
    await say(store, *map(member, "abc"))
    await send(cohorts)
    await say(store, member("a"), at=1, wanted=False)
    claim = await take(cohorts)
    await cohorts.empty(claim)
    first = await cohorts.changes(claim, Action.ADD, 1, b"")
    await cohorts.settle(claim, Action.OVERWRITE, [device.mark for device in first], NOW_MS)
    await release(cohorts, claim)
    added, removed = await send(cohorts)
    assert (len(added), removed, (await standing(cohorts)).listed) == (1, [], 2)
    assert {*added, first[0].value} == {"gaid-b", "gaid-c"}


async def test_another_import_key_is_an_empty_audience(store, cohorts):
    """All is to be added there, nothing to be removed."""
    await say(store, member("ada"), member("bob"))
    await send(cohorts)
    await say(store, member("bob"), at=1, wanted=False)
    await cohorts.keep([Target("shop", "spenders", "c1", b"another key")])
    assert await send(cohorts) == (["gaid-ada"], [])


async def test_a_person_who_is_forgotten_is_removed_and_does_not_come_back(store, cohorts):
    """By message or by snapshot; the identifier is kept until AppsFlyer has removed it, then it is gone."""
    await say(store, member("ada"), member("bob"))
    await send(cohorts)
    receipt = await store.forget([key("ada")], NOW_MS + 5, receipt="r")
    assert receipt.removed.audiences == 1
    assert [one.name for one in await cohorts.due(NOW_MS)] == ["spenders"]
    await say(store, member("ada"), at=10)
    await snapshot(cohorts, member("ada"), member("bob"), at=20)
    assert await send(cohorts) == ([], ["gaid-ada"])
    assert await send(cohorts) == ([], [])
    assert ((await standing(cohorts)).people, (await standing(cohorts)).listed) == (1, 1)


async def test_a_person_is_forgotten_by_their_device_too(store, cohorts):
    """Whoever names the advertising id means everybody on it."""
    await say(store, member("ada"), member("bob", "ada"), member("cid"))
    await send(cohorts)
    assert (await store.forget([key("phone ada")], NOW_MS + 5, receipt="r")).removed.audiences == 1
    assert await send(cohorts) == ([], ["gaid-ada"])
    await snapshot(cohorts, member("dan", "ada"), member("cid"), at=20)
    assert await send(cohorts) == ([], [])


async def test_a_person_who_is_forgotten_by_a_device_leaves_the_audiences_without_it(store, cohorts):
    """A snapshot shows whose it is. Neither another audience nor another device brings them back."""
    await snapshot(cohorts, member("ada"), member("bob"))
    await send(cohorts)
    named = Member((key("ada"),), (key("ada"),), "cuid", "ada", who="ada")
    await say(store, named, audience="others")
    assert key("ada") in await store.linked([key("phone ada")])
    assert (await store.forget([key("phone ada")], NOW_MS + 5, receipt="r")).removed.audiences == 2
    assert await send(cohorts) == ([], ["gaid-ada"])
    applied = await snapshot(cohorts, member("ada", "ada 2"), member("bob"), at=20)
    assert (applied.joined, await send(cohorts)) == (0, ([], []))
    await say(store, named, at=10, audience="others")
    assert {one.name: one.people for one in await cohorts.standings(NOW_MS)} == {"others": 0, "spenders": 1}


async def test_a_device_of_very_many_members_says_of_no_one_who_they_are(store, cohorts):
    """It is removed from the audience with all of them, and no other device of theirs is."""
    await snapshot(cohorts, *(member(f"guest {number}", "shared") for number in range(51)))
    assert key("guest 7") not in await store.linked([key("phone shared")])
    assert (await store.forget([key("phone shared")], NOW_MS + 5, receipt="r")).removed.shared == 1
    applied = await snapshot(cohorts, member("guest 7"), member("guest 8", "shared"), at=20)
    assert (applied.joined, await send(cohorts)) == (1, (["gaid-guest 7"], []))


async def test_a_person_who_is_forgotten_before_being_sent_leaves_nothing(store, cohorts):
    """There is nothing to be removed."""
    await say(store, member("ada"))
    await store.forget([key("ada")], NOW_MS + 5, receipt="r")
    assert await send(cohorts) == ([], [])


async def test_a_person_who_is_forgotten_while_it_runs_makes_it_due_at_once(store, cohorts):
    """Giving the claim back does not put it off."""
    await say(store, member("ada"))
    await send(cohorts)
    claim = await take(cohorts)
    await store.forget([key("ada")], NOW_MS + 5, receipt="r")
    await release(cohorts, claim, next_ms=NEVER_MS)
    assert [one.name for one in await cohorts.due(NOW_MS)] == ["spenders"]


async def test_additional_identifiers_are_sent_the_day_after_and_once_more(store, cohorts):
    """AppsFlyer knows a device from the day after it was first reported. They are erased when they were sent twice."""
    await say(store, member("ada", extra=b"one"))
    claim = await take(cohorts)
    assert await cohorts.extras(claim, 10, b"", NOW_MS + 9 * DAY_MS) == []
    assert await cohorts.extras_due(claim) == NEVER_MS
    await release(cohorts, claim)
    await send(cohorts)
    claim = await take(cohorts)
    for due_ms in (NOW_MS + EXTRAS_WAIT_MS, NOW_MS + 2 * EXTRAS_WAIT_MS):
        assert await cohorts.extras_due(claim) == due_ms
        assert await cohorts.extras(claim, 10, b"", due_ms - 1) == []
        (told,) = await cohorts.extras(claim, 10, b"", due_ms)
        assert (told.value, told.extra) == ("gaid-ada", b"one")
        await cohorts.settle_extras(claim, [told], due_ms)
    assert await cohorts.extras(claim, 10, b"", NOW_MS + 9 * DAY_MS) == []
    assert await cohorts.extras_due(claim) == NEVER_MS
    await release(cohorts, claim)
    await snapshot(cohorts, member("ada", extra=b"two"), at=2)
    claim = await take(cohorts)
    (told,) = await cohorts.extras(claim, 10, b"", NOW_MS + 9 * DAY_MS)
    assert told.extra == b"two"
    await release(cohorts, claim)


async def test_additional_identifiers_are_taken_back_at_once(store, cohorts):
    """When their person is forgotten, also on the day of the report."""
    await say(store, member("ada", extra=b"one"))
    await send(cohorts)
    await store.forget([key("ada")], NOW_MS + 5, receipt="r")
    claim = await take(cohorts)
    told = await cohorts.extras(claim, 10, b"", NOW_MS + 5)
    assert [one.extra for one in told] == [b""]
    await cohorts.settle_extras(claim, told, NOW_MS + 5)
    assert await cohorts.extras_due(claim) == NEVER_MS
    await release(cohorts, claim)
    assert await send(cohorts) == ([], ["gaid-ada"])


async def test_the_name_of_a_cohort_shows_nobody(store, cohorts):
    """Somebody may have named it after a customer."""
    change = MemberChange("shop", "spenders", NOW_MS, True, member("ada"), "Like ada@example.com")
    await store.file([Filing(envelope(source=Source.COHORT), Apply("cohort"), members=(change,))], NOW_MS)
    assert (await take(cohorts)).title == "Like [email]"


async def test_import_keys_of_created_audiences_are_kept_sealed(store, cohorts):
    """By app and name; an audience that is dropped takes its key with it."""
    assert await cohorts.import_keys() == {}
    await cohorts.keep_import_key("shop", "spenders", "a secret key")
    assert await cohorts.import_keys() == {("shop", "spenders"): "a secret key"}
    assert await cohorts.drop("shop", "spenders")
    assert await cohorts.import_keys() == {}


async def test_runs_are_written_down_and_an_audience_is_due_when_it_is(store, cohorts):
    """The newest first."""
    claim = await take(cohorts)
    run = Run(began_ms=NOW_MS, ended_ms=NOW_MS + 5, outcome="failed", reason="no_answer", added=3)
    await cohorts.finish(claim, run, next_ms=NOW_MS + 100, tries=2)
    assert [one.name for one in await cohorts.due(NOW_MS + 99)] == []
    (due,) = await cohorts.due(NOW_MS + 100)
    assert (due.tries, due.complete_ms, due.ran_ms) == (2, 0, NOW_MS + 5)
    await release(cohorts, await take(cohorts))
    history = await cohorts.history("shop", "spenders")
    assert [(app, name, one.outcome, one.added) for app, name, one in history] == [
        ("shop", "spenders", "failed", 3),
        ("shop", "spenders", "done", 0),
    ]


async def test_what_was_learnt_is_remembered(store, cohorts):
    """The limit of a request, the cohort's name, and a request that is under way."""
    claim = await take(cohorts)
    await cohorts.learn(claim, max_devices=500, title="Spenders")
    await cohorts.requested(claim, "r1", NOW_MS)
    await release(cohorts, claim)
    claim = await take(cohorts)
    assert (claim.max_devices, claim.title, claim.request_id, claim.requested_ms) == (500, "Spenders", "r1", NOW_MS)
    await release(cohorts, claim)


async def test_retention_forgets_runs_and_people_who_are_out(store, cohorts):
    """What was said before that time is no news from then on."""
    await say(store, member("ada"))
    await say(store, member("ada"), at=1, wanted=False)
    await release(cohorts, await take(cohorts))
    assert await cohorts.prune(NOW_MS + 31 * DAY_MS) == 2
    await say(store, member("ada"))
    assert ((await standing(cohorts)).people, await cohorts.history()) == (0, [])


async def test_an_audience_can_be_dropped(store, cohorts):
    """Nothing of it is left here."""
    await say(store, member("ada"))
    assert await cohorts.drop("shop", "spenders")
    assert not await cohorts.drop("shop", "spenders")
    assert await cohorts.standings(NOW_MS) == []


async def test_audiences_do_not_know_each_other(store, cohorts):
    """The same person in two of them is in both."""
    await cohorts.keep([Target("shop", "others", "c2", b"key 2")])
    await say(store, member("ada"))
    await say(store, member("ada"), audience="others")
    await say(store, member("ada"), at=1, wanted=False, audience="others")
    assert await send(cohorts) == (["gaid-ada"], [])


async def test_who_logs_in_has_not_left(store, cohorts):
    """In a snapshot and in a message: their row has another key, and nothing is sent."""
    await snapshot(cohorts, member("7", "ada"), member("8", "bob"))
    assert await send(cohorts) == (["gaid-ada", "gaid-bob"], [])
    applied = await snapshot(cohorts, logged_in("ada", "7"), member("8", "bob"), at=1, max_shrink=0.0)
    assert (applied.held, applied.joined, applied.left) == (0, 0, 0)
    await say(store, logged_in("bob", "8"), at=2)
    assert await send(cohorts) == ([], [])
    assert (await standing(cohorts)).people == 2
    await say(store, member("ada"), member("bob"), at=3, wanted=False)
    assert await send(cohorts) == ([], ["gaid-ada", "gaid-bob"])
    assert (await standing(cohorts)).people == 0
    assert await cohorts.audit() == []


async def test_a_person_who_logged_in_is_forgotten_by_their_user_id(store, cohorts):
    """Amplitude's own id need not be known for it."""
    await snapshot(cohorts, member("7", "ada"))
    await snapshot(cohorts, logged_in("ada", "7"), at=1)
    await send(cohorts)
    assert (await store.forget([key("ada")], NOW_MS + 100, receipt="r")).removed.audiences == 1
    assert await send(cohorts) == ([], ["gaid-ada"])
    applied = await snapshot(cohorts, logged_in("ada", "7"), at=200)
    assert applied.joined == 0


async def test_rows_of_both_ids_become_one(store, cohorts):
    """A message knew the user id, a snapshot Amplitude's: the next snapshot with both keeps one of them."""
    await say(store, member("ada"))
    await snapshot(cohorts, member("ada"), member("7", "ada"), at=1)
    await send(cohorts)
    await snapshot(cohorts, logged_in("ada", "7"), at=2)
    assert await send(cohorts) == ([], [])
    assert (await standing(cohorts)).people == 1
    assert await cohorts.audit() == []
