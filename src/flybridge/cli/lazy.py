"""A group of commands whose modules are imported when one of them is called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Later(NamedTuple):
    """Where a command is defined, and its help as the list of commands shows it.

    `name` is a function, or a `typer.Typer` that has commands of its own.
    """

    module: str
    name: str
    help: str

    def load(self, command: str) -> Any:
        """Import the command. Its own help is the docstring of the function."""
        found = getattr(import_module(self.module), self.name)
        if not isinstance(found, typer.Typer):
            function, found = found, typer.Typer(add_completion=False)
            found.command(command)(function)
        loaded = typer.main.get_command(found)
        loaded.name = command
        return loaded


class LazyGroup(TyperGroup):
    """A group that lists all of its commands, and imports the one that is called."""

    later: ClassVar[Mapping[str, Later]] = {}

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        # `commands` is what help, completion and suggestions read: it must not cost an import.
        self.commands.update({name: TyperCommand(name, help=later.help) for name, later in self.later.items()})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, imported."""
        if cmd_name in self.later:
            return self.later[cmd_name].load(cmd_name)
        return super().get_command(ctx, cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the group from the table, without importing a command."""
        listed = TyperGroup(
            name=self.name,
            commands=dict(self.commands),
            help=self.help,
            params=self.params,
            rich_markup_mode=self.rich_markup_mode,
        )
        listed.format_help(ctx, formatter)
