"""The whole daemon without sockets: how it starts, learns, shares, and ends."""

from __future__ import annotations

import errno
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, execute
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from dashp2p.content.index import SIGNATURE_NAME
from dashp2p.content.keys import KeyRefused
from dashp2p.content.signature import INDEX_NAME
from dashp2p.peer import service as service_module
from dashp2p.peer.fakenet import advance
from dashp2p.peer.fakeweb import Asked, MemoryWeb, memory_client
from dashp2p.peer.limits import INDEX_LATE_S, INDEX_LOOK_S, ORIGIN_PATIENCE_S
from dashp2p.peer.presentation import read_index
from dashp2p.peer.service import PeerService, PeerSettings
from dashp2p.store.limits import RETRY_FIRST_S
from dashp2p.testing import (
    ORIGIN,
    TRACKER,
    FakeDisk,
    MemoryFilm,
    MemoryNetwork,
    MemoryOrigin,
    MemoryTracker,
)
from dashp2p.web.listener import StartRefused
from tests.web.support import Answer, Connection, code_under

FILM = MemoryFilm.make(segments=2)
LATER_S = 1_700_000_060.0
RECUT = MemoryFilm.make(segments=3, issued_s=LATER_S)
SEGMENT = "chunk_0_1.m4s"
DATA = FILM.files[SEGMENT]
REAL_HTTP_CLIENT = service_module.http_client


class FakePool:
    """Connections that nobody has made."""

    def __init__(self) -> None:
        self.closed = False

    def closeCachedConnections(self) -> Deferred[None]:  # noqa: N802  # Twisted's name
        self.closed = True
        return execute(lambda: None)


class ServiceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.reactor.advance(500.0)
        self.origin = MemoryOrigin(self.reactor, dict(FILM.files))
        self.tracker = MemoryTracker(self.reactor)
        self.network = MemoryNetwork(self.reactor)
        self.web = MemoryWeb()
        self.web.sites[ORIGIN] = self.origin
        self.web.sites[TRACKER] = self.tracker.site("127.0.0.1")
        self.pool = FakePool()
        self.cache = Path(self.mktemp()).absolute()
        self.services: list[PeerService] = []
        self.patch(service_module, "http_client", self._http_client)
        self.patch(service_module, "tcp_endpoint", lambda _: self.network.endpoint("127.0.0.1"))
        self.patch(service_module, "deferToThreadPool", self._in_thread)
        self.reactor.getThreadPool = lambda: None  # type: ignore[attr-defined]

    def tearDown(self) -> None:
        for service in self.services:
            if not service.stopping:
                self.stop(service)
        self.assertEqual(self.reactor.getDelayedCalls(), [], "a timer has outlived the service")
        self.assertEqual(self.flushLoggedErrors(), [])

    def _http_client(self, reactor: object, ca: Path | None) -> Any:
        return memory_client(self.web), self.pool

    def _in_thread(self, reactor: Any, pool: object, work: Callable[[], Any]) -> Deferred[Any]:
        """As from a thread: a moment later."""
        done: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self.reactor.callLater(0, done.callback, None)
        return done.addCallback(lambda _: work())

    def advance(self, seconds: float) -> None:
        advance(self.reactor, seconds)

    def settings(self, **changes: Any) -> PeerSettings:
        settings = PeerSettings(
            listen="tcp:8001:interface=127.0.0.1",
            exchange="tcp:4001",
            origin_url=f"http://{ORIGIN}/dash",
            tracker_url=f"http://{TRACKER}",
            cache=self.cache,
            cache_bytes=1 << 28,
            upload_bps=None,
            admin=None,
            admin_hosts=(),
            origin_key=None,
            ca=None,
            allow_hosts=(),
            allow_origins=(),
            client=None,
            ablations=frozenset(),
        )
        return evolve(settings, **changes)

    def start(self, seconds: float = 1.0, **changes: Any) -> PeerService:
        service = PeerService(self.settings(**changes), self.reactor, random.Random(1))
        service.privilegedStartService()
        self.services.append(service)
        service.startService()
        self.advance(seconds)
        return service

    def stop(self, service: PeerService, seconds: float = 15.0) -> None:
        stopping = service.stopService()
        self.advance(seconds)
        self.successResultOf(stopping)

    def ask(self, service: PeerService, path: str, wait_s: float = 1.0) -> Answer:
        connection = Connection(service._players.site)
        connection.send(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        for _ in range(round(wait_s / 0.05)):
            self.advance(0.05)
            connection.transport.take_all()
        return Answer(connection.transport.taken)

    def ask_json(self, service: PeerService, path: str) -> Any:
        return json.loads(self.ask(service, path).body)

    def ready(self, service: PeerService) -> int:
        return self.ask(service, "/readyz", 0.1).code

    def events(self) -> list[str]:
        """What was announced."""
        return [
            json.loads(asked.body)["event"]
            for asked in self.tracker.calls
            if asked.path == "/announce"
        ]


class StartTests(ServiceTestCase):
    def test_it_listens_for_players_and_peers(self) -> None:
        self.start()
        listening = [(port, interface) for port, _, _, interface in self.reactor.tcpServers]
        self.assertEqual(listening, [(8001, "127.0.0.1"), (4001, "")])

    def test_it_learns_the_index_joins_and_is_ready(self) -> None:
        service = self.start()
        self.assertEqual(service.presentation.mode, "sharing")
        self.assertEqual(self.events()[0], "started")
        self.assertEqual(self.ready(service), 200)

    def test_it_announces_where_it_really_listens(self) -> None:
        self.start()
        announce = json.loads(self.tracker.calls[0].body)
        self.assertEqual(announce["swarm"], FILM.signature.swarm_id.hex())
        self.assertGreater(announce["port"], 0)

    def test_what_every_player_asks_first_is_fetched_ahead(self) -> None:
        service = self.start(0.2)
        for path in ("dash.mpd", "init_0.m4s"):
            self.assertTrue(service.engine.is_here(FILM.entry(path)), path)
        self.assertFalse(service.engine.is_here(FILM.entry(SEGMENT)))

    def test_a_player_that_waits_gets_its_beginning_before_anything_is_fetched_ahead(self) -> None:
        ladder = MemoryFilm.make(segments=2, rungs=3)
        self.origin.files = dict(ladder.files)
        service = self.start(0.0)
        self.assertEqual(self.ask(service, "/dash/dash.mpd").body, ladder.files["dash.mpd"])
        calls = [json.loads(call.body) for call in self.tracker.calls if call.path == "/lease"]
        asked = [[want["path"] for want in call["want"]] for call in calls if call["want"]]
        self.assertEqual(asked[:2], [["index.json"], ["dash.mpd", "init_0.m4s", SEGMENT]])
        for path in ("init_1.m4s", "init_2.m4s"):
            self.assertTrue(service.engine.is_here(ladder.entry(path)), path)

    def test_it_serves_players(self) -> None:
        self.assertEqual(self.ask(self.start(), f"/dash/{SEGMENT}").body, DATA)

    def test_page_figures_and_health_are_beside_the_film(self) -> None:
        service = self.start()
        for path in ("/stats", "/healthz", "/metrics"):
            self.assertEqual(self.ask(service, path, 0.1).code, 200, path)
        self.assertEqual(self.ask(service, "/", 0.1).headers["location"], "/client/")

    def test_it_is_the_same_peer_after_a_restart(self) -> None:
        first = self.start()
        self.stop(first)
        self.assertEqual(self.start().peer_id, first.peer_id)

    def test_its_key_is_its_own(self) -> None:
        self.start()
        self.assertEqual((self.cache / "peer.key").stat().st_mode & 0o777, 0o600)

    def test_ablations_reach_the_policy(self) -> None:
        service = self.start(ablations=frozenset({"no-lease"}))
        self.assertFalse(service.node.policy.leases)

    def test_the_admin_listener_shows_figures_to_others(self) -> None:
        self.start(admin="tcp:9100")
        self.assertEqual([port for port, *_ in self.reactor.tcpServers], [8001, 4001, 9100])

    def test_caps_by_address_reach_both_listeners(self) -> None:
        service = self.start(links_per_address=5, connections_per_address=7)
        self.assertEqual(service.exchange.links_per_address, 5)
        self.assertEqual(service._players.site.limits.connections_per_address, 7)

    def test_each_listener_heeds_under_which_name_it_is_asked(self) -> None:
        self.start(admin="tcp:9100", admin_hosts=("ops.example",), allow_hosts=("tv.lan",))
        players, _, admin = (factory for _, factory, *_ in self.reactor.tcpServers)
        for site in (players, admin):
            self.assertEqual(code_under(site, "evil.example", "/readyz"), 421)
            self.assertEqual(code_under(site, "tv.lan", "/readyz"), 200)
        self.assertEqual(code_under(players, "ops.example", "/readyz"), 421)
        self.assertEqual(code_under(admin, "ops.example", "/readyz"), 200)


class LongIndexTests(ServiceTestCase):
    """An index that is read in a thread."""

    def setUp(self) -> None:
        ServiceTestCase.setUp(self)
        self.patch(service_module, "INDEX_INLINE_BYTES", 100)
        self.reading: list[Deferred[None]] = []
        self.patch(service_module, "deferToThreadPool", self._as_the_test_says)

    def _as_the_test_says(
        self, reactor: Any, pool: object, work: Callable[[], Any]
    ) -> Deferred[Any]:
        if getattr(work, "func", None) is not read_index:
            return self._in_thread(reactor, pool, work)
        gate: Deferred[None] = Deferred()
        self.reading.append(gate)
        return gate.addCallback(lambda _: work())

    def test_the_daemon_does_not_stand_still_meanwhile(self) -> None:
        service = self.start()
        [gate] = self.reading
        self.assertEqual(service.presentation.mode, "starting")
        self.assertEqual(self.ready(service), 503)
        gate.callback(None)
        self.advance(0.1)
        self.assertEqual(service.presentation.mode, "sharing")
        self.assertEqual(self.ask(service, f"/dash/{SEGMENT}").body, DATA)

    def test_stopping_does_not_wait_for_it(self) -> None:
        self.stop(self.start())

    def test_when_another_film_was_signed_meanwhile_it_is_of_no_use(self) -> None:
        service = self.start()
        self.origin.files = dict(RECUT.files)
        self.advance(INDEX_LATE_S * 3)
        self.reading[0].callback(None)
        self.advance(0.1)
        self.assertIsNone(service.presentation.index)
        self.reading[-1].callback(None)
        self.advance(1.0)
        assert service.presentation.index is not None
        self.assertEqual(service.presentation.index.presentation_id, RECUT.index.presentation_id)


class ModeTests(ServiceTestCase):
    def test_who_only_takes_can_neither_be_dialled_nor_asked(self) -> None:
        service = self.start(mode="download-only")
        self.assertEqual([port for port, *_ in self.reactor.tcpServers], [8001])
        announce = json.loads(self.tracker.calls[0].body)
        self.assertEqual((announce["port"], announce["private"]), (0, []))
        self.assertFalse(service._hello().uploads)
        self.assertEqual(self.ask(service, f"/dash/{SEGMENT}").body, DATA)
        self.assertEqual(service._have().positions, 0)
        self.assertEqual({asked.path for asked in self.tracker.calls}, {"/announce"})
        self.assertEqual(json.loads(self.ask(service, "/stats").body)["share"], "download-only")

    def test_who_shares_nothing_tells_nobody_that_it_is_here(self) -> None:
        service = self.start(mode="off")
        self.assertEqual([port for port, *_ in self.reactor.tcpServers], [8001])
        self.assertEqual(self.ask(service, f"/dash/{SEGMENT}").body, DATA)
        self.assertEqual(self.ask(service, f"/dash/{SEGMENT}").body, DATA)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), len(DATA))
        self.assertEqual(self.tracker.calls, [])
        self.assertEqual(self.ready(service), 200)
        self.stop(service)
        self.assertEqual(self.tracker.calls, [])


