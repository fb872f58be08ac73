"""An index that is older than one seen before, or past its end, though the right key signed it."""

from __future__ import annotations

import json
from pathlib import Path

from attrs import evolve
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.index import SIGNATURE_NAME, IndexRefused, IndexSignature
from dashp2p.content.signature import INDEX_NAME
from dashp2p.peer.fakefilm import MemoryFilm
from dashp2p.peer.fakenet import advance
from dashp2p.peer.limits import EXPIRY_SKEW_S, INDEX_LOOK_S, MAX_NEWEST
from dashp2p.peer.newest import NewestIndexes
from dashp2p.peer.presentation import Presentation
from tests.peer.test_presentation import FILM, LATER_S, OTHER, URL, PresentationTestCase

NEWER = MemoryFilm.make(segments=2, segment_bytes=20_000, issued_s=LATER_S)
SAME_AGAIN = MemoryFilm.make(segments=1, segment_bytes=20_000, issued_s=LATER_S + 60)
UNSTAMPED = evolve(NEWER.signature, issued_ms=0, stamp=b"")
ENDS_S = LATER_S + 3600
ENDING = MemoryFilm.make(segments=2, segment_bytes=20_000, issued_s=LATER_S, expires_s=ENDS_S)


class NewestTestCase(PresentationTestCase):
    def sharing(self, film: MemoryFilm) -> Presentation:
        """A run that has the film's index."""
        self.origin.files = dict(film.files)
        presentation = self.started()
        self.assertEqual(presentation.take_index(film.files[INDEX_NAME]), film.index)
        return presentation

    def look(self, film: MemoryFilm) -> None:
        """The origin has this one now, and the peer has looked."""
        self.origin.files = dict(film.files)
        advance(self.clock, INDEX_LOOK_S * 1.25 + 1)

    def refused(self, presentation: Presentation, why: str) -> None:
        self.assertIn(why, presentation.refusal or "")
        self.assertEqual(presentation.mode, "pass-through")
        self.assertIsNone(presentation.signature)


class NewestTests(NewestTestCase):
    def test_an_older_index_is_refused_and_the_film_that_is_here_goes_on(self) -> None:
        presentation = self.sharing(NEWER)
        self.look(FILM)
        self.assertEqual((presentation.mode, presentation.index), ("sharing", NEWER.index))
        self.assertIn("it is older", presentation.refusal or "")
        self.assertEqual(self.signed, [NEWER.signature])

    def test_it_is_said_once(self) -> None:
        self.sharing(NEWER)
        with capturedLogs() as events:
            for _ in range(5):
                self.look(FILM)
        said = [formatEvent(event) for event in events if event["log_level"].name == "warn"]
        self.assertEqual(len(said), 1, said)

    def test_when_the_newer_is_back_all_is_well(self) -> None:
        presentation = self.sharing(NEWER)
        self.look(FILM)
        self.look(NEWER)
        self.assertIsNone(presentation.refusal)

    def test_an_older_index_is_refused_after_a_restart(self) -> None:
        self.sharing(NEWER)
        self.origin.files = dict(FILM.files)
        self.refused(self.started(), "it is older")

    def test_once_there_is_none_at_all_that_is_said_instead(self) -> None:
        self.sharing(NEWER)
        self.origin.files = dict(FILM.files)
        presentation = self.started()
        del self.origin.files[SIGNATURE_NAME]
        advance(self.clock, 10.0)
        self.assertIsNone(presentation.refusal)
        self.assertIn("has no index", presentation.message or "")

    def test_a_newer_index_takes_its_place(self) -> None:
        self.sharing(FILM)
        self.look(NEWER)
        self.assertEqual(self.signed, [FILM.signature, NEWER.signature])

    def test_another_index_of_the_same_moment_is_refused(self) -> None:
        self.sharing(FILM)
        twin = MemoryFilm.make(segments=2, segment_bytes=20_000)
        self.origin.files = dict(twin.files)
        self.refused(self.started(), "it is older")

    def test_an_index_without_a_stamp_is_older_than_any_with_one(self) -> None:
        self.sharing(FILM)
        self.origin.files[SIGNATURE_NAME] = UNSTAMPED.to_bytes()
        self.refused(self.started(), "without a date")

    def test_where_none_was_ever_stamped_any_is_taken(self) -> None:
        for signature in (evolve(FILM.signature, issued_ms=0, stamp=b""), UNSTAMPED):
            self.origin.files[SIGNATURE_NAME] = signature.to_bytes()
            self.assertEqual(self.started().signature, signature)

    def test_a_later_stamp_on_the_same_index_disturbs_nobody(self) -> None:
        self.assertEqual(SAME_AGAIN.index.presentation_id, FILM.index.presentation_id)
        renewed = restamped(FILM, round((LATER_S + 60) * 1000))
        presentation = self.sharing(FILM)
        self.look(renewed)
        self.assertEqual(self.signed, [FILM.signature])
        self.assertEqual(presentation.mode, "sharing")
        self.origin.files = dict(NEWER.files)
        self.refused(self.started(), "it is older")

    def test_the_same_film_under_another_index_starts_anew(self) -> None:
        self.sharing(FILM)
        self.look(SAME_AGAIN)
        self.assertEqual(self.signed, [FILM.signature, SAME_AGAIN.signature])

    def test_who_trusts_another_key_starts_anew(self) -> None:
        self.sharing(NEWER)
        self.origin.files = dict(OTHER.files)
        presentation = self.started(OTHER.signature.public_key)
        self.assertEqual(presentation.signature, OTHER.signature)

    def test_without_a_folder_it_holds_for_this_run(self) -> None:
        self.file = Path(self.mktemp()) / "missing" / "origins.json"
        presentation = self.sharing(NEWER)
        self.look(FILM)
        self.assertIn("it is older", presentation.refusal or "")


