"""A progress bar for the commands of this room."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(
    console: Console, title: str, total_s: float | None
) -> Iterator[Callable[[float], None]]:
    """Show seconds of film done; to a file or pipe, one line at the end."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%" if total_s else "{task.completed:.0f} s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as bar:
        task = bar.add_task(title, total=total_s)
        yield lambda done_s: bar.update(
            task, completed=done_s if total_s is None else min(done_s, total_s)
        )
        bar.update(task, completed=total_s)
