"""The report as one HTML file: words first, then the comparison, then how it went over time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.web.template import Tag, flattenString, tags

from dashp2p.lab.report import charts, tables, words
from dashp2p.lab.report.charts import Chart, Course
from dashp2p.lab.report.comparison import comparison
from dashp2p.lab.report.experiment import Experiment, gather
from dashp2p.lab.report.library import Assets, assets
from dashp2p.lab.report.limits import limits
from dashp2p.lab.report.machines import join
from dashp2p.lab.report.rehearsal import rehearsal_sentences
from dashp2p.lab.report.sentences import Sentence, sentences
from dashp2p.lab.report.traces import Trace
from dashp2p.lab.result import Setting
from dashp2p.lab.saved import Saved, load_all
from dashp2p.lab.scenario import Variant

SHOWN_AT_ONCE = 12
"""Viewers whose charts are open; those of more are a click away."""

_NO_LIBRARY = (
    "The chart library was not fetched here, so there are no plots: start ./run-demo.sh or "
    "./run-tests.sh once, and write this report again."
)
_CARD = ("film in hand, s", "bitrate, Mbit/s", "sources of each video segment, MB")
_KICKERS = {
    Setting.LAB: "Experiment in the lab",
    Setting.LOOPBACK: "Experiment on one machine's loopback",
    Setting.DEMO: "Demo on one machine",
    Setting.REHEARSAL: "Rehearsal",
}


def write(paths: Sequence[Path], page: Path) -> Path:
    """Read the runs that `paths` stand for and write their report to `page`.

    Raises UnreadableRunError, OSError.
    """
    return write_runs(load_all(paths), page)


def write_runs(runs: Sequence[Saved], page: Path) -> Path:
    """The report of runs that were read, or have just been measured. OSError."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html(gather(join(runs)), assets()), encoding="utf-8")
    return page


def html(experiments: Sequence[Experiment], parts: Assets) -> str:
    """The whole page. Nothing in it refers to anything outside of it."""
    drawn = _Page(bool(parts.chart_script))
    body = _flat(drawn.body(experiments))
    title = experiments[0].scenario.title if len(experiments) == 1 else "What a crowd costs"
    # In a script the parser looks for nothing but its end, so no "<" may stand there.
    data = json.dumps(drawn.told, separators=(",", ":")).replace("<", "\\u003c")
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"{_flat(tags.title(f'{title}: dashp2p report'))}",
            f"<style>{parts.chart_style}\n{parts.style}</style>\n</head>\n<body>",
            body,
            f'<script type="application/json" id="charts">{data}</script>',
            f"<script>{parts.chart_script}</script>\n<script>{parts.script}</script>",
            "</body>\n</html>\n",
        )
    )


def _flat(tag: Tag) -> str:
    done: list[bytes] = []
    flattenString(None, tag).addCallback(done.append)
    return done[0].decode()


