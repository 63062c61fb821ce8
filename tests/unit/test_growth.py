"""Nothing that reads text from outside takes time that grows faster than the text.

The patterns are found by themselves: every one that a module of flybridge compiles, with the methods it is called by.
`re` holds the interpreter, so that one text of a pattern that takes quadratic time stops the whole process.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from time import process_time

import pytest

import flybridge
from audience_rules import audience_rule
from flybridge import lenient_json
from flybridge.amplitude import cohort_message, stream
from flybridge.amplitude.cohort_file import CohortFile, CohortFileError
from flybridge.amplitude.merged import merges
from flybridge.amplitude.streamed import look_up
from flybridge.appsflyer import additional, contacts, postback, postback_time
from flybridge.appsflyer.columns import columns_of
from flybridge.cli import printing
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.delivery.words import words_of
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring, masking
from flybridge.identity.mentions import keys_in, mentions
from flybridge.mapping.passed import custom_data, parsed
from flybridge.mapping.to_amplitude.map import Rules
from flybridge.mapping.to_appsflyer import convert
from flybridge.mapping.to_appsflyer.rules import StreamRules
from flybridge.operations.json_values import JsonValues
from flybridge.operations.messages import read_messages
from flybridge.records import Envelope, Media, Source
from flybridge.relaxed_json import MAX_CHARACTERS, relaxed
from flybridge.store.performance import label
from flybridge.web import lists
from flybridge.web.members import members, messages_in

SHORT, LONG = 3_000, 30_000
"""Characters. Linear time grows tenfold from the one to the other, quadratic time a hundredfold."""
MAX_RATIO = 35.0
TRIES = 4
TRIED = 8
"""How many of the units that take longest when they are short are tried at length."""
ENOUGH_S = 0.01
"""Less than this for the long text is quick enough, whatever its ratio."""

# What is repeated, between a beginning that lets a pattern start and an end that lets it fail.
REPEATED = (
    " ", "\t", "\n", "0", "a", "A", "f", "x", "-", "_", ".", ",", ";", ":", "#", "+", "@", '"', "\\", "/", "(", ")",
    "[", "{", "%", "\u2028", "\ud83d", "a.", ".a", "0.", "1,", "a@", "@a", "a@b.", "0-", "-0", "a-", "x 0", "x ", "ext",
    '""', '" ', '"a', '\\"', "\\\\", "%2", "%40", "+0", "+1 ", "(0", "0 ", "[[", "{}", '{"a":', "UTC+", "0f", "0a-",
    "12345678-", "1700000000000-", "VALUES (?", "\x1b[",
)  # fmt: skip
AROUND = (("", ""), ("", "!"), ("a", "!"), ("1", "@"), ("a@", ""), ("x", "\0"), ('"', "!"), ("{", ""), ("+", "."))


def text_of(unit: str, begin: str, end: str, length: int) -> str:
    return begin + (unit * (length // len(unit) + 1))[:length] + end


def seconds(work: Callable[[], object]) -> float:
    began = process_time()
    work()
    return process_time() - began


def assert_linear(work: Callable[[str], object], what: str, short: int = SHORT, long: int = LONG) -> None:
    """Assert that no hostile text takes time that grows with more than its length.

    Of every unit, the beginning and end with which it takes longest are found when it is short; the units that take
    longest then are tried at length.
    """
    found = []
    for unit in REPEATED:
        times = [seconds(partial(work, text_of(unit, *around, short))) for around in AROUND]
        found.append((max(times), unit, AROUND[times.index(max(times))]))
    for before, unit, around in sorted(found, reverse=True)[:TRIED]:
        if before <= ENOUGH_S / 50:
            break
        longer = text_of(unit, *around, long)
        after = seconds(partial(work, longer))
        if after > max(ENOUGH_S, MAX_RATIO * before):
            text = text_of(unit, *around, short)
            before = min(seconds(partial(work, text)) for _ in range(3))  # noqa: PLW2901 - the same, measured again
            after = min(after, *(seconds(partial(work, longer)) for _ in range(TRIES)))
            linear = after <= max(ENOUGH_S, MAX_RATIO * before)
            assert linear, f"{what}: {before:.4f} s, then {after:.4f} s: {longer[:40]!r}"


def modules() -> Iterator[object]:
    for found in pkgutil.walk_packages(flybridge.__path__, "flybridge."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


CALLS = ("search", "match", "fullmatch", "findall", "finditer", "sub", "subn", "split")
COMPILED_LATER = ("operations.doctor", "operations.forget")
"""Modules that compile patterns of escaped text while they run."""


def patterns() -> Iterator[tuple[str, re.Pattern, str]]:
    """Yield every pattern of the package, and the methods by which it is used; `search` if that can't be seen."""
    for module in modules():
        try:
            source = inspect.getsource(module)
        except OSError:  # an empty file
            continue
        for name, value in vars(module).items():
            for one in value if isinstance(value, tuple | list) else (value,):
                for part in one if isinstance(one, tuple | list) else (one,):
                    if isinstance(part, re.Pattern):
                        used = {method for method in CALLS if re.search(rf"\b{name}\.{method}\(", source)} or {"search"}
                        for method in sorted(used):
                            yield f"{module.__name__}.{name}", part, method
        if not re.search(rf"\bre\.({'|'.join(CALLS)})\(", source):
            continue
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="re"), attr=method),
                    args=[ast.Constant(value=str() | bytes() as text), *_],
                ) if method in CALLS:
                    yield f"{module.__name__}:{node.lineno}", re.compile(text), method


