"""With a real Redis: the store's promises, and two trackers of which one is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest import TestCase as AnyTestCase
from unittest import skipUnless

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dashp2p.tracker.redis_address import RedisAddress, registry_place
from dashp2p.tracker.redis_store import RedisStore
from dashp2p.tracker.shared_store import Change, Kept, SharedStore, StoreAwayError
from tests.peer.test_process import FILM, MEDIA, get
from tests.processes import HOST, Daemon, Daemons, free_port, wait_until
from tests.tracker.fakestore import FakeStore
from tests.tracker.support import OTHER_SWARM, SWARM, announce_fields, lease_fields, peer_id, want
from tests.tracker.test_process import call

reactor: Any = global_reactor

REDIS = shutil.which("redis-server")
MISSING = "no redis-server here (Debian: apt-get install redis-server)"


class RedisServer:
    """A Redis that keeps nothing on disk; it ends with the test."""

    def __init__(self, case: AnyTestCase, *options: str) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="dashp2p-redis-")
        self._options = options
        case.addCleanup(self._folder.cleanup)
        case.addCleanup(self.stop)
        self.start()

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/3"

    def start(self) -> None:
        command = [
            str(REDIS),
            "--port",
            str(self.port),
            "--bind",
            HOST,
            "--save",
            "",
            *self._options,
        ]
        with (Path(self._folder.name) / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder.name, stdout=log, stderr=subprocess.STDOUT
            )

    def stop(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()

    def hang(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)


class StoreContract:
    """What every SharedStore does; `store` and `case` are the test's."""

    store: SharedStore

    async def load(self, *positions: int, since_s: float = 0.0, peer: int = 1) -> Any:
        return await self.store.load(SWARM, peer_id(peer), since_s, positions)

    async def save(self, loaded: Any, *changes: Change, peer: int = 1, **more: Any) -> bool:
        record, counts = more.get("record"), more.get("counts", {})
        name, generation = peer_id(peer), loaded.generation
        return await self.store.save(SWARM, generation, name, changes, record, counts)

    async def test_what_was_saved_is_loaded(self) -> None:
        case: Any = self
        loaded = await self.load(7, 8)
        change = Change(7, loaded.segments[7], b"leases", "chunk.m4s")
        led = Change(None, loaded.led, b"[[7,1,2.5]]")
        case.assertTrue(await self.save(loaded, change, led, counts={"granted": 2}))
        await self.store.save(SWARM, loaded.generation, peer_id(1), (), None, {"granted": 3})
        again = await self.load(7, 8)
        case.assertEqual(again.segments[7].data, b"leases")
        case.assertEqual(again.segments[8], Kept())
        case.assertEqual(again.led.data, b"[[7,1,2.5]]")
        case.assertEqual((await self.load(peer=2)).led, Kept())
        case.assertEqual(await self.store.position(SWARM, "chunk.m4s"), 7)
        case.assertIsNone(await self.store.position(SWARM, "other.m4s"))
        figures = await self.store.figures(SWARM)
        case.assertEqual((figures.segments, list(figures.led)), (1, [b"[[7,1,2.5]]"]))
        case.assertEqual(figures.counts, {"granted": 5})
        case.assertTrue(await self.save(again, Change(None, again.led, b"")))
        case.assertEqual((await self.load()).led, Kept())

    async def test_whoever_is_late_writes_nothing_at_all(self) -> None:
        case: Any = self
        one, other = await self.load(7, 8), await self.load(7, 8)
        case.assertTrue(await self.save(one, Change(7, one.segments[7], b"first")))
        late = [Change(p, other.segments[p], b"late") for p in (8, 7)]
        case.assertFalse(await self.save(other, *late, record=b"{}"))
        loaded = await self.load(7, 8)
        case.assertEqual((loaded.segments[7].data, loaded.segments[8].data), (b"first", b""))
        case.assertEqual(loaded.seen, [])

    async def test_the_same_bytes_written_again_are_another_version(self) -> None:
        case: Any = self
        one = await self.load(7)
        case.assertTrue(await self.save(one, Change(7, one.segments[7], b"same")))
        two = await self.load(7)
        case.assertTrue(await self.save(two, Change(7, two.segments[7], b"same")))
        case.assertFalse(await self.save(two, Change(7, two.segments[7], b"same")))

    async def test_peers_are_told_since_a_moment_the_longest_ago_first(self) -> None:
        case: Any = self
        loaded = await self.load()
        for number in (1, 2, 3, 1):
            await self.save(loaded, peer=number, record=b"%d" % number)
            await self.later()
        seen = (await self.load()).seen
        case.assertEqual([each.peer for each in seen], [peer_id(n) for n in (2, 3, 1)])
        case.assertEqual([each.record for each in seen], [b"2", b"3", b"1"])
        since = (await self.load(since_s=seen[-1].at_s)).seen
        case.assertEqual([each.peer for each in since], [peer_id(1)])
        case.assertEqual(await self.store.swarms(), [SWARM])

    async def test_segments_are_told_the_latest_first(self) -> None:
        case: Any = self
        loaded = await self.load(5, 6, 7)
        for position in (6, 7, 5):
            change = Change(position, loaded.segments[position], b"x")
            case.assertTrue(await self.save(loaded, change))
            await self.later()
        case.assertEqual(await self.store.latest(SWARM, 2), [5, 7])
        case.assertEqual(await self.store.latest(OTHER_SWARM, 2), [])

    async def test_other_swarms_are_counted(self) -> None:
        case: Any = self
        loaded = await self.load()
        case.assertEqual(loaded.other_swarms, 0)
        await self.save(loaded, record=b"1")
        case.assertEqual((await self.load()).other_swarms, 0)
        other = await self.store.load(OTHER_SWARM, peer_id(1), 0.0, ())
        case.assertEqual(other.other_swarms, 1)

    async def test_for_another_generation_nothing_is_written(self) -> None:
        case: Any = self
        loaded = await self.load(7)
        changes = (Change(7, loaded.segments[7], b"late"),)
        case.assertFalse(await self.store.save(SWARM, b"else", peer_id(1), changes, None))
        case.assertEqual((await self.load(7)).segments[7], Kept())

    async def later(self) -> None:
        """Let the store's clock go on."""


