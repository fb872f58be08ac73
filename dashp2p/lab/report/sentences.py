"""What follows from the numbers, in sentences: what was reached, and plainly what was not."""

from __future__ import annotations

from attrs import frozen

from dashp2p.lab import measure
from dashp2p.lab.check import Check
from dashp2p.lab.report import words
from dashp2p.lab.report.experiment import Case, Experiment
from dashp2p.lab.report.limits import Limits
from dashp2p.lab.report.words import mbit, percent, seconds, times
from dashp2p.lab.result import Setting

GOOD, BAD, PLAIN = "good", "bad", "plain"
BUSY = 0.85
"""Above this share of its cores' time a machine is measured along with the programs on it."""


@frozen
class Sentence:
    """One thing that follows; `tone` is one of GOOD, BAD, PLAIN."""

    text: str
    tone: str = PLAIN


def sentences(experiment: Experiment, limits: Limits) -> list[Sentence]:
    """The cost first, then what viewers saw, then targets, then what to be careful about."""
    found = [
        _cost(experiment),
        _spared(experiment, limits),
        *(_ablation(experiment, case) for case in experiment.ablated),
        _startup(experiment),
        _stalls(experiment),
        _quality(experiment, limits),
        *_verdicts(experiment),
        *_cautions(experiment),
    ]
    return [one for one in found if one is not None]


def _cost(experiment: Experiment) -> Sentence | None:
    case = experiment.crowd or experiment.plain
    copies = experiment.copies(case) if case else None
    if case is None or copies is None:
        return None
    text = (
        f"{words.count(experiment.viewers, 'viewer')} cost the origin {copies.median:.2f} copies "
        "of what they watched"
    )
    if case is not experiment.crowd:
        return Sentence(words.sentence(f"in plain DASH {text}"))
    plain = experiment.plain.median("egress_bytes") if experiment.plain else None
    ours = case.median("egress_bytes")
    if plain and ours:
        ratio = plain / ours
        text += (
            f"; plain DASH cost {times(ratio)} as much"
            if ratio >= 1.005
            else f"; plain DASH cost less, {ratio:.2f} times as much"
        )
        text += _for_less(experiment)
        return Sentence(words.sentence(text), GOOD if ratio > 1 else BAD)
    delivered = measure.median(
        measure.share(one.delivered_bytes, one.distinct_bytes) for one in case.figures
    )
    if delivered:
        text += f"; without peers the same films would have been {delivered:.1f} copies"
    return Sentence(words.sentence(text), GOOD if delivered and copies.median < delivered else BAD)


def _for_less(experiment: Experiment) -> str:
    """Plain DASH's players choose lower rungs when their share of the line is small: it then costs
    less than N times as much, and shows less."""
    if experiment.crowd is None or experiment.plain is None:
        return ""
    ours = experiment.crowd.median("mean_bitrate_bps")
    theirs = experiment.plain.median("mean_bitrate_bps")
    if not ours or not theirs or theirs > 0.95 * ours:
        return ""
    return f", and showed {mbit(theirs)} for it in place of {mbit(ours)}"


def _spared(experiment: Experiment, limits: Limits) -> Sentence | None:
    if experiment.crowd is None or limits.offload is None:
        return None
    spared = experiment.offload(experiment.crowd)
    if spared is None:
        return None
    return Sentence(
        f"The origin was spared {percent(spared.median)} of what players got; no scheme could have "
        f"spared it more than {percent(limits.offload)}."
    )


def _ablation(experiment: Experiment, case: Case) -> Sentence | None:
    crowd = experiment.crowd
    ours = experiment.copies(crowd) if crowd else None
    theirs = experiment.copies(case)
    if crowd is None or ours is None or theirs is None:
        return None
    more = theirs.median / ours.median
    cost = f"{theirs.median:.2f} copies"
    if crowd.without:
        told = f"dashp2p {case.without} needed {cost}, {crowd.without} {ours.median:.2f}"
    elif more >= 1.01:
        told = f"{case.without} it took {cost}, {more:.2f} times as many"
    else:
        told = f"{case.without} it took {cost}: for the origin it makes no difference here"
    slower = _difference(case, crowd, "startup_median_s")
    if slower is not None and abs(slower) >= 0.05:
        told += f"; the median start-up was {seconds(abs(slower))} {_than(slower)}"
    stalls = _most_stalls(case)
    if stalls:
        told += f"; there were {words.count(stalls, 'stall')}"
    return Sentence(words.sentence(told))


def _than(slower: float) -> str:
    return "later" if slower > 0 else "earlier"


def _difference(one: Case, other: Case, name: str) -> float | None:
    ours, theirs = one.median(name), other.median(name)
    return None if ours is None or theirs is None else ours - theirs


