"""The configuration file: what is accepted, and in which words the rest is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flybridge.config.apps import Platform, Region, Route
from flybridge.config.env_file import read_env_file
from flybridge.config.settings import Config, load, loads, shown
from flybridge.delivery.lifecycle import Uncertain
from flybridge.errors import ConfigError
from flybridge.system.secret import Secret
from flybridge.wiring import check

SMALL = """
secret = "0123456789abcdef"
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
[apps.appsflyer]
push_token = "letmein"
[apps.amplitude]
api_key = "key"
"""

FULL = """
data_dir = "/var/lib/flybridge"
secret = "env:FLYBRIDGE_SECRET"
former_secrets = ["file:former.txt"]

[server]
host = "0.0.0.0"
port = "env:PORT"
public_url = "https://bridge.example.com"
max_body_bytes = 2048
max_pending = 5

[cluster]
nats = ["nats://a:4222", "env:NATS_B"]
postgres = "postgresql://flybridge:pw@db/flybridge"

[console]
password = "file:console.txt"

[delivery]
max_tries = 7
uncertain = "park"
max_items = 100
concurrency = 3
requests_per_s = 2
gzip = false

[retention]
ledger_days = 60
dead_days = 90
dedup_days = 14

[[apps]]
name = "shop-ios"
appsflyer_app_id = "id123456789"
platform = "ios"
route = "attribution"
[apps.appsflyer]
push_token = "env:AF_PUSH_TOKEN"
former_push_tokens = ["env:AF_FORMER_TOKEN"]
token_header = "X-Flybridge"
s2s_key = "s2s"
api_token = "api"
base_url = "http://127.0.0.1:8800"
[apps.amplitude]
api_key = "key"
secret_key = "secret-key"
region = "eu"
base_url = "https://proxy.example.com:8443"
webhook_token = "hook"
[apps.hold]
window_hours = 720
at_expiry = "send-as-customer-user-id"
v1 = "when-seen"
[apps.mapping]
prefix = "AF"
rename = { "af_purchase" = "Purchase" }
include = ["af_*"]
exclude = ["af_debug"]
device_id_key = "amp_device"
session_id_key = "amp_session"
user_id_key = "amp_user"
use_customer_user_id = false
[[apps.mapping.rows]]
source = "custom_data.shop"
target = "event_properties.shop"
[apps.restrictions]
"Facebook Ads" = "redact"
default = "drop"
[[apps.streams]]
events = ["Purchase", "Trial *"]
rename = { "Purchase" = "af_purchase" }
[[apps.streams.where]]
property = "user_properties.plan"
one_of = ["pro"]
[apps.streams.properties]
appsflyer_id = "user_properties.appsflyer_id"
af_revenue = "event_properties.price"
[[apps.audiences]]
cohort = "7khm89cz"
import_key = "import"
identifier = "idfv"
cadence = "hourly"
max_devices = 500
"""

ENV = {
    "FLYBRIDGE_SECRET": "fedcba9876543210",
    "PORT": "9000",
    "NATS_B": "nats://b:4222",
    "AF_PUSH_TOKEN": "push-token",
    "AF_FORMER_TOKEN": "former-token",
}


def small(replace: str = "", by: str = "") -> Config:
    """Load the small file with one part of it replaced."""
    assert replace in SMALL
    return loads(SMALL.replace(replace, by, 1), Path("/etc/flybridge"), ENV)


def refusal(replace: str, by: str) -> ConfigError:
    """Return the error of the small file with one part of it replaced."""
    with pytest.raises(ConfigError) as caught:
        small(replace, by)
    return caught.value


def test_a_small_file_gets_the_documented_defaults():
    """What is left out has a value that is safe to run with."""
    config = small()
    app = config.apps[0]
    assert config.data_dir == Path("/etc/flybridge/data")
    assert (config.server.host, config.server.port, config.server.loopback) == ("127.0.0.1", 8700, True)
    assert config.cluster is None
    assert config.console.password is None
    assert config.delivery.uncertain is Uncertain.RESEND
    assert (config.retention.ledger_days, config.retention.dead_days, config.retention.dedup_days) == (30, 30, 7)
    assert (app.route, app.amplitude.region) == (Route.HTTP_V2, Region.US)
    assert (app.hold.window_hours, app.hold.at_expiry, app.hold.v1) == (72, "drop", "immediately")
    assert app.mapping.include == ("*",)
    assert app.appsflyer.token_header == "Authorization"


def test_every_key_is_read(tmp_path):
    """A file that sets everything comes out as it was written, with references resolved."""
    (tmp_path / "former.txt").write_text("an older secret 1\n")
    (tmp_path / "console.txt").write_text("open sesame\r\n")
    config = loads(FULL, tmp_path, ENV)
    app = config.apps[0]
    assert config.data_dir == Path("/var/lib/flybridge")
    assert config.secrets == (b"fedcba9876543210", b"an older secret 1")
    assert (config.server.port, config.server.loopback) == (9000, False)
    assert config.console.password == Secret("open sesame")
    assert config.cluster is not None
    assert [server.reveal() for server in config.cluster.nats] == ["nats://a:4222", "nats://b:4222"]
    assert config.delivery.requests_per_s == 2.0
    assert config.delivery.gzip is False
    assert config.app("shop-ios") is app
    assert config.app("shop") is None
    assert (app.platform, app.route) == (Platform.IOS, Route.ATTRIBUTION)
    assert app.appsflyer.push_token == Secret("push-token")
    assert app.appsflyer.former_push_tokens == (Secret("former-token"),)
    assert app.mapping.rename == {"af_purchase": "Purchase"}
    assert app.restrictions == {"Facebook Ads": "redact", "default": "drop"}
    assert app.mapping.rows[0].target == "event_properties.shop"
    assert app.streams[0].where[0].one_of == ("pro",)
    assert app.streams[0].properties["af_revenue"] == "event_properties.price"
    assert (app.audiences[0].identifier, app.audiences[0].cadence) == ("idfv", "hourly")


def test_the_file_is_found_by_argument_then_variable_then_name(tmp_path, monkeypatch):
    """The option wins over FLYBRIDGE_CONFIG, which wins over ./flybridge.toml."""
    for name in ("argument", "variable", "flybridge"):
        (tmp_path / f"{name}.toml").write_text(SMALL.replace('"shop"', f'"{name}"'))
    monkeypatch.chdir(tmp_path)
    env = {"FLYBRIDGE_CONFIG": str(tmp_path / "variable.toml")}
    assert load(tmp_path / "argument.toml", env).apps[0].name == "argument"
    assert load(None, env).apps[0].name == "variable"
    assert load(None, {}).apps[0].name == "flybridge"
    assert load(Path("flybridge.toml"), {}).data_dir == tmp_path / "data"


def test_a_missing_file_names_the_command_that_writes_one(tmp_path):
    """Nobody is left with a stack trace on the first start."""
    with pytest.raises(ConfigError, match=r"no configuration file .*flybridge init"):
        load(tmp_path / "none.toml", {})


def test_a_file_that_is_no_text_is_refused(tmp_path):
    """A wrong path to some binary file is said to be that."""
    (tmp_path / "flybridge.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "flybridge.toml", {})
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path, {})


@pytest.mark.parametrize(
    ("replace", "by", "path", "words"),
    [
        ("secret =", "secret", "", "not valid TOML"),
        ("name =", "nmae =", "apps[0].nmae", "Did you mean 'name'?"),
        ("[apps.amplitude]", "[apps.amplitud]", "apps[0].amplitud", "Did you mean 'amplitude'?"),
        ("api_key", "key_for_the_api", "apps[0].amplitude.key_for_the_api", "Known here: api_key, base_url"),
        ('name = "shop"\n', "", "apps[0].name", "is missing. Write text of letters"),
        ('"shop"', '"a shop"', "apps[0].name", "found 'a shop'"),
        ('"shop"', '"../x"', "apps[0].name", "found '../x'"),
        ('"shop"', "5", "apps[0].name", "found 5"),
        ("[[apps]]", 'secret = "another"\n[[apps]]', "", "is there already: remove one of the two"),
        ("[apps.amplitude]", "[apps.amplitude]\n[apps.amplitude]", "", "is there already: remove one of the two"),
        ('"android"', '"android"\nroute = "http_v2"\nroute = "attribution"', "", "is there already"),
        ('"com.example.shop"', '"123456789"', "apps[0].appsflyer_app_id", 'is "id123456789", and has platform = "ios"'),
        ('"android"', '"Android"', "apps[0].platform", "\"other\". Did you mean 'android'?"),
        ('"com.example.shop"', '""', "apps[0].appsflyer_app_id", "text, not empty"),
        ('platform = "android"', 'platform = "ios"', "apps[0].appsflyer_app_id", "such as \"id123456789\""),
        ('"0123456789abcdef"', '"0123456789abcde"', "secret", "has 15 characters and needs 16"),
        ('"0123456789abcdef"', "12345678901234567890", "secret", "found int"),
        ('secret = "0123456789abcdef"\n', "", "secret", "is missing"),
        ("[[apps]]", 'former_secrets = ["short"]\n[[apps]]', "former_secrets[0]", "has 5 characters"),
        ("[[apps]]", 'former_secrets = "short"\n[[apps]]', "former_secrets", "a list, each text"),
        ("[[apps]]", "[server]\nport = 65536\n[[apps]]", "server.port", "at most 65_535"),
        ("[[apps]]", "[server]\nport = true\n[[apps]]", "server.port", "found true"),
        ("[[apps]]", '[server]\nport = "8700"\n[[apps]]', "server.port", "found '8700'"),
        ("[[apps]]", '[server]\nhost = ""\n[[apps]]', "server.host", "not empty"),
        ("[[apps]]", '[server]\npublic_url = "bridge"\n[[apps]]', "server.public_url", "https://host"),
        ("[[apps]]", "server = 5\n[[apps]]", "server", "a table, [server]"),
        ("[[apps]]", '[cluster]\nnats = ["n"]\n[[apps]]', "cluster.postgres", "is missing"),
        ("[[apps]]", '[cluster]\nnats = []\npostgres = "p"\n[[apps]]', "cluster.nats", "is an empty list"),
        ("[[apps]]", '[console]\npassword = ""\n[[apps]]', "console.password", "is empty"),
        ("[[apps]]", '[delivery]\nuncertain = "maybe"\n[[apps]]', "delivery.uncertain", '"resend", "park"'),
        ("[[apps]]", "[delivery]\nrequests_per_s = nan\n[[apps]]", "delivery.requests_per_s", "a number"),
        (
            "[[apps]]",
            '[cluster]\nnats = ["n"]\npostgres = "p"\nmax_age_hours = inf\n[[apps]]',
            "cluster.max_age_hours",
            "found inf",
        ),
        ("[apps.amplitude]", "[apps.insight]\nrates.EUR = inf\n[apps.amplitude]", "apps[0].insight.rates.EUR", "more"),
        ("[apps.amplitude]", "[apps.insight]\nrates.EUR = nan\n[apps.amplitude]", "apps[0].insight.rates.EUR", "more"),
        ("[[apps]]", "[retention]\nledger_days = 1.5\n[[apps]]", "retention.ledger_days", "a whole number"),
        ("[[apps]]", "[apps]", "apps", "a list, each a table"),
        ("[apps.amplitude]", '[apps.amplitude]\nregion = "de"', "apps[0].amplitude.region", 'one of "us", "eu"'),
        ('"key"', '""', "apps[0].amplitude.api_key", "is empty"),
        ("[apps.amplitude]", "[apps.hold]\nwindow_hours = 0\n[apps.amplitude]", "apps[0].hold.window_hours", "more"),
        ("[apps.amplitude]", "[apps.hold]\nwindow_hours = 720.1\n[apps.amplitude]", "apps[0].hold.window_hours", "720"),
        ("[apps.amplitude]", "[apps.hold]\nwindow_hours = nan\n[apps.amplitude]", "apps[0].hold.window_hours", "720"),
        ("[apps.amplitude]", '[apps.hold]\nat_expiry = "sent"\n[apps.amplitude]', "apps[0].hold.at_expiry", '"drop"'),
        (
            "[apps.amplitude]",
            '[apps.restrictions]\n"Facebook Ads" = "hide"\n[apps.amplitude]',
            'apps[0].restrictions."Facebook Ads"',
            '"pass", "redact", "organic", "drop"',
        ),
        ("[apps.amplitude]", "[apps.mapping]\ninclude = []\n[apps.amplitude]", "apps[0].mapping.include", '["*"]'),
        (
            "[apps.amplitude]",
            "[apps.mapping]\n[[apps.mapping.rows]]\nsource = 'a'\n[apps.amplitude]",
            "apps[0].mapping.rows[0].target",
            "is missing",
        ),
        (
            "[apps.amplitude]",
            '[apps.amplitude]\nstream_fields = { event_typ = "name" }',
            "apps[0].amplitude.stream_fields.event_typ",
            "Amplitude's payload has no field 'event_typ'. Write 'event_type'.",
        ),
        (
            "[apps.amplitude]",
            '[apps.amplitude]\nstream_fields = { "user_propertys.plan" = "plan" }',
            'apps[0].amplitude.stream_fields."user_propertys.plan"',
            "Write 'user_properties.plan'",
        ),
        ("[apps.amplitude]", '[apps.amplitude]\nbase_url = "ftp://h"', "apps[0].amplitude.base_url", "https://host"),
        ("[apps.amplitude]", '[apps.amplitude]\nbase_url = "https://h/"', "apps[0].amplitude.base_url", "slash"),
        ("[apps.amplitude]", '[apps.amplitude]\nbase_url = "https://u:p@h"', "apps[0].amplitude.base_url", "a user"),
        ("[apps.amplitude]", '[apps.amplitude]\nbase_url = "http://h:x"', "apps[0].amplitude.base_url", "address"),
        ('push_token = "letmein"\n', "", "apps[0].appsflyer.push_token", "is missing. Enter a token"),
        ('"letmein"', '"let me in!"', "apps[0].appsflyer.push_token", "does not take"),
        ('"letmein"', f'"{"x" * 2001}"', "apps[0].appsflyer.push_token", "2000 characters"),
        (
            '"letmein"',
            '"letmein"\nformer_push_tokens = ["a", "let me in!"]',
            "apps[0].appsflyer.former_push_tokens[1]",
            "does not take",
        ),
        ('"letmein"', '""\nformer_push_tokens = ["a"]', "apps[0].appsflyer.former_push_tokens", "push_token is empty"),
        ('"letmein"', '"t"\ntoken_header = "Token"', "apps[0].appsflyer.token_header", "`Authorization`, or `X-`"),
        ('"letmein"', f'"t"\ntoken_header = "X-{"a" * 29}"', "apps[0].appsflyer.token_header", "30 characters"),
    ],
)  # fmt: skip
def test_a_fault_is_refused_with_its_path_and_a_remedy(replace, by, path, words):
    """Each refusal names the key, what was found and what is allowed."""
    error = refusal(replace, by)
    assert error.path == path
    assert words in str(error)


@pytest.mark.parametrize(
    "name",
    [
        "amplitude.api_key",
        "amplitude.secret_key",
        "appsflyer.s2s_key",
        "appsflyer.api_token",
    ],
)
@pytest.mark.parametrize("added", ["\n", "\r", "\u200b", "\u00a0", "\ufeff", '"', "\u201d", "\0", "\u043a", "'"])
def test_a_key_with_what_was_copied_along_is_refused(name, added):
    """A vendor would refuse it, and some can't be sent at all: each event would be tried until its tries are spent."""
    section, _, key = name.partition(".")
    settings = {"amplitude.api_key": "key", "appsflyer.push_token": "t", name: f"0123abcd{added}"}
    text = SMALL.partition("[apps.")[0] + "".join(f"{one} = {json.dumps(value)}\n" for one, value in settings.items())
    with pytest.raises(ConfigError) as caught:
        check(loads(text, Path(), {}))
    assert caught.value.path == f"apps[0].{section}.{key}"
    assert "Copy it anew" in str(caught.value)


