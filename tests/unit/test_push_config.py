"""What an endpoint of the Push API has to send."""

from __future__ import annotations

import pytest

from flybridge.appsflyer.push_config import FIELDS, IDENTIFIERS, OF_STREAMS, differences, wanted

WHOLE = [*FIELDS, *OF_STREAMS, *IDENTIFIERS["ios"]]


@pytest.mark.parametrize(("streams", "lacks"), [(False, "is_lat"), (True, "is_lat, event_source")])
def test_an_endpoint_sends_what_decides_of_a_message(streams: bool, lacks: str) -> None:
    """Whether ids may leave, and with streams whether an event has come from Amplitude."""
    endpoint = wanted("https://b.example/v1/push/shop", in_app=True)
    left = [name for name in WHOLE if name not in ("is_lat", "event_source")]
    (said,) = differences(endpoint | {"selected_fields": left}, "ios", in_app=True, streams=streams)
    assert said == f"it lacks the fields {lacks}"
    assert differences(endpoint | {"selected_fields": WHOLE}, "ios", in_app=True, streams=streams) == []
    assert differences(endpoint, "ios", in_app=True, streams=streams) == []
