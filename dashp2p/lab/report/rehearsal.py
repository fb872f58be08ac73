"""What a rehearsal tells an administrator: whether network and machines would carry it."""

from __future__ import annotations

from dashp2p.lab import measure
from dashp2p.lab.figures import WINDOW_S
from dashp2p.lab.report import words
from dashp2p.lab.report.experiment import Case, Experiment
from dashp2p.lab.report.limits import Limits
from dashp2p.lab.report.sentences import BAD, BUSY, GOOD, Sentence, sentences
from dashp2p.lab.report.words import mbit, percent

PATIENT_S = 2.0
"""A start-up that nobody complains of: beyond it, each second loses viewers (Krishnan and
Sitaraman, 2012)."""

FEW = 0.5
"""Below this share of what peers could have spared the origin, they hardly reached each other."""


def rehearsal_sentences(experiment: Experiment, limits: Limits) -> list[Sentence]:
    """The answer first; then what the origin's line needs; then as of any experiment."""
    found = [_answer(experiment), *_line(experiment), *_reach(experiment, limits)]
    return [*found, *sentences(experiment, limits)]


def _answer(experiment: Experiment) -> Sentence:
    case = experiment.crowd or experiment.plain or experiment.cases[0]
    viewers = words.count(experiment.viewers, "viewer")
    troubles = _troubles(case)
    busy = max(one.machine_busy or 0.0 for one in case.figures)
    way = "" if case is experiment.crowd else " without peers"
    if case.median("startup_median_s") is None:
        troubles = troubles or ["no viewer saw a picture"]
    if not troubles:
        return Sentence(f"Yes: network and machines carried {viewers}{way}.", GOOD)
    if busy > BUSY and case.median("startup_median_s") is not None:
        return Sentence(
            f"Not clear: {'; '.join(troubles)}. But the machine was {percent(busy)} busy, which a "
            "viewer's own machine would not be: rehearse with fewer peers on it, or on several.",
            BAD,
        )
    return Sentence(f"No: {viewers}{way} were too much as it is: {'; '.join(troubles)}.", BAD)


def _troubles(case: Case) -> list[str]:
    found = []
    never = max(one.never_began for one in case.figures)
    if never:
        found.append(f"{words.count(never, 'viewer')} never saw a picture")
    stalls = max(one.stalls for one in case.figures)
    if stalls:
        found.append(f"there were {words.count(stalls, 'stall')}")
    worst = case.median("startup_worst_s")
    if worst is not None and worst > PATIENT_S:
        found.append(f"the last viewer waited {words.seconds(worst)} for a picture")
    return found


def _line(experiment: Experiment) -> list[Sentence]:
    case = experiment.crowd
    if case is None:
        return []
    fullest = measure.median(max(one.window_egress, default=None) for one in case.figures)
    rate = case.median("mean_bitrate_bps")
    if fullest is None or rate is None:
        return []
    most = mbit(fullest * 8 / WINDOW_S)
    text = f"The origin's line was asked for {most} in its fullest four seconds"
    plain = mbit(rate * experiment.viewers)
    text += f"; without peers, viewers at this bitrate need {plain} of it all the time"
    return [Sentence(text + ".")]


def _reach(experiment: Experiment, limits: Limits) -> list[Sentence]:
    case = experiment.crowd
    spared = experiment.offload(case) if case else None
    if spared is None or not limits.offload or experiment.viewers < 2:
        return []
    if spared.median >= FEW * limits.offload:
        return []
    return [
        Sentence(
            "Peers hardly helped each other. See that the machines reach each other's exchange "
            "ports (a firewall, or a wireless network that keeps its clients apart), and that all "
            "peers name the same tracker and origin.",
            BAD,
        )
    ]