def test_a_file_in_another_encoding_is_refused_with_what_to_do(tmp_path):
    """Its permissions are not what is wrong."""
    path = tmp_path / "flybridge.toml"
    path.write_bytes(SMALL.encode("utf-16"))
    with pytest.raises(ConfigError, match=r"is not UTF-8 text\. Save it as UTF-8\."):
        load(path, {})


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        ('mapping.without = ["compaign"]', "mapping.without"),
        ('mapping.rows = [{ source = "media_sorce", target = "user_properties.x" }]', "mapping.rows.media_sorce"),
        ('mapping.rename = { "[AppsFlyer] Instal" = "x" }', "mapping.rename"),
        ('mapping.exclude = ["re-engagment"]', "mapping.exclude"),
        ('mapping.user_id_key = "."', "mapping.user_id_key"),
        ("mapping.prefix = 'a\"b'", "mapping.prefix"),
        ('restrictions = { "Facebook Ads/impresion" = "drop" }', "restrictions.Facebook Ads/impresion"),
        ('streams = [{ events = ["*"], without = ["advertising_idd"] }]', "streams[0].without"),
    ],
)
def test_what_no_vendor_has_is_refused_with_the_path_of_its_app(lines, path):
    """There may be several apps, and several settings of one name."""
    second = SMALL.partition("[[apps]]")[2].replace('"shop"', '"second"').replace("com.example.shop", "com.example.two")
    second = second.replace("platform", f"{lines}\nplatform").replace('"key"', '"another"')
    with pytest.raises(ConfigError) as caught:
        check(loads(f"{SMALL}[[apps]]{second}", Path(), {}))
    assert caught.value.path == f"apps[1].{path}"


