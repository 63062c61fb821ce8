"""The repository speaks only of itself: no machine's paths, no registries, nothing left to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

# Written in pieces, so that this file does not find itself.
FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.}])/(work|root|opt|home)" + r"/[a-z.]",
    "a package registry": r"py" + r"pi\.org|python" + r"hosted|extra-index" + r"-url",
    "an issue or session": r"\bissue" + r" #\d|/issues" + r"/\d|\bthis ses" + r"sion\b|\bthe br" + r"ief\b",
    "something left to do": r"\bTO" + r"DO\b|\bFIX" + r"ME\b|\bX" + r"XX\b",
    "a merge conflict": r"^(<<<<<<<|>>>>>>>) " + r".",
}


def text_of(path: Path) -> str:
    """Read a file, as nothing if it is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what, files, root):
    """What belongs to a machine, a registry or a task stays out of the repository."""
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    found = [
        f"{path.relative_to(root)}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()!r}"
        for path in files
        if (text := text_of(path))
        for match in pattern.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a path of somebody's machine", "see /wo" + "rk/main"),
        ("a package registry", "https://py" + "pi.org/simple"),
        ("an issue or session", "as in issue" + " #12"),
        ("something left to do", "# TO" + "DO: later"),
        ("a merge conflict", "<<<<<<< " + "HEAD"),
    ],
)
def test_the_patterns_find_what_they_are_for(what, line):
    """A pattern that finds nothing would let everything pass."""
    assert re.search(FORBIDDEN[what], line, re.MULTILINE)


def test_requirements_hold_names_versions_and_hashes_only(root):
    """The pinned files work with any index, because they name none."""
    line = re.compile(r"[A-Za-z0-9._-]+==[^\s/:]+( ; [^/]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    for path in sorted((root / "requirements").glob("*.txt")):
        lines = path.read_text().splitlines()
        assert lines
        assert [each for each in lines if not line.fullmatch(each)] == []


def test_requirements_pin_every_dependency(root):
    """A dependency that is added to pyproject.toml is pinned by `make requirements`."""
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((root / "pyproject.toml").read_text())
    run = (root / "requirements/run.txt").read_text()
    dev = (root / "requirements/dev.txt").read_text()
    extras = project["project"].get("optional-dependencies", {}).values()
    for wanted in project["project"]["dependencies"]:
        assert _pins(run, Requirement(wanted))
        assert _pins(dev, Requirement(wanted))
    for group in [project["dependency-groups"]["dev"], *extras]:
        for wanted in map(Requirement, group):
            if wanted.name == project["project"]["name"]:  # an extra that includes another one
                assert wanted.extras <= project["project"]["optional-dependencies"].keys()
            else:
                assert _pins(dev, wanted)


def _pins(text, requirement) -> bool:
    """Tell whether a requirements file pins a version that fits."""
    from packaging.utils import canonicalize_name

    pins = {canonicalize_name(name): version for name, version in re.findall(r"^(\S+?)==([^\s;]+)", text, re.MULTILINE)}
    return requirement.specifier.contains(pins[canonicalize_name(requirement.name)], prereleases=True)


def test_a_tree_without_git_is_listed_alike(root, files, listed, tmp_path):
    """A source archive has no history, and is checked all the same."""
    for path in files:
        copy = tmp_path / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b"")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/left").write_bytes(b"")
    (tmp_path / "src/__pycache__").mkdir()
    (tmp_path / "src/__pycache__/left.pyc").write_bytes(b"")
    assert [path.relative_to(tmp_path) for path in listed(tmp_path)] == [path.relative_to(root) for path in files]