class WithoutTests(ServiceTestCase):
    def test_without_a_tracker_it_caches(self) -> None:
        service = self.start(tracker_url=None)
        self.assertEqual(self.ask(service, f"/dash/{SEGMENT}").body, DATA)
        self.assertEqual(self.tracker.calls, [])
        self.assertEqual(self.ready(service), 200)
        self.assertEqual(self.ask(service, f"/dash/{SEGMENT}").body, DATA)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), len(DATA))

    def test_without_a_tracker_nobody_is_waited_for(self) -> None:
        service = self.start(seconds=3.0, tracker_url=None)
        self.assertEqual(self.ask(service, f"/dash/{SEGMENT}", 0.1).body, DATA)

    def test_with_a_tracker_that_is_away_it_plays(self) -> None:
        self.tracker.away = True
        service = self.start(seconds=3.0)
        self.assertEqual(self.ask(service, f"/dash/{SEGMENT}", 3.0).body, DATA)
        self.assertEqual(self.ready(service), 200)

    def test_with_a_tracker_that_hangs_it_plays(self) -> None:
        self.tracker.silent = True
        service = self.start(seconds=8.0)
        self.assertEqual(self.ask(service, f"/dash/{SEGMENT}", 4.0).body, DATA)

    def test_an_index_whose_holder_cannot_be_reached_comes_from_the_origin(self) -> None:
        who = {"v": 1, "swarm": FILM.signature.swarm_id.hex(), "peer": "ab" * 32}
        holder = {**who, "port": 4009, "event": "started", "wanted": 0}
        holds = {**who, "want": [], "done": [{"segment": 0, "epoch": 0}]}
        for path, message in (("/announce", holder), ("/lease", holds)):
            body = json.dumps(message).encode()
            self.tracker.site("127.0.0.1")(Asked("POST", path, Headers(), body))
        service = self.start(seconds=INDEX_LATE_S + 9)
        self.assertEqual(service.presentation.mode, "sharing")
        self.assertEqual(len(self.origin.asked_for(INDEX_NAME)), 1)

    def test_without_an_index_it_passes_through(self) -> None:
        del self.origin.files[SIGNATURE_NAME]
        service = self.start()
        self.assertEqual(self.ask(service, f"/dash/{SEGMENT}").body, DATA)
        self.assertEqual(self.ready(service), 200)
        self.assertEqual(self.tracker.calls, [])
        stats = json.loads(self.ask(service, "/stats", 0.1).body)
        self.assertEqual((stats["mode"], stats["presentation"]), ("pass-through", None))

    def test_without_an_origin_it_says_so(self) -> None:
        self.origin.away = True
        service = self.start()
        self.assertEqual(self.ready(service), 503)
        self.assertEqual(self.ask(service, f"/dash/{SEGMENT}").code, 503)

    def test_an_origin_that_comes_later_is_found(self) -> None:
        self.origin.away = True
        service = self.start()
        self.origin.away = False
        self.advance(10.0)
        self.assertEqual(service.presentation.mode, "sharing")


