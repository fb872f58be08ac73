"""What neighbours are told, and what is believed of them."""

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.commands import Tell
from dashp2p.swarm.leading import Grant
from dashp2p.swarm.neighbour import PARTIAL_LIMIT, Coming, Neighbour
from dashp2p.wire.blockset import WHOLE
from dashp2p.wire.frames import Getting, Gone, Got
from tests.swarm.support import Bench, entry, full, peer


def frames(bench: Bench, name: str, kind: type) -> list[object]:
    """Frames of one kind that a neighbour was told."""
    return [
        tell.frame
        for tell in bench.take(Tell)
        if tell.peer_id == peer(name) and isinstance(tell.frame, kind)
    ]


def hearers(bench: Bench) -> set[bytes]:
    """Who was told that something is wanted or on its way."""
    return {tell.peer_id for tell in bench.take(Tell) if isinstance(tell.frame, Getting)}


class Telling(SynchronousTestCase):
    def test_the_leader_says_what_is_on_its_way_at_distance_zero(self) -> None:
        bench = Bench()
        bench.join("a")
        bench.want()
        bench.quiet()
        bench.node.lease_answered([Grant(1, True, 5, 0, 10)], bench.now)
        [getting] = frames(bench, "a", Getting)
        assert isinstance(getting, Getting)
        [news] = getting.news
        self.assertEqual((news.epoch, news.distance, news.blocks), (5, 0, WHOLE))

    def test_a_wish_is_said_when_no_source_comes_within_moments(self) -> None:
        bench = Bench()
        bench.join("a")
        bench.want()
        self.assertEqual(frames(bench, "a", Getting), [])
        bench.now += bench.node.policy.wish_delay_s
        [getting] = frames(bench, "a", Getting)
        assert isinstance(getting, Getting)
        self.assertEqual((getting.news[0].distance, getting.news[0].blocks), (255, 0))

    def test_a_wish_with_a_source_is_said_once(self) -> None:
        bench = Bench()
        bench.join("a")
        bench.join("leader")
        bench.want()
        bench.getting("leader")
        self.assertEqual(len(frames(bench, "a", Getting)), 1)
        bench.now += bench.node.policy.wish_delay_s
        self.assertEqual(frames(bench, "a", Getting), [])

    def test_who_gives_up_before_he_said_a_wish_tells_whom_he_greeted_meanwhile(self) -> None:
        bench = Bench()
        bench.want()
        bench.join("a")
        self.assertEqual(len(frames(bench, "a", Getting)), 1)
        bench.node.stop_delivery(bench.entry, bench.now)
        bench.now += bench.node.policy.wish_delay_s
        said = bench.node.take_commands(bench.now)
        told = [type(one.frame) for one in said if isinstance(one, Tell)]
        self.assertEqual(told, [Gone])

    def test_a_follower_is_one_farther(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.join("a")
        bench.want()
        bench.quiet()
        bench.getting("leader", distance=0)
        [getting] = frames(bench, "a", Getting)
        assert isinstance(getting, Getting)
        self.assertEqual(getting.news[0].distance, 1)

    def test_a_wish_is_told_also_where_there_are_holders(self) -> None:
        """Who else wants it decides whether two holders' uplinks need sparing, and who swaps."""
        bench = Bench(entry(blocks=40))
        bench.join("holder", whole=0b10)
        bench.join("a")
        bench.want()
        self.assertTrue(frames(bench, "a", Getting))

    def test_no_more_is_promised_than_the_source_promises(self) -> None:
        """Or it is taken back at once and promised again, at every event, by a whole crowd."""
        bench = Bench()
        bench.join("leader")
        bench.join("a")
        bench.want()
        bench.quiet()
        bench.getting("leader", blocks=full(9))
        [getting] = frames(bench, "a", Getting)
        assert isinstance(getting, Getting)
        self.assertEqual((getting.news[0].distance, getting.news[0].blocks), (1, full(9)))
        bench.later(0.1)
        self.assertEqual(frames(bench, "a", Gone), [])

    def test_of_a_large_crowd_some_hear_of_blocks_and_others_next_time(self) -> None:
        bench = Bench()
        bench.join("leader")
        for number in range(20):
            bench.join(f"n{number}")
            bench.getting(f"n{number}", distance=5, blocks=0)
        bench.want()
        bench.getting("leader")
        told: list[set[bytes]] = []
        for block in (0b1, 0b10):
            bench.quiet()
            bench.arrive("leader", block)
            bench.later(0.1)
            told.append({tell.peer_id for tell in bench.take(Tell) if isinstance(tell.frame, Got)})
        self.assertEqual([len(each) for each in told], [8, 8])
        self.assertNotEqual(told[0], told[1])

    def test_of_many_always_the_same_few_hear_that_it_is_wanted_and_promised(self) -> None:
        bench = Bench()
        names = "abcdefghijklmnopqrst"
        for name in names:
            bench.join(name)
        bench.want()
        bench.later(0.1)
        wished = hearers(bench)
        self.assertEqual(len(wished), bench.node.policy.promise_fanout)
        bench.getting("a")
        self.assertEqual(hearers(bench), wished)

    def test_without_a_tracker_all_hear_that_it_is_wanted(self) -> None:
        """One of those who want it is elected to fetch it."""
        bench = Bench()
        for name in "abcdefghijklmnopqrst":
            bench.join(name)
        bench.node.state.tracker_away = True
        bench.want()
        bench.later(0.1)
        self.assertEqual(len(hearers(bench)), 20)

    def test_all_hear_of_what_comes_from_the_origin_itself(self) -> None:
        bench = Bench()
        for name in "abcdefghijklmnopqrst":
            bench.join(name)
        bench.want()
        bench.quiet()
        bench.node.lease_answered([Grant(1, True, 5, 0, 10)], bench.now)
        self.assertEqual(len(hearers(bench)), 20)

    def test_a_promise_grows_with_that_of_the_source(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.join("a")
        bench.want()
        bench.getting("leader", blocks=0b1111)
        bench.quiet()
        bench.getting("leader")
        [getting] = frames(bench, "a", Getting)
        assert isinstance(getting, Getting)
        self.assertEqual((getting.news[0].distance, getting.news[0].blocks), (1, WHOLE))

    def test_who_comes_to_want_it_later_hears_what_is_here(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.join("a")
        bench.want()
        bench.getting("leader")
        bench.quiet()
        bench.arrive("leader", 0b11)
        bench.now += 0.05
        bench.quiet()
        bench.getting("a", distance=255, blocks=0)
        [got] = frames(bench, "a", Got)
        assert isinstance(got, Got)
        self.assertEqual([item.blocks for item in got.news], [0b11])
        bench.getting("a", distance=255, blocks=0)
        self.assertEqual(frames(bench, "a", Got), [])

    def test_blocks_are_announced_together_and_soon(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.join("a")
        bench.getting("a", distance=255, blocks=0)
        bench.want(slack_s=3.0)
        bench.getting("leader")
        bench.quiet()
        bench.arrive("leader", 0b1)
        bench.arrive("leader", 0b10)
        self.assertEqual(frames(bench, "a", Got), [])
        bench.now += 0.02
        self.assertEqual(frames(bench, "a", Got), [], "there is slack")
        bench.now += 0.03
        [got] = frames(bench, "a", Got)
        assert isinstance(got, Got)
        self.assertEqual([item.blocks for item in got.news], [0b11])

    def test_with_ample_slack_they_are_gathered_for_longer(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.join("a")
        bench.getting("a", distance=255, blocks=0)
        bench.want(slack_s=10.0)
        bench.getting("leader")
        bench.now += 0.06
        bench.quiet()  # what it says of its wish, too, is said by now
        bench.arrive("leader", 0b1)
        bench.now += 0.06
        self.assertEqual(frames(bench, "a", Got), [])
        bench.now += 0.06
        self.assertEqual(len(frames(bench, "a", Got)), 1)

    def test_urgent_blocks_are_announced_sooner(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.join("a")
        bench.getting("a", distance=255, blocks=0)
        bench.want(slack_s=1.0)
        bench.getting("leader")
        bench.quiet()
        bench.arrive("leader", 0b1)
        bench.now += 0.01
        self.assertEqual(len(frames(bench, "a", Got)), 1)

    def test_who_does_not_want_the_segment_hears_only_of_the_whole(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.join("idle")
        bench.want()
        bench.getting("leader")
        bench.quiet()
        bench.arrive("leader", 0b1)
        bench.now += 0.02
        self.assertEqual(frames(bench, "idle", Got), [])
        bench.arrive("leader", full(10))
        [got] = frames(bench, "idle", Got)
        assert isinstance(got, Got)
        self.assertEqual([item.blocks for item in got.news], [WHOLE])

    def test_who_has_the_segment_hears_nothing_of_it(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.join("full", whole=0b10)
        bench.want()
        bench.quiet()
        bench.arrive("leader", full(10))
        self.assertEqual(frames(bench, "full", Got), [])

    def test_an_evicted_segment_is_taken_back(self) -> None:
        bench = Bench()
        bench.join("a")
        bench.node.hold([1])
        bench.node.evicted(1)
        [gone] = frames(bench, "a", Gone)
        assert isinstance(gone, Gone)
        self.assertEqual(gone.news[0].blocks, WHOLE)

    def test_a_lost_source_is_taken_back(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.join("a")
        bench.want()
        bench.getting("leader")
        bench.quiet()
        bench.node.left(peer("leader"), bench.now)
        self.assertTrue(frames(bench, "a", Gone))

    def test_a_newcomer_is_told_what_is_under_way(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.want()
        bench.getting("leader")
        bench.arrive("leader", 0b1)
        bench.quiet()
        bench.join("late")
        said = [tell.frame for tell in bench.take(Tell) if tell.peer_id == peer("late")]
        self.assertEqual({type(frame) for frame in said}, {Getting, Got})


class Believing(SynchronousTestCase):
    def test_blocks_add_up_to_the_whole(self) -> None:
        neighbour = Neighbour(peer("a"))
        neighbour.note_got(1, 0b0011, 4)
        neighbour.note_got(1, 0b1100, 4)
        self.assertTrue(neighbour.has_whole(1))

    def test_blocks_beyond_the_segment_are_not_believed(self) -> None:
        neighbour = Neighbour(peer("a"))
        neighbour.note_got(1, 1 << 9, 4)
        self.assertEqual(neighbour.holds(entry(blocks=4)), 0)

    def test_what_is_gone_is_gone(self) -> None:
        neighbour = Neighbour(peer("a"), whole=0b10)
        neighbour.note_gone(1, 0b1, 4)
        self.assertEqual(neighbour.holds(entry(blocks=4)), 0b1110)

    def test_partial_news_is_bounded(self) -> None:
        neighbour = Neighbour(peer("a"))
        for segment in range(2 * PARTIAL_LIMIT):
            neighbour.note_got(segment, 1, 4)
            neighbour.note_coming(segment, Coming(1, 0, 1), 4)
        held = sum(bool(neighbour.holds(entry(position, 4))) for position in range(2000))
        coming = sum(neighbour.coming(position) is not None for position in range(2000))
        self.assertLessEqual((held, coming), (PARTIAL_LIMIT, PARTIAL_LIMIT))
