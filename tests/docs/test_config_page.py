"""docs/reference/config.md is what the settings say, and every setting says something."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import fields

from flybridge.config import apps, settings
from flybridge.config.page import field_docs, keys, parts
from flybridge.system.reference_pages import printed

STRUCTS = [
    kind
    for module in (settings, apps)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
]


def test_the_page_is_current(root):
    """The tables are printed from the settings: run `make pages` after changing one."""
    text = (root / "docs/reference/config.md").read_text(encoding="utf-8")
    assert text == printed(text, parts())


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_every_setting_is_explained(kind):
    """Each field has words of its own, and no words belong to no field."""
    docs = field_docs(kind)
    assert set(docs) == {field.name for field in fields(kind)}
    assert all(text.endswith((".", '"')) for text in docs.values())


def test_every_key_is_on_the_page(root):
    """Sections appear as TOML writes them, keys in their tables."""
    text = (root / "docs/reference/config.md").read_text(encoding="utf-8")
    for key in keys():
        last = key.rpartition(".")[2]
        assert f"| `{last}` |" in text or f"[{key}]" in text
