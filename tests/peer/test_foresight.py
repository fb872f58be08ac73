"""What is fetched before the player asks for it."""

from __future__ import annotations

import json
from urllib.parse import quote

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.entry import Entry
from dashp2p.peer.foresight import beginnings
from dashp2p.peer.sessions import LATELY_S
from dashp2p.store.assembly import Assembly
from dashp2p.store.errors import StoreError
from dashp2p.swarm.policy import Policy
from dashp2p.testing import MemoryFilm
from dashp2p.web.limits import MAX_OBJECT_NAME_CHARS
from tests.peer.proxies import ProxyTestCase
from tests.peer.swarms import SEGMENT
from tests.web.support import Answer


class BeginningTests(SynchronousTestCase):
    def test_the_lowest_rung_of_each_track_begins_with_its_init_and_its_first_segment(self) -> None:
        film = MemoryFilm.make(rungs=3, audio=True)
        paths = [entry.path for entry in beginnings(film.index)]
        self.assertEqual(paths, ["init_0.m4s", "chunk_0_1.m4s", "init_3.m4s", "chunk_3_1.m4s"])

    def test_a_film_without_sound_has_only_pictures(self) -> None:
        film = MemoryFilm.make()
        self.assertEqual(len(beginnings(film.index)), 2)


class ForesightTests(ProxyTestCase):
    def test_who_asks_for_the_manifest_finds_the_beginning_here(self) -> None:
        self.proxy.answer("/dash/dash.mpd")
        self.assertTrue(self.peer.has("init_0.m4s"))
        self.assertTrue(self.peer.has("chunk_0_1.m4s"))
        self.assertFalse(self.peer.has("chunk_0_2.m4s"))

    def test_manifest_and_beginning_are_asked_of_the_tracker_in_one_call(self) -> None:
        self.swarm.tracker.calls.clear()
        self.proxy.ask("/dash/dash.mpd")
        self.swarm.advance(0.05)
        asked = [json.loads(call.body) for call in self.swarm.tracker.calls]
        paths = [[want["path"] for want in call["want"]] for call in asked if call.get("want")]
        self.assertEqual(paths, [["dash.mpd", "init_0.m4s", "chunk_0_1.m4s"]])

    def test_what_was_foreseen_and_played_is_no_waste(self) -> None:
        self.proxy.answer("/dash/dash.mpd")
        for path in ("init_0.m4s", "chunk_0_1.m4s"):
            self.assertIn(path, self.proxy.records.unplayed)
            self.proxy.answer(f"/dash/{path}")
        self.assertEqual(self.proxy.records.unplayed, {})
        self.assertEqual(self.proxy.records.cache_bytes, 0)

    def test_head_foresees_nothing(self) -> None:
        self.proxy.answer("/dash/dash.mpd", method="HEAD")
        self.assertEqual(self.origin.log, [])

    def test_a_manifest_that_is_not_changed_foresees_nothing(self) -> None:
        tag = self.swarm.film.entry("dash.mpd").digest.hex()[:32]
        self.proxy.answer("/dash/dash.mpd", f'If-None-Match: "{tag}"')
        self.assertFalse(self.peer.has("chunk_0_1.m4s"))

    def test_while_somebody_plays_nothing_is_foreseen(self) -> None:
        self.proxy.answer("/dash/chunk_0_3.m4s")
        self.proxy.answer("/dash/dash.mpd")
        self.assertFalse(self.peer.has("chunk_0_1.m4s"))

    def test_a_segment_asked_for_first_is_only_itself(self) -> None:
        self.proxy.answer(f"/dash/{SEGMENT}")
        self.assertFalse(self.peer.has("init_0.m4s"))


def told(named: str, more: str = "bl=8000,dl=8000", sid: str = "s") -> str:
    """What dash.js adds to the address of a segment (CMCD version 1, by query)."""
    return "?CMCD=" + quote(f'{more},nor="{named}",ot=v,sf=d,sid="{sid}",st=v', safe="")


