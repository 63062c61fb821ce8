"""The page about notifications: its settings can be read, and its check of a signature takes what flybridge signs."""

from __future__ import annotations

import re
import time
import tomllib

from flybridge.notifications.channel import SIGNATURE, TIMESTAMP, signature


def blocks(root, language: str) -> list[str]:
    """Return the code on the page."""
    text = (root / "docs/how-to/notifications.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_settings_are_those_of_the_configuration(root):
    """Every key of the example is one that is read."""
    from flybridge.config.page import keys

    def paths(table, prefix="") -> list[str]:
        found = []
        for key, value in table.items():
            found += paths(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
        return found

    for block in blocks(root, "toml"):
        assert set(paths(tomllib.loads(block))) <= set(keys())


def test_the_check_of_the_signature_works(root):
    """A genuine message passes; another body, another secret and an old one do not."""
    (code,) = blocks(root, "python")
    names: dict = {}
    exec(code, names)
    stamp, body, secret = str(int(time.time())), b'{"type":"test"}', b"a secret of sixteen characters"
    headers = {TIMESTAMP: stamp, SIGNATURE: signature(secret, stamp, body)}
    assert names["is_genuine"](headers, body, secret)
    assert not names["is_genuine"](headers, body + b" ", secret)
    assert not names["is_genuine"](headers, body, b"another secret of sixteen")
    old = str(int(time.time()) - 600)
    assert not names["is_genuine"]({TIMESTAMP: old, SIGNATURE: signature(secret, old, body)}, body, secret)
