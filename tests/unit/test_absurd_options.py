"""Numbers that no store can hold are refused with a sentence, by each command that looks something up by one."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from flybridge.cli.app import app as cli

COMMANDS = (
    "dead --limit {}", "holds --limit {}", "holds --days {}", "lanes queue --limit {}", "lanes uncertain --limit {}",
    "cohorts history --limit {}", "holds release --user-id ada -- {}", "holds expire -- {}",
    "lanes take-out -- {}",
)  # fmt: skip


@pytest.mark.parametrize("value", ["9" * 23, "-1", "0", "1e400", "0x10"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_number_that_no_store_holds_is_refused(command: str, value: str) -> None:
    """As used wrongly, before anything is opened."""
    found = CliRunner().invoke(cli, [value if word == "{}" else word for word in command.split()])
    assert found.exit_code == 2, (found.output, found.exception)
    assert isinstance(found.exception, SystemExit)
    assert "Invalid value" in found.output
