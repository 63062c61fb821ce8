"""What users meet by name, commands, options, paths, metrics and reasons, is in the reference pages, and no more."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

OUTCOMES = {"Filter": 0, "Refuse": 0, "Apply": 0, "Dead": 1, "Reject": 0, "Retry": 0, "Split": 0, "Halt": 0}
"""The calls that carry a reason, and at which place."""


def read(root: Path, name: str) -> str:
    """Read a reference page."""
    return (root / "docs/reference" / name).read_text(encoding="utf-8")


def commands() -> dict[str, set[str]]:
    """Return every command with its options."""
    import typer

    from flybridge.cli.app import app

    group = typer.main.get_command(app)
    found = {}
    for name in group.commands:
        command = group.get_command(None, name)
        parts = [command, *getattr(command, "commands", {}).values()]
        options = {
            text
            for part in parts
            for parameter in part.params
            if not getattr(parameter, "hidden", False)
            for text in parameter.opts
            if text.startswith("--")
        }
        found[name] = options - {"--help"}
    return found


def sections(text: str) -> dict[str, str]:
    """Return the parts of the commands page by command."""
    parts = re.split(r"^## `flybridge (\w+).*$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_and_option_is_documented(root):
    """The commands page has a section for each command, and in it every option."""
    text = read(root, "cli.md")
    common = text.partition("\n## ")[0]
    parts = sections(text)
    assert sorted(parts) == sorted(commands())
    missing = [
        f"{name} {option}"
        for name, options in commands().items()
        for option in sorted(options)
        if f"`{option}" not in parts[name] and f"`{option}" not in common
    ]
    assert missing == []


def test_no_option_is_documented_that_does_not_exist(root):
    """An option that was taken away is taken out of the page."""
    for name, part in sections(read(root, "cli.md")).items():
        written = set(re.findall(r"`(--[a-z][a-z-]*)", part))
        assert written <= commands()[name] | {"--help"}


def test_no_command_is_named_that_does_not_exist(files, root):
    """Documents, settings and messages tell people to run what can be run."""
    known = set(commands())
    named = [
        f"{path.relative_to(root)}: flybridge {name}"
        for path in files
        if path.suffix in {".md", ".py", ".toml"} and "tests" not in path.parts
        for name in re.findall(r"(?:`|bin/)flybridge ([a-z]+)", path.read_text(encoding="utf-8"))
        if name not in known
    ]
    assert named == []


def test_every_path_is_documented(root):
    """The HTTP page names every path of the description that is served, and every status."""
    from flybridge.web.app import description

    text = read(root, "http.md")
    for path, methods in description("0")["paths"].items():
        assert f"`{path}`" in text
        for method in set(methods) & {"get", "post"}:
            for status in methods[method]["responses"]:
                assert re.search(rf"\b{status}\b", text)


def metrics_source(root: Path) -> str:
    """Read the modules that make metrics."""
    return "".join(path.read_text(encoding="utf-8") for path in sorted((root / "src/flybridge").glob("telemetry/*.py")))


def test_every_metric_is_documented(root):
    """Metrics are found in the source by their prefix, and on the page by their name."""
    text = read(root, "metrics.md")
    source = metrics_source(root)
    names = set(re.findall(r'f?"(flybridge_[a-z_]+)', source))
    assert names
    missing = [name for name in sorted(names) if f"`{name}" not in text]
    assert missing == []


def test_no_metric_is_documented_that_does_not_exist(root):
    """A metric that was taken away is taken out of the page."""
    from flybridge.telemetry.metrics import Metrics

    source = metrics_source(root)
    made = tuple(re.findall(r'f?"(flybridge_[a-z_]+)', source))
    for name in re.findall(r"`(flybridge_[a-z_]+)", read(root, "metrics.md")):
        assert name.removesuffix("_total").startswith(made)
    assert Metrics("0").render()


def reasons(source: Path) -> Iterator[str]:
    """Return the reason codes that stand in the code as text; of one that is put together, its beginning."""
    for path in source.rglob("*.py"):
        if "sandbox" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = [word.value for word in node.keywords if word.arg == "reason"]
            if name in OUTCOMES:
                given += node.args[OUTCOMES[name] : OUTCOMES[name] + 1]
            for value in given:
                yield from _texts(value)


def _texts(value: ast.expr) -> Iterator[str]:
    match value:
        case ast.Constant(value=str(code)) if re.fullmatch(r"[a-z][a-z0-9_]+", code):
            yield code
        case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]) if re.fullmatch(r"[a-z][a-z0-9_]+", start):
            yield start
        case ast.IfExp(body=one, orelse=other):
            yield from _texts(one)
            yield from _texts(other)


def test_every_reason_is_documented(root):
    """A code that a person may meet says on one page what it means and what to do."""
    text = read(root, "reasons.md")
    found = set(reasons(root / "src/flybridge"))
    assert {"no_usable_id", "restricted_source"} <= found
    missing = [code for code in sorted(found) if f"`{code}" not in text]
    assert missing == []


@pytest.mark.parametrize("outcome", ["duplicate", "filtered", "refused", "applied", "held", "expired", "dead"])
def test_every_outcome_is_documented(outcome, root):
    """The page has a heading for each outcome that needs explaining."""
    assert re.search(rf"^## .*{outcome}", read(root, "reasons.md"), re.MULTILINE | re.IGNORECASE)


def test_the_equation_of_the_account_names_every_outcome(root):
    """The sum in the README adds up, because no outcome is left out of it."""
    from flybridge.records import OutcomeKind

    text = (root / "README.md").read_text(encoding="utf-8")
    (sum_,) = re.findall(r"^received = (.+)$", text, re.MULTILINE)
    assert sorted(sum_.split(" + ")) == sorted(
        "in flight" if kind is OutcomeKind.PENDING else kind.value for kind in OutcomeKind
    )


def test_the_set_up_names_every_field_that_doctor_asks_for(root):
    """And no other, but for the identifiers of the platform."""
    from flybridge.appsflyer.push_config import FIELDS, OF_STREAMS

    text = (root / "docs/how-to/push-api.md").read_text(encoding="utf-8")
    (row,) = re.findall(
        r"^\| fields \| all\. At least `([\w ]+)`, with `apps\.streams` also `([\w ]+)`", text, re.MULTILINE
    )
    assert [set(names.split()) for names in row] == [set(FIELDS), set(OF_STREAMS)]