class NextSegmentTests(ProxyTestCase):
    """What a player names as next (`nor`) is fetched while it waits."""

    film = MemoryFilm.make(segments=5, rungs=2, audio=True)

    def setUp(self) -> None:
        ProxyTestCase.setUp(self)
        self.played(1, told(""))

    def played(self, number: int, rest: str = "", *headers: str) -> Answer:
        """The player asks for a segment of its rung, and gets it."""
        return self.proxy.answer(f"/dash/chunk_0_{number}.m4s{rest}", *headers)

    def begin(self, path: str) -> None:
        """A request, of which there is no answer yet."""
        self.proxy.watch(self.proxy.ask(path), 0.1)

    def assert_here(self, *paths: str) -> None:
        """Of the media of the film, exactly these are here."""
        media = [path for path in self.film.files if path.startswith("chunk")]
        self.assertEqual({path for path in media if self.peer.has(path)}, set(paths))

    def test_it_is_here_when_the_player_asks_for_it(self) -> None:
        self.played(2, told("chunk_0_3.m4s"))
        self.assert_here("chunk_0_1.m4s", "chunk_0_2.m4s", "chunk_0_3.m4s")
        self.assertEqual(self.proxy.records.wasted_bytes, self.size(3))
        self.origin.log.clear()
        self.assertEqual(self.played(3).body, self.film.files["chunk_0_3.m4s"])
        self.assertEqual(self.origin.log, [])
        self.assertEqual((self.proxy.records.wasted_bytes, self.proxy.records.cache_bytes), (0, 0))

    def size(self, number: int) -> int:
        return len(self.film.files[f"chunk_0_{number}.m4s"])

    def test_headers_and_version_two_tell_it_as_well(self) -> None:
        self.played(
            2,
            "",
            'CMCD-Request: bl=8000,dl=8000,nor="chunk_0_3.m4s"',
            'CMCD-Session: sid="s"',
        )
        self.assertTrue(self.peer.has("chunk_0_3.m4s"))
        listed = quote('bl=(8000;v),nor=("chunk_0_4.m4s" "x.m4s"),ot=v,sid="s",v=2', safe="")
        self.played(3, f"?CMCD={listed}")
        self.assertTrue(self.peer.has("chunk_0_4.m4s"))

    def test_an_address_from_the_root_and_escapes_lead_to_it_too(self) -> None:
        for number, name in ((2, "/dash/chunk_0_3.m4s"), (3, "..%2Fdash%2Fchunk%5F0_4.m4s")):
            self.played(number, told(name))
            self.assertTrue(self.peer.has(f"chunk_0_{number + 1}.m4s"), name)

    def test_what_is_no_segment_of_this_film_is_left_alone(self) -> None:
        self.origin.log.clear()
        for name in (
            "chunk_0_9.m4s",
            "http://127.0.0.1/dash/chunk_0_3.m4s",
            "//evil.example/dash/chunk_0_3.m4s",
            "/elsewhere/chunk_0_3.m4s",
            "/fish/chunk_0_3.m4s",
            "../chunk_0_3.m4s",
            "../../../etc/passwd",
            "chunk_0_3.m4s" + "?" + "x" * MAX_OBJECT_NAME_CHARS,
            "dash.mpd",
            "init_0.m4s",
            "chunk_2_3.m4s",
            "%ff",
            "",
        ):
            self.assertEqual(self.played(2, told(name)).code, 200, name)
            self.assert_here("chunk_0_1.m4s", "chunk_0_2.m4s")

    def test_a_part_of_it_is_left_alone(self) -> None:
        self.played(2, told("chunk_0_3.m4s", 'bl=8000,nrr="0-99"'))
        self.assert_here("chunk_0_1.m4s", "chunk_0_2.m4s")

    def test_a_rung_that_the_player_may_leave_is_left_alone(self) -> None:
        self.proxy.advice.learn_ladder((1_000_000, 2_000_000))
        self.played(2, told("chunk_0_3.m4s"))
        self.assert_here("chunk_0_1.m4s", "chunk_0_2.m4s")
        for number in (1, 2):
            named = told(f"chunk_1_{number + 1}.m4s")
            self.proxy.answer(f"/dash/chunk_1_{number}.m4s{named}")
        self.assertTrue(self.peer.has("chunk_1_3.m4s"))

    def test_where_the_network_has_no_room_all_is_left_alone(self) -> None:
        self.played(2)
        self.proxy.answer("/dash/chunk_2_1.m4s" + told(""))
        self.proxy.advice.learn_ladder((1_000_000,))
        state = self.peer.node.state
        for etp_bps, uplink_bps in ((1_400_000.0, None), (9_000_000.0, 1_900_000.0)):
            self.proxy.advice.etp_bps, state.uplink_bps = etp_bps, uplink_bps
            self.played(2, told("chunk_0_3.m4s"))
            self.proxy.answer("/dash/chunk_2_2.m4s" + told("chunk_2_3.m4s"))
            self.assert_here(*(f"chunk_{rung}_{n}.m4s" for rung in (0, 2) for n in (1, 2)))

    def test_a_player_with_hardly_anything_or_a_great_deal_is_left_alone(self) -> None:
        for buffer_ms in (1400, 30_000):
            self.played(2, told("chunk_0_3.m4s", f"bl={buffer_ms},dl={buffer_ms}"))
            self.assert_here("chunk_0_1.m4s", "chunk_0_2.m4s")

    def test_sound_is_not_left(self) -> None:
        self.proxy.advice.learn_ladder((1_000_000, 2_000_000))
        for number in (1, 2):
            name = told(f"chunk_2_{number + 1}.m4s")
            self.proxy.answer(f"/dash/chunk_2_{number}.m4s{name}")
        self.assertTrue(self.peer.has("chunk_2_3.m4s"))

    def test_it_does_not_begin_before_the_one_asked_for_is_whole(self) -> None:
        self.origin.chunk_s = 0.05
        connection = self.proxy.ask("/dash/chunk_0_2.m4s" + told("chunk_0_3.m4s"))
        self.proxy.watch(connection, 0.3)
        self.assertEqual(self.origin.asked_for("chunk_0_3.m4s"), [])
        self.proxy.watch(connection, 2.0)
        self.assertEqual(len(self.origin.asked_for("chunk_0_3.m4s")), 1)

    def test_one_that_is_here_already_is_followed_at_once(self) -> None:
        self.played(2)
        connection = self.proxy.ask("/dash/chunk_0_2.m4s" + told("chunk_0_3.m4s"))
        self.assertEqual(self.waiters(), [0])
        self.proxy.watch(connection, 1.0)

    def test_it_is_due_when_the_one_asked_for_has_been_played(self) -> None:
        self.played(2)
        self.origin.silent = True
        now = self.peer.now
        connection = self.proxy.ask("/dash/chunk_0_2.m4s" + told("chunk_0_3.m4s"))
        [delivery] = self.peer.node.state.deliveries.values()
        self.assertAlmostEqual(delivery.deadline_s, now + 12.0, places=3)
        self.proxy.watch(connection, 0.5)

    def slowly_begun(self) -> None:
        self.played(2, told(""))
        self.origin.chunk_s = 0.2
        self.begin("/dash/chunk_0_2.m4s" + told("chunk_0_3.m4s"))
        self.swarm.advance(0.5)

    def test_what_the_player_does_not_ask_for_is_not_fetched_on(self) -> None:
        self.slowly_begun()
        self.begin("/dash/chunk_1_3.m4s" + told("chunk_1_4.m4s"))
        sent = self.origin.sent_bytes("chunk_0_3.m4s")
        self.assertTrue(0 < sent < self.size(3) / 2, sent)
        self.swarm.advance(3.0)
        self.assertEqual(self.origin.sent_bytes("chunk_0_3.m4s"), sent)
        wasted = self.proxy.records.unplayed["chunk_0_3.m4s"]
        self.assertTrue(0 < wasted <= sent, wasted)

    def test_what_was_foreseen_of_another_film_ends_nothing_of_this_one(self) -> None:
        self.slowly_begun()
        [session] = self.proxy.sessions
        [entry] = session.ahead.foreseen.values()
        self.peer.engine.unforesee(evolve(entry, digest=bytes(32)))
        self.assertEqual(self.waiters(), [0])
        self.peer.engine.unforesee(entry)
        self.assertEqual(self.waiters(), [])

    def test_unless_another_player_waits_for_it(self) -> None:
        self.slowly_begun()
        other = self.proxy.ask("/dash/chunk_0_3.m4s", "User-Agent: other")
        self.begin("/dash/chunk_1_3.m4s" + told(""))
        data = self.proxy.watch(other, 5.0)
        self.assertEqual(data, self.film.files["chunk_0_3.m4s"])

    def test_or_another_player_has_named_it(self) -> None:
        for sid in ("one", "two"):
            self.played(1, told("", sid=sid))
        self.played(2)
        self.origin.chunk_s = 0.5
        for sid in ("one", "two"):
            self.played(2, told("chunk_0_3.m4s", sid=sid))
        self.begin("/dash/chunk_1_3.m4s" + told("", sid="one"))
        self.swarm.advance(3.0)
        self.assertTrue(self.peer.has("chunk_0_3.m4s"))

    def test_without_memory_for_it_the_player_goes_on(self) -> None:
        def full(*_: object) -> None:
            raise StoreError("no room")

        self.played(2)
        self.patch(self.peer.store, "begin", full)
        self.assertEqual(self.played(2, told("chunk_0_3.m4s")).code, 200)


