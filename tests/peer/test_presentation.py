"""Learning what there is to deliver: keys, the index, the ways in which there may be none."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.index import SIGNATURE_NAME, IndexSignature
from dashp2p.content.keys import public_bytes
from dashp2p.content.signature import INDEX_NAME
from dashp2p.peer.fakefilm import MemoryFilm
from dashp2p.peer.fakenet import advance
from dashp2p.peer.fakeweb import MemoryOrigin, MemoryWeb, memory_client
from dashp2p.peer.known_keys import KnownKeys
from dashp2p.peer.limits import INDEX_LATE_S, INDEX_RETRY_MAX_S, INDEX_RETRY_S, MAX_KNOWN_KEYS
from dashp2p.peer.newest import NewestIndexes
from dashp2p.peer.origin_client import OriginClient
from dashp2p.peer.presentation import Presentation

FILM = MemoryFilm.make(segments=1, segment_bytes=20_000)
OTHER = MemoryFilm.make(segments=1, segment_bytes=20_000, seed=2)  # another key, too
URL = "http://origin.test/dash"
LATER_S = 1_700_000_060.0
STRANGE_KEY = public_bytes(Ed25519PrivateKey.from_private_bytes(b"s" * 32))


class PresentationTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(500.0)
        self.origin = MemoryOrigin(self.clock, dict(FILM.files))
        self.signed: list[IndexSignature] = []
        self.file = Path(self.mktemp()) / "origins.json"
        self.file.parent.mkdir(parents=True)
        self.made: list[Presentation] = []
        self.wall_s = 1_700_000_000.0

    def tearDown(self) -> None:
        for presentation in self.made:
            presentation.stop()
        advance(self.clock, 60.0)
        self.assertEqual(self.clock.getDelayedCalls(), [], "it goes on after the end")

    def wall(self) -> float:
        return self.wall_s

    def presentation(self, pinned: bytes | None = None, kept: bool = True) -> Presentation:
        web = MemoryWeb()
        web.sites["origin.test"] = self.origin
        client = OriginClient(memory_client(web), self.clock, URL)
        known = KnownKeys(self.file if kept else None)
        newest = NewestIndexes(self.file.with_name("newest.json") if kept else None, self.wall)
        made = Presentation(client, known, newest, pinned, self.clock, random.Random(5))
        self.made.append(made)
        return made

    def started(self, pinned: bytes | None = None, seconds: float = 0.1) -> Presentation:
        presentation = self.presentation(pinned)
        presentation.start(self.signed.append)
        advance(self.clock, seconds)
        return presentation

    @property
    def tries(self) -> int:
        return len(self.origin.asked_for(SIGNATURE_NAME))


class KeyTests(PresentationTestCase):
    def test_a_trusted_signature_is_told(self) -> None:
        presentation = self.started()
        self.assertEqual(self.signed, [FILM.signature])
        self.assertEqual(presentation.signature, FILM.signature)

    def test_the_pinned_key_is_accepted(self) -> None:
        self.started(FILM.signature.public_key)
        self.assertEqual(self.signed, [FILM.signature])

    def test_another_key_than_the_pinned_one_is_refused(self) -> None:
        presentation = self.started(STRANGE_KEY)
        self.assertEqual(self.signed, [])
        self.assertIsNone(presentation.signature)
        self.assertEqual(presentation.mode, "pass-through")
        self.assertIn("--origin-key", presentation.message or "")

    def test_the_first_key_is_learned_and_remembered(self) -> None:
        self.started()
        self.assertEqual(json.loads(self.file.read_text()), {URL: FILM.signature.public_key.hex()})

    def test_a_changed_key_is_refused_in_a_later_run(self) -> None:
        self.started()
        self.origin.files = dict(OTHER.files)
        presentation = self.started()
        self.assertEqual(self.signed, [FILM.signature])
        self.assertEqual(presentation.mode, "pass-through")

    def test_the_same_key_is_accepted_in_a_later_run(self) -> None:
        self.started()
        self.started()
        self.assertEqual(self.signed, [FILM.signature] * 2)

    def test_the_pinned_key_counts_before_the_remembered_one(self) -> None:
        self.started()
        self.origin.files = dict(OTHER.files)
        self.started(OTHER.signature.public_key)
        self.assertEqual(self.signed, [FILM.signature, OTHER.signature])

    def test_each_origin_has_its_own_key(self) -> None:
        known = KnownKeys(self.file)
        known.learn("http://elsewhere.test/dash", STRANGE_KEY)
        self.started()
        self.assertEqual(self.signed, [FILM.signature])

    def test_a_refused_key_is_not_remembered(self) -> None:
        self.started(STRANGE_KEY)
        self.assertFalse(self.file.exists())


class KnownKeysTests(PresentationTestCase):
    def test_a_file_that_is_not_what_it_should_be_counts_as_none(self) -> None:
        for spoilt in (
            b"",
            b"{",
            b"[]",
            b"\xff\xfe",
            b'"x"',
            json.dumps({URL: "zz"}).encode(),
            json.dumps({URL: "00"}).encode(),
            json.dumps({URL: None}).encode(),
            json.dumps({URL: ["00" * 32]}).encode(),
        ):
            with self.subTest(spoilt=spoilt):
                self.signed.clear()
                self.file.write_bytes(spoilt)
                self.started()
                self.assertEqual(self.signed, [FILM.signature])
                self.file.unlink(missing_ok=True)

    def test_a_folder_that_cannot_be_written_is_no_obstacle(self) -> None:
        self.file = Path(self.mktemp()) / "missing" / "origins.json"
        self.started()
        self.assertEqual(self.signed, [FILM.signature])

    def test_no_more_origins_are_remembered_than_the_bound(self) -> None:
        known = KnownKeys(None)
        for number in range(MAX_KNOWN_KEYS + 5):
            known.learn(f"http://o{number}.test/dash", STRANGE_KEY)
        self.assertIsNone(known.key_of("http://o4.test/dash"))
        self.assertEqual(known.key_of("http://o5.test/dash"), STRANGE_KEY)


class NoIndexTests(PresentationTestCase):
    def test_without_an_index_the_presentation_is_passed_through(self) -> None:
        del self.origin.files[SIGNATURE_NAME]
        presentation = self.started()
        self.assertEqual(presentation.mode, "pass-through")
        self.assertIn("segment.sh", presentation.message or "")

    def test_buckets_that_say_403_for_a_missing_file_are_passed_through_too(self) -> None:
        del self.origin.files[SIGNATURE_NAME]
        self.origin.missing_code = 403
        self.assertEqual(self.started().mode, "pass-through")

    def test_it_is_said_once(self) -> None:
        del self.origin.files[SIGNATURE_NAME]
        with capturedLogs() as events:
            self.started(seconds=300.0)
        said = [formatEvent(event) for event in events if event["log_level"].name == "warn"]
        self.assertEqual(len(said), 1, said)
        self.assertGreater(self.tries, 5)

    def test_an_index_that_turns_up_later_is_found(self) -> None:
        del self.origin.files[SIGNATURE_NAME]
        presentation = self.started()
        self.origin.files[SIGNATURE_NAME] = FILM.files[SIGNATURE_NAME]
        advance(self.clock, 5.0)
        self.assertEqual(self.signed, [FILM.signature])
        self.assertIsNotNone(presentation.signature)

    def test_a_signature_that_is_none_is_refused(self) -> None:
        for raw in (
            b"",
            b"<html>",
            b"{}",
            b"[]",
            FILM.files[SIGNATURE_NAME].replace(b'"v":1', b'"v":2'),
        ):
            self.origin.files[SIGNATURE_NAME] = raw
            presentation = self.started()
            self.assertEqual(presentation.mode, "pass-through")
            self.assertIn("refused", presentation.message or "")
        self.assertEqual(self.signed, [])

    def test_a_page_in_place_of_the_signature_is_no_index(self) -> None:
        self.origin.files[SIGNATURE_NAME] = b"<html>" + b" " * 50_000
        presentation = self.started()
        self.assertEqual(self.signed, [])
        self.assertIsNone(presentation.signature)


class AwayTests(PresentationTestCase):
    def test_an_origin_that_is_away_is_told_and_tried_again(self) -> None:
        self.origin.away = True
        presentation = self.started(seconds=1.0)
        self.assertEqual(presentation.mode, "no-origin")
        self.assertEqual(
            presentation.message,
            "The origin does not answer: nothing listens at its address. Trying again.",
        )
        self.origin.away = False
        advance(self.clock, 5.0)
        self.assertEqual(self.signed, [FILM.signature])

    def test_an_origin_that_hangs_is_tried_again(self) -> None:
        self.origin.silent = True
        presentation = self.started(seconds=20.0)
        self.assertEqual(presentation.mode, "no-origin")
        self.origin.silent = False
        advance(self.clock, 60.0)
        self.assertEqual(self.signed, [FILM.signature])

    def test_an_origin_in_trouble_is_no_origin_without_index(self) -> None:
        del self.origin.files[SIGNATURE_NAME]
        self.origin.missing_code = 503
        self.assertEqual(self.started().mode, "no-origin")

    def test_tries_back_off_with_jitter_up_to_a_bound(self) -> None:
        del self.origin.files[SIGNATURE_NAME]
        presentation = self.presentation()
        presentation.start(self.signed.append)
        times = [self.clock.seconds()]
        advance(self.clock, 0.05)
        for _ in range(2000):
            before = self.tries
            advance(self.clock, 0.1)
            if self.tries > before:
                times.append(self.clock.seconds())
        gaps = [after - before for before, after in pairwise(times)]
        for number, gap in enumerate(gaps):
            middle = min(INDEX_RETRY_MAX_S, INDEX_RETRY_S * 2**number)
            self.assertTrue(0.7 * middle <= gap <= 1.3 * middle + 0.1, (number, gap))
        self.assertGreater(len({round(gap, 1) for gap in gaps[4:]}), 1, "no jitter")

    def test_stopping_gives_a_try_up(self) -> None:
        self.origin.silent = True
        presentation = self.started()
        presentation.stop()
        advance(self.clock, 300.0)
        self.assertEqual(self.tries, 1)


class IndexTests(PresentationTestCase):
    def test_the_true_index_makes_it_share(self) -> None:
        presentation = self.started()
        index = presentation.take_index(FILM.files[INDEX_NAME])
        self.assertEqual(index, FILM.index)
        self.assertEqual((presentation.mode, presentation.message), ("sharing", None))
        self.assertIsNotNone(presentation.indexed_at)

    def test_an_index_that_was_not_signed_is_refused(self) -> None:
        raw = FILM.files[INDEX_NAME]
        for spoilt in (
            raw.replace(b"4.0", b"4.1"),
            raw[:-1],
            raw + b" ",
            b"",
            OTHER.files[INDEX_NAME],
        ):
            presentation = self.started()
            self.assertIsNone(presentation.take_index(spoilt))
            self.assertIsNone(presentation.index)
            self.assertEqual(presentation.mode, "pass-through")

    def test_a_signature_by_whom_it_does_not_name_is_refused(self) -> None:
        document = json.loads(FILM.files[SIGNATURE_NAME])
        document["signature"] = "00" * 64
        self.origin.files[SIGNATURE_NAME] = json.dumps(document).encode()
        presentation = self.started()
        self.assertIsNone(presentation.take_index(FILM.files[INDEX_NAME]))
        self.assertEqual(presentation.mode, "pass-through")

    def test_no_index_is_taken_before_its_signature(self) -> None:
        presentation = self.presentation()
        self.assertIsNone(presentation.take_index(FILM.files[INDEX_NAME]))


class LateIndexTests(PresentationTestCase):
    """The signature is here, but what it signs does not come: they may be being replaced."""

    def test_who_waits_is_let_go(self) -> None:
        presentation = self.started(seconds=INDEX_LATE_S + 1)
        self.assertEqual(presentation.mode, "pass-through")
        self.successResultOf(presentation.settled())

    def test_another_signature_is_told(self) -> None:
        presentation = self.started(FILM.signature.public_key, seconds=1.0)
        key_of_film = MemoryFilm.make(segments=2, segment_bytes=20_000, issued_s=LATER_S)
        self.assertEqual(key_of_film.signature.public_key, FILM.signature.public_key)
        self.origin.files = dict(key_of_film.files)
        advance(self.clock, INDEX_LATE_S + 1)
        self.assertEqual(self.signed, [FILM.signature, key_of_film.signature])
        self.assertEqual(presentation.take_index(key_of_film.files[INDEX_NAME]), key_of_film.index)
        self.assertEqual(presentation.mode, "sharing")

    def test_the_same_signature_is_told_once(self) -> None:
        self.started(seconds=120.0)
        self.assertEqual(self.signed, [FILM.signature])
        self.assertGreater(self.tries, 3)

    def test_one_by_another_key_is_refused_all_the_same(self) -> None:
        self.started(seconds=1.0)
        self.origin.files = dict(OTHER.files)
        advance(self.clock, 60.0)
        self.assertEqual(self.signed, [FILM.signature])

    def test_once_the_index_is_here_the_signature_is_looked_at_only_now_and_then(self) -> None:
        presentation = self.started(seconds=30.0)
        self.origin.silent = True
        advance(self.clock, 40.0)
        presentation.take_index(FILM.files[INDEX_NAME])
        tries = self.tries
        advance(self.clock, 300.0)
        self.assertIn(self.tries - tries, range(1, 8))
        self.assertEqual((presentation.mode, presentation.message), ("sharing", None))

    def test_after_a_refused_index_the_signature_is_asked_for_again(self) -> None:
        presentation = self.started(seconds=1.0)
        presentation.take_index(OTHER.files[INDEX_NAME])
        advance(self.clock, 10.0)
        self.assertGreater(self.tries, 1)


class SettledTests(PresentationTestCase):
    def test_who_waits_hears_when_there_is_an_index(self) -> None:
        presentation = self.started()
        waiting = presentation.settled()
        self.assertNoResult(waiting)
        presentation.take_index(FILM.files[INDEX_NAME])
        self.successResultOf(waiting)

    def test_who_waits_hears_when_there_is_none(self) -> None:
        self.origin.away = True
        presentation = self.presentation()
        waiting = presentation.settled()
        presentation.start(self.signed.append)
        advance(self.clock, 0.1)
        self.successResultOf(waiting)

    def test_who_comes_later_hears_at_once(self) -> None:
        self.origin.away = True
        self.successResultOf(self.started().settled())

    def test_who_gave_up_is_not_told(self) -> None:
        presentation = self.started()
        waiting = presentation.settled()
        waiting.addErrback(lambda failure: None)
        waiting.cancel()
        presentation.take_index(FILM.files[INDEX_NAME])
