"""Whether a crowd that lost its origin was served as it was promised."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from dashp2p.lab.check import Check
from dashp2p.lab.origin_end import Ended, Refusal


def origin_checks(
    limit_s: float, ends: Sequence[Ended | None], viewers_worst_s: Sequence[float | None]
) -> list[Check]:
    """One item of each for each run: how its origin ended, and the longest that a viewer waited for
    a refusal."""
    killed = [end for end in ends if end is not None]
    asked = [refusal for end in killed for refusal in end.refusals]
    waited_s = [one.took_s for one in asked] + [one for one in viewers_worst_s if one is not None]
    return [_killed(ends), _refused(limit_s, asked, waited_s), _steered(asked)]


def _killed(ends: Sequence[Ended | None]) -> Check:
    told = ["not" if end is None else _when(end) for end in ends]
    good = all(end is not None and end.held for end in ends) if ends else None
    return Check("origin killed once all in use was held", "yes", ", ".join(told) or "-", good)


def _when(end: Ended) -> str:
    return f"at {end.at_s:.1f} s" + ("" if end.held else ", not held")


def _refused(limit_s: float, asked: Sequence[Refusal], waited_s: Sequence[float]) -> Check:
    wrong = [
        one for one in asked if one.status != HTTPStatus.SERVICE_UNAVAILABLE or not one.retry_after
    ]
    value = f"{max(waited_s):.2f}" if waited_s else "-"
    if wrong:
        value += f", {len(wrong)} answered otherwise"
    good = not wrong and max(waited_s) <= limit_s if asked else None
    return Check("503 for what nobody holds, s", f"<= {limit_s:.2f}", value, good)


def _steered(asked: Sequence[Refusal]) -> Check:
    pairs = sorted({(one.mb_bps or 0, one.reachable_bps) for one in asked})
    value = ", ".join(f"{mb / 1e6:.2f} of {reachable / 1e6:.2f}" for mb, reachable in pairs)
    good = all(0 < mb <= reachable for mb, reachable in pairs) if asked else None
    return Check("mb in the refusals, Mbit/s", "<= reachable", value or "-", good)
