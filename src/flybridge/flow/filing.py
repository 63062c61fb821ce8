"""The pipeline from envelope to filing, for messages of every source. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from msgspec import structs

from flybridge.flow.amplitude_messages import AmplitudeMessages
from flybridge.flow.app import AppFlow
from flybridge.flow.person_keys import PersonKeys
from flybridge.flow.postbacks import Postbacks
from flybridge.identity import Keyring
from flybridge.identity.mentions import keys_in
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import (
    Dead,
    Envelope,
    Filing,
    Source,
    digest_of,
)

POSTBACKS: Final = frozenset({Source.PUSH, Source.FILE, Source.PULL, Source.LOCKER})
"""What brings messages of AppsFlyer; the others bring Amplitude's."""

PART: Final = 64
"""So many envelopes go through the steps of the mapping together: what is made of them, some ten kilobytes each, stays
in the processor's second cache from step to step. Of fewer each costs more code, and more push each other out."""

Steps = Callable[[Sequence[tuple[Envelope, AppFlow]]], list[Filing]]
"""What makes filings of messages of AppsFlyer."""


class Flow:
    """Turns envelopes into filings by the rules of their app."""

    def __init__(self, apps: Mapping[str, AppFlow], keyring: Keyring) -> None:
        self._apps, self._keyring = apps, keyring
        keys = PersonKeys(keyring)
        self._postbacks, self._amplitude = Postbacks(keys), AmplitudeMessages(keys, keyring)

    def rules_of(self, app: str) -> Rules | None:
        """Return the mapping rules of an app; None if it is not configured."""
        found = self._apps.get(app)
        return None if found is None else found.rules

    def has_streams(self, app: str) -> bool:
        """Whether events of an app go from Amplitude to AppsFlyer, which may report them back."""
        found = self._apps.get(app)
        return found is not None and bool(found.streams)

    def filings(self, envelopes: Iterable[Envelope]) -> list[Filing]:
        """Process a batch. Every envelope gives exactly one filing."""
        return [self._with_mentions(filing) for filing in self._in_parts(envelopes, self._postbacks.filings)]

    def _in_parts(self, envelopes: Iterable[Envelope], of_postbacks: Steps) -> list[Filing]:
        batch = list(envelopes)
        return [
            filing
            for start in range(0, len(batch), PART)
            for filing in self._part(batch[start : start + PART], of_postbacks)
        ]

    def _part(self, part: Sequence[Envelope], of_postbacks: Steps) -> list[Filing]:
        apps = [self._apps.get(envelope.app) if envelope.source in POSTBACKS else None for envelope in part]
        try:
            filed = iter(
                of_postbacks([(envelope, app) for envelope, app in zip(part, apps, strict=True) if app is not None])
            )
            return [
                self.safe_filing(envelope) if app is None else next(filed)
                for envelope, app in zip(part, apps, strict=True)
            ]
        except Exception:  # nothing has happened yet: one by one, so that only the message that fails is a dead letter
            return [self.safe_filing(envelope) for envelope in part]

    def safe_filing(self, envelope: Envelope) -> Filing:
        """Process one envelope; an unexpected error makes it a dead letter."""
        # A message that meets a defect of flybridge must neither stop the pipeline nor be lost: it becomes a dead
        # letter, to be replayed by the version that fixes the defect.
        try:
            return self._with_mentions(self.filing(envelope))
        except Exception as fault:
            detail = f"flybridge failed on this message: a {type(fault).__name__}."
            return Filing(
                envelope,
                Dead("map", "fault", detail, "Report it; replay it after an upgrade."),
                digest=digest_of(envelope.app, envelope.body),
                mentions=self._mentions(envelope),
            )

    def _with_mentions(self, filing: Filing) -> Filing:
        """Note what an unreadable message may be about, so that it ends as forgotten if its person is."""
        if not isinstance(filing.decision, Dead) or filing.persons or filing.mentions:
            return filing
        return structs.replace(filing, mentions=self._mentions(filing.envelope))

    def _mentions(self, envelope: Envelope) -> tuple[bytes, ...]:
        with suppress(Exception):  # what has made a message unreadable may be met here again
            return keys_in(envelope.body, envelope.app, self._keyring)
        return ()

    def prospects(self, envelopes: Iterable[Envelope]) -> list[Filing]:
        """Return what would become of each row of a file: decision and key of its filing, without what is sent."""
        return self._in_parts(envelopes, self._postbacks.prospects)

    def filing(self, envelope: Envelope) -> Filing:
        """Process one envelope. May raise any exception if flybridge itself has a defect."""
        app = self._apps.get(envelope.app)
        if app is None:
            detail = f"The app {envelope.app!r} is not in the configuration any more."
            decision = Dead("decode", "unknown_app", detail, "Add it under [[apps]] and replay.")
            return Filing(envelope, decision, digest=digest_of(envelope.app, envelope.body))
        if envelope.source in POSTBACKS:
            return self._postbacks.filings([(envelope, app)])[0]
        return self._amplitude.filing(envelope, app)
