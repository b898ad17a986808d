"""`trafficgym evaluate`: drive scenes with one or more policies; table, JSON, report, GIFs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from trafficgym.errors import ConfigError
from trafficgym.metrics.bootstrap import Interval
from trafficgym.metrics.summary import Metric
from trafficgym.report.evaluation import Evaluation, EvaluationConfig, evaluate
from trafficgym.report.files import write
from trafficgym.report.numbers import GROUPS, number, span, title
from trafficgym.report.source import SceneSource
from trafficgym.world.roll_out import POLICIES

ROLLOUTS = "rollouts.arrow"
REASONS_SHOWN = 10
LABEL_WIDTH, CELL_WIDTH = 26, 25
NOT_A_TERMINAL_WIDTH = 160


@dataclass(frozen=True, kw_only=True)
class Args:
    """Drive scenes in closed loop with one or more policies and compare them; table, JSON, HTML report, GIFs."""

    scenes: Path | None = None
    """Scene store, or file or folder of scenes; a small generated highway by default."""
    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Policy to evaluate, may be given several times; log, idm, constant_velocity and random by default."""
    max_scenes: int | None = None
    """At most so many scenes, the first ones; 8 of the generated highway by default."""
    rollouts: int = 1
    """Rollouts of each scene by each policy."""
    seed: int = 0
    """Decides everything random: the same seed gives the same numbers."""
    control: str = "road_user"
    """Which tracks the policy drives, such as "sdc", "to_predict" or "moving vehicle"; the others follow their logs."""
    out: Path = Path("out/evaluate")
    """Folder for results.json, report.html, the pictures and the rollouts."""
    workers: int | None = None
    """Number of processes; one per core by default, fewer for few scenes. The numbers do not depend on it."""
    save_rollouts: bool = False
    """Write every rollout to rollouts.arrow, for `trafficgym wosac` and for your own metrics."""
    gifs: int = 3
    """How many of the worst scenes to draw."""


def main(argv: Sequence[str]) -> int:
    """Run the evaluation; return 0, also where some scenes were left out, which are listed."""
    args = tyro.cli(Args, prog="trafficgym evaluate", args=list(argv))
    _check(args)
    source = SceneSource(path=args.scenes, max_scenes=args.max_scenes, seed=args.seed)
    config = EvaluationConfig(
        policies=args.policy or POLICIES, rollouts=args.rollouts, seed=args.seed, control=args.control
    )
    saved = args.out / ROLLOUTS if args.save_rollouts else None
    with _progress() as on_scene:
        evaluation = evaluate(source, config, workers=args.workers, save_rollouts=saved, on_scene=on_scene)
    console = Console(width=None if sys.stdout.isatty() else NOT_A_TERMINAL_WIDTH)
    console.print(table(evaluation, width=console.width))
    _print_skipped(console, evaluation)
    with Console(stderr=True).status("drawing the worst scenes, writing the report"):
        written = write(evaluation, args.out, gifs=args.gifs)
    for path in [*written, *([saved] if saved else [])]:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    return 0


def _check(args: Args) -> None:
    for name, least in (("workers", 1), ("gifs", 0), ("seed", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise ConfigError(f"--{name} is {value}; it must be at least {least}")


def table(evaluation: Evaluation, *, width: int) -> Table:
    """Metrics down, policies across, each with its confidence interval, below it where `width` columns are too few."""
    rows, level = evaluation.rows, evaluation.config.bootstrap.level
    separator = " " if width >= LABEL_WIDTH + CELL_WIDTH * len(rows) else "\n"
    found = Table(
        title=f"{evaluation.source.name} (scenes: {rows[0].num_scenes}, agents: {max(row.num_agents for row in rows)})",
        caption=f"in brackets: {100 * level:.0f} % intervals from resampling scenes; "
        f"{evaluation.wall_time_s:.1f} s on {evaluation.workers} process(es)",
    )
    found.add_column("", no_wrap=True)
    for row in rows:
        found.add_column(row.policy, justify="right")
    for metrics in GROUPS.values():
        for metric in metrics:
            intervals = [row.values[metric.key] for row in rows]
            cells = [_cell(metric, one, separator) for one in intervals]
            found.add_row(_bracket(title(metric)), *cells, end_section=metric is metrics[-1])
    return found


def _cell(metric: Metric, interval: Interval | None, separator: str) -> str:
    if interval is None:
        return "-"
    return f"{number(metric, interval.value)}{separator}[dim]{_bracket(span(metric, interval))}[/]"


def _bracket(text: str) -> str:
    """Keep rich from reading square brackets as markup."""
    return text.replace("[", "\\[")


def _print_skipped(console: Console, evaluation: Evaluation) -> None:
    skipped = evaluation.skipped
    if not skipped:
        return
    console.print(f"{len(skipped)} left out:")
    for outcome in skipped[:REASONS_SHOWN]:
        console.print(f"  {_bracket(outcome.scene_id)}: {_bracket(outcome.problem)}", highlight=False, soft_wrap=True)
    if len(skipped) > REASONS_SHOWN:
        console.print(f"  and {len(skipped) - REASONS_SHOWN} more, in results.json")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr that goes when it is done; nothing where stderr is no terminal."""
    columns = [TextColumn("scenes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("scenes", total=None)
        yield lambda done, num: bar.update(task, completed=done, total=num)