@pytest.mark.parametrize(
    ("lines", "path", "words"),
    [
        (
            'mapping.where = [{ property = "contry_code", is = "DE" }]',
            "mapping.where[0].property",
            "AppsFlyer's message has no field 'contry_code'. Write 'country_code'.",
        ),
        (
            'mapping.where = [{ property = "event_valu.plan", is = "DE" }]',
            "mapping.where[0].property",
            "Write 'event_value.plan'.",
        ),
        ('mapping.where = [{ property = "MEDIA_SOURCE", is = "a" }]', "mapping.where[0].property", "'media_source'."),
        ('mapping.where = [{ property = "Country Code", is = "DE" }]', "mapping.where[0].property", "'country_code'."),
        ('mapping.where = [{ property = "countryCode", is = "DE" }]', "mapping.where[0].property", "'country_code'."),
        ('mapping.where = [{ property = "Event-Value.p", is = "1" }]', "mapping.where[0].property", "'event_value.p'."),
        (
            'streams = [{ events = ["*"], where = [{ property = "Event Properties.plan", is = "a" }] }]',
            "streams[0].where[0].property",
            "Write 'event_properties.plan'.",
        ),
        (
            'streams = [{ events = ["*"], where = [{ property = "event_propertys.plan", is = "a" }] }]',
            "streams[0].where[0].property",
            "Amplitude's payload has no field 'event_propertys'. Write 'event_properties.plan'.",
        ),
        (
            'streams = [{ events = ["*"], properties = { "eventValue.plan" = "user_property.plan" } }]',
            'streams[0].properties."eventValue.plan"',
            "Write 'user_properties.plan'.",
        ),
        (
            'streams = [{ events = ["*"], properties = { idfv = "device_idd" } }]',
            "streams[0].properties.idfv",
            "Write 'device_id'.",
        ),
    ],
)
def test_a_field_that_looks_misspelt_is_refused_with_the_right_one(lines, path, words):
    """Nothing would be found under it, and events would be left out, or go without it, and nobody would know."""
    error = refusal("platform", f"{lines}\nplatform")
    assert error.path == f"apps[0].{path}"
    assert words in str(error)


