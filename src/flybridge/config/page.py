"""The tables of docs/reference/config.md, printed from the settings themselves."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from enum import Enum
from textwrap import dedent
from typing import Any, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from flybridge.config.read import allowed
from flybridge.config.settings import Config
from flybridge.system.reference_pages import print_page, table
from flybridge.system.secret import Secret


def parts() -> Mapping[str, str]:
    """Return the printed part of the page by its name."""
    return {"settings": "\n".join(_section(Config, "", many=False))}


def keys() -> Iterator[str]:
    """Return the path of every key, such as `apps.hold.window_hours`."""
    yield from _keys(Config, "")


def field_docs(kind: type[Struct]) -> dict[str, str]:
    """Read the text under each field of a struct, and of those that it extends."""
    docs: dict[str, str] = {}
    for part in kind.__mro__[: kind.__mro__.index(Struct)]:
        body = ast.parse(dedent(inspect.getsource(part))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    docs[name] = " ".join(words.split())
    return docs


def _keys(kind: type[Struct], prefix: str) -> Iterator[str]:
    for field in fields(kind):
        yield prefix + field.encode_name
        inner = _inner(field.type)
        if inner is not None:
            yield from _keys(inner[0], f"{prefix}{field.encode_name}.")


def _section(kind: type[Struct], path: str, *, many: bool) -> Iterator[str]:
    header = f"[[{path}]]" if many else f"[{path}]"
    yield f"## {header}\n" if path else "## Top of the file\n"
    yield f"{inspect.getdoc(kind)}\n" if path else "These keys stand before the first table.\n"
    plain = [field for field in fields(kind) if _inner(field.type) is None]
    docs = field_docs(kind)
    if plain:
        cells = ((f"`{field.encode_name}`", allowed(field.type), _default(field), docs[field.name]) for field in plain)
        yield table(("key", "takes", "default", "what it does"), cells) + "\n"
    for field in fields(kind):
        inner = _inner(field.type)
        if inner is not None:
            below = f"{path}.{field.encode_name}" if path else field.encode_name
            yield from _section(inner[0], below, many=inner[1])


def _inner(kind: Any) -> tuple[type[Struct], bool] | None:
    """Return the struct a field holds, and whether it holds many of them."""
    many = get_origin(kind) is tuple
    for part in (kind, *get_args(kind)):
        if isinstance(part, type) and issubclass(part, Struct):
            return part, many
    return None


def _default(field: FieldInfo) -> str:
    value = field.default
    if field.default_factory is not NODEFAULT:
        value = field.default_factory()
    match value:
        case None:
            return "absent"
        case Enum():
            return f'`"{value.value}"`'
        case dict() | tuple() | list():
            return f"`{msgspec.json.encode(value, enc_hook=str).decode()}`" if value else "empty"
        case bool() | int() | float():
            return f"`{msgspec.json.encode(value).decode()}`"
    if value is NODEFAULT or isinstance(value, Secret):
        return "required"
    return f'`"{value}"`' if str(value) else "empty"


if __name__ == "__main__":
    print_page(parts())