def _startup(experiment: Experiment) -> Sentence | None:
    case = experiment.crowd or experiment.plain
    if case is None:
        return None
    median, worst = case.median("startup_median_s"), case.median("startup_worst_s")
    if median is None or worst is None:
        return Sentence("No viewer saw a picture.", BAD)
    text = (
        f"The median viewer saw a picture after {seconds(median)}, the last after {seconds(worst)}"
    )
    others = []
    alone = experiment.lone.median("startup_median_s") if experiment.lone else None
    if alone is not None:
        others.append(f"one viewer alone needs {seconds(alone)}")
    if experiment.plain is not None and case is not experiment.plain:
        plain = experiment.plain.median("startup_median_s")
        if plain is not None:
            others.append(f"in plain DASH the median was {seconds(plain)}")
    return Sentence("; ".join([text, *others]) + ".")


def _stalls(experiment: Experiment) -> Sentence | None:
    case = experiment.crowd or experiment.plain
    if case is None or case.median("startup_median_s") is None:
        return None
    stalls, text = _most_stalls(case), "Nobody stalled"
    if stalls:
        stalled_s = max(one.stalled_s for one in case.figures)
        text = f"There were {words.count(stalls, 'stall')}, {seconds(stalled_s)} in all"
        text += " in the worst run" if len(case.runs) > 1 else ""
    plain = experiment.plain
    if plain is not None and case is not plain:
        theirs = _most_stalls(plain)
        text += (
            f"; in plain DASH there were {words.count(theirs, 'stall')}, "
            f"{seconds(max(one.stalled_s for one in plain.figures))} in all"
            if theirs
            else "; in plain DASH neither"
            if not stalls
            else "; in plain DASH nobody stalled"
        )
    return Sentence(text + ".", BAD if stalls else GOOD)


def _most_stalls(case: Case) -> int:
    return max(one.stalls for one in case.figures)


def _quality(experiment: Experiment, limits: Limits) -> Sentence | None:
    case = experiment.crowd or experiment.plain
    rate = case.median("mean_bitrate_bps") if case else None
    if case is None or not rate:
        return None
    text = f"They watched {mbit(rate)} in the mean"
    if limits.bitrate_bps:
        text += f", where {mbit(limits.bitrate_bps)} is the most there could be"
    for other in (experiment.plain, experiment.lone):
        theirs = other.median("mean_bitrate_bps") if other else None
        if other is not None and other is not case and theirs is not None:
            text += f"; {other.name} {mbit(theirs)}"
    return Sentence(text + ".")


def _verdicts(experiment: Experiment) -> list[Sentence]:
    checks = experiment.checks()
    if not checks or experiment.setting in (Setting.DEMO, Setting.REHEARSAL):
        return []
    missed = [check for check in checks if check.good is False]
    unknown = [check for check in checks if check.good is None]
    found = []
    if not missed and not unknown:
        found.append(Sentence(f"All {words.count(len(checks), 'target')} are met.", GOOD))
    elif not missed:
        known = words.number(len(checks) - len(unknown))
        met = f"{known} of {words.count(len(checks), 'target')} are met"
        found.append(Sentence(words.sentence(met)))
    found += [
        Sentence(f"Missed: {_name(check)} is {check.value}, and {_aim(check)} was the target.", BAD)
        for check in missed
    ]
    if unknown:
        names = "; ".join(_name(check) for check in unknown)
        found.append(Sentence(f"Not known, so neither met nor missed: {names}."))
    dear = [check for check in experiment.guards() if check.good is False]
    found += [
        Sentence(f"Above its bound: {one.name} {_spaced(one.value)}, {_aim(one)} is meant.", BAD)
        for one in dear
    ]
    return found


def _name(check: Check) -> str:
    told = check.name.replace(" / lone", ", as a multiple of one viewer alone,")
    return told.replace(" - lone, s", " beyond one viewer alone, in seconds,")


def _aim(check: Check) -> str:
    told = check.target.replace("<=", "at most").replace(">=", "at least")
    return _spaced(told)


def _spaced(told: str) -> str:
    return told.replace("%", " %")


def _cautions(experiment: Experiment) -> list[Sentence]:
    found = []
    busy = max(one.machine_busy or 0.0 for case in experiment.cases for one in case.figures)
    if busy > BUSY:
        found.append(
            Sentence(
                f"The machine was {busy:.0%} busy".replace("%", " %")
                + ": some of what is measured here is the machine and not the programs.",
                BAD,
            )
        )
    if experiment.failures:
        failed = words.count(len(experiment.failures), "run")
        found.append(Sentence(f"{words.sentence(failed)[:-1]} could not be carried out.", BAD))
    lab = experiment.setting in (Setting.LAB, Setting.LOOPBACK)
    if lab and max(len(case.runs) for case in experiment.cases) == 1:
        found.append(Sentence("This is one run of each: how far runs differ is not known."))
    return found
