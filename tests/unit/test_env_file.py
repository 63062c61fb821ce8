"""The file `.env` beside a configuration, and what `init` writes into it."""

from __future__ import annotations

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from flybridge.cli.app import app
from flybridge.config.env_file import read_env_file, write_env_file
from flybridge.config.settings import load, loads
from flybridge.errors import ConfigError

GIVEN = ("--name", "shop", "--platform", "ios", "--appsflyer-app-id", "id1", "--route", "http_v2", "--region", "us")


def init(folder, *more, **env):
    """Run `init` in a folder."""
    words = ["init", "--config", str(folder / "flybridge.toml"), *GIVEN, *more]
    unset = dict.fromkeys(("FLYBRIDGE_SECRET", "AF_PUSH_TOKEN", "AMPLITUDE_API_KEY", "AMPLITUDE_WEBHOOK_TOKEN"))
    return CliRunner().invoke(app, words, env={**unset, **env})


def test_init_makes_a_configuration_that_loads_as_it_is(tmp_path):
    """The secrets are made, readable by their owner alone, and what is printed has the real tokens."""
    done = init(tmp_path, "--api-key", "the-api-key", "--public-url", "https://bridge.example.com")
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    config = load(tmp_path / "flybridge.toml", {})
    shop = config.apps[0]
    assert shop.amplitude.api_key.reveal() == "the-api-key"
    assert len(config.secret.reveal()) == 48
    assert shop.appsflyer.push_token.reveal() in done.output
    assert shop.amplitude.webhook_token.reveal() in done.output
    assert config.secret.reveal() not in done.output
    assert "https://bridge.example.com/v1/push/shop" in done.output


def test_init_again_keeps_the_secrets(tmp_path):
    """Another secret would make what is stored unreadable."""
    init(tmp_path, "--api-key", "the-api-key")
    before = read_env_file(tmp_path / ".env")
    assert init(tmp_path).exit_code != 0
    assert init(tmp_path, "--force", "--api-key", "another").exit_code == 0
    assert read_env_file(tmp_path / ".env") == before


def test_init_without_the_api_key_says_what_is_missing(tmp_path):
    """And so does loading."""
    assert "AMPLITUDE_API_KEY" in init(tmp_path).output
    with pytest.raises(ConfigError, match="AMPLITUDE_API_KEY"):
        load(tmp_path / "flybridge.toml", {})


def test_init_into_a_directory_that_is_not_there_writes_nothing(tmp_path):
    """A sentence, and no traceback."""
    done = init(tmp_path / "nowhere")
    assert isinstance(done.exception, ConfigError)
    assert list(tmp_path.iterdir()) == []


def test_the_environment_wins_over_the_file(tmp_path):
    """A deployment sets what it wants."""
    init(tmp_path, "--api-key", "of-the-file")
    config = load(tmp_path / "flybridge.toml", {"AMPLITUDE_API_KEY": "of-the-environment"})
    assert config.apps[0].amplitude.api_key.reveal() == "of-the-environment"


def test_all_missing_variables_are_named_at_once():
    """In one message, also those within lists and tables."""
    text = 'secret = "env:A"\nformer_secrets = ["env:B"]\n[[apps]]\nname = "x"\namplitude.api_key = "env:C"\n'
    with pytest.raises(ConfigError) as caught:
        loads(text, None, {"B": ""})
    assert "3 environment variables" in str(caught.value)
    assert "A, B, C" in str(caught.value)


@given(st.dictionaries(st.from_regex(r"\A[A-Z][A-Z0-9_]{0,10}\Z"), st.from_regex(r"\A[!-~]{1,20}\Z"), max_size=5))
def test_what_is_written_is_read(tmp_path_factory, values):
    """And what was there stays, whatever it ends with."""
    values = {name: value for name, value in values.items() if value[0] not in "'\""}
    path = tmp_path_factory.mktemp("env") / ".env"
    path.write_text("# a comment\nFIRST_ONE='in quotes'\nnonsense")
    write_env_file(path, values)
    assert write_env_file(path, dict.fromkeys(values, "another")) == []
    assert read_env_file(path) == {"FIRST_ONE": "in quotes", **values}
