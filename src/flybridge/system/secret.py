"""A credential that is never printed."""

from __future__ import annotations

import hmac
from typing import Final

MASK: Final = "***"
MAY_BE_EMPTY: Final = "may be empty"
"""Marks the type of a secret that may be given as the empty text: `Annotated[Secret, MAY_BE_EMPTY]`."""


class Secret:
    """Holds a credential and shows `***` wherever it is printed; `reveal` gives the value.

    `repr`, `str`, `format` and `%` all give the mask. JSON encoders refuse the type, unless they are told
    to fall back on `str`, as `config.shown` does: then they write the mask. An empty secret is false.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the credential itself, for a header, a signature or a person who must paste it."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)