@pytest.mark.parametrize(
    ("lines", "path", "meant"),
    [
        ('mapping.rows = [{ source = "Campaign", target = "user_properties.x" }]', "mapping.rows.Campaign", "campaign"),
        ('mapping.rows = [{ source = "App ID", target = "user_properties.x" }]', "mapping.rows.App ID", "app_id"),
        *(
            (f'mapping.without = ["{name}"]', "mapping.without", meant)
            for name, meant in {
                "compaign": "campaign", "ADVERTISING_ID": "advertising_id", "Event Revenue USD": "event_revenue_usd",
                "eventValue": "event_value", "adid": "advertising_id", "gaid": "advertising_id",
                "[AppsFlyer] touch time": "attributed_touch_time", "[AppsFlyer] campaign id": "af_c_id",
                "country": "country_code", "revenue": "event_revenue", "user_id": "customer_user_id",
            }.items()
        ),
    ],
)  # fmt: skip
def test_a_field_is_named_that_was_written_as_reports_or_amplitude_call_it(lines, path, meant):
    """In capitals, with blanks, or by the name that it has in Amplitude."""
    with pytest.raises(ConfigError) as caught:
        check(loads(SMALL.replace("platform", f"{lines}\nplatform", 1), Path(), {}))
    assert caught.value.path == f"apps[0].{path}"
    assert f"Write {meant!r}." in str(caught.value)