class ExpiryTests(NewestTestCase):
    def test_an_expired_index_is_refused(self) -> None:
        self.origin.files = dict(ENDING.files)
        self.wall_s = ENDS_S + EXPIRY_SKEW_S + 1
        self.refused(self.started(), "it expired at 2023-11-14 23:14:20 UTC")

    def test_clocks_may_differ_a_little(self) -> None:
        self.wall_s = ENDS_S + EXPIRY_SKEW_S - 1
        self.assertIsNone(self.sharing(ENDING).refusal)

    def test_one_that_expires_while_it_is_watched_is_watched_to_the_end(self) -> None:
        presentation = self.sharing(ENDING)
        with capturedLogs() as events:
            for _ in range(5):
                self.wall_s = max(self.wall_s, ENDS_S + EXPIRY_SKEW_S) + 60
                self.look(ENDING)
        said = [formatEvent(event) for event in events if event["log_level"].name == "warn"]
        self.assertEqual(len(said), 1, said)
        self.assertEqual((presentation.mode, presentation.index), ("sharing", ENDING.index))
        self.assertIn("it expired", presentation.refusal or "")

    def test_signed_anew_it_is_well_again(self) -> None:
        self.wall_s = ENDS_S + EXPIRY_SKEW_S + 1
        self.origin.files = dict(ENDING.files)
        presentation = self.started()
        self.origin.files = dict(restamped(ENDING, round(ENDS_S * 1000)).files)
        advance(self.clock, 10.0)
        presentation.take_index(ENDING.files[INDEX_NAME])
        self.assertEqual((presentation.mode, presentation.refusal), ("sharing", None))


class RememberedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = Path(self.mktemp())

    def newest(self) -> NewestIndexes:
        newest = NewestIndexes(self.file, lambda: LATER_S)
        newest.load()
        return newest

    def test_a_file_that_is_not_what_it_should_be_counts_as_none(self) -> None:
        good = {"key": "00" * 32, "issued_ms": 1, "digest": "00" * 32}
        for spoilt in (
            *(b"", b"{", b"[]", b"\xff\xfe", b'"x"', b"[" * 100_000),
            json.dumps({URL: {**good, "issued_ms": "1"}}).encode(),
            json.dumps({URL: {**good, "key": "zz"}}).encode(),
            json.dumps({URL: {**good, "digest": None}}).encode(),
            json.dumps({URL: {}}).encode(),
            json.dumps({URL: None}).encode(),
        ):
            self.file.write_bytes(spoilt)
            self.newest().check(URL, FILM.signature)

    def test_each_origin_has_its_own(self) -> None:
        self.newest().learn(URL, NEWER.signature)
        self.newest().check("http://elsewhere.test/dash", FILM.signature)
        self.assertRaises(IndexRefused, self.newest().check, URL, FILM.signature)

    def test_no_more_are_remembered_than_the_bound(self) -> None:
        newest = NewestIndexes(None, lambda: LATER_S)
        for number in range(MAX_NEWEST + 1):
            newest.learn(f"http://o{number}.test/dash", NEWER.signature)
        newest.check("http://o0.test/dash", FILM.signature)
        self.assertRaises(IndexRefused, newest.check, "http://o1.test/dash", FILM.signature)

    def test_dates_beyond_any_calendar_are_told_all_the_same(self) -> None:
        newest = self.newest()
        newest.learn(URL, evolve(NEWER.signature, issued_ms=10**18))
        self.assertRaises(IndexRefused, newest.check, URL, FILM.signature)


def restamped(film: MemoryFilm, issued_ms: int) -> MemoryFilm:
    """The very same index.json, published later."""
    key = MemoryFilm.key(1)
    raw = film.files[INDEX_NAME]
    signature = IndexSignature.sign(raw, film.index.presentation_id, key, issued_ms)
    return evolve(
        film, files={**film.files, SIGNATURE_NAME: signature.to_bytes()}, signature=signature
    )
