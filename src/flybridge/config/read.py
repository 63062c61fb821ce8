"""Reads TOML into frozen structs, and refuses what it does not know with an error that names the remedy.

Names, types, limits and allowed words are taken from the structs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher, get_close_matches
from enum import StrEnum
from math import isfinite
from pathlib import Path
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from flybridge.errors import ConfigError
from flybridge.system.secret import MAY_BE_EMPTY, Secret

ENV: Final = "env:"
FILE: Final = "file:"
SEALING: Final = ("secret", "former_secrets")
FOUND_CHARACTERS: Final = 60
ALIKE: Final = 0.5
TIE: Final = 0.1
"""The ratio from which a key is suggested, and the difference within which two suggestions are equally good."""


def parse(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text. Raises `ConfigError` with the line of the mistake."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # The parser says it by what it does itself, "Cannot overwrite a value", and names no key.
        is_there = str(error).startswith(("Cannot ", "Duplicate "))
        remedy = (
            "The key or table of this line is there already: remove one of the two."
            if is_there
            else "Text needs quotes, and a table name its brackets."
        )
        raise ConfigError("", f"The configuration is not valid TOML: {error}.", remedy) from None


def unset_variables(value: object, env: Mapping[str, str]) -> list[str]:
    """Return the names of variables that the tables refer to and that are not set, or set to nothing; sorted."""
    match value:
        case dict():
            return sorted({name for each in value.values() for name in unset_variables(each, env)})
        case list():
            return sorted({name for each in value for name in unset_variables(each, env)})
        case str() if value.startswith(ENV) and not env.get(value.removeprefix(ENV)):
            return [value.removeprefix(ENV)]
    return []


class ConfigReader:
    """Reads tables into structs. Relative paths start at `base`; `env` is where `env:NAME` looks."""

    def __init__(self, base: Path, env: Mapping[str, str]) -> None:
        self._base = base
        self._env = env

    def read(self, kind: Any, value: object, path: str = "") -> Any:
        """Return `value` as `kind`, a struct, container or plain type. Raises `errors.ConfigError`."""
        kind = _not_none(kind)
        if isinstance(kind, type) and issubclass(kind, Struct):
            return self._struct(kind, value, path)
        if isinstance(kind, type) and issubclass(kind, Path):
            return self._base / Path(self._text(kind, value, path))
        if _bare(kind) is Secret:
            return self._secret(kind, value, path)
        match get_origin(_bare(kind)):
            case origin if origin is tuple:
                return self._list(kind, value, path)
            case origin if origin is dict:
                return self._table(kind, value, path)
        return self._plain(kind, value, path)

    def _struct(self, kind: type[Struct], value: object, path: str) -> Struct:
        if not isinstance(value, dict):
            raise _wrong(path, value, f"a table, [{path}] or [[{path}]], with keys and values", secret=True)
        known = {field.encode_name: field for field in fields(kind)}
        for key in value:
            if key not in known:
                raise _unknown(_join(path, key), key, known)
        given: dict[str, Any] = {}
        for key, field in known.items():
            if key in value:
                given[field.name] = self.read(field.type, value[key], _join(path, key))
            elif field.required:
                raise _missing(_join(path, key), field)
            elif isinstance(field.default, Path):
                given[field.name] = self._base / field.default
        return kind(**given)

    def _list(self, kind: Any, value: object, path: str) -> tuple[Any, ...]:
        item = get_args(_bare(kind))[0]
        if not isinstance(value, list):
            raise _wrong(path, value, f"a list, each {allowed(item)}", secret=_bare(item) is Secret)
        found = tuple(self.read(item, each, f"{path}[{number}]") for number, each in enumerate(value))
        if kind is not _bare(kind) and not found:
            raise ConfigError(path, "is an empty list.", "Name one or more, or leave out the section.")
        return found

    def _table(self, kind: Any, value: object, path: str) -> dict[str, Any]:
        item = get_args(kind)[1]
        if not isinstance(value, dict):
            raise _wrong(path, value, f"a table, each value {allowed(item)}")
        return {key: self.read(item, each, _join(path, key)) for key, each in value.items()}

    def _plain(self, kind: Any, value: object, path: str) -> Any:
        reference = isinstance(value, str) and value.startswith((ENV, FILE))
        resolved = self._resolve(value, path) if isinstance(value, str) else value
        try:
            # Environment variables and files hold text, so a number may be text there.
            found = msgspec.convert(resolved, kind, strict=not reference)
        except msgspec.ValidationError:
            raise _wrong(path, value, allowed(kind), _nearest(kind, resolved)) from None
        # TOML has inf, too, which is more than any least number.
        if isinstance(found, float) and not isfinite(found):
            raise _wrong(path, value, allowed(kind))
        return found

    def _secret(self, kind: Any, value: object, path: str) -> Secret:
        text = self._text(kind, value, path)
        # What seals data stays as it is, or the data could not be opened.
        if str(value).startswith((ENV, FILE)) and not path.startswith(SEALING):
            text = text.strip("\ufeff\r\n")
            if any(character < " " or character == "\x7f" for character in text):
                raise ConfigError(
                    path, "holds a line end or another control character.", "Write the one value that is meant."
                )
        secret = Secret(text)
        if not secret and MAY_BE_EMPTY not in getattr(kind, "__metadata__", ()):
            raise ConfigError(path, "is empty.", f"Write {allowed(kind)}, or leave the key out if it is not needed.")
        return secret

    def _text(self, kind: Any, value: object, path: str) -> str:
        if not isinstance(value, str):
            raise _wrong(path, value, allowed(kind), secret=_bare(kind) is Secret)
        return self._resolve(value, path)

    def _resolve(self, text: str, path: str) -> str:
        if text.startswith(ENV):
            return self._variable(text.removeprefix(ENV), path)
        if text.startswith(FILE):
            return self._file(text.removeprefix(FILE), path)
        return text

    def _variable(self, name: str, path: str) -> str:
        value = self._env.get(name)
        if value:
            return value
        state = "not set" if value is None else "set, but empty"
        raise ConfigError(
            path,
            f"the environment variable {name} is {state}.",
            f"Set {name}, or write it into the file .env beside the configuration.",
        )

    def _file(self, name: str, path: str) -> str:
        file = self._base / name
        try:
            value = file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise ConfigError(
                path, f"the file {file} can't be read: {error.strerror}.", "Write it, or correct the path."
            ) from None
        except UnicodeDecodeError:
            raise ConfigError(path, f"the file {file} is not UTF-8 text.", "Write the value as text.") from None
        if not value:
            raise ConfigError(path, f"the file {file} is empty.", "Write the value into it.")
        return value


def allowed(kind: Any) -> str:
    """Return a description of the values that a type takes."""
    kind = _not_none(kind)
    if _bare(kind) is Secret:
        return 'text, best as "env:NAME" or "file:PATH"'
    match msgspec.inspect.type_info(kind):
        case msgspec.inspect.Metadata(extra_json_schema={"description": str(words)}):
            return words
        case msgspec.inspect.EnumType() | msgspec.inspect.LiteralType():
            return "one of " + ", ".join(f'"{word}"' for word in _words(kind))
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType(ge=low, le=high):
            return f"a whole number{_range(low, None, high)}"
        case msgspec.inspect.FloatType(ge=low, gt=above, le=high):
            return f"a number{_range(low, above, high)}"
        case msgspec.inspect.StrType(min_length=shortest):
            return "text, not empty" if shortest else "text"
        case msgspec.inspect.VarTupleType():
            return f"a list, each {allowed(get_args(_bare(kind))[0])}"
        case msgspec.inspect.DictType():
            return f"a table, each value {allowed(get_args(kind)[1])}"
        case msgspec.inspect.StructType():
            return "a table"
    return "text"


def _range(low: float | None, above: float | None, high: float | None) -> str:
    parts = [
        f"at least {low:g}" if low is not None else "",
        f"more than {above:g}" if above is not None else "",
        f"at most {high:,.0f}".replace(",", "_") if high is not None else "",
    ]
    words = " and ".join(part for part in parts if part)
    return f", {words}" if words else ""


def _words(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [member.value for member in kind] if isinstance(kind, type) and issubclass(kind, StrEnum) else []


def _bare(kind: Any) -> Any:
    """Return a type without its `Annotated` metadata."""
    return getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind


def _not_none(kind: Any) -> Any:
    """Return the type that an optional one holds."""
    some = [part for part in get_args(kind) if part is not NoneType]
    return some[0] if NoneType in get_args(kind) and len(some) == 1 else kind


def _join(path: str, key: str) -> str:
    # Keys of tables can be event names, with blanks and dots.
    shown = key if key.replace("_", "").replace("-", "").isalnum() else f'"{key}"'
    return f"{path}.{shown}" if path else shown


def _nearest(kind: Any, value: object) -> str | None:
    near = get_close_matches(str(value).lower(), _words(kind), n=1)
    return near[0] if near else None


def _unknown(path: str, key: str, known: Iterable[str]) -> ConfigError:
    names = sorted(known)
    likeness = {name: SequenceMatcher(None, name, key.lower()).ratio() for name in names}
    best = max(likeness.values(), default=0.0)
    near = [name for name in names if likeness[name] >= max(best - TIE, ALIKE)]
    remedy = f"Did you mean {' or '.join(map(repr, near))}?" if near else "Remove it."
    return ConfigError(path, "there is no such key.", f"{remedy} Known here: {', '.join(names)}.")


def _missing(path: str, field: FieldInfo) -> ConfigError:
    assert field.default is NODEFAULT
    return ConfigError(path, "is missing.", f"Write {allowed(field.type)}.")


def _wrong(path: str, value: object, words: str, near: str | None = None, *, secret: bool = False) -> ConfigError:
    found = f"found {type(value).__name__}" if secret else f"found {_shown(value)}"
    hint = f" Did you mean {near!r}?" if near else ""
    return ConfigError(path, f"{found}.", f"Allowed is {words}.{hint}")


def _shown(value: object) -> str:
    """Return what was found, as text. A reference is shown as written, never its value."""
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "a table"
        case list():
            return "a list"
    if isinstance(value, str) and value.startswith((ENV, FILE)):
        return f"{value!r}, which stands for something else"
    text = repr(value)
    return text if len(text) <= FOUND_CHARACTERS else text[:FOUND_CHARACTERS] + "..."