@pytest.mark.parametrize(
    "lines",
    [
        'mapping.where = [{ property = "brand_new", is = "a" }, { property = "event_value.x", is = "a" }]',
        'mapping.where = [{ property = "custom_data.user.plan", is = "a" }, { property = "country_code", is = "a" }]',
        'streams = [{ events = ["*"], properties = { "eventValue.a" = "value:event_propertys.b", ua = "agent" } }]',
        'streams = [{ events = ["*"], where = [{ property = "groups.a", is = "b" }, { property = "sku", is = "a" }] }]',
        'amplitude.stream_fields.event_type = "name"\nstreams = [{ events = ["*"], properties.ua = "device_idd" }]',
    ],
)
def test_fields_that_are_newer_or_the_customers_own_are_allowed(lines):
    """They are like none that is known, or of a template."""
    keys = 'appsflyer.push_token = "t"\nappsflyer.s2s_key = "k"\namplitude.api_key = "a"\namplitude.webhook_token = "w"'
    assert loads(f"{SMALL.partition('[apps.appsflyer]')[0]}{keys}\n{lines}\n", Path(), {}).apps


@pytest.mark.parametrize(
    "fields", ['event_type = "name"', 'plan = "x"', '"user_properties.planet" = "x"', 'insert_id = "i"', 'time = "t"']
)
def test_other_names_of_a_template_are_allowed(fields):
    """`apps.streams.properties` may look for them."""
    assert (
        small("[apps.amplitude]", f"[apps.amplitude]\nstream_fields = {{ {fields} }}").apps[0].amplitude.stream_fields
    )


