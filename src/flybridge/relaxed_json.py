r"""Objects as programs print them that do not write JSON: Python's and Swift's dictionaries, old-style property lists.

    {'price': '5', 'paid': True, 'gift': None}
    ["price": "5"]
    { price = "5.50"; currency = USD; }

Texts stand in quotes in all of them, so that nothing has to be guessed. Where a text without quotes could end in
several places (`{name=red, large}`), it is none of these and is not read. Unlike JSON they may have a comma behind the
last member, numbers such as `.5` and `5.`, backslashes that begin no escape (`C:\dir`), and Swift's `Optional(...)`.

A FreeMarker template of Amplitude prints numbers for people, and nothing for what is absent:

    {"amplitude_id": 356,896,327,775, "revenue": , "score": 1,234}

https://freemarker.apache.org/docs/ref_builtins_number.html (read 2026-11-28).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, Final

MAX_CHARACTERS: Final = 65_536
MAX_TEMPLATE: Final = 131_072
MAX_DEPTH: Final = 32

CONSTANTS: Final[Mapping[str, Any]] = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "None": None, "nil": None,
    "undefined": None, "NaN": None, "nan": None,
}  # fmt: skip
WRAPPERS: Final = frozenset({"Optional", "AnyHashable"})
CLOSED_BY: Final = {"{": "}", "[": "]", "(": ")"}

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<mark>[][{}(),:;=])
        |[uU@]?(?P<text>"[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*'|\u201c[^\u201c\u201d]*\u201d)
        |(?P<word>[\w.+$/-]+))\s*""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER: Final = re.compile(r"[+-]?(?:(?:0|[1-9]\d{0,17})(?:\.\d{0,17})?|\.\d{1,17})(?:[eE][+-]?\d{1,3})?", re.ASCII)
# The digits before a comma, and those behind it that it groups.
_FIRST_GROUP: Final = re.compile(r"[+-]?[1-9][0-9]{0,2}")
_GROUP: Final = re.compile(r"[0-9]{3}(?:\.[0-9]{1,17})?")
# Python writes eight digits behind a U, a property list four.
_ESCAPE: Final = re.compile(r"\\(?:U((?:000|001)[0-9A-Fa-f]{5})|[uU]([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}

Token = tuple[str, str]
END: Final[Token] = ("end", "")


def relaxed(text: str, *, of_template: bool = False) -> Any:
    """Return the object or list that a text shows. Raises `ValueError` if it shows none, or can be read in two ways.

    In an object of a template a value may be absent, and a number may have commas between its thousands. With one
    comma it is returned as a text: it may be a decimal one.
    """
    if len(text) > (MAX_TEMPLATE if of_template else MAX_CHARACTERS):
        raise ValueError("the text is too long")
    reader = _Reader(list(_tokens(text)), of_template=of_template)
    found = reader.value(0)
    if reader.next() is not END or not isinstance(found, dict | list):
        raise ValueError("the text is no object")
    return found


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError("the text has a character that belongs to no value")
        at = found.end()
        kind = found.lastgroup or ""
        yield kind, _unescaped(found[kind][1:-1]) if kind == "text" else found[kind]


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    # Pairs of halves become one character, and a half without the other is replaced.
    return _ESCAPE.sub(_character, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _character(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    if code:
        return chr(min(int(code, 16), sys.maxunicode))
    return _ESCAPED.get(found[4], found[4] if found[4] in "\"'\\/" else found[0])


class _Reader:
    """Reads tokens one after the other."""

    def __init__(self, tokens: Sequence[Token], *, of_template: bool) -> None:
        self._tokens, self._at, self._of_template = tokens, 0, of_template

    def next(self) -> Token:
        """Return the next token, `END` behind the last."""
        self._at += 1
        return self._tokens[self._at - 1] if self._at <= len(self._tokens) else END

    def _ahead(self, count: int) -> Token:
        """Return a token that is not read yet; 0 is the next."""
        at = self._at + count
        return self._tokens[at] if at < len(self._tokens) else END

    def _is_next(self, mark: str) -> bool:
        """Whether a mark is the next token, which is then read."""
        found = self.next() == ("mark", mark)
        if not found:
            self._at -= 1
        return found

    def _expect(self, mark: str) -> None:
        if not self._is_next(mark):
            raise ValueError(f"a {mark} is missing")

    def value(self, depth: int) -> Any:
        """Return the next value."""
        if depth > MAX_DEPTH:
            raise ValueError("the text nests too deep")
        kind, text = self.next()
        match kind:
            case "text":
                return text
            case "word" if text in WRAPPERS:
                self._expect("(")
                found = self.value(depth + 1)
                self._expect(")")
                return found
            case "word":
                return _word(text)
            case "mark" if text in CLOSED_BY:
                return self._members(CLOSED_BY[text], depth + 1)
            case _:
                raise ValueError("a value is missing")

    def _members(self, end: str, depth: int) -> Any:
        """Return what stands between brackets: an object, or a list where no key begins it."""
        if self._is_next(end):
            return {} if end == "}" else []
        if end == "]" and self._is_next(":"):  # Swift's empty dictionary
            self._expect(end)
            return {}
        begin = self._at
        key = self._key(depth) if end != ")" else None
        for mark in (":", "="):
            if key is not None and self._is_next(mark):
                return self._pairs(key, mark, end, depth)
        self._at = begin
        if end == "}":
            return self._braced_list(depth)
        found = [self.value(depth)]
        while self._goes_on(end):
            found.append(self.value(depth))
        return found

    def _braced_list(self, depth: int) -> Any:
        """Read a list that stands alone in braces, as Amplitude's page of cohort webhooks shows one."""
        if not self._of_template or self._ahead(0) != ("mark", "["):
            raise ValueError("a key has no value")
        found = self.value(depth)
        self._expect("}")
        return found

    def _goes_on(self, end: str, separator: str = ",") -> bool:
        """Whether another member follows. Reads what separates them, or the bracket that ends the members."""
        if self._is_next(separator):
            return not self._is_next(end)
        self._expect(end if separator == "," else separator)  # in a property list one stands behind the last, too
        return False

    def _pairs(self, key: str | None, mark: str, end: str, depth: int) -> dict[str, Any]:
        """Read an object, or a property list, `key = value;`. What is in no quotes there is a single word."""
        found: dict[str, Any] = {}
        while key is not None:
            kind, text = self.next()
            if kind == "word" and mark == "=":
                found[key] = text
            else:
                self._at -= 1
                found[key] = self._printed(end, depth) if self._of_template else self.value(depth)
            if not self._goes_on(end, ";" if mark == "=" else ","):
                return found
            key = self._key(depth)
            self._expect(mark)
        raise ValueError("a key is missing")

    def _printed(self, end: str, depth: int) -> Any:
        """Return the next value of a template, None if there is none before the next key."""
        if self._ahead(0) in (("mark", ","), ("mark", end)):
            return None
        kind, first = self._ahead(0)
        groups = [first] if kind == "word" and _FIRST_GROUP.fullmatch(first) else []
        while groups and "." not in groups[-1] and self._ahead(2 * len(groups) - 1) == ("mark", ","):
            kind, digits = self._ahead(2 * len(groups))
            # What stands before a colon is the next key.
            if kind != "word" or not _GROUP.fullmatch(digits) or self._ahead(2 * len(groups) + 1) == ("mark", ":"):
                break
            groups.append(digits)
        if len(groups) < 2:
            return self.value(depth)
        self._at += 2 * len(groups) - 1
        is_doubtful = len(groups) == 2 and "." not in groups[-1]
        return ",".join(groups) if is_doubtful else _word("".join(groups))

    def _key(self, depth: int) -> str | None:
        """Return the next token as a key; None if it can't be one."""
        kind, text = self.next()
        if kind == "word" and text in WRAPPERS:
            self._at -= 1
            found = self.value(depth)
            return found if isinstance(found, str) else None
        return text if kind in ("text", "word") else None


def _word(text: str) -> Any:
    if text in CONSTANTS:
        return CONSTANTS[text]
    if not _NUMBER.fullmatch(text):
        raise ValueError("a text has no quotes")
    if text.lstrip("+-").isdecimal():
        return int(text)
    number = float(text)
    return number if isfinite(number) else None
