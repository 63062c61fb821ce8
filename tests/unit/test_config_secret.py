"""Secrets: they can be used, and not be printed."""

from __future__ import annotations

import json
import logging
import pickle

import msgspec
import pytest

from flybridge.system.secret import Secret

VALUE = "correct horse battery staple"


@pytest.mark.parametrize(
    "text",
    [
        repr(Secret(VALUE)),
        str(Secret(VALUE)),
        f"{Secret(VALUE)}",
        f"{Secret(VALUE)!r:>10}",
        "{:>40}".format(Secret(VALUE)),  # noqa: UP032
        "%s %r" % (Secret(VALUE), Secret(VALUE)),  # noqa: UP031
        repr([Secret(VALUE)]),
        repr({"key": Secret(VALUE)}),
        msgspec.json.encode({"key": Secret(VALUE)}, enc_hook=str).decode(),
        json.dumps({"key": Secret(VALUE)}, default=str),
        repr(dir(Secret(VALUE))),
    ],
)
def test_a_secret_is_printed_as_stars(text):
    """Whatever is done to print it, three stars come out."""
    assert VALUE not in text
    assert "***" in text or "reveal" in text


def test_a_secret_is_not_encoded_by_accident():
    """An encoder that was not told what to do refuses instead of writing it out."""
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret(VALUE))
    with pytest.raises(TypeError):
        json.dumps(Secret(VALUE))


def test_a_secret_is_not_logged(caplog):
    """Logging formats late, and still prints stars."""
    logging.getLogger("x").warning("using %s", Secret(VALUE))
    assert caplog.messages == ["using ***"]


def test_a_secret_reveals_itself_on_request():
    """The value comes out by name only, and survives a trip to a worker process."""
    assert Secret(VALUE).reveal() == VALUE
    assert pickle.loads(pickle.dumps(Secret(VALUE))).reveal() == VALUE


def test_secrets_compare_by_value():
    """Equal values are equal secrets; a secret never equals its text."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert bool(Secret("")) is False
