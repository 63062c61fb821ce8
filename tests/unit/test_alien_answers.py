"""Answers with the status of a success that are not the vendor's, as gateways and portals give: nothing was done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flybridge.amplitude import activity, cohort
from flybridge.amplitude import deletion as amplitude
from flybridge.appsflyer import additional, audience, audience_account, push_config
from flybridge.appsflyer import deletion as appsflyer
from flybridge.delivery.exchange import Accepted, Erasure, HttpResponse

ALIEN = {
    "page": b"<html><title>Sign in</title></html>",
    "text": b"OK",
    "no text": b"\xff\xfe\x00",
    "null": b"null",
    "number": b"1",
    "list": b"[]",
    "list of null": b"[null]",
    "text in JSON": b'"ok"',
    "policy": b'{"error":"blocked by policy"}',
    "errors": b'{"errors":[{"code":10000}],"result":null,"success":false}',
    "queue": b'{"status":"queued"}',
    "deep": b"[" * 5_000,
}


def _erased(found: int | Erasure) -> bool:
    return not isinstance(found, Erasure) or found.done


READERS: dict[str, Callable[[HttpResponse], Any]] = {
    "deletion at Amplitude": lambda answer: _erased(amplitude.read(answer)),
    "search of a device": lambda answer: _erased(amplitude.read_search(answer)),
    "activity of a user": lambda answer: not activity.read(answer).problem,
    "request of a cohort": lambda answer: cohort.read_asked(answer).verdict == Accepted(),
    "status of a cohort": lambda answer: cohort.read_status(answer).verdict == Accepted(),
    "deletion at AppsFlyer": lambda answer: _erased(appsflyer.read(answer)),
    "devices": lambda answer: audience.verdict(answer, 5) == Accepted(),
    "one device": lambda answer: audience.verdict(answer, 1) == Accepted(),
    "additional identifiers": lambda answer: additional.verdict(answer, 5) == Accepted(),
    "new audience": lambda answer: not isinstance(audience_account.read(answer), str),
    "endpoints": lambda answer: not isinstance(push_config.read(answer), str),
    "change of endpoints": lambda answer: not push_config.refusal(answer),
}
"""Whether an answer is taken for a success."""

OWN: dict[str, list[bytes]] = {
    "deletion at Amplitude": [
        b'{"day":"2026-12-13","status":"staging","amplitude_ids":[{"amplitude_id":1}]}',
        b'[{"app":1,"day":"2026-12-13","amplitude_ids":[]}]',
        b'{"day":"2026-12-13","invalid_ids":["ann"]}',
    ],
    "search of a device": [b'{"matches":[{"user_id":"a","amplitude_id":1}],"type":"match_user_or_device_id"}'],
    "activity of a user": [b'{"userData":{"user_id":"a"},"events":[]}', b'{"userData":{}}'],
    "request of a cohort": [b'{"request_id":"r1","cohort_id":"c"}'],
    "status of a cohort": [b'{"request_id":"r1","cohort_id":"c","async_status":"JOB COMPLETED"}'],
    "deletion at AppsFlyer": [b'{"subject_request_id":"x","expected_completion_time":"2026-12-14T00:00:00Z"}'],
    "devices": [b'{"message":"The request was successful"}'],
    "one device": [b'{"message":"The request was successful"}'],
    "additional identifiers": [b'{"message":"Accepted for processing","received":5,"invalid":0}'],
    "new audience": [b'{"message":{"audience_id":123,"import_key":"WERWER1234"}}'],
    "endpoints": [b'{"endpoints":[]}', b"{}", b""],
    "change of endpoints": [b'{"request_id":"x"}', b'{"message":"Your token has been set successfully"}', b""],
}
"""Bodies of the vendors' pages."""


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("alien", ALIEN)
@pytest.mark.parametrize("status", [200, 201, 202])
def test_what_is_not_the_vendors_answer_is_no_success(reader: str, alien: str, status: int) -> None:
    """Else a person would count as deleted, a device as listed, and the endpoints of others as not there."""
    own_list = reader == "change of endpoints" and alien == "queue"  # any object may be the answer to a change
    assert READERS[reader](HttpResponse(status, {}, ALIEN[alien])) is (own_list and status == 200)


@pytest.mark.parametrize(("reader", "body"), [(reader, body) for reader, bodies in OWN.items() for body in bodies])
def test_the_vendors_own_answers_are_successes(reader: str, body: bytes) -> None:
    """As they stand on the pages."""
    assert READERS[reader](HttpResponse(200, {}, body)) is True
