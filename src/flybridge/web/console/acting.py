"""Forms and actions of the console. An action is asked about first, with how many it concerns, then done and noted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from flybridge.errors import FlybridgeError
from flybridge.web.answers import Receive, Refusal
from flybridge.web.body import FORM, read_asgi
from flybridge.web.console.deeds import BEGUN, DONE, FAILED, visitor_of
from flybridge.web.console.gate import CSRF, Form
from flybridge.web.console.operations import Done
from flybridge.web.console.site import Entry, Site

SURE: Final = "sure"
"""The field of a form that says that its question was answered."""

MAX_BYTES: Final = 256 * 1024
MAX_FIELDS: Final = 2_000


async def read_form(receive: Receive, kind: str, length: str | None) -> Form | Refusal:
    """Read the fields of a form, each with its values. A refusal says why it can't be read."""
    if kind.partition(";")[0].strip().lower() not in {FORM, ""}:
        return Refusal(415, "The body is not a form.", f"Send it as {FORM}.")
    body = await read_asgi(receive, length, MAX_BYTES)
    if isinstance(body, Refusal):
        return body
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except (UnicodeDecodeError, ValueError):
        return Refusal(400, "The form can't be read.", "Go back, reload the page, and try again.")


def form_of(request: Request) -> Form:
    """Return the fields of the form that a request carries."""
    form: Form = request.scope.get("form", {})
    return form


def first(form: Form, name: str) -> str:
    """Return the value of a field; empty if there is none."""
    return form.get(name, ("",))[0]


def ids_in(form: Form) -> list[int]:
    """Return the ids that a form names."""
    return sorted({id_ for text in form.get("id", ()) if (id_ := number_in(text)) is not None})


def number_in(text: str) -> int | None:
    """Return the number that a field or an address holds; None if it holds none that a store can have given."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


async def act(
    site: Site,
    request: Request,
    entry: Entry,
    *,
    action: str,
    question: str,
    button: str,
    work: Callable[[], Awaitable[Done]],
    target: str = "",
    warning: str = "",
    fields: Sequence[tuple[str, str]] = (),
) -> Response:
    """Ask whether to do something; do it once the answer is yes, and show what came of it.

    `fields` are more questions on the page, as names and labels. The audit trail gets a row before and one after: if
    the process dies between them, the first shows that something was begun.
    """
    form = form_of(request)
    if first(form, SURE) != "yes":
        asked = {name for name, _ in fields}
        kept = [(name, value) for name, values in form.items() for value in values if name not in {CSRF, SURE, *asked}]
        return await site.page(
            request, entry, "confirm.html", question=question, warning=warning, button=button, kept=kept,
            fields=fields, action=request.url.path, back=entry.path,
        )  # fmt: skip
    visitor = visitor_of(request)
    await site.deeds.write(visitor, action, BEGUN, target=target, detail=question)
    try:
        done = await work()
    except FlybridgeError as problem:
        await site.deeds.write(visitor, action, FAILED, target=target, detail=str(problem))
        done = Done(f"It failed: {problem}", False)
    else:
        await site.deeds.write(visitor, action, DONE if done.ok else FAILED, target=target, detail=done.sentence)
    return await site.page(request, entry, "done.html", done=done, back=entry.path)
