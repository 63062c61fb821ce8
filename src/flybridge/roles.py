"""The roles of a process: intake, worker, console, or all of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct


class Role(StrEnum):
    """One role. A process has all of them unless `--only` names one."""

    INTAKE = "intake"
    WORK = "work"
    CONSOLE = "console"


class Roles(Struct, frozen=True):
    """The roles of one process. `needs_inbox` and `needs_store` decide `/readyz`.

    Intake needs the inbox, a worker needs both, and the console needs the store only.
    """

    name: str
    takes: bool
    works: bool
    shows: bool

    @property
    def needs_inbox(self) -> bool:
        """Whether the process can do nothing without the inbox."""
        return self.takes or self.works

    @property
    def needs_store(self) -> bool:
        """Whether the process can do nothing without the store. If not, the store is not opened."""
        return self.works or self.shows


ALL_ROLES: Final = Roles("all", takes=True, works=True, shows=True)


def roles_of(only: Role | None) -> Roles:
    """Return the roles of a process started with `--only`; all roles if `only` is None."""
    if only is None:
        return ALL_ROLES
    return Roles(only.value, takes=only is Role.INTAKE, works=only is Role.WORK, shows=only is Role.CONSOLE)