def test_two_apps_may_not_share_a_name():
    """A name is part of addresses: it must lead to one app."""
    error = refusal("[[apps]]", SMALL.partition("[[apps]]")[1] + SMALL.partition("[[apps]]")[2] + "[[apps]]")
    assert error.path == "apps[1].name"
    assert "apps[0] is called 'shop' too" in str(error)


def test_a_file_without_apps_is_refused():
    """There would be nothing to do."""
    with pytest.raises(ConfigError, match="apps: is missing"):
        loads('secret = "0123456789abcdef"', Path(), {})
    with pytest.raises(ConfigError, match="Add one"):
        loads('secret = "0123456789abcdef"\napps = []', Path(), {})


def test_ios_ids_of_digits_alone_get_the_right_spelling():
    """AppsFlyer answers 200 to a wrong iOS id and records nothing, so it is refused here."""
    error = refusal('"com.example.shop"\nplatform = "android"', '"123456789"\nplatform = "ios"')
    assert 'Write "id123456789".' in str(error)


@pytest.mark.parametrize(
    "app_id",
    [
        "id123456789",
        "https://play.google.com/store/apps/details?id=com.example.shop",
        "com.example.shop ",
        "com example",
    ],
)
def test_what_is_no_android_app_id_is_refused(app_id):
    """AppsFlyer's messages would be those of another app, and events for it are recorded nowhere."""
    error = refusal('"com.example.shop"\nplatform = "android"', f'"{app_id}"\nplatform = "android"')
    assert error.path == "apps[0].appsflyer_app_id"
    assert "com.example.shop" in error.remedy or "address" in error.remedy


