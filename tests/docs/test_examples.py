"""What the documents tell people to write works as they say."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from flybridge.config.settings import loads
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Apply, Dead, Envelope, Hold, Media, Source

TUTORIAL = "docs/tutorial.md"


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def document(text: str, name: str) -> bytes:
    """Return what the tutorial writes to a file of that name."""
    found = re.search(rf"^cat > {re.escape(name)} <<'END'\n(.*?)^END", text, re.MULTILINE | re.DOTALL)
    assert found
    return found[1].encode()


@pytest.fixture
def tutorial(root) -> str:
    """Return the tutorial."""
    return (root / TUTORIAL).read_text(encoding="utf-8")


@pytest.fixture
def flow(tutorial) -> Flow:
    """Return the flow of the tutorial's app."""
    app = loads(blocks(tutorial, "toml")[0], Path(), {}).apps[0]
    rules = Rules(app=app.name, platform=app.platform.value, route=app.route.value)
    return Flow({app.name: AppFlow(rules)}, Keyring(b"0123456789abcdef"))


def test_every_toml_example_is_toml(files, root):
    """Nobody should have to mend an example before trying it."""
    found = [
        (page.relative_to(root), block)
        for page in files
        if page.suffix == ".md"
        for block in blocks(page.read_text(encoding="utf-8"), "toml")
    ]
    assert len(found) > 5
    for page, block in found:
        assert tomllib.loads(block), page


def test_the_tutorials_configuration_loads(tutorial):
    """It is a whole file, and talks to the sandbox of the step before."""
    config = loads(blocks(tutorial, "toml")[0], Path(), {})
    assert config.apps[0].amplitude.base_url.rpartition(":")[2] in tutorial.partition("## 3.")[0]
    assert f"/v1/push/{config.apps[0].name}" in tutorial
    assert config.apps[0].appsflyer.push_token is not None
    assert f"Authorization: {config.apps[0].appsflyer.push_token.reveal()}'" in tutorial


def test_the_tutorials_install_waits_and_its_sighting_fits(tutorial, flow):
    """The install is held by a key that the sighting carries."""
    install = Envelope("shop", Source.PUSH, Media.JSON, 1_770_000_000_000, document(tutorial, "install.json"))
    seen = Envelope("shop", Source.STREAM, Media.JSON, 1_770_000_000_000, document(tutorial, "seen.json"))
    held, applied = flow.filing(install), flow.filing(seen)
    assert isinstance(held.decision, Hold)
    assert isinstance(applied.decision, Apply)
    assert held.decision.item.event_type == "[AppsFlyer] Install"
    assert {sighting.key for sighting in applied.sightings} & set(held.decision.keys)
    assert {sighting.user_id for sighting in applied.sightings} == {"anna-77"}


def test_the_tutorials_mistake_is_a_dead_letter(tutorial, flow):
    """Readable, so taken; no postback, so dead."""
    body = re.search(r"-d '(\{.*?\})'", tutorial)
    assert body
    assert json.loads(body[1])
    filing = flow.filing(Envelope("shop", Source.PUSH, Media.JSON, 1_770_000_000_000, body[1].encode()))
    assert isinstance(filing.decision, Dead)
