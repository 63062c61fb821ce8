"""The generator's truth against the bridge's own pure journey: nothing missing, doubled, unexpected or different."""

from __future__ import annotations

from collections import Counter, defaultdict

import msgspec
import pytest

from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.identity.matching import choose
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Apply, Dead, Deliver, Envelope, Filter, Hold, Media, Refuse, Sighting, Source
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate
from flybridge.sandbox.traffic.truth import Fate, Truth, compare
from flybridge.sandbox.vendors.ledger import ProjectLedger
from flybridge.sandbox.vendors.record import KINDS
from flybridge.sandbox.vendors.validation import Attribution, UploadedEvent

APPS = (TrafficApp("shop-android", "android", "com.example.shop"), TrafficApp("shop-ios", "ios", "id1234567890"))
FATES = {
    Deliver: Fate.DELIVERED,
    Hold: Fate.HELD,
    Filter: Fate.FILTERED,
    Refuse: Fate.REFUSED,
    Apply: Fate.APPLIED,
    Dead: Fate.DEAD,
}


class Run:
    """One stream through `Flow`, straight into a ledger per app: no store, no network."""

    def __init__(self, route: str, seed: int, policy: str) -> None:
        self.route = route
        rules = {app.name: Rules(app=app.name, platform=app.platform, route=route, restrictions={"restricted": policy})
                 for app in APPS}  # fmt: skip
        self.flow = Flow({name: AppFlow(rule) for name, rule in rules.items()}, Keyring(b"s" * 32))
        self.ledgers = {app.name: ProjectLedger(app.name) for app in APPS}
        self.truths: dict[str, list[Truth]] = defaultdict(list)
        self.wrong_fates: Counter[tuple[str, str, str]] = Counter()
        self._keys: set[bytes | None] = set()
        self._sightings: dict[bytes, list[Sighting]] = defaultdict(list)
        holds: list[tuple[Truth, Hold]] = []
        options = TrafficOptions(late_seen=0.1, malformed=0.02, odd=0.02, restricted_policy=policy)
        for message in generate(seed, 6000, APPS, options):
            truth = message.truth
            self.truths[truth.app].append(truth)
            decision = self._file(message.body, truth, "stream" in message.path)
            if isinstance(decision, Deliver):
                self._send(truth.app, decision, decision.user_id, decision.device_id)
            elif isinstance(decision, Hold):
                holds.append((truth, decision))
        for truth, hold in holds:
            match = choose(sighting for key in hold.keys for sighting in self._sightings[key])
            if match is not None:
                self._send(truth.app, hold.item, match.user_id, match.device_id)

    def _file(self, body: bytes, truth: Truth, is_stream: bool) -> object:
        source = Source.STREAM if is_stream else Source.PUSH
        (filing,) = self.flow.filings([Envelope(truth.app, source, Media.JSON, truth.time_ms, body, str(truth.id))])
        is_repeat = filing.key in self._keys
        self._keys.add(filing.key)
        found = Fate.DUPLICATE if is_repeat else FATES[type(filing.decision)]
        wanted = truth.expected(self.route).fate
        if self.route == "http_v2" and truth.waits:
            wanted = Fate.HELD
        if found is not wanted:
            self.wrong_fates[truth.kind, wanted.value, found.value] += 1
        if is_repeat:
            return None
        for sighting in filing.sightings:
            self._sightings[sighting.key].append(sighting)
        return filing.decision

    def _send(self, app: str, item: Deliver, user_id: str | None, device_id: str | None) -> None:
        events = [msgspec.json.decode(line) for line in item.body.splitlines()]
        if self.route == "attribution":
            self.ledgers[app].attribute(msgspec.convert(events[0], Attribution), 0)
        else:
            who = {"user_id": user_id, "device_id": device_id}
            self.ledgers[app].apply([msgspec.convert(fields | who, UploadedEvent) for fields in events], 0)


@pytest.mark.parametrize(
    ("route", "kind", "policy"),
    [
        ("http_v2", "saved", "organic"),
        ("http_v2", "saved", "redact"),
        ("http_v2", "saved", "drop"),
        ("attribution", "waiting", "organic"),
        ("attribution", "waiting", "pass"),
    ],
)
def test_what_the_bridge_makes_of_the_traffic_is_the_truth(route, kind, policy):
    """Every fate is the expected one, and Amplitude holds exactly the true events with their true values."""
    run = Run(route, seed=11, policy=policy)
    assert run.wrong_fates == Counter()
    for app in APPS:
        found = compare(run.truths[app.name], KINDS[kind](run.ledgers[app.name]), route=route)
        assert found.agrees, (found.missing[:5], found.doubled[:5], found.unexpected[:2], found.different[:5])
        assert found.right > 100