class WasteTests(ProxyTestCase):
    """No more comes unasked while too much of what came is not asked for."""

    film = MemoryFilm.make(segments=6, rungs=2)

    def test_after_some_waste_much_must_be_played_first(self) -> None:
        self.proxy.answer("/dash/chunk_0_1.m4s" + told(""))
        self.proxy.answer("/dash/chunk_0_2.m4s" + told("chunk_0_3.m4s"))
        self.proxy.answer("/dash/chunk_1_3.m4s" + told(""))
        self.proxy.answer("/dash/chunk_1_4.m4s" + told("chunk_1_5.m4s"))
        self.assertFalse(self.peer.has("chunk_1_5.m4s"))
        self.proxy.records.delivered_bytes *= 20
        self.proxy.answer("/dash/chunk_1_4.m4s" + told("chunk_1_5.m4s"))
        self.assertTrue(self.peer.has("chunk_1_5.m4s"))

    def test_what_a_viewer_left_behind_counts_once_he_is_gone(self) -> None:
        for sid in ("one", "two"):
            self.proxy.answer("/dash/chunk_0_1.m4s" + told("", sid=sid))
            self.proxy.answer("/dash/chunk_0_2.m4s" + told("", sid=sid))
        self.proxy.answer("/dash/chunk_0_2.m4s" + told("chunk_0_3.m4s", sid="one"))
        self.swarm.advance(LATELY_S + 1.0)
        self.proxy.answer("/dash/chunk_1_4.m4s" + told("", sid="two"))
        self.proxy.answer("/dash/chunk_1_5.m4s" + told("chunk_1_6.m4s", sid="two"))
        self.assertFalse(self.peer.has("chunk_1_6.m4s"))


