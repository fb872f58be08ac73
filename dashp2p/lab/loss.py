"""Which frames a link loses: independent drops, or bursts as a Gilbert-Elliott chain makes them.

Bursts matter because TCP repairs one lost frame in a round trip, but four in a row near the end of
a response cost a retransmission time-out: the tail that a viewer sees as a stall.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from attrs import field, frozen, validators

LossModel = Callable[[], bool]
"""Asked once for each frame, in order; true when the frame is lost."""


@frozen
class Loss:
    """How much of what a host sends is lost, and in what bursts.

    rate: share of frames lost in the long run (0 to below 1); burst: mean length of a run of lost
    frames, 1 for independent losses.
    """

    rate: float = field(default=0.0, validator=[validators.ge(0.0), validators.lt(1.0)])
    burst: float = field(default=1.0, validator=validators.ge(1.0))

    def model(self, rng: random.Random) -> LossModel | None:
        """The frame-by-frame decision, or None where nothing is lost."""
        if self.rate <= 0:
            return None
        if self.burst <= 1:
            return independent(rng, self.rate)
        return gilbert_elliott(rng, self.rate, self.burst)


def independent(rng: random.Random, rate: float) -> LossModel:
    """Each frame is lost with the same chance, whatever befell the one before."""
    draw = rng.random

    def lost() -> bool:
        return draw() < rate

    return lost


def gilbert_elliott(rng: random.Random, rate: float, burst: float) -> LossModel:
    """A two-state chain (Gilbert 1960, Elliott 1963): all pass in the good state, none in the bad.

    The bad state lasts `burst` frames in the mean, so it is left with chance r = 1 / burst, and is
    entered with chance p such that the long-run share of the bad state, p / (p + r), is `rate`.
    """
    draw = rng.random
    leave = 1 / burst
    enter = rate * leave / (1 - rate)
    bad = False

    def lost() -> bool:
        nonlocal bad
        bad = draw() >= leave if bad else draw() < enter
        return bad

    return lost
