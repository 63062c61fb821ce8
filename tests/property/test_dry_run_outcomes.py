"""What a dry run says of rows is what the import of the same files then does with them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from test_column_prospects import DEVICE, RULES, files

from empty_stores import write_empty_store
from flybridge.appsflyer.raw_report import BAD_ROW
from flybridge.errors import FlybridgeError
from flybridge.flow import AppFlow, Flow
from flybridge.history.files import find_files
from flybridge.history.raw_rows import RawRows
from flybridge.history.rows import UTC_TIMES, RawRow
from flybridge.history.run import HistoryImport, ImportPlan
from flybridge.identity import IdKind, Keyring
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.mapping.to_appsflyer.rules import StreamRules
from flybridge.records import Apply, Envelope, Filing, Hold, Media, Sighting, Source
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.clocks import ManualClock

NOW_MS = 1_790_000_000_000
ASKED_MS = 1_742_000_000_000
"""Between the days on which the events of drawn files happened."""
KEYRING = Keyring(b"secret")
KINDS = {"sent": "pending", "held until its user is known": "held"}
PERSONS = (
    (IdKind.APPSFLYER_ID, "1700000000000-1234567"),
    (IdKind.APPSFLYER_ID, "1-2"),
    (IdKind.CUSTOMER_USER_ID, "ann"),
    (IdKind.IDFA, "AEBE52E7-03EE-455A-B3C4-E57283966239"),
)


async def filed_before(store: SqliteStore, flow: Flow, paths: Sequence[Path]) -> None:
    """File every third row of these files, as far as they can be read, as if it had been pushed."""
    for path in paths:
        (file,) = find_files([str(path)])
        with suppress(FlybridgeError):
            for number, row in enumerate(list(RawRows(file, UTC_TIMES, None))[::3]):
                if isinstance(row, RawRow):
                    receipt = f"{path.name}.{number}"
                    envelope = Envelope("shop", Source.FILE, Media.JSON, NOW_MS, row.body, receipt, ordinal=1)
                    await store.file(flow.filings([envelope]), NOW_MS)


def _theirs(filings: Sequence[Filing], gone: Iterable[tuple[IdKind, str]], *, again: bool) -> set[bytes]:
    """Return the keys that rows show to be those of forgotten people, with `again` also of rows that came before."""
    theirs = {key for kind, value in gone for key in KEYRING.keys("shop", kind, value)}
    for _ in range(len(filings) if again else 1):
        for person in [person for filing in filings for person in filing.persons]:
            if not theirs.isdisjoint(person.keys):
                theirs.update(person.keys)
    return theirs


@given(
    contents=st.lists(files(), min_size=1, max_size=3),
    rules=st.sampled_from(RULES),
    days=st.sampled_from(((0, 2**62), (0, 2**62), (1_740_873_601_000, 1_743_000_000_000))),
    names=st.permutations(("january.csv", "in_app_events_report.csv", "installs_report.csv")),
    known=st.booleans(),
    streamed=st.sampled_from(((), ("buy", "af_*"))),
    named=st.booleans(),
    gone=st.just(set()) | st.sets(st.sampled_from(PERSONS)),
    seen=st.just(set()) | st.sets(st.sampled_from(PERSONS)),
)
@settings(max_examples=40, deadline=None)
async def test_a_dry_run_says_what_the_import_does(
    *, contents, rules: Rules, days, names, known, streamed, named, gone, seen
):
    """By outcome: whatever was filed before or sent to AppsFlyer, whoever is forgotten, and whose users are known."""
    streams = (StreamRules(app="shop", platform=rules.platform, events=streamed),) if streamed else ()
    flow = Flow({"shop": AppFlow(rules, streams=streams)}, KEYRING)
    with tempfile.TemporaryDirectory() as place:
        paths = [Path(place) / name for name in names[: len(contents)]]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content if named else content.replace(DEVICE.encode(), b"x"))
        store = SqliteStore(write_empty_store(Path(place) / "store.db"), Seal(b"secret"))
        await store.open()
        if known:
            await filed_before(store, flow, paths)
        for number, (kind, value) in enumerate(sorted(gone)):
            keys = KEYRING.keys("shop", kind, value)
            await store.forget(keys, ASKED_MS, receipt=f"request {number}")
        sighted = [
            Sighting("shop", key, kind.word, NOW_MS, user_id="ann")
            for kind, value in sorted(seen)
            for key in KEYRING.keys("shop", kind, value)
        ]
        export = Envelope("shop", Source.SIGHTINGS, Media.JSON, NOW_MS, b"", "sightings")
        await store.file([Filing(export, Apply("sighting"), sightings=tuple(sighted))], NOW_MS)
        by_attribution = rules.double_attribution == "both"
        found = find_files([str(path) for path in paths])
        plan = ImportPlan("shop", rules.app_id, found, "UTC", *days, by_attribution=by_attribution)
        with closing(HistoryImport(plan, Path(place), ManualClock(NOW_MS))) as importing:
            survey = await importing.survey(flow, store)
        taken: dict[int, list[Envelope]] = {0: []}
        """The envelopes of each file."""

        async def accept(envelope: Envelope) -> None:
            of_file = taken[len(taken) - 1]
            of_file.append(structs.replace(envelope, receipt=f"{len(taken)}.{len(of_file)}"))

        with closing(HistoryImport(plan, Path(place), ManualClock(NOW_MS))) as importing:
            await importing.survey()
            await importing.take(accept, lambda *_: taken.setdefault(len(taken), []))
        said, really, bad, done = Counter[str](), Counter[str](), 0, list[Filing]()
        for envelopes in taken.values():
            filings = flow.filings(envelopes)
            whole = [one for one in filings if getattr(one.decision, "reason", "") != BAD_ROW]
            bad += len(filings) - len(whole)
            for outcome, n in (await store.file(whole, NOW_MS)).outcomes.items():
                really[outcome] += n
            done += whole
        await store.close()
        assert survey.bad == bad
        # A dry run reads each row once: that an earlier one was theirs is not known before.
        if _theirs(done, gone, again=False) != _theirs(done, gone, again=True):
            return
        for of_report in survey.outcomes.values():
            for outcome, n in of_report.items():
                said[KINDS.get(outcome, outcome.partition(":")[0])] += n
        # What one row shows of the user of another is not known before.
        taught = {sighting.key for filing in done for sighting in filing.sightings}
        holds = [filing.decision.keys for filing in done if isinstance(filing.decision, Hold)]
        shown = said["held"] - really["held"]
        assert 0 <= shown <= sum(not taught.isdisjoint(keys) for keys in holds)
        said["pending"] += shown
        said["held"] -= shown
        assert +said == +really
