"""Links between documents lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def headings(text: str) -> set[str]:
    """Return the anchors of a page, as they are made from its headings."""
    lines = re.findall(r"^#+ +(.+?) *$", CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def links(path: Path) -> list[str]:
    """Return the links of a page that do not leave the repository."""
    found = [one or other for one, other in LINK.findall(CODE.sub("", path.read_text(encoding="utf-8")))]
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def test_every_relative_link_leads_to_a_file_and_a_heading(files, root):
    """No link in a document of the repository is broken."""
    broken = []
    pages = [path for path in files if path.suffix == ".md"]
    assert pages
    for page in pages:
        for link in links(page):
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            if not target.exists():
                broken.append(f"{page.relative_to(root)}: {link} leads to no file")
            elif anchor and anchor not in headings(target.read_text(encoding="utf-8")):
                broken.append(f"{page.relative_to(root)}: {link} leads to no heading")
    assert broken == []


def test_every_page_can_be_found_from_the_index(root):
    """A page that nothing links to is not read."""
    reached, todo = set(), [root / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        todo += [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if not link.startswith("#")]
    pages = set((root / "docs").rglob("*.md"))
    assert sorted(str(page.relative_to(root)) for page in pages - reached) == []