class NoForesightTests(ProxyTestCase):
    policy = Policy.without(frozenset({"no-prefetch"}))

    def test_nothing_is_fetched_before_it_is_asked_for(self) -> None:
        self.proxy.answer("/dash/dash.mpd")
        self.assertFalse(self.peer.has("init_0.m4s"))
        self.proxy.answer("/dash/chunk_0_1.m4s" + told(""))
        self.proxy.answer("/dash/chunk_0_2.m4s" + told("chunk_0_3.m4s"))
        self.assertFalse(self.peer.has("chunk_0_3.m4s"))


class CopyTestCase(ProxyTestCase):
    """Another peer has the first four segments, and the network has room."""

    film = MemoryFilm.make(segments=5, rungs=2)

    def setUp(self) -> None:
        ProxyTestCase.setUp(self)
        ahead = self.swarm.add_peer()
        self.swarm.connect_all()
        for number in (1, 2, 3, 4):
            viewing = ahead.play(f"chunk_0_{number}.m4s")
            self.swarm.until(lambda viewing=viewing: viewing.whole)  # type: ignore[misc]
        self.proxy.advice.learn_ladder((1_000_000,))
        self.proxy.advice.etp_bps = 9_000_000.0
        self.origin.log.clear()

    def played(self, *paths: str) -> None:
        for path in paths:
            self.assertEqual(self.proxy.answer(f"/dash/{path}").code, 200)

    def copied(self) -> set[str]:
        return set(self.proxy.records.spares)