@define
class _Page:
    """The words of the page; what its charts show gathers in `told`."""

    drawable: bool
    told: dict[str, Any] = field(factory=dict)

    def body(self, experiments: Sequence[Experiment]) -> Tag:
        many = len(experiments) > 1
        head = [tags.h1("What a crowd costs its origin"), _contents(experiments)] if many else []
        absent = [] if self.drawable else [_note(_NO_LIBRARY)]
        script = tags.noscript(
            _note("The plots need JavaScript; every figure is in the tables too.")
        )
        return Tag("main")(
            *head,
            *absent,
            script,
            *(self._experiment(one, number, many) for number, one in enumerate(experiments)),
            tables.definitions(),
        )

    def _experiment(self, experiment: Experiment, number: int, many: bool) -> Tag:
        found = limits(experiment)
        heading = tags.h2 if many else tags.h1
        rehearsed = experiment.setting is Setting.REHEARSAL
        told = (rehearsal_sentences if rehearsed else sentences)(experiment, found)
        prefix = f"{experiment.scenario.number}. " if experiment.scenario.number and many else ""
        return tags.section(
            tags.header(
                tags.p(_kicker(experiment), class_="kicker"),
                heading(prefix + words.sentence(experiment.scenario.title)[:-1]),
                tags.p(words.scenario_in_words(experiment), class_="scenario"),
            ),
            _findings(told),
            tables.comparison_table(experiment, comparison(experiment, found)),
            *self._over_time(experiment, found.egress_bytes, f"e{number}"),
            *tables.verdicts(experiment),
            *tables.notes(experiment),
            class_="experiment",
            id=f"e{number}",
        )

    def _over_time(self, experiment: Experiment, limit: float | None, prefix: str) -> list[Tag]:
        found = charts.courses(experiment)
        if not self.drawable or not found:
            return []
        several = max(len(case.runs) for case in experiment.cases) > 1
        return [
            tags.h3("Over time"),
            *([tags.p("Of the first run of each.", class_="aside")] if several else []),
            self._figure(
                "What has left the origin", charts.egress(experiment, limit), f"{prefix}-egress"
            ),
            self._pairs(
                "Film in hand, a line for each viewer", found, Course.buffers, f"{prefix}-buffer"
            ),
            self._pairs(
                "Bitrate, a line for each viewer", found, Course.bitrates, f"{prefix}-rate"
            ),
            *self._each_viewer(found, f"{prefix}-viewer"),
        ]

    def _figure(self, caption: str | Tag, chart: Chart, name: str) -> Tag:
        self.told[name] = chart.to_json()
        plot = tags.div(
            role="img",
            class_="chart",
            style=f"min-height:{chart.height}px",
            **{"aria-label": chart.label, "data-chart": name},
        )
        return tags.figure(tags.figcaption(caption), plot)

    def _pairs(self, title: str, found: Sequence[Course], of: Any, name: str) -> Tag:
        return tags.div(
            tags.h4(title),
            tags.div(
                *(
                    self._figure(
                        tables.named(course.case.name, course.colour),
                        of(course),
                        f"{name}-{number}",
                    )
                    for number, course in enumerate(found)
                ),
                class_="pairs",
            ),
        )

    def _each_viewer(self, found: Sequence[Course], name: str) -> list[Tag]:
        crowd = next((one for one in found if one.case.variant is Variant.PEERS), found[0])
        plain = next((one for one in found if one.case.variant is Variant.PLAIN), None)
        others = {one.host: one for one in plain.traces} if plain and plain is not crowd else {}
        cards = [
            self._card(crowd, trace, others.get(trace.host), f"{name}-{number}")
            for number, trace in enumerate(crowd.traces)
        ]
        parts = [
            tags.h3("Viewer by viewer"),
            tables.source_key(bool(others), crowd),
            tables.viewers_table(crowd),
            tags.div(*cards[:SHOWN_AT_ONCE], class_="cards"),
        ]
        if len(cards) > SHOWN_AT_ONCE:
            rest = cards[SHOWN_AT_ONCE:]
            parts.append(
                tags.details(
                    tags.summary(words.sentence(words.count(len(rest), "more viewer"))[:-1]),
                    tags.div(*rest, class_="cards"),
                )
            )
        return parts

    def _card(self, course: Course, trace: Trace, beside: Trace | None, name: str) -> Tag:
        found = charts.viewer_charts(course, trace, beside, name)
        figures = [
            self._figure(caption, chart, f"{name}-{number}")
            for number, (caption, chart) in enumerate(zip(_CARD, found, strict=True))
        ]
        return tags.div(tags.h4(trace.host), *figures, class_="card")


def _kicker(experiment: Experiment) -> str:
    runs = [run for case in experiment.cases for run in case.runs]
    day = time.strftime(
        "%-d %B %Y, %H:%M", time.localtime(min(run.result.began_at for run in runs))
    )
    told = f"{_KICKERS[experiment.setting]} · {day}"
    most = max(len(case.runs) for case in experiment.cases)
    return f"{told} · medians of {most} runs" if most > 1 else told


def _findings(told: Sequence[Sentence]) -> Tag:
    return tags.div(
        *(tags.p(one.text, class_=f"finding {one.tone}") for one in told), class_="findings"
    )


def _contents(experiments: Sequence[Experiment]) -> Tag:
    return tags.nav(
        tags.ol(
            *(
                tags.li(tags.a(one.scenario.title, href=f"#e{number}"))
                for number, one in enumerate(experiments)
            )
        ),
        **{"aria-label": "Experiments"},
    )


def _note(text: str) -> Tag:
    return tags.p(text, class_="absent")
