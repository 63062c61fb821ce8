"""The body of a POST: the fields of a form, within a limit."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from flybridge.web.answers import Receive, Refusal
from flybridge.web.body import read_asgi
from flybridge.web.console.gate import Form

MAX_BYTES: Final = 256 * 1024
MAX_FIELDS: Final = 2_000
KIND: Final = "application/x-www-form-urlencoded"


async def read_form(receive: Receive, kind: str, length: str | None) -> Form | Refusal:
    """Read the fields of a form, each with its values. A refusal says why it can't be read."""
    if kind.partition(";")[0].strip().lower() not in {KIND, ""}:
        return Refusal(415, "The body is not a form.", f"Send it as {KIND}.")
    body = await read_asgi(receive, length, MAX_BYTES)
    if isinstance(body, Refusal):
        return body
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except (UnicodeDecodeError, ValueError):
        return Refusal(400, "The form can't be read.", "Go back, reload the page, and try again.")