class ReplacedIndexTests(ServiceTestCase):
    """An index.json that is new beside an index.sig that is old, as a cache between may have it."""

    def setUp(self) -> None:
        ServiceTestCase.setUp(self)
        self.origin.latency_s = 0.2
        self.origin.files = dict(RECUT.files)
        self.origin.files[SIGNATURE_NAME] = FILM.files[SIGNATURE_NAME]

    def test_meanwhile_the_film_is_passed_through(self) -> None:
        service = self.start(seconds=INDEX_LATE_S + 2)
        self.assertEqual(service.presentation.mode, "pass-through")
        answer = self.ask(service, f"/dash/{SEGMENT}", 1.5)
        self.assertEqual(answer.body, RECUT.files[SEGMENT])

    def test_when_both_fit_again_it_shares(self) -> None:
        for tracker_url in (None, f"http://{TRACKER}"):
            with self.subTest(tracker_url=tracker_url):
                self.cache = Path(self.mktemp()).absolute()
                service = self.start(seconds=INDEX_LATE_S + 2, tracker_url=tracker_url)
                self.origin.files[SIGNATURE_NAME] = RECUT.files[SIGNATURE_NAME]
                self.advance(60.0)
                self.assertEqual(service.presentation.mode, "sharing")
                self.assertEqual(service.presentation.index, RECUT.index)
                answer = self.ask(service, "/dash/chunk_0_3.m4s", 2.0)
                self.assertEqual(answer.body, RECUT.files["chunk_0_3.m4s"])
                self.stop(service)
                self.origin.files[SIGNATURE_NAME] = FILM.files[SIGNATURE_NAME]

    def test_it_changes_its_swarm(self) -> None:
        self.start(seconds=INDEX_LATE_S + 2)
        self.origin.files[SIGNATURE_NAME] = RECUT.files[SIGNATURE_NAME]
        self.advance(60.0)
        told = [
            (json.loads(asked.body)["swarm"], json.loads(asked.body)["event"])
            for asked in self.tracker.calls
            if asked.path == "/announce"
        ]
        old, new = FILM.signature.swarm_id.hex(), RECUT.signature.swarm_id.hex()
        self.assertIn((old, "stopped"), told)
        self.assertIn((new, "started"), told[told.index((old, "stopped")) :])


