"""What happens while the demo runs: viewers join, figures are shown, and at some point it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from attrs import define, field
from rich.console import Console
from rich.status import Status

from dashp2p.lab import measure
from dashp2p.lab.crowd_log import CrowdLog
from dashp2p.lab.demo_crowd import Member, last_words
from dashp2p.lab.demo_options import DemoOptions

JOIN_INTERVAL_S = 2.0
TICK_S = 0.25
FIGURES_INTERVAL_S = 2.0
LINE_INTERVAL_S = 10.0
"""Between two lines of progress where there is no terminal to keep one line up to date."""


def viewers_of(options: DemoOptions) -> list[int]:
    """The peers through which silent viewers play, in the order in which they join."""
    if not options.viewers:
        return []
    return list(range(2 if options.browser else 1, options.peers + 1))


def is_over(options: DemoOptions, running_s: float, waiting: int, playing: int) -> bool:
    """Whether the demo ends by itself: after its seconds, or, without them and without a page
    that somebody may be watching, when the last viewer has finished."""
    if options.seconds is not None:
        return running_s >= options.seconds
    return bool(viewers_of(options)) and not options.browser and waiting + playing == 0


def named(stats: Mapping[int, Any]) -> dict[str, Any]:
    """By names that say which peer it is, in the order of their numbers when sorted."""
    return {f"peer-{peer:02d}": one for peer, one in sorted(stats.items())}


def progress_line(
    running_s: float, viewers: int, playing: int, stats: Iterable[Mapping[str, Any]]
) -> str:
    """One line of how it goes."""
    told = [one.get("bytes", {}) for one in stats]
    origin, peers, delivered = (
        sum(int(one.get(key) or 0) for one in told) for key in ("origin", "peers", "delivered")
    )
    offload = measure.offload(origin, delivered)
    minutes, seconds = divmod(int(running_s), 60)
    parts = [f"{minutes}:{seconds:02d}"]
    if viewers:
        parts.append(f"{playing} of {viewers} viewers playing")
    if offload is not None:
        parts.append(f"offload {offload:.0%} (limit {measure.offload_limit(len(told)):.0%})")
    parts.append(f"{peers / 1e6:.1f} MB from peers, {origin / 1e6:.1f} MB from the origin")
    return ", ".join(parts)


class Running(Protocol):
    """What is watched: demo_crowd.Crowd, or a test's."""

    options: DemoOptions

    @property
    def playing(self) -> list[int]:
        """The peers whose viewers are still at it."""

    def start_viewer(self, peer: int) -> None:
        """Have a silent viewer play through a peer from now on."""

    def newly_lost(self) -> Iterable[Member]:
        """Daemons that have ended since the last call, though nobody asked them to."""

    def peer_stats(self) -> dict[int, dict[str, Any]]:
        """/stats of each peer that answers, by its number."""


@define
class Watch:
    """The running demo. `run` returns when it is over, or lets the signal that ends it through."""

    crowd: Running
    console: Console
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    running_s: float = 0.0
    log: CrowdLog = field(factory=CrowdLog)
    joined: dict[int, float] = field(factory=dict)
    """When the viewer of a peer was started, in seconds from the beginning."""
    _waiting: list[int] = field(init=False)
    _figures_due_s: float = 0.0
    _line_due_s: float = 0.0

    def __attrs_post_init__(self) -> None:
        self._waiting = viewers_of(self.crowd.options)

    def run(self) -> None:
        """Have the viewers join, and show how it goes, until it is over."""
        options = self.crowd.options
        began_s = self.clock()
        count = len(self._waiting)
        with self.console.status("") as status:
            while True:
                self.running_s = self.clock() - began_s
                self._join(count)
                playing = len(self.crowd.playing)
                for member in self.crowd.newly_lost():
                    self.console.print(
                        f"{member.name} has ended by itself. {last_words(member)}", markup=False
                    )
                if is_over(options, self.running_s, len(self._waiting), playing):
                    return
                if self.running_s >= self._figures_due_s:
                    self._show(status, count, playing)
                    # From now: to ask two hundred peers takes a while itself.
                    self._figures_due_s = self.clock() - began_s + FIGURES_INTERVAL_S
                self.sleep(TICK_S)

    def _join(self, count: int) -> None:
        joined = count - len(self._waiting)
        if self._waiting and self.running_s >= joined * JOIN_INTERVAL_S:
            peer = self._waiting.pop(0)
            self.joined[peer] = self.running_s
            self.crowd.start_viewer(peer)

    def _show(self, status: Status, count: int, playing: int) -> None:
        stats = self.crowd.peer_stats()
        self.log.note(self.running_s, named(stats))
        line = progress_line(self.running_s, count, playing, stats.values())
        if count and not playing and not self._waiting:
            line += "; all viewers have finished, Ctrl-C ends the demo"
        status.update(line)
        if not self.console.is_terminal and self.running_s >= self._line_due_s:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)
            self._line_due_s = self.running_s + LINE_INTERVAL_S
