"""An event of Amplitude's stream, asked by path, and put back into shape."""

from flybridge.amplitude.streamed import Streamed, event_in, events_in, look_up, reshaped


def test_what_has_an_event_type_is_an_event():
    """A user's payload, a cohort's and a list are none."""
    assert event_in({"event_type": "x"}) == Streamed({"event_type": "x"})
    for other in ({"user_id": "ada"}, {"event_type": " "}, {"event_type": 3}, [], "x", None, {"users": []}):
        assert event_in(other) is None
    assert events_in([{"event_type": "x"}, [{"event_type": "y"}], {"user_id": "ada"}]) == 2


def test_an_event_is_known_by_its_insert_id_on_its_device_else_by_its_uuid():
    """Bytes of a retry may differ; what is known by nothing is known by its bytes."""
    assert Streamed({"event_type": "x", "$insert_id": "i", "device_id": "d"}).identity == ("i", "d")
    assert Streamed({"event_type": "x", "$insert_id": "i", "user_id": "u"}).identity == ("i", "u")
    assert Streamed({"event_type": "x", "uuid": "u-1"}).identity == ("u-1", "")
    assert Streamed({"event_type": "x", "$insert_id": "null"}).identity is None


def test_a_template_of_ones_own_is_put_into_the_default_shape():
    """By the names in the configuration; what is not named stays."""
    message = {
        "name": "click",
        "external_id": "ada-1",
        "properties": {"email": "a@b"},
        "when": "2022-10-24T20:07:32.123",
    }
    names = {
        "event_type": "name",
        "user_id": "external_id",
        "event_time": "when",
        "user_properties.mail": "properties.email",
        "device_id": "gone",
    }
    event = event_in(reshaped(message, names))
    assert event is not None
    assert (event.event_type, event.user_id, event.device_id) == ("click", "ada-1", None)
    assert event.find("user_properties.mail") == "a@b"
    assert event.time_ms == 1_666_642_052_123
    assert reshaped([message, 3], names)[0]["event_type"] == "click"
    assert "event_type" not in message


def test_a_path_takes_a_key_with_dots_whole_first():
    """Apps name properties as they like."""
    fields = {"user_properties": {"a.b": 1, "a": {"b": 2, "c": 3}}}
    assert look_up(fields, "user_properties.a.b") == 1
    assert look_up(fields, "user_properties.a.c") == 3
    assert look_up(fields, "user_properties.a.b.c") is None
    assert look_up(fields, "event_properties.x") is None