class ReplacedFilmTests(ServiceTestCase):
    """Another film is published in the place of one that is being shared."""

    def replaced(self) -> PeerService:
        service = self.start()
        self.ask(service, f"/dash/{SEGMENT}")
        self.origin.files = dict(RECUT.files)
        return service

    def test_it_is_noticed_in_a_minute_or_so(self) -> None:
        for tracker_url in (None, f"http://{TRACKER}"):
            with self.subTest(tracker_url=tracker_url):
                self.cache = Path(self.mktemp()).absolute()
                self.origin.files = dict(FILM.files)
                service = self.start(tracker_url=tracker_url)
                self.ask(service, f"/dash/{SEGMENT}")
                self.origin.files = dict(RECUT.files)
                self.advance(INDEX_LOOK_S * 1.25 + 2)
                self.assertEqual(service.presentation.index, RECUT.index)
                for path in (SEGMENT, "chunk_0_3.m4s"):
                    answer = self.ask(service, f"/dash/{path}", 2.0)
                    self.assertEqual(answer.body, RECUT.files[path])
                self.stop(service)

    def test_it_is_noticed_at_once_when_files_do_not_fit(self) -> None:
        service = self.start()
        other = MemoryFilm.make(segments=2, segment_bytes=150_000, issued_s=LATER_S)
        self.origin.files = dict(other.files)
        self.ask(service, "/dash/chunk_0_2.m4s", 4.0)
        self.advance(3.0)
        self.assertEqual(service.presentation.index, other.index)

    def test_the_old_swarm_is_left_for_the_new_one(self) -> None:
        self.replaced()
        self.advance(INDEX_LOOK_S * 1.25 + 2)
        told = [
            (json.loads(asked.body)["swarm"], json.loads(asked.body)["event"])
            for asked in self.tracker.calls
            if asked.path == "/announce"
        ]
        old, new = FILM.signature.swarm_id.hex(), RECUT.signature.swarm_id.hex()
        self.assertIn((old, "stopped"), told)
        self.assertIn((new, "started"), told[told.index((old, "stopped")) :])

    def test_nothing_of_the_old_film_is_told_by_position(self) -> None:
        service = self.start()
        self.ask(service, f"/dash/{SEGMENT}")
        other = MemoryFilm.make(segments=2, segment_bytes=150_000, issued_s=LATER_S)
        self.origin.files = dict(other.files)
        self.advance(INDEX_LOOK_S * 1.25 + 2)
        self.assertEqual(service.presentation.index, other.index)
        for entry in other.index.entries:
            if service.node.state.have >> entry.position & 1:
                self.assertTrue(service.engine.is_here(entry), entry.path)

    def test_the_same_film_goes_on(self) -> None:
        service = self.start()
        self.ask(service, f"/dash/{SEGMENT}")
        index, have = service.presentation.index, service.node.state.have
        self.advance(INDEX_LOOK_S * 3)
        self.assertIs(service.presentation.index, index)
        self.assertEqual(service.node.state.have, have)

    def test_a_film_signed_by_another_key_is_refused_and_this_one_goes_on(self) -> None:
        service = self.start()
        other = MemoryFilm.make(seed=2)
        self.origin.files[SIGNATURE_NAME] = other.files[SIGNATURE_NAME]
        self.advance(INDEX_LOOK_S * 1.25 + 2)
        self.assertEqual(service.presentation.index, FILM.index)
        self.assertEqual(service.presentation.mode, "sharing")

    def test_an_older_film_is_refused_told_and_this_one_goes_on(self) -> None:
        self.origin.files = dict(RECUT.files)
        service = self.start()
        self.ask(service, f"/dash/{SEGMENT}")
        self.origin.files = dict(FILM.files)
        self.advance(INDEX_LOOK_S * 1.25 + 2)
        self.assertEqual(service.presentation.index, RECUT.index)
        self.assertEqual(self.ask(service, f"/dash/{SEGMENT}").body, RECUT.files[SEGMENT])
        answer = self.ask(service, "/readyz", 0.1)
        self.assertEqual(answer.code, 503)
        self.assertIn(b"it is older", answer.body)
        self.assertIn("it is older", self.ask_json(service, "/stats")["message"])
        self.origin.files = dict(RECUT.files)
        self.advance(INDEX_LOOK_S * 1.25 + 2)
        self.assertEqual(self.ready(service), 200)

    def test_nor_is_it_shared_after_a_restart(self) -> None:
        self.origin.files = dict(RECUT.files)
        self.stop(self.start())
        self.origin.files = dict(FILM.files)
        service = self.start()
        self.assertEqual(service.presentation.mode, "pass-through")
        self.assertIsNone(service.presentation.index)
        self.assertEqual(self.ready(service), 503)

    def test_one_published_anew_in_the_same_folder_is_taken(self) -> None:
        self.origin.files = dict(RECUT.files)
        self.stop(self.start())
        again = MemoryFilm.make(segments=2, issued_s=LATER_S + 60.0)
        self.origin.files = dict(again.files)
        self.assertEqual(self.start().presentation.index, again.index)


