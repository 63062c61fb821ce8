"""Which texts and numbers mean true or false, in messages of both vendors, their templates, and queries."""

from __future__ import annotations

from typing import Any, Final

from flybridge.system.text_encoding import bare_text

# What spreadsheets write for a flag in other languages: de, fr, es and it, pt, nl, pl, cs, hu, ru, tr, sv, da, nb, fi.
_TRUE: Final = "wahr vrai verdadero vero verdadeiro waar prawda pravda igaz истина doğru sant sand sann tosi"
_FALSE: Final = "falsch faux falso onwaar fałsz nepravda hamis ложь yanl\u0131ş yanliş falskt falsk usann epätosi"
YES: Final = frozenset({"true", "1", "yes", "y", "t", "on", "enabled", *_TRUE.split()})
NO: Final = frozenset({"false", "0", "no", "n", "f", "off", "disabled", *_FALSE.split()})
NOT_KNOWN: Final = frozenset({"unknown", "unavailable", "notsupported"})


def yes_or_no(value: Any) -> bool | None:
    """Return what a flag means, also one in text or a number; None if it is neither true nor false."""
    if value is None or isinstance(value, bool):
        return value
    word = word_of(value)
    return word in YES if word in YES or word in NO else None


def word_of(value: Any) -> str:
    """Return a flag in lower case, without quotes around it, and a number without its fraction."""
    return bare_text(str(value)).lower().removesuffix(".0")


def is_not_known(text: str) -> bool:
    """Whether a word says that nothing is known: `unknown`, AppsFlyer's `af_unavailable`, `not_supported`."""
    return "".join(filter(str.isalnum, word_of(text).removeprefix("af_"))) in NOT_KNOWN
