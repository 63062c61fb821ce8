"""Amplitude's cohorts: what is asked, what answers mean, and how files and messages are read."""

from __future__ import annotations

import gzip
import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flybridge.amplitude import cohort
from flybridge.amplitude.cohort_file import CohortFile, CohortFileError, reader
from flybridge.amplitude.cohort_message import CohortEntry, CohortMessage, cohort_of, framed, read_all
from flybridge.delivery.exchange import Accepted, Halt, HttpResponse, Retry

ACCOUNT = cohort.Credentials("https://amplitude.com", "key", "secret")


def answer(status: int, body: object = None, **headers: str) -> HttpResponse:
    """Build an answer."""
    return HttpResponse(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_what_is_asked():
    """Paths, properties and credentials, as documented."""
    asked = cohort.ask_request(ACCOUNT, "7khm89cz", ("Property1", "a b"))
    assert asked.url == "https://amplitude.com/api/5/cohorts/request/7khm89cz?props=1&propKeys=Property1&propKeys=a+b"
    assert asked.headers["Authorization"] == "Basic a2V5OnNlY3JldA=="
    assert cohort.ask_request(ACCOUNT, "a/b", ()).url.endswith("/request/a%2Fb?props=0")
    assert cohort.status_request(ACCOUNT, "r1").url == "https://amplitude.com/api/5/cohorts/request-status/r1"
    assert cohort.file_request(ACCOUNT, "r1").url == "https://amplitude.com/api/5/cohorts/request/r1/file"
    assert "Authorization" not in cohort.redirected("https://s3/x").headers


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer(202, {"request_id": "r1", "cohort_id": "c"}), Accepted()),
        (answer(202, b"?"), Retry("unreadable_answer")),
        (answer(429, {}), Retry("rate_limited", 60.0, False)),
        (answer(429, {}, **{"retry-after": "5"}), Retry("rate_limited", 5.0, False)),
        (answer(500, {}), Retry("server_error_500")),
        (answer(408, {}), Retry("http_408")),
        (answer(425, {}, **{"retry-after": "7"}), Retry("http_425", 7.0)),
        (answer(503, {}, **{"retry-after": "7"}), Retry("server_error_503", 7.0)),
        (answer(400, {}), "unknown_cohort"),
        (answer(404, {}), "unknown_cohort"),
        (answer(401, {}), "unauthorized"),
        (answer(403, {}), "forbidden"),
        (answer(413, {}), "cohort_too_large"),
        (answer(302, {}), "wrong_address"),
    ],
)
def test_each_answer_to_a_request_has_its_verdict(response, expected):
    """A refusal of the whole stops until somebody acts; everything else is asked again."""
    found = cohort.read_asked(response).verdict
    assert found == expected or (isinstance(found, Halt) and found.reason == expected)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer(202, {"async_status": "JOB INPROGRESS"}), Retry("job_running", counts=False)),
        (answer(200, {"async_status": "JOB INPROGRESS"}), Retry("job_running", counts=False)),
        (answer(200, {"async_status": "JOB COMPLETED"}), Accepted()),
        (answer(200, {"async_status": "JOB FAILED"}), Retry("job_failed")),
        (answer(503, {}), Retry("server_error_503")),
    ],
)
def test_each_status_has_its_verdict(response, expected):
    """Only a completed job has a file."""
    assert cohort.read_status(response).verdict == expected


def test_the_list_is_read_as_far_as_it_can_be():
    """An entry that says nothing is left out."""
    found = cohort.read_list(answer(200, {"cohorts": [{"id": "c", "name": "N", "size": 3, "lastComputed": 9}, {}, 7]}))
    assert found == [cohort.Cohort("c", "N", 3, 9)]
    assert cohort.read_list(answer(200, {"cohorts": []})) == []


@pytest.mark.parametrize("body", [b"?", b"", b"<html>", b"{}", b"[]", b'{"error":"x"}', b'{"cohorts":[{"id":"c"},{"i'])
def test_what_is_no_list_of_cohorts_is_not_an_empty_one(body):
    """A page, the JSON of a gateway, or half a list."""
    assert cohort.read_list(answer(200, body)) is None


def rows(data: bytes, size: int) -> tuple[list[list[str]], CohortFile]:
    """Read a file in pieces of that size."""
    file, found = CohortFile(), []
    for start in range(0, len(data), size):
        found += file.feed(data[start : start + size])
    found += file.end()
    return [list(row) for row in found], file


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")), st.text('ab\n",')),
        max_size=8,
    ),
    st.integers(1, 50),
    st.booleans(),
)
@example([], 1, True)
def test_a_file_is_the_same_in_pieces_of_any_size(people, size, packed):
    """Line breaks and commas within quotes, characters cut in two, compressed or not."""
    import csv
    import io

    text = io.StringIO()
    csv.writer(text).writerows([("user_id", "note"), *people])
    data = text.getvalue().encode()
    found, file = rows(gzip.compress(data) if packed else data, size)
    assert found == [list(row) for row in people]
    assert file.rows == len(people)


