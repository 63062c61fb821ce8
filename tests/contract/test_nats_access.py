"""What a server of NATS does not allow, and what its certificate is worth, is said as such."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flybridge.errors import InboxUnavailable
from flybridge.inbox.nats.inbox import JetStreamInbox
from flybridge.inbox.nats.link import StreamSettings
from flybridge.records import Envelope, Media, Source
from flybridge.sealing import Seal
from flybridge.testing.nats import NatsCluster

pytestmark = pytest.mark.service

NOW_MS = 1_764_000_000_000
SEAL = Seal(b"the secret of the contract suite")
SETTINGS = StreamSettings(replicas=1, deadline_s=2.0)


class Configured(NatsCluster):
    """One server with more settings. It is ready when it greets, whatever it allows."""

    def __init__(self, directory: Path, more: str) -> None:
        super().__init__(directory, 1)
        self._more = more

    def _settings(self, node):
        return super()._settings(node) + self._more

    async def _ask(self, node, question):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        except OSError:
            return None
        greeting = await reader.readline()
        writer.close()
        return {"greeting": greeting.decode()}


def users(permissions: str) -> str:
    """Return the section of two users: `all`, and `few` with these permissions."""
    few = f"{{ user: few, password: pass-word, permissions: {{ {permissions} }} }}"
    return f"authorization {{ users: [ {{ user: all, password: pass-word }}, {few} ] }}\n"


def as_user(cluster: NatsCluster, name: str) -> JetStreamInbox:
    """Return an inbox on a server, of one of its users."""
    url = cluster.nodes[0].url.replace("nats://", f"nats://{name}:pass-word@")
    return JetStreamInbox([url], SEAL, SETTINGS)


async def refusal(attempt) -> str:
    """Return why it was refused. It never holds the password."""
    with pytest.raises(InboxUnavailable) as found:
        await asyncio.wait_for(attempt, 10)
    assert "pass-word" not in str(found.value)
    return str(found.value)


@pytest.mark.parametrize(
    ("permissions", "forbidden"),
    [
        ('publish: ["flybridge.>"], subscribe: ["_INBOX.>"]', 'publish to "$js.api.info"'),
        ('publish: [">"], subscribe: ["other.>"]', 'subscription to "_inbox.'),
        ('publish: { allow: [">"], deny: ["$JS.API.STREAM.>"] }', 'publish to "$js.api.stream.info.flybridge"'),
    ],
)
async def test_what_a_user_may_not_do_at_the_start_is_named(tmp_path, permissions, forbidden):
    async with Configured(tmp_path, users(permissions)) as cluster:
        problem = await refusal(as_user(cluster, "few").open())
    assert f"permissions violation for {forbidden}" in problem
    assert "cluster.nats" in problem


async def pass_through(inbox: JetStreamInbox) -> None:
    """Store a message, lease it and acknowledge it."""
    await inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, b"{}"))
    leased = await inbox.lease(1, NOW_MS, 60_000)
    assert leased is not None
    await inbox.ack(leased)


async def test_a_user_needs_no_more_than_the_page_says(tmp_path):
    permissions = users('publish: ["flybridge.>", "$JS.API.>", "$JS.ACK.>"], subscribe: ["_INBOX.>"]')
    async with Configured(tmp_path, permissions) as cluster:
        inbox = as_user(cluster, "few")
        await inbox.open()
        await pass_through(inbox)
        assert (await inbox.depth(NOW_MS)).waiting == 0
        assert list((await inbox.received()).values()) == [1]
        await inbox.close()


@pytest.mark.parametrize(
    ("denied", "forbidden"),
    [
        ("flybridge.>", 'publish to "flybridge.'),
        ("$JS.API.CONSUMER.MSG.NEXT.>", 'publish to "$js.api.consumer.msg.next.flybridge.work"'),
        ("$JS.ACK.>", 'publish to "$js.ack.flybridge.work'),
    ],
)
async def test_what_a_user_may_not_do_at_work_is_named(tmp_path, denied, forbidden):
    """A worker that gets nothing because it may not ask is not one for which nothing waits."""
    permissions = users(f'publish: {{ allow: [">"], deny: ["{denied}"] }}, subscribe: [">"]')
    async with Configured(tmp_path, permissions) as cluster:
        inbox = as_user(cluster, "all")
        await inbox.open()
        await pass_through(inbox)
        await inbox.close()
        inbox = as_user(cluster, "few")
        await inbox.open()
        problem = await refusal(pass_through(inbox))
        await inbox.close()
    assert f"permissions violation for {forbidden}" in problem


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """Make a key and a certificate of its own for a host."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "key.pem", folder / "certificate.pem"
    clear = serialization.NoEncryption()
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    paths[0].write_bytes(key.private_bytes(pem, form, clear))
    paths[1].write_bytes(made.public_bytes(pem))
    return paths


async def test_a_certificate_is_checked_and_can_be_trusted(tmp_path, monkeypatch):
    """A server is not called absent because it is not trusted."""
    key, made = certificate(tmp_path, "localhost")
    tls = f'tls {{ cert_file: "{made}", key_file: "{key}" }}\n'
    async with Configured(tmp_path / "nats", tls) as cluster:
        url = cluster.nodes[0].url.replace("127.0.0.1", "localhost")
        for scheme in ("nats", "tls"):
            problem = await refusal(JetStreamInbox([url.replace("nats", scheme, 1)], SEAL, SETTINGS).open())
            assert "certificate verify failed" in problem
            assert "SSL_CERT_FILE" in problem
        monkeypatch.setenv("SSL_CERT_FILE", str(made))
        inbox = JetStreamInbox([url.replace("nats", "tls", 1)], SEAL, SETTINGS)
        await inbox.open()
        await inbox.close()


async def test_an_address_that_asks_for_tls_is_not_used_without(tmp_path):
    """Else the password and the names of apps would go over the network in the clear."""
    async with NatsCluster(tmp_path, 1) as cluster:
        url = cluster.nodes[0].url.replace("nats://", "tls://flybridge:pass-word@")
        problem = await refusal(JetStreamInbox([url], SEAL, SETTINGS).open())
    assert "tls://" in problem
    assert "does not offer TLS" in problem