class CopyTests(CopyTestCase):
    """What only one or two others hold is copied before the player comes to it."""

    def entry(self, number: int) -> Entry:
        return self.film.entry(f"chunk_0_{number}.m4s")

    def test_it_comes_from_them_and_not_from_the_origin(self) -> None:
        self.played("chunk_0_1.m4s", "chunk_0_2.m4s")
        self.assertEqual(self.copied(), {"chunk_0_3.m4s", "chunk_0_4.m4s"})
        self.assertTrue(self.peer.has("chunk_0_4.m4s"))
        self.assertFalse(self.peer.has("chunk_0_5.m4s"))
        self.assertEqual(self.origin.log, [])

    def test_at_once_also_when_what_the_player_asks_for_is_here(self) -> None:
        self.peer.node.state.uplink_bps = 1_000_000.0
        self.played("chunk_0_1.m4s", "chunk_0_2.m4s")
        self.peer.node.state.uplink_bps = None
        self.proxy.ask("/dash/chunk_0_2.m4s")
        self.swarm.advance(0.01)
        coming = {each.entry.path for each in self.peer.node.state.deliveries.values()}
        self.assertEqual(coming | self.copied(), {"chunk_0_3.m4s", "chunk_0_4.m4s"})

    def test_what_is_played_later_was_no_spare_and_not_in_the_cache_before(self) -> None:
        self.played("chunk_0_1.m4s", "chunk_0_2.m4s", "chunk_0_3.m4s")
        self.assertEqual(self.copied(), {"chunk_0_4.m4s"})
        self.assertEqual(self.proxy.records.cache_bytes, 0)

    def test_for_a_player_that_has_not_settled_on_a_rung_nothing_is_copied(self) -> None:
        self.played("chunk_1_1.m4s", "chunk_0_2.m4s")
        self.assertEqual(self.copied(), set())

    def test_nor_where_the_network_has_no_room(self) -> None:
        self.peer.node.state.uplink_bps = 1_000_000.0
        self.played("chunk_0_1.m4s", "chunk_0_2.m4s")
        self.assertEqual(self.copied(), set())

    def test_nor_while_much_was_copied_for_nothing(self) -> None:
        self.played("chunk_0_1.m4s")
        self.proxy.records.spares["chunk_1_5.m4s"] = self.proxy.records.delivered_bytes // 5
        self.played("chunk_0_2.m4s")
        self.assertEqual(self.copied(), {"chunk_1_5.m4s"})

    def test_what_the_player_will_come_to_was_not_for_nothing(self) -> None:
        self.played("chunk_0_1.m4s", "chunk_0_2.m4s")
        share = self.proxy.sessions.policy.replica_share
        copied_bytes = sum(self.proxy.records.spares.values())
        self.assertGreater(copied_bytes, share * self.proxy.records.delivered_bytes)
        self.played("chunk_0_3.m4s")
        self.assertTrue(self.peer.node.replicas.is_upcoming(self.entry(5).position))

    def test_a_player_that_changes_its_rung_is_not_followed(self) -> None:
        self.played("chunk_0_1.m4s", "chunk_0_2.m4s", "chunk_1_3.m4s")
        self.assertFalse(self.peer.node.replicas.is_upcoming(self.entry(4).position))

    def test_without_memory_for_it_the_player_goes_on(self) -> None:
        begin = self.peer.store.begin

        def room_for_one(digest: bytes, size_bytes: int, block_size_bytes: int) -> Assembly:
            if digest != self.entry(2).digest:
                raise StoreError("no room")
            return begin(digest, size_bytes, block_size_bytes)

        self.played("chunk_0_1.m4s")
        self.patch(self.peer.store, "begin", room_for_one)
        self.played("chunk_0_2.m4s")
        self.assertEqual(self.copied(), set())


class NoReplicasTests(CopyTestCase):
    policy = Policy.without(frozenset({"no-replicas"}))

    def test_a_peer_that_is_told_to_do_without_copies_nothing(self) -> None:
        self.played("chunk_0_1.m4s", "chunk_0_2.m4s")
        self.assertEqual(self.copied(), set())