class FakeStoreTests(StoreContract, TestCase):
    """The store of the other tests, in memory."""

    def setUp(self) -> None:
        self.now = 1000.0
        self.store = FakeStore(lambda: self.now)

    async def later(self) -> None:
        self.now += 1.0


@skipUnless(REDIS, MISSING)
class Unanswering:
    """An endpoint that never connects, and fails as Twisted's do when that is cancelled."""

    def connect(self, factory: object) -> Deferred[Any]:
        return Deferred(lambda gone: gone.errback(ConnectingCancelledError(None)))


class StoppingTests(SynchronousTestCase):
    def test_who_is_stopped_while_he_connects_leaves_no_timer(self) -> None:
        address = registry_place("redis://127.0.0.1:1/0")
        assert address is not None
        clock = Clock()
        endpoint: Any = Unanswering()
        store = RedisStore(address, endpoint, clock, (100, 10), os.urandom)
        store.startService()
        store.stopService()
        self.assertEqual(clock.getDelayedCalls(), [])


class RedisStoreTests(StoreContract, TestCase):
    """Redis itself, by its scripts."""

    timeout = 20

    def setUp(self) -> None:
        self.redis = RedisServer(self)
        self.store = self.redis_store = self.connected(self.redis.url)

    def connected(self, url: str, bounds: tuple[int, int] = (100, 10)) -> RedisStore:
        address = registry_place(url)
        assert address is not None
        endpoint = HostnameEndpoint(reactor, address.host, address.port, timeout=2)
        store = RedisStore(address, endpoint, reactor, bounds, os.urandom)
        store.startService()
        self.addCleanup(store.stopService)
        return store

    async def load(self, *positions: int, since_s: float = 0.0, peer: int = 1) -> Any:
        await self.until(lambda: self.redis_store.away() is None)
        return await super().load(*positions, since_s=since_s, peer=peer)

    async def until(self, holds: Callable[[], object]) -> None:
        while not holds():
            await deferLater(reactor, 0.02)

    async def later(self) -> None:
        await deferLater(reactor, 0.005)

    async def away(self, asking: Awaitable[Any]) -> str:
        try:
            await asking
        except StoreAwayError as error:
            return str(error)
        raise AssertionError("the store answered")

    async def test_a_restarted_redis_is_another_generation_and_found_again(self) -> None:
        before = await self.load(7)
        self.redis.stop()
        why = await self.away(self.store.load(SWARM, peer_id(1), 0.0, ()))
        self.assertIn(self.redis.url, why)
        await self.until(self.redis_store.away)
        self.redis.start()
        after = await self.load(7)
        self.assertNotEqual(before.generation, after.generation)
        self.assertFalse(await self.save(before, Change(7, Kept(), b"late")))

    async def test_a_redis_that_hangs_is_away_in_two_seconds_and_comes_back(self) -> None:
        await self.load()
        self.redis.hang()
        asked_at = time.monotonic()
        await self.away(self.store.load(SWARM, peer_id(1), 0.0, ()))
        self.assertLess(time.monotonic() - asked_at, 4.0)
        await self.until(self.redis_store.away)
        self.redis.go_on()
        await self.load()

    async def test_scripts_that_redis_forgot_are_sent_again(self) -> None:
        await self.load()
        await self.redis_store._ask("SCRIPT", "FLUSH")
        loaded = await self.load()
        self.assertTrue(await self.save(loaded, record=b"1"))

    async def test_keys_that_hold_something_else_are_told_of(self) -> None:
        await self.load()
        await self.redis_store._ask("SET", f"dashp2p:{SWARM.hex()}:seen", "somebody's")
        why = await self.away(self.store.load(SWARM, peer_id(1), 0.0, ()))
        self.assertIn("WRONGTYPE", why)
        self.assertIsNone(self.redis_store.away())

    async def test_a_wrong_password_is_told_and_a_right_one_taken(self) -> None:
        guarded = RedisServer(self, "--requirepass", "secret")
        stranger = self.connected(guarded.url)
        await self.until(lambda: "NOAUTH" in (stranger.away() or ""))
        friend = self.connected(guarded.url.replace("//", "//:secret@"))
        await self.until(lambda: friend.away() is None)
        self.assertNotIn("secret", repr(registry_place("redis://:secret@h/0")))

    async def test_everything_goes_when_nobody_is_heard_of(self) -> None:
        loaded = await self.load(7)
        led = Change(None, loaded.led, b"[]")
        change = Change(7, Kept(), b"x", "p")
        await self.save(loaded, change, led, record=b"1", counts={"granted": 1})
        keys = await self.redis_store._ask("KEYS", "dashp2p:*:*")
        self.assertEqual(len(keys), 7)
        for key in keys:
            self.assertGreater(await self.redis_store._ask("TTL", key), 500)

    async def test_segments_peers_and_swarms_are_bounded(self) -> None:
        from dashp2p.tracker import limits

        self.patch(limits, "SHARED_SEGMENTS", 20)
        self.redis_store._bounds = (5, 3)
        loaded = await self.load()
        for number in range(30):
            change = Change(number, Kept(), b"x" * 100, f"path-{number}")
            self.assertTrue(await self.save(loaded, change, peer=number, record=b"r"))
        self.assertLessEqual((await self.store.figures(SWARM)).segments, 20)
        self.assertLessEqual(len((await self.load()).seen), 5)
        paths = await self.redis_store._ask("HLEN", f"dashp2p:{SWARM.hex()}:paths")
        peers = await self.redis_store._ask("HLEN", f"dashp2p:{SWARM.hex()}:peers")
        self.assertEqual((paths, peers), (20, 5))
        for number in range(6):
            name = bytes([number]) * 32
            await self.store.save(name, loaded.generation, peer_id(1), (), b"r")
        self.assertEqual(len(await self.store.swarms()), 3)

    async def test_the_clock_never_falls(self) -> None:
        first = await self.load()
        await self.redis_store._ask("SET", "dashp2p:clock", round((first.now_s + 100) * 1000))
        self.assertGreaterEqual((await self.load()).now_s, first.now_s + 100)