FOUND = {(name, method): (pattern, method) for name, pattern, method in patterns()}


def test_patterns_are_found():
    """Those that are known, so that the search itself is tested."""
    names = {name for name, _ in FOUND}
    assert "flybridge.appsflyer.contacts._ADDRESS" in names
    assert "flybridge.identity.masking._EMAIL" in names
    assert any(name.startswith("flybridge.appsflyer.contacts:") for name in names)
    assert len(FOUND) >= 20


def test_what_is_quadratic_is_noticed():
    """With the pattern that an address was once compared with."""
    slow = re.compile(r"[^@]+@[^@]+\.[^@]+")
    with pytest.raises(AssertionError, match="then"):
        assert_linear(slow.search, "slow", SHORT // 4, LONG // 4)


@pytest.mark.parametrize("found", FOUND, ids="-".join)
def test_a_pattern_takes_linear_time(found):
    """On whatever it is repeated."""
    pattern, method = FOUND[found]
    binary = isinstance(pattern.pattern, bytes)

    def work(text: str) -> object:
        given = text.encode("utf-8", "surrogatepass") if binary else text
        if method in {"sub", "subn"}:
            return pattern.sub(b"" if binary else "", given)
        answer = getattr(pattern, method)(given)
        return list(answer) if method == "finditer" else answer

    assert_linear(work, ".".join(found))


def _cohort_file(text: str) -> object:
    file = CohortFile()
    try:
        for start in range(0, len(text), 1000):
            list(file.feed(text[start : start + 1000].encode("utf-8", "surrogatepass")))
        return list(file.end())
    except CohortFileError:
        return None


def _json(text: str) -> bytes:
    return json.dumps({"event_name": text, "wifi": "N/A", "event_value": text, text[:200]: 1, "is_lat": " "}).encode()


def _raw(read: Callable[[bytes], object]) -> Callable[[str], object]:
    def work(text: str) -> object:
        try:
            return read(text.encode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError):
            return None

    return work


_KEYRING = Keyring(b"a secret of sixteen bytes")
_REQUEST = HttpRequest("POST", "https://vendor.example/e", {"Authorization": "Bearer abc"}, b"")


def _flagged(body: bytes) -> bytes:
    text = body.decode("utf-8", "replace")
    return json.dumps([{"user_id": text, f"amplitude_{text}": True}, {"traits": {text: text}, "userId": "a"}]).encode()


def _relaxed(text: str) -> None:
    with contextlib.suppress(ValueError):
        relaxed(text[:MAX_CHARACTERS])


SCANNERS: dict[str, Callable[[str], object]] = {
    "a cohort's file": _cohort_file,
    "an address": contacts.hash_email,
    "a phone number": contacts.hash_phone,
    "additional identifiers": lambda text: additional.extra_of(text, text),
    "a postback's fields": lambda text: postback.read(_json(text), Media.JSON),
    "a postback": _raw(lambda body: postback.read(body, Media.JSON)),
    "a query string": _raw(lambda body: postback.read(body, Media.QUERY)),
    "a time": postback_time.time_ms,
    "a value of an event": lambda text: parsed(text, []),
    "an object that is no JSON": lambda text: _relaxed(f"{{'a': {text}"),
    "custom data": lambda text: custom_data(postback.Postback(custom_data=f"a=1;{text}"), []),
    "a streamed message": _raw(lambda body: list(stream.walk(lenient_json.decode(body)))),
    "a streamed time": stream.time_ms,
    "numbers that are merged": _raw(
        lambda body: list(merges({"amplitude_id": 1, "merged_amplitude_id": body.decode()}))
    ),
    "a path": lambda text: look_up({"a": {}}, text[:1000]),
    "a cohort message": _raw(cohort_message.read_all),
    "flags of cohorts": _raw(lambda body: cohort_message.read_all(_flagged(body))),
    "JSON that is mended": _raw(lenient_json.decode),
    "whether JSON can be mended": _raw(lambda body: lenient_json.decode(b'{"a": NaN, "b": "' + body + b'"}')),
    "a list at a door": _raw(lambda body: members(b"[" + body + b"]")),
    "objects one behind the other": _raw(lambda body: messages_in(b"{}{}" + body, Source.PUSH, takes_apart=False)),
    "identifiers in unread bytes": _raw(lambda body: keys_in(body, "shop", _KEYRING)),
    "whether bytes mention somebody": _raw(lambda body: mentions(body, ("ada@example.com", "0-0-0"))),
    "messages given to a command": _raw(read_messages),
    "a JSON array in a file": _raw(lambda body: list(JsonValues(BytesIO(b"[" + body), b"[", 1, LONG))),
    "a text of a JSON array in a file": _raw(lambda body: list(JsonValues(BytesIO(body), b'["', 1, LONG))),
    "the words of a vendor": _raw(lambda body: words_of(_REQUEST, HttpResponse(400, {}, body))),
    "the label of a counter": label,
    "the columns of a report": lambda text: columns_of(text.split(",")[:1000]),
    "a list's name": cohort_message.cohort_of,
    "a list's call": lambda text: lists.call_of("/v1/cohorts/a/lists/" + text),
    "an id or an address in text": masking.masked,
    "a terminal": printing.visible,
    "a version": convert.version,
    "an amount": convert.amount,
    "a currency": convert.currency,
    "an AppsFlyer id": convert.appsflyer_id,
}


MANY: dict[str, Callable[[int], object]] = {
    "properties of an event": lambda n: {"event_type": "x", "event_properties": {f"k{i}": i for i in range(n)}},
    "events of a list": lambda n: [{"event_type": f"x{i}", "user_id": "a"} for i in range(n)],
    "members of a cohort": lambda n: {
        "cohort_id": "c", "in_cohort": True, "users": [{"user_id": f"u{i}"} for i in range(n)]
    },
    "members that can't be read": lambda n: {
        "cohort_id": "c", "in_cohort": True, "users": ["a", *({f"k{i}": 1} for i in range(n))]
    },
    "flags of a user": lambda n: {"user_id": "a"} | {f"amplitude_c_{i}": True for i in range(n)},
    "fields of a postback": lambda n: {"event_name": "x", "event_value": {f"k{i}": str(i) for i in range(n)}}
    | {f"field{i}": i for i in range(n)},
}  # fmt: skip


@pytest.mark.parametrize("name", MANY)
def test_a_message_of_many_parts_takes_linear_time(name):
    """Whatever it holds many of, at each endpoint."""
    flow = Flow(
        {"shop": AppFlow(
            Rules(app="shop", platform="android", route="http_v2"),
            streams=(StreamRules(app="shop", platform="android", events=("x*",), wait_hours=1.0),),
            audiences=(audience_rule("shop", "vips", "c", "cuid"),),
        )},
        _KEYRING,
    )  # fmt: skip

    def work(source: Source, n: int) -> float:
        body = json.dumps(MANY[name](n)).encode()
        began = process_time()
        members(body)
        flow.filing(Envelope("shop", source, Media.JSON, 1_795_168_800_000, body, "r"))
        return process_time() - began

    def is_linear(source: Source) -> bool:
        short = min(work(source, 500) for _ in range(3))
        return min(work(source, 5_000) for _ in range(3)) <= max(0.05, MAX_RATIO * short)

    # Other work on the machine makes some tries slower; what grows faster than its length fails in all of them.
    for source in (Source.PUSH, Source.STREAM, Source.COHORT):
        assert any(is_linear(source) for _ in range(TRIES)), source


@pytest.mark.parametrize("name", SCANNERS)
def test_a_scanner_takes_linear_time(name):
    """Whatever it is given."""
    assert_linear(SCANNERS[name], name)