def test_columns_are_found_however_they_are_spelled():
    """With prefixes, quotes and capitals."""
    _, file = rows(b'\xef\xbb\xbf"User_ID",amplitude_id,gp:AdId\n1,2,3\n', 5)
    assert file.header is not None
    assert reader(file.header, ("user_id",)) == 0
    assert reader(file.header, ("gaid", "adid")) == 2
    assert reader(file.header, ("idfv",)) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"name,city\nada,rome\n", "neither a column user_id"),
        (b"user_id\nada\n\xff\xfe\n", "can't be read"),
        (b'user_id\n"ada', "can't be read"),
        (gzip.compress(b"user_id\nada\n", mtime=0)[:-9], "truncated"),
        (b"\x1f\x8bnonsense", "damaged"),
        (b'user_id\n"' + b"x" * (3 << 20), "can't be read|more than"),
    ],
)
def test_a_file_that_is_none_is_refused(data, words):
    """In a sentence."""
    with pytest.raises(CohortFileError, match=words):
        rows(data, 1 << 16)


def test_a_webhook_batch_is_read():
    """As its documentation shows it; times in seconds, as text."""
    body = {
        "cohort_name": "My Test Cohort",
        "cohort_id": "7khm89cz",
        "in_cohort": True,
        "computed_time": "1692206763",
        "message_id": "m::enter::0",
        "users": [{"user_id": "one", "user_properties": {"gaid": "g"}}, {"user_id": 2}, {}, None, "three"],
    }
    (message,) = read_all(json.dumps(body).encode())
    assert message == CohortMessage(
        "7khm89cz",
        True,
        [CohortEntry("one", "", {"gaid": "g"}), CohortEntry("2"), CohortEntry("three")],
        "My Test Cohort",
        "m::enter::0",
        1_692_206_763_000,
    )


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ({"in_cohort": "false", "computed_time": 1692206763}, (False, 1_692_206_763_000)),
        ({"in_cohort": "true", "computed_time": 1692206763123}, (True, 1_692_206_763_123)),
        ({"in_cohort": True, "computed_time": "soon"}, (True, None)),
        ({"in_cohort": True}, (True, None)),
        ({"in_cohort": "1"}, (True, None)),
        ({"in_cohort": 0}, (False, None)),
        ({"in_cohort": " No"}, (False, None)),
    ],
)
def test_a_template_may_write_flags_and_times_in_other_ways(fields, value):
    """FreeMarker templates are the customer's."""
    (found,) = read_all(json.dumps({"cohort_id": "c", "users": []} | fields).encode())
    assert (found.entering, found.computed_ms) == value


PER_USER = """
   [
      {"user_id": "user_one@example.com", "amplitude_My Test Cohort_7khm89cz": true},
      {"user_id": "user_two@example.com", "amplitude_My Test Cohort_7khm89cz": true}
   ]
"""


@pytest.mark.parametrize("body", [PER_USER, "{" + PER_USER + "}"])
def test_a_batch_of_users_is_read_as_its_page_shows_it(body):
    """With braces around the list, which are no JSON."""
    (found,) = read_all(body.encode())
    assert (found.cohort, found.entering) == ("7khm89cz", True)
    assert [entry.user_id for entry in found.entries] == ["user_one@example.com", "user_two@example.com"]


@pytest.mark.parametrize(
    ("flag", "entering"),
    [(True, True), ("true", True), (1, True), ("1", True), ("yes", True), (0, False), (" No", False), ("FALSE", False)],
)
def test_the_flag_of_a_user_may_be_written_as_that_of_a_batch(flag, entering):
    """FreeMarker prints no boolean by itself: a template says what is to stand for it."""
    (found,) = read_all(json.dumps([{"user_id": "one", "amplitude_VIPs_c1": flag}]).encode())
    assert (found.cohort, found.entering, found.unread) == ("c1", entering, ())
    (batch,) = read_all(json.dumps({"cohort_id": "c1", "in_cohort": flag, "users": ["one"]}).encode())
    assert batch.entering is entering


@pytest.mark.parametrize("value", [1, "1", "yes", 0])
def test_a_trait_with_a_colon_in_its_name_is_a_flag_only_if_it_is_true_or_false(value):
    """It may be a property of the customer's."""
    assert read_all(json.dumps({"type": "identify", "userId": "one", "traits": {"size: shoe": value}}).encode()) == []


@pytest.mark.parametrize("message", [[], 7, {}, {"cohort_id": "c", "users": []}, {"cohort_id": "c", "in_cohort": True}])
def test_what_names_no_cohort_is_no_batch(message):
    """It may teach who is who, all the same."""
    assert read_all(json.dumps(message).encode()) == []


def test_what_is_not_json_is_an_error():
    """The flow makes a dead letter of it."""
    with pytest.raises(msgspec.DecodeError):
        read_all(b"{")


def test_a_frame_that_was_tampered_with_is_no_batch():
    """Only add and remove are known."""
    assert read_all(framed("c", "burn", b"{}")) == []
    assert read_all(framed("c", "add", b"7")) == []


@pytest.mark.parametrize(("name", "found"), [("[Amplitude] A: b: c1", "c1"), ("A:c1", "c1"), ("A", ""), ("A: ", "")])
def test_a_list_is_named_for_its_cohort(name, found):
    """The id comes last."""
    assert cohort_of(name) == found


def test_a_byte_order_mark_is_no_part_of_the_header():
    """However few of its bytes come at once."""
    data = b"\xef\xbb\xbfuser_id\nann\n"
    for size in (1, 2, 3, 50):
        assert rows(data, size)[0] == [["ann"]]
