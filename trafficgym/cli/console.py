"""What commands that work on many scenes show: a table, what was left out, and how far they are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

REASONS_SHOWN = 10
NOT_A_TERMINAL_WIDTH = 160


def open_console() -> Console:
    """On stdout, wide where that is no terminal."""
    return Console(width=None if sys.stdout.isatty() else NOT_A_TERMINAL_WIDTH)


def plain(text: str) -> str:
    """Keep rich from reading square brackets as markup."""
    return text.replace("[", "\\[")


def print_left_out(console: Console, scenes: Sequence[tuple[str, str]]) -> None:
    """The first scenes that were left out, with the reasons, and how many more there are."""
    if not scenes:
        return
    console.print(f"{len(scenes)} left out:")
    for scene_id, reason in scenes[:REASONS_SHOWN]:
        console.print(f"  {plain(scene_id)}: {plain(reason)}", highlight=False, soft_wrap=True)
    if len(scenes) > REASONS_SHOWN:
        console.print(f"  and {len(scenes) - REASONS_SHOWN} more, in results.json")


@contextmanager
def scene_progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr that goes when it is done; nothing where stderr is no terminal.

    Yields:
        What to call with the number of scenes done and of all.
    """
    columns = [TextColumn("scenes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("scenes", total=None)
        yield lambda done, num: bar.update(task, completed=done, total=num)