@pytest.mark.parametrize(
    ("key", "found"),
    [("k1\n", "k1"), ("k1\r\n", "k1"), ("\ufeffk1", "k1"), ("k1\nk2", None), ("k1\tk2", None), ("\x7fk1 ", None)],
)
@pytest.mark.parametrize("reference", ["env:KEY", "file:key.txt"])
def test_a_key_is_one_line_wherever_it_is_kept(reference, key, found, tmp_path):
    """It goes into a header. Line ends around it are the editor's, those within it make two keys."""
    (tmp_path / "key.txt").write_bytes(key.encode())
    text = SMALL.replace('"key"', f'"{reference}"')
    if found is not None:
        assert loads(text, tmp_path, {"KEY": key}).apps[0].amplitude.api_key.reveal() == found
        return
    with pytest.raises(ConfigError, match="line end or another control character") as caught:
        loads(text, tmp_path, {"KEY": key})
    assert caught.value.path == "apps[0].amplitude.api_key"


def test_what_seals_data_is_taken_as_it_is():
    """Another form of it could not open what is kept."""
    text = SMALL.replace('"0123456789abcdef"', '"env:SEAL"')
    assert loads(text, Path(), {"SEAL": "0123456789abcdef\n"}).secret.reveal() == "0123456789abcdef\n"


def test_a_byte_order_mark_of_an_editor_is_no_part_of_the_configuration(tmp_path):
    """Of the file, and of `.env`."""
    path = tmp_path / "flybridge.toml"
    path.write_text(SMALL, encoding="utf-8-sig")
    assert load(path, {}).apps[0].name == "shop"
    (tmp_path / ".env").write_text("KEY=k1\n", encoding="utf-8-sig")
    assert read_env_file(tmp_path / ".env") == {"KEY": "k1"}


def test_the_attribution_route_needs_a_mobile_platform():
    """Amplitude's Attribution API knows two platforms."""
    error = refusal('platform = "android"', 'platform = "other"\nroute = "attribution"')
    assert error.path == "apps[0].route"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_an_open_door_is_allowed_on_this_machine(host):
    """For trying things out, the token may be empty while nobody else can connect."""
    text = SMALL.replace("letmein", "").replace("[[apps]]", f'[server]\nhost = "{host}"\n[[apps]]', 1)
    token = loads(text, Path(), {}).apps[0].appsflyer.push_token
    assert token is not None
    assert not token


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "bridge.example.com"])
def test_an_open_door_is_refused_where_others_can_connect(host):
    """An empty token anywhere else lets anybody write into the company's analytics."""
    text = SMALL.replace("letmein", "").replace("[[apps]]", f'[server]\nhost = "{host}"\n[[apps]]', 1)
    with pytest.raises(ConfigError, match="anybody could send"):
        loads(text, Path(), {})


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        ('webhook_token = "t"\n[[apps.streams]]\nevents = ["A"]', "apps[0].appsflyer.s2s_key"),
        ('webhook_token = "t"\n[[apps.streams]]\nevents = []', "apps[0].streams[0].events"),
        ('webhook_token = "t"\n[[apps.streams]]', "apps[0].streams[0].events"),
        ('[[apps.streams]]\nevents = ["A"]\nwithout = ["appsflyer_id"]', "apps[0].streams[0].without"),
        ('[[apps.streams]]\nevents = ["A"]\n[[apps.streams.where]]\nproperty = "x"', "apps[0].streams[0].where[0]"),
        ('[[apps.mapping.where]]\nproperty = "x"', "apps[0].mapping.where[0]"),
        (
            '[[apps.audiences]]\ncohort = "c"\nidentifier = "gaid"\n[[apps.audiences.where]]\nproperty = "x"',
            "apps[0].audiences[0].where[0]",
        ),
        ('[[apps.audiences]]\ncohort = "c"\nimport_key = "i"\nidentifier = "gaid"', "apps[0].appsflyer.api_token"),
        ('[[apps.audiences]]\ncohort = "c"\nimport_key = "i"\nidentifier = "idfv"', "apps[0].audiences[0].identifier"),
        ('[[apps.audiences]]\ncohort = "c"\nimport_key = "i"\nidentifier = "gaids"', "apps[0].audiences[0].identifier"),
    ],
)
def test_what_a_section_needs_is_asked_for(lines, path):
    """A stream or audience that could never work is refused at the start, not found out at night."""
    assert refusal('api_key = "key"\n', f'api_key = "key"\n{lines}\n').path == path


