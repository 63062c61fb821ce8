"""Reference pages whose tables are printed from the code. Their prose stands in the pages themselves.

What is printed stands between `<!-- printed: name -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

_PART: Final = re.compile(r"(?<=<!-- printed: )(\w+) -->\n.*?\n(?=<!-- end -->)", re.DOTALL)


def printed(page: str, parts: Mapping[str, str]) -> str:
    """Return a page with its parts printed anew, by name. Raises `ValueError` if the page has others than these."""
    names = [found[1] for found in _PART.finditer(page)]
    if sorted(names) != sorted(parts):
        raise ValueError(f"the page has the parts {', '.join(names)}, and not {', '.join(parts)}")
    return _PART.sub(lambda found: f"{found[1]} -->\n\n{parts[found[1]].strip()}\n\n", page)


def print_page(parts: Mapping[str, str]) -> None:
    """Print the parts of the page that the command line names."""
    path = Path(sys.argv[1])
    path.write_text(printed(path.read_text(encoding="utf-8"), parts), encoding="utf-8")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
