"""The origin's end: when it is killed, what peers are asked then, and what is made of it."""

from __future__ import annotations

from http.client import HTTPMessage
from typing import Any, cast

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.agenda import Agenda
from dashp2p.lab.company import Company
from dashp2p.lab.origin_checks import origin_checks
from dashp2p.lab.origin_end import Ended, Holdings, OriginEnd, Refusal
from dashp2p.lab.stage import Answer
from dashp2p.peer.fakefilm import MemoryFilm

FILM = MemoryFilm.make(segments=8, segment_bytes=1000, rungs=3, audio=True)
SOUND = 3


def records(*runs: tuple[int, range]) -> list[dict[str, Any]]:
    """Of segments (from 1) of rungs, in the order in which they came."""
    paths = [f"chunk_{rung}_{number}.m4s" for rung, numbers in runs for number in numbers]
    return [
        {
            "path": path,
            "kind": "audio" if path.startswith(f"chunk_{SOUND}") else "video",
            "at_s": at,
        }
        for at, path in enumerate(paths, 1)
    ]


def stats(*runs: tuple[int, range]) -> dict[str, Any]:
    return {"segments": records(*runs)}


def holdings(**by_host: Any) -> Holdings:
    return Holdings(FILM.index, by_host)


class HoldingsTests(SynchronousTestCase):
    def test_nobody_plays_nothing_suffices(self) -> None:
        self.assertFalse(holdings().suffices())
        self.assertFalse(holdings(p01=stats((SOUND, range(1, 9)))).suffices())

    def test_what_was_left_for_another_rung_is_not_needed(self) -> None:
        climbing = stats((SOUND, range(1, 9)), (0, range(1, 2)), (1, range(2, 9)))
        self.assertTrue(holdings(p01=climbing).suffices())

    def test_a_rung_whose_rest_another_has(self) -> None:
        first = stats((SOUND, range(1, 9)), (1, range(3, 9)))
        self.assertTrue(holdings(p01=first, p02=stats((1, range(1, 3)))).suffices())
        self.assertFalse(holdings(p01=first, p02=stats((1, range(1, 2)))).suffices())
        self.assertFalse(holdings(p01=first, p02=stats((2, range(1, 3)))).suffices())

    def test_sound_is_needed_too(self) -> None:
        played = (1, range(1, 9))
        self.assertFalse(holdings(p01=stats((SOUND, range(1, 8)), played)).suffices())
        self.assertTrue(holdings(p01=stats((SOUND, range(1, 9)), played)).suffices())

    def test_the_rung_in_use_is_the_last_and_not_the_furthest(self) -> None:
        back = stats((SOUND, range(1, 9)), (2, range(1, 3)), (1, range(3, 9)))
        self.assertTrue(holdings(p01=back).suffices())

    def lost(self, *runs: tuple[int, range]) -> str | None:
        entry = holdings(p01=stats(*runs)).lost()
        return None if entry is None else entry.path

    def test_asked_for_is_what_nobody_has_of_the_highest_rung(self) -> None:
        self.assertEqual(self.lost((1, range(1, 9))), "chunk_2_1.m4s")
        self.assertEqual(self.lost((2, range(1, 3))), "chunk_2_3.m4s")

    def test_and_where_another_rung_can_be_had_instead(self) -> None:
        self.assertEqual(self.lost((0, range(1, 2)), (1, range(2, 9))), "chunk_2_2.m4s")

    def test_a_rung_that_goes_on_soon_is_not_asked_for(self) -> None:
        self.assertEqual(self.lost((2, range(4, 9)), (1, range(1, 9))), "chunk_0_4.m4s")
        self.assertIsNone(self.lost(*((rung, range(4, 9)) for rung in range(3))))

    def test_what_can_be_had_instead_is_told_with_its_sound(self) -> None:
        one = holdings(p01=stats((1, range(2, 5)), (0, range(1, 9))))
        asked = FILM.entry("chunk_2_2.m4s")
        self.assertEqual(one.reachable_bps(asked), 2_128_000)
        self.assertEqual(one.reachable_bps(FILM.entry("chunk_2_1.m4s")), 1_128_000)
        self.assertEqual(holdings(p01=stats((1, range(1, 2)))).reachable_bps(asked), 0)


class FakeStage:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answer: Answer | None = None

    def get(self, host: str, path: str) -> Answer:
        self.asked.append((host, path))
        if self.answer is None:
            raise ConnectionRefusedError("nobody there")
        return self.answer


class FakeCompany:
    def __init__(self) -> None:
        self.stage = FakeStage()
        self.peers = dict.fromkeys(("p01", "p02", "p03"))
        self.stats: dict[str, Any] = {}
        self.killed: list[str] = []
        self.notes: list[str] = []

    def ask(self, host: str, path: str) -> Any:
        return self.stats.get(host)

    def kill(self, name: str) -> None:
        self.killed.append(name)


class OriginEndTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now_s = 0.0
        self.company = FakeCompany()
        agenda = Agenda(lambda: self.now_s)
        self.end = OriginEnd(FILM.index, cast(Company, self.company), agenda, latest_s=30.0)
        self.end.plan()

    def until(self, until_s: float) -> None:
        while self.now_s < until_s:
            self.now_s += 0.05
            self.end.agenda.catch_up()

    def hold(self) -> None:
        self.company.stats["p01"] = stats((SOUND, range(1, 9)), (0, range(1, 2)), (1, range(2, 9)))

    def answer(self, status: int = 503, **headers: str) -> None:
        told = HTTPMessage()
        for name, value in headers.items():
            told[name.replace("_", "-")] = value
        self.company.stage.answer = Answer(status, b"", told)

    def test_it_is_killed_once_the_crowd_can_do_without(self) -> None:
        self.company.stats["p01"] = stats((0, range(1, 3)))
        self.until(10.0)
        self.assertEqual(self.company.killed, [])
        self.assertIsNone(self.end.ended)
        self.hold()
        self.until(11.0)
        self.assertEqual(self.company.killed, ["origin"])
        assert self.end.ended is not None
        self.assertTrue(self.end.ended.held)
        self.assertTrue(10.0 < self.end.ended.at_s < 10.6)

    def test_it_is_killed_in_the_end_whatever_is_held(self) -> None:
        self.until(29.9)
        self.assertEqual(self.company.killed, [])
        self.until(31.0)
        self.assertEqual(self.company.killed, ["origin"])
        assert self.end.ended is not None
        self.assertFalse(self.end.ended.held)

    def refusals(self) -> tuple[Refusal, ...]:
        self.hold()
        self.until(5.0)
        assert self.end.ended is not None
        return self.end.ended.refusals

    def test_two_peers_are_asked_for_what_nobody_has_one_of_them_twice(self) -> None:
        self.answer(retry_after="1", cmsd_dynamic='"cdn";mb=9, "dashp2p";etp=9000;mb=2128')
        found = self.refusals()
        path = "/dash/chunk_2_2.m4s"
        self.assertEqual(self.company.stage.asked, [("p01", path), ("p01", path), ("p02", path)])
        self.assertEqual(
            {evolve(one, took_s=0.0, host="p") for one in found},
            {Refusal("p", "chunk_2_2.m4s", 503, 0.0, True, 2_128_000, 2_128_000)},
        )

    def test_what_an_answer_lacks_is_told(self) -> None:
        self.answer(200)
        first, *_ = self.refusals()
        self.assertEqual((first.status, first.retry_after, first.mb_bps), (200, False, None))

    def test_no_answer_is_told_too(self) -> None:
        first, *_ = self.refusals()
        self.assertEqual(first.status, 0)
        self.assertIn("p01 did not answer", self.company.notes[0])

    def test_nobody_is_asked_where_all_is_held(self) -> None:
        self.company.stats["p02"] = stats(*((rung, range(1, 9)) for rung in range(3)))
        self.assertEqual(self.refusals(), ())
        self.assertEqual(self.company.stage.asked, [])


GOOD = Refusal("p01", "a", 503, 0.7, True, 3_128_000, 3_128_000)


class VerdictTests(SynchronousTestCase):
    """Each check holds, is missed, or can't be told."""

    def verdicts(
        self, *ends: Ended | None, viewers_s: tuple[float | None, ...] = ()
    ) -> list[bool | None]:
        return [check.good for check in origin_checks(1.0, ends, viewers_s)]

    def of(self, *refusals: Refusal, viewers_s: tuple[float | None, ...] = ()) -> list[bool | None]:
        return self.verdicts(Ended(17.0, True, refusals), viewers_s=viewers_s)

    def test_all_holds(self) -> None:
        self.assertEqual(self.of(GOOD, viewers_s=(0.9, None)), [True, True, True])

    def test_an_origin_killed_for_want_of_time_proves_nothing(self) -> None:
        self.assertEqual(self.verdicts(Ended(30.0, False, (GOOD,)))[0], False)
        self.assertEqual(self.verdicts(Ended(17.0, True), None)[0], False)

    def test_a_late_refusal_is_a_miss_whoever_got_it(self) -> None:
        self.assertEqual(self.of(GOOD, evolve(GOOD, took_s=1.1))[1], False)
        self.assertEqual(self.of(GOOD, viewers_s=(1.1,))[1], False)

    def test_another_answer_is_a_miss(self) -> None:
        self.assertEqual(self.of(GOOD, evolve(GOOD, status=200))[1], False)
        self.assertEqual(self.of(GOOD, evolve(GOOD, retry_after=False))[1], False)

    def test_players_must_be_steered_to_what_is_held(self) -> None:
        self.assertEqual(self.of(GOOD, evolve(GOOD, mb_bps=5_128_000))[2], False)
        self.assertEqual(self.of(GOOD, evolve(GOOD, mb_bps=None))[2], False)

    def test_where_nobody_was_asked_nothing_can_be_told(self) -> None:
        self.assertEqual(self.of(viewers_s=(0.2,)), [True, None, None])

    def test_each_says_what_it_came_to(self) -> None:
        told = origin_checks(1.0, [Ended(17.04, True, (GOOD, evolve(GOOD, status=0)))], [None])
        self.assertEqual(
            [check.value for check in told],
            ["at 17.0 s", "0.70, 1 answered otherwise", "3.13 of 3.13"],
        )