class CacheTests(ServiceTestCase):
    def test_what_an_earlier_run_kept_is_checked_and_served_again(self) -> None:
        first = self.start()
        self.ask(first, f"/dash/{SEGMENT}")
        self.stop(first)
        self.origin.files[SEGMENT] = b"another film"
        second = self.start()
        self.assertTrue(second.engine.is_here(FILM.entry(SEGMENT)))
        self.assertTrue(second.node.state.have >> FILM.entry(SEGMENT).position & 1)
        self.assertEqual(self.ask(second, f"/dash/{SEGMENT}").body, DATA)
        self.assertEqual(len(self.origin.asked_for(SEGMENT)), 1)

    def test_what_was_spoilt_meanwhile_is_fetched_anew(self) -> None:
        first = self.start()
        self.ask(first, f"/dash/{SEGMENT}")
        self.stop(first)
        file = self.cache / "segments" / FILM.entry(SEGMENT).digest.hex()
        file.write_bytes(bytes(len(DATA)))
        second = self.start(0.2)
        self.assertFalse(second.engine.is_here(FILM.entry(SEGMENT)))
        self.assertEqual(self.ask(second, f"/dash/{SEGMENT}").body, DATA)

    def test_a_folder_that_another_peer_uses(self) -> None:
        self.start()
        error = self.assertRaises(StartRefused, self.start)
        self.assertIn("another peer uses", str(error))
        self.assertIn("--cache", str(error))


