"""The lab's liars lie as they say."""

from __future__ import annotations

import random
from typing import cast

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.entry import Entry, Kind
from dashp2p.lab.liar import LyingPeer
from dashp2p.lab.scenario import Lie
from dashp2p.peer.link import Link
from dashp2p.peer.service import PeerSettings
from dashp2p.peer.tap import Options, settings_of
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Data, Frame, Reject, Request

FOUR_BLOCKS = Entry(
    position=5,
    path="chunk_0_1.m4s",
    size_bytes=50,
    digest=bytes(32),
    kind=Kind.MEDIA,
    representation_id="0",
    number=0,
    start_s=0.0,
    duration_s=4.0,
    block_size_bytes=16,
)


@define
class FakeLink:
    """Keeps what it is given to send."""

    sent: list[Frame] = field(factory=list)

    def send(self, frame: Frame) -> None:
        self.sent.append(frame)


class FakeEngine:
    """Knows one file."""

    def entry_of(self, position: int) -> Entry | None:
        return FOUR_BLOCKS if position == FOUR_BLOCKS.position else None


def settings() -> PeerSettings:
    options = Options()
    options.parseOptions(["--origin", "http://127.0.0.1:1/dash", "--cache", "."])
    return settings_of(options)


class LyingTests(SynchronousTestCase):
    def answers(self, lie: Lie) -> list[Frame]:
        peer = LyingPeer(lie, settings(), cast(IReactorTime, Clock()), random.Random(1))
        peer.engine = FakeEngine()  # type: ignore[assignment]
        link = FakeLink()
        peer.answer(cast(Link, link), Request(5, 0b1011, request_id=7))
        return link.sent

    def test_an_empty_one_refuses(self) -> None:
        self.assertEqual(self.answers(Lie.EMPTY), [Reject(7, 5, 0b1011, int(Code.NOT_HERE))])

    def test_a_silent_one_and_a_squatter_answer_nothing(self) -> None:
        self.assertEqual(self.answers(Lie.SILENT) + self.answers(Lie.SQUAT), [])

    def test_a_false_one_sends_as_many_bytes_as_were_asked_for(self) -> None:
        self.assertEqual(
            self.answers(Lie.FALSE), [Data(7, 5, 0, 2, bytes(32)), Data(7, 5, 3, 1, bytes(2))]
        )