def test_a_stream_needs_to_be_let_in():
    """Without the webhook token the events would never arrive."""
    error = refusal(
        '"letmein"\n[apps.amplitude]\napi_key = "key"\n',
        '"letmein"\ns2s_key = "s"\n[apps.amplitude]\napi_key = "key"\n[[apps.streams]]\nevents = ["A"]\n',
    )
    assert error.path == "apps[0].amplitude.webhook_token"


def test_user_ids_of_two_spaces_are_not_mixed_in_an_audience():
    """`cuid` lists Amplitude's user ids; where AppsFlyer's are others, a property holds them."""
    section = '[apps.mapping]\ncustomer_user_id = "{}"\n[[apps.audiences]]\ncohort = "c"\nimport_key = "i"\n'
    section += 'identifier = "cuid"\n'
    before = '"letmein"\n[apps.amplitude]\napi_key = "key"\n'
    head = '"letmein"\napi_token = "a"\n[apps.amplitude]\napi_key = "key"\nsecret_key = "s"\n'
    error = refusal(before, head + section.format("never"))
    assert error.path == "apps[0].audiences[0].identifier"
    assert "property" in error.remedy
    for fine in (section.format("send"), section.format("never") + 'property = "af_user"\n'):
        assert small(before, head + fine).apps[0].audiences


def test_an_audience_needs_a_way_to_its_cohort_and_only_one_section():
    """A cohort is downloaded or sent; one audience is not fed twice."""
    section = '[[apps.audiences]]\ncohort = "c"\nimport_key = "i"\nidentifier = "gaid"\n'
    before = '"letmein"\n[apps.amplitude]\napi_key = "key"\n'
    error = refusal(before, '"letmein"\napi_token = "a"\n[apps.amplitude]\napi_key = "key"\n' + section)
    assert error.path == "apps[0].amplitude.secret_key"
    error = refusal(
        before, '"letmein"\napi_token = "a"\n[apps.amplitude]\napi_key = "key"\nsecret_key = "s"\n' + section * 2
    )
    assert error.path == "apps[0].audiences[1].cohort"


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("env:NOT_SET", "the environment variable NOT_SET is not set"),
        ("env:EMPTY", "the environment variable EMPTY is set, but empty"),
        ("file:none.txt", "can't be read"),
        ("file:empty.txt", "is empty"),
        ("file:binary", "is not UTF-8 text"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(reference, words, tmp_path):
    """A forgotten variable must not become an empty key."""
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(ConfigError) as caught:
        loads(SMALL.replace('"key"', f'"{reference}"'), tmp_path, {"EMPTY": ""})
    assert caught.value.path == "apps[0].amplitude.api_key"
    assert words in str(caught.value)


def test_a_number_may_be_a_reference_and_its_text_is_not_shown():
    """Containers give ports by environment; a reference that does not fit is shown as it is written."""
    text = SMALL.replace("[[apps]]", '[server]\nport = "env:PORT"\n[[apps]]', 1)
    assert loads(text, Path(), {"PORT": "80"}).server.port == 80
    with pytest.raises(ConfigError) as caught:
        loads(text, Path(), {"PORT": "hunter2"})
    assert "found 'env:PORT', which stands for something else" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_nothing_can_be_changed_after_loading():
    """The configuration is frozen: what was checked is what runs."""
    config = small()
    with pytest.raises(AttributeError):
        config.secret = Secret("another secret 12")  # type: ignore[misc]
    with pytest.raises(AttributeError):
        config.apps[0].hold.window_hours = 1  # type: ignore[misc]


def test_the_configuration_in_effect_can_be_shown():
    """People may look at everything but secrets, and the result is plain JSON."""
    text = json.dumps(shown(small()))
    assert '"api_key": "***"' in text
    assert '"window_hours": 72.0' in text
    assert "letmein" not in text
