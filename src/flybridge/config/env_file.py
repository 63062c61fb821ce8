"""The file `.env` beside a configuration: variables that the environment does not set, such as secrets.

Its lines are `NAME=value`, as systemd's EnvironmentFile and Docker's --env-file read them; a value may stand in quotes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

NAME: Final = ".env"


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of a file; none if it can't be read. Lines that are no `NAME=value` are left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return {}
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        name = name.removeprefix("export ").strip()
        if equals and name.isidentifier():
            found[name] = _unquoted(value.strip())
    return found


def write_env_file(path: Path, wanted: Mapping[str, str]) -> list[str]:
    """Add variables to a file that only its owner can read; those it has stay. Returns the names that were added."""
    known = read_env_file(path)
    added = {name: value for name, value in wanted.items() if not known.get(name)}
    path.touch(mode=0o600, exist_ok=True)
    path.chmod(0o600)
    with path.open("a+", encoding="utf-8") as file:
        file.seek(0)
        before = file.read()
        if before and not before.endswith("\n"):
            file.write("\n")
        for name, value in added.items():
            file.write(f"{name}={value}\n")
    return list(added)


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value