class DiskTests(ServiceTestCase):
    """A disk that fails: the film goes on, nothing wrong is played, and /readyz tells."""

    def setUp(self) -> None:
        ServiceTestCase.setUp(self)
        self.disk = FakeDisk()
        self.patch(service_module, "RealDisk", lambda folder: self.disk)

    def reasons(self, service: PeerService) -> str:
        return str(json.loads(self.ask(service, "/readyz", 0.1).body).get("reasons", ""))

    def assert_plays(self, service: PeerService) -> None:
        for path in (SEGMENT, "chunk_0_2.m4s", SEGMENT):
            self.assertTrue(self.ask(service, f"/dash/{path}").body == FILM.files[path], path)

    def assert_troubled(self, service: PeerService, words: str) -> None:
        self.assertEqual(self.ready(service), 503)
        self.assertIn("the cache is not written to", self.reasons(service))
        self.assertIn(words, self.reasons(service))

    def test_a_disk_that_fills_up(self) -> None:
        service = self.start()
        self.disk.capacity_bytes = 0
        self.assert_plays(service)
        self.assert_troubled(service, "full")

    def test_a_disk_that_fills_up_in_the_middle_of_a_write(self) -> None:
        service = self.start()
        self.disk.failing["write"] = errno.ENOSPC
        self.assert_plays(service)
        self.assert_troubled(service, "full")

    def test_a_disk_that_fails(self) -> None:
        for call in ("create", "write", "sync", "rename"):
            service = self.start()
            self.disk.failing[call] = errno.EIO
            self.assert_plays(service)
            self.assert_troubled(service, "fails")
            self.stop(service)
            self.disk = FakeDisk()

    def test_a_disk_that_cannot_be_read(self) -> None:
        first = self.start()
        self.assert_plays(first)
        self.stop(first)
        self.disk.failing["pread"] = errno.EIO
        self.assert_plays(self.start())

    def test_a_folder_that_became_read_only(self) -> None:
        first = self.start()
        self.assert_plays(first)
        self.stop(first)
        self.disk.read_only = True
        service = self.start()
        self.assert_plays(service)
        self.assert_troubled(service, "can't be written")
        self.assertEqual(len(self.origin.asked_for(SEGMENT)), 1, "it is served from all the same")

    def test_it_is_ready_again_when_the_disk_is(self) -> None:
        service = self.start()
        self.disk.failing["write"] = errno.ENOSPC
        self.ask(service, f"/dash/{SEGMENT}")
        self.disk.mend()
        self.advance(RETRY_FIRST_S + 1.0)
        self.ask(service, "/dash/chunk_0_2.m4s")
        self.assertEqual(self.ready(service), 200)

    def test_without_room_for_its_key_it_has_one_for_this_time(self) -> None:
        def full(path: Path) -> None:
            raise KeyRefused("no room") from OSError(errno.ENOSPC, "No space left on device")

        self.patch(service_module, "load_or_create_key", full)
        first = self.start()
        self.assert_plays(first)
        self.stop(first)
        self.assertNotEqual(self.start().peer_id, first.peer_id)


class RefusalTests(ServiceTestCase):
    def refusal(self, **changes: Any) -> str:
        service = PeerService(self.settings(**changes), self.reactor, random.Random(1))
        return str(self.assertRaises(StartRefused, service.privilegedStartService))

    def test_a_key_that_is_none(self) -> None:
        self.cache.mkdir()
        (self.cache / "peer.key").write_text("not a key")
        (self.cache / "peer.key").chmod(0o600)
        self.assertIn("peer.key", self.refusal())

    def test_a_key_that_others_can_read(self) -> None:
        self.stop(self.start())
        (self.cache / "peer.key").chmod(0o644)
        self.assertIn("chmod 600", self.refusal())

    def test_an_authority_that_is_none(self) -> None:
        self.patch(service_module, "http_client", REAL_HTTP_CLIENT)
        ca = self.cache.parent / "ca.pem"
        ca.write_text("not a certificate")
        self.assertIn("--ca", self.refusal(ca=ca))


