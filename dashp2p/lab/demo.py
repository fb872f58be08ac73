"""A crowd on one machine: ./run-demo.sh N. See `python -m dashp2p.lab.demo --help`.

The origin, the tracker, N peers and their viewers run as processes of their own, on the loopback
alone. Everything is written below one folder (demo/): logs, caches, the test film, the summary.
"""

from __future__ import annotations

import fcntl
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dashp2p.content.interrupts import Interrupted, interruptible
from dashp2p.lab import demo_summary, saved, summary
from dashp2p.lab.demo_crowd import Crowd, StartFailedError
from dashp2p.lab.demo_film import FilmUnavailableError, prepare
from dashp2p.lab.demo_options import DemoOptions, parse, taken_ports
from dashp2p.lab.demo_page import open_page
from dashp2p.lab.demo_result import demo_run
from dashp2p.lab.demo_watch import Watch, named, viewers_of
from dashp2p.lab.machine_load import MachineLoad
from dashp2p.lab.processes import Programs
from dashp2p.lab.report import page
from dashp2p.lab.saved import Saved
from dashp2p.peer.newest import NEWEST_FILE

PIPED_WIDTH = 110
REPORT_NAME = "report.html"


class RefusedError(Exception):
    """The demo can't be run as it was asked for; the text says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit status: 0 when everything ran to its end."""
    options = parse(arguments)
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    try:
        with interruptible():
            return _run(options, console)
    except Interrupted as interruption:
        console.print("Stopped before anything played.")
        return interruption.exit_status
    except (FilmUnavailableError, PermissionError, RefusedError, StartFailedError) as error:
        print(error, file=sys.stderr)
        return 1


def _run(options: DemoOptions, console: Console) -> int:
    with _alone(options.state):
        presentation = prepare(options)
        if taken := taken_ports(options):
            raise RefusedError("\n".join([*taken, "Nothing was started."]))
        _tidy(options)
        with closing(Programs(_folder(options, "logs"))) as programs:
            crowd = Crowd(options, presentation, programs)
            console.print(f"Starting the origin, the tracker and {options.peers} peers")
            crowd.start_daemons()
            _introduce(crowd, console)
            watch, load = Watch(crowd, console), MachineLoad()
            try:
                watch.run()
            except Interrupted:
                console.print("Stopping everything")
            _conclude(crowd, console, watch, load)
    return 1 if crowd.lost or crowd.failed_viewers else 0


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """One demo in one folder at a time; the lock ends with the process, whatever ends that."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(
                f"Another demo runs in {state}: end it, or give this one a folder and ports of its "
                "own with --state DIR, --origin-port, --tracker-port and --peer-port."
            ) from None
        yield


def _tidy(options: DemoOptions) -> None:
    """A demo shows a crowd that knows nothing yet, and only its own logs and figures."""
    for name in ("logs", "viewers", *(() if options.keep_cache else ("cache",))):
        shutil.rmtree(options.state / name, ignore_errors=True)
        _folder(options, name)
    # The next film at this address may have been cut long before the last one.
    for newest in (options.state / "cache").glob(f"*/{NEWEST_FILE}"):
        newest.unlink()


def _folder(options: DemoOptions, name: str) -> Path:
    folder = options.state / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _introduce(crowd: Crowd, console: Console) -> None:
    """Say what runs where, and open the page."""
    options = crowd.options
    table = Table()
    for name in ("", "page", "pid"):
        table.add_column(name, no_wrap=True)
    table.add_column("log", overflow="fold")
    pages = {"origin": "/dash/dash.mpd", "tracker": "/"}
    for member in crowd.members:
        page = member.url + pages.get(member.name, "/client/")
        log = member.program.log
        shown = log.relative_to(Path.cwd()) if log.is_relative_to(Path.cwd()) else log
        table.add_row(member.name, page, str(member.program.process.pid), str(shown))
    console.print(table)
    page = f"{options.peer_url(1)}/client/"
    if options.browser and not open_page(page):
        console.print(f"No browser could be opened here; this is the page to open: {page}")
    viewers = viewers_of(options)
    if viewers:
        through = f"{viewers[0]} to {viewers[-1]}" if len(viewers) > 1 else f"{viewers[0]}"
        console.print(f"Silent viewers join through peers {through}, two seconds apart.")
    console.print("Ctrl-C ends the demo.")


def _conclude(crowd: Crowd, console: Console, watch: Watch, load: MachineLoad) -> None:
    """Collect the figures while the peers still answer, print and save them, and write a report."""
    options, busy = crowd.options, load.share()
    crowd.stop_viewers()
    stats = crowd.peer_stats()
    origin = crowd.origin_stats()
    read = {peer: demo_summary.read_report(crowd.report_of(peer)) for peer in stats}
    reports = {peer: report for peer, report in read.items() if report is not None}
    figures = demo_summary.crowd_summary(stats, reports, origin)
    rows = [
        demo_summary.row_of(peer, options.peer_url(peer), one, reports.get(peer))
        for peer, one in sorted(stats.items())
    ]
    path = options.state / "summary.json"
    demo_summary.save(path, figures, rows, origin, watch.running_s)
    watch.log.note(watch.running_s, named(stats))
    run = demo_run(
        watch.log,
        named(reports),
        named(watch.joined),
        sum((origin.get("bytes") or {}).values()),
        watch.running_s,
        time.time() - watch.running_s,
        busy,
    )
    console.print(summary.table(figures))
    console.print(demo_summary.peer_table(rows))
    console.print(f"Saved in {path}", soft_wrap=True)
    console.print(_write_report(run, options.state), soft_wrap=True, markup=False, highlight=False)


def _write_report(run: Saved, state: Path) -> str:
    """The report, and the run that it is of; says where it is, or why there is none."""
    if not run.result.viewers:
        return "Nobody watched, so there is no report."
    try:
        saved.save(run.scenario, run.result, run.figures, state / saved.RUN_NAME)
        return f"Report: {page.write_runs([run], state / REPORT_NAME)}"
    except OSError as error:
        return f"The report could not be written: {error}"


if __name__ == "__main__":
    sys.exit(main())
