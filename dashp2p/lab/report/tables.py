"""The report's tables and what explains them."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.template import Tag, tags

from dashp2p.lab.check import Check
from dashp2p.lab.report.charts import Course, colour_of
from dashp2p.lab.report.comparison import Cell, Row
from dashp2p.lab.report.experiment import Experiment
from dashp2p.lab.report.traces import Trace
from dashp2p.lab.result import Setting
from dashp2p.lab.scenario import Variant
from dashp2p.lab.viewing import Viewing, read_viewing

_VERDICTS = {True: ("met", "good"), False: ("missed", "bad"), None: ("not known", "unknown")}
_KEPT = {True: ("within", "good"), False: ("above", "bad"), None: ("not known", "unknown")}

_DEFINITIONS = (
    (
        "Copies per segment",
        "bytes that left the origin by the bytes of all files that some viewer got, each file "
        "once. 1.00 is the least that can be. Packet headers are taken off where one viewer alone "
        "was measured beside it.",
    ),
    (
        "Origin spared (offload)",
        "the share of what players got that the origin did not send. With N viewers of one rung "
        "nothing can spare it more than 1 - 1/N.",
    ),
    ("Start-up", "from the wish to play until the first picture."),
    ("Stall", "playback that stops because a buffer ran dry; not by pause or seek."),
    ("Stalled", "stalled time by stalled and played time, of all viewers together."),
    (
        "Quality score",
        "the linear score of Yin et al. (2015) with Pensieve's constants (2017): Mbit/s of each "
        "segment, less 4.3 for each stalled second, less the change in Mbit/s from one segment to "
        "the next; by the number of segments, of the median viewer.",
    ),
    (
        "Limit",
        "what cannot be beaten, from links and film alone: max(F/u, N·F/(u + Σu)) for start-up, "
        "min(u, (u + Σu)/N, top rung) for the bitrate, u being the origin's uplink and Σu the "
        "viewers' together (Kumar, Liu and Ross, 2006 and 2007).",
    ),
)


def named(name: str, colour: str) -> Tag:
    """A name with its colour in front of it."""
    return tags.span(tags.span("", class_=f"swatch {colour}"), name, class_="named")


def comparison_table(experiment: Experiment, rows: Sequence[Row]) -> Tag:
    """All ways side by side."""
    heads = [
        tags.th(named(case.name, colour_of(experiment, case)), scope="col")
        for case in experiment.cases
    ]
    chosen = [case is experiment.crowd for case in experiment.cases]
    body = [
        tags.tr(
            tags.th(f"{row.name} ", tags.span(row.unit, class_="unit"), scope="row"),
            *(_cell(cell, ours) for cell, ours in zip(row.cells, chosen, strict=True)),
            tags.td(row.limit or "–", class_="limit"),
        )
        for row in rows
    ]
    return _scrolling(
        "Comparison",
        tags.table(
            tags.thead(tags.tr(tags.td(""), *heads, tags.th(named("limit", "limit"), scope="col"))),
            tags.tbody(*body),
            class_="comparison",
        ),
    )


def _cell(cell: Cell | None, ours: bool) -> Tag:
    kind = "ours" if ours else ""
    if cell is None:
        return tags.td("–", class_=kind)
    spread = [tags.span(cell.spread, class_="spread")] if cell.spread else []
    return tags.td(cell.median, *spread, class_=kind)


def verdicts(experiment: Experiment) -> list[Tag]:
    """Targets and price, where there was a crowd with peers to have them."""
    if experiment.setting in (Setting.DEMO, Setting.REHEARSAL):
        return []
    targets, price = experiment.checks(), experiment.guards()
    if not targets:
        return []
    return [
        tags.h3("Targets, and the price"),
        tags.div(
            _checks("Targets", targets, _VERDICTS),
            _checks("The price that the crowd pays", price, _KEPT),
            class_="pairs",
        ),
    ]


def _checks(title: str, checks: Sequence[Check], says: dict[bool | None, tuple[str, str]]) -> Tag:
    rows = []
    for check in checks:
        verdict, kind = says[check.good]
        rows.append(
            tags.tr(
                tags.th(check.name, scope="row"),
                tags.td(check.value),
                tags.td(check.target.replace("<=", "≤").replace(">=", "≥"), class_="limit"),
                tags.td(verdict, class_=kind),
            )
        )
    return _scrolling(title, tags.table(tags.caption(title), tags.tbody(*rows), class_="checks"))


def viewers_table(course: Course) -> Tag:
    """One line for each viewer, with a bar of where its bytes came from."""
    reports = course.case.runs[0].result.viewers
    rows = [_viewer(trace, read_viewing(reports[trace.host])) for trace in course.traces]
    heads = (
        "viewer",
        "came at, s",
        "start-up, s",
        "stalls",
        "Mbit/s",
        "score",
        "where its bytes came from",
    )
    return _scrolling(
        "Viewers",
        tags.table(
            tags.thead(tags.tr(*(tags.th(head, scope="col") for head in heads))),
            tags.tbody(*rows),
            class_="viewers",
        ),
    )


def _viewer(trace: Trace, seen: Viewing) -> Tag:
    stalls = f"{seen.stalls} ({seen.stalled_s:.1f} s)" if seen.stalls else "0"
    return tags.tr(
        tags.th(trace.host, scope="row"),
        tags.td(f"{trace.arrives_s:.0f}"),
        tags.td("–" if seen.startup_s is None else f"{seen.startup_s:.2f}"),
        tags.td(stalls, class_="bad" if seen.stalls else ""),
        tags.td("–" if not seen.mean_bitrate_bps else f"{seen.mean_bitrate_bps / 1e6:.2f}"),
        tags.td("–" if seen.qoe is None else f"{seen.qoe:.2f}"),
        tags.td(_source_bar(trace)),
    )


def _source_bar(trace: Trace) -> Tag:
    parts = [
        ("peers", "dashp2p", sum(one.peers for one in trace.got)),
        ("origin", "plain", sum(one.origin for one in trace.got)),
        ("cache", "cache", sum(one.cache for one in trace.got)),
    ]
    total = sum(size for _, _, size in parts)
    if not total:
        return tags.span("not known", class_="unit")
    told = ", ".join(f"{size / total * 100:.0f} % from {name}" for name, _, size in parts if size)
    bar = [
        tags.span("", class_=f"part {colour}", style=f"width:{size / total * 100:.1f}%")
        for _, colour, size in parts
        if size
    ]
    return tags.div(
        tags.div(*bar, class_="bar", **{"aria-hidden": "true"}),
        tags.span(told, class_="unit"),
        class_="sources",
    )


def source_key(beside_plain: bool, course: Course) -> Tag:
    """What the colours in viewers' charts are."""
    found = [
        named("from peers", "dashp2p"),
        named("from the origin", "plain"),
        named("from its own cache", "cache"),
    ]
    if course.case.variant is not Variant.PEERS:
        found = [named("from the origin", "plain")]
    if beside_plain:
        found.append(tags.span("faint: the same viewer in plain DASH", class_="named"))
    return tags.p(*found, class_="key")


def notes(experiment: Experiment) -> list[Tag]:
    """What went wrong, and what runs noted."""
    told = [*experiment.failures, *experiment.notes]
    if not told:
        return []
    return [
        tags.details(
            tags.summary(f"Notes ({len(told)})"),
            tags.ul(*(tags.li(one) for one in told)),
            class_="notes",
        )
    ]


def definitions() -> Tag:
    """What the words mean."""
    pairs = [part for word, text in _DEFINITIONS for part in (tags.dt(word), tags.dd(text))]
    return tags.footer(tags.h3("What the words mean"), tags.dl(*pairs))


def _scrolling(label: str, table: Tag) -> Tag:
    """A table that is wider than a phone is scrolled by itself, by keys too."""
    return tags.div(table, class_="scroll", tabindex="0", role="region", **{"aria-label": label})