class SleepTests(ServiceTestCase):
    def test_after_a_night_it_goes_on_without_a_storm(self) -> None:
        service = self.start(seconds=10.0)
        self.assertEqual(self.ask(service, f"/dash/{SEGMENT}").body, DATA)
        self.tracker.calls.clear()
        self.origin.log.clear()
        self.reactor.advance(8 * 3600.0)
        self.advance(5.0)
        self.assertEqual(self.ask(service, "/dash/chunk_0_2.m4s").body, FILM.files["chunk_0_2.m4s"])
        self.assertEqual(self.ready(service), 200)
        self.assertLess(len(self.tracker.calls), 12)
        self.assertLess(len(self.origin.log), 4)
        self.assertEqual(service.exchange.banned, 0)

    def test_a_fetch_that_the_night_cut_in_two_is_ended_by_the_rest(self) -> None:
        service = self.start(seconds=3.0)
        self.origin.hangs_at = len(DATA) // 2
        connection = Connection(service._players.site)
        connection.get(f"/dash/{SEGMENT}")
        self.advance(0.5)
        self.origin.hangs_at = None
        self.reactor.advance(3600.0)
        for _ in range(round(2 * ORIGIN_PATIENCE_S / 0.05)):
            self.advance(0.05)
            connection.transport.take_all()
        self.assertEqual(Answer(connection.transport.taken).body, DATA)
        self.assertLess(self.origin.sent_bytes(SEGMENT), 1.2 * len(DATA))


class StopTests(ServiceTestCase):
    def test_it_tells_the_tracker_and_lets_go_of_everything(self) -> None:
        service = self.start()
        self.stop(service)
        self.assertEqual(self.events()[-1], "stopped")
        self.assertTrue(self.pool.closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_it_is_not_ready_while_it_stops(self) -> None:
        service = self.start()
        self.tracker.silent = True
        service.stopService()
        self.assertEqual(service._not_ready(), ["stopping"])
        self.advance(15.0)

    def test_a_response_under_way_is_finished(self) -> None:
        self.origin.chunk_s = 0.1
        service = self.start()
        connection = Connection(service._players.site)
        connection.get(f"/dash/{SEGMENT}")
        self.advance(0.3)
        stopping = service.stopService()
        for _ in range(60):
            self.advance(0.05)
            connection.transport.take_all()
        self.assertEqual(Answer.of(connection).body, DATA)
        self.advance(12.0)
        self.successResultOf(stopping)

    def test_what_waits_for_the_disk_is_written_first(self) -> None:
        def slow(reactor: Any, pool: object, work: Callable[[], Any]) -> Deferred[Any]:
            done = self._in_thread(reactor, pool, work)
            wait: Deferred[None] = Deferred()
            self.reactor.callLater(1.0, wait.callback, None)
            return wait.addCallback(lambda _: done)

        service = self.start(0.2)
        self.patch(service_module, "deferToThreadPool", slow)
        connection = Connection(service._players.site)
        connection.get(f"/dash/{SEGMENT}")
        self.advance(0.2)
        self.assertEqual(Answer(connection.transport.take_all()).body, DATA)
        stopping = service.stopService()
        self.advance(0.5)
        self.assertNoResult(stopping)
        self.advance(3.0)
        self.successResultOf(stopping)
        self.assertTrue((self.cache / "segments" / FILM.entry(SEGMENT).digest.hex()).exists())

    def test_a_tracker_that_hangs_does_not_hold_it_up_for_long(self) -> None:
        service = self.start()
        self.tracker.silent = True
        self.stop(service, 12.0)

    def test_an_origin_that_hangs_does_not_either(self) -> None:
        self.origin.silent = True
        service = self.start()
        self.stop(service, 12.0)

    def test_stopping_in_the_middle_of_joining(self) -> None:
        for seconds in (0.0, 0.001, 0.002, 0.003, 0.005):
            service = self.start(seconds)
            self.stop(service, 12.0)