class AddressTests(SynchronousTestCase):
    def test_what_the_option_takes(self) -> None:
        self.assertIsNone(registry_place(" memory "))
        self.assertEqual(registry_place("redis://h"), RedisAddress("h"))
        self.assertEqual(registry_place("redis://[::1]:7/5"), RedisAddress("::1", 7, 5))
        self.assertEqual(registry_place("redis://:p%40ss@h:1/0"), RedisAddress("h", 1, 0, "p@ss"))
        self.assertEqual(str(RedisAddress("::1", 7, 5, "secret")), "redis://[::1]:7/5")

    def test_what_it_does_not(self) -> None:
        wrong = ("", "disk", "redis://", "http://h/0", "redis://h/x", "redis://h:0x/0",
                 "redis://h:99999/0", "redis://h/9999999999", "redis://h/0?x=1",
                 "redis://user:p@h/0")  # fmt: skip
        for text in wrong:
            self.assertRaises(ValueError, registry_place, text)


@skipUnless(REDIS, MISSING)
class TwoProcessesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.redis = RedisServer(self)
        self.daemons = Daemons(self)
        self.one, self.other = (self.tracker(number) for number in (1, 2))
        for tracker in (self.one, self.other):
            tracker.wait_ready()

    def tracker(self, number: int) -> Daemon:
        return self.daemons.start(
            f"tracker-{number}", "dashp2p-tracker", free_port(), "--registry", self.redis.url
        )

    def test_one_lease_two_trackers_one_killed_and_redis_restarted_empty(self) -> None:
        one, other = self.one, self.other
        for number, tracker in ((1, one), (2, other), (3, one)):
            call(tracker, "/announce", announce_fields(number, event="started"))
        met = call(other, "/announce", announce_fields(2))
        self.assertEqual({peer["port"] for peer in met["peers"]}, {4001, 4003})
        (granted,) = call(one, "/lease", lease_fields(1, want=[want(7)]))["leases"]
        self.assertTrue(granted["granted"])
        (refused,) = call(other, "/lease", lease_fields(2, want=[want(7)]))["leases"]
        self.assertEqual((refused["granted"], refused["leader"]), (False, peer_id(1).hex()))

        one.kill()
        done = [{"segment": 7, "epoch": granted["epoch"]}]
        call(other, "/lease", lease_fields(1, done=done))
        (held,) = call(other, "/lease", lease_fields(3, want=[want(7)]))["leases"]
        self.assertEqual(held["holders"], [peer_id(1).hex()])

        self.redis.stop()
        answer = call(other, "/announce", announce_fields(2))
        self.assertEqual(len(answer["peers"]), 2, "peers are introduced all the same")
        wait_until("it says that it is not ready", partial(self.not_ready, other), 10.0)
        self.assertEqual(self.status_of_lease(other), 503)

        self.redis.start()
        other.wait_ready()
        again = call(other, "/lease", lease_fields(2, want=[want(7)]))
        self.assertTrue(again["announce"])
        self.assertGreater(again["leases"][0]["epoch"], granted["epoch"])
        for number in (1, 2):
            answer = call(other, "/announce", announce_fields(number))
        self.assertEqual([peer["port"] for peer in answer["peers"]], [4001])
        self.assertEqual(other.stop(), 0)
        self.assertNotIn("Traceback", other.log.read_text())

    def test_a_film_goes_on_through_a_killed_tracker_and_an_emptied_redis(self) -> None:
        origin = self.daemons.origin(self.daemons.lay(FILM.files))
        origin.wait_ready()
        peers = [
            self.daemons.peer(number, origin, tracker)
            for number, tracker in enumerate((self.one, self.other))
        ]
        for peer in peers:
            peer.wait_ready()
        wait_until("they know each other", lambda: peers[0].stats()["neighbours"], 20.0)
        first, second, third, fourth = MEDIA
        self.play(peers, first)
        self.redis.stop()
        self.play(peers, second)
        self.redis.start()
        self.play(peers, third)
        self.one.kill()
        self.play(peers, fourth)
        fetched = sum(peer.stats()["bytes"]["origin"] for peer in peers)
        self.assertLess(fetched, 1.5 * sum(len(data) for data in FILM.files.values()))

    def play(self, peers: list[Daemon], path: str) -> None:
        with ThreadPoolExecutor(len(peers)) as players:
            for body in players.map(partial(get, path=path), peers):
                self.assertEqual(body, FILM.files[path])

    def not_ready(self, tracker: Daemon) -> bool:
        try:
            with urllib.request.urlopen(f"{tracker.url}/readyz", timeout=5):
                return False
        except urllib.error.HTTPError as error:
            with error:
                return "registry" in error.read().decode()

    def status_of_lease(self, tracker: Daemon) -> int:
        try:
            call(tracker, "/lease", lease_fields(2, want=[want(7)]))
        except AssertionError as error:
            status, body = error.args[0]
            self.assertIn(b"registry", body)
            return int(status)
        return 200

    def test_a_crowd_at_two_trackers_gets_each_segment_once(self) -> None:
        for number in range(10):
            tracker = (self.one, self.other)[number % 2]
            call(tracker, "/announce", announce_fields(number, event="started"))

        def ask(number: int) -> list[bool]:
            tracker = (self.one, self.other)[number % 2]
            wants = [want(segment) for segment in range(3)]
            answer = call(tracker, "/lease", lease_fields(number, want=wants))
            return [lease["granted"] for lease in answer["leases"]]

        with ThreadPoolExecutor(10) as crowd:
            answers = list(crowd.map(ask, range(10)))
        granted = [sum(column) for column in zip(*answers, strict=True)]
        self.assertEqual(granted, [1, 1, 1])
