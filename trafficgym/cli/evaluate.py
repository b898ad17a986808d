"""`trafficgym evaluate`: drive scenes with one or more policies; table, JSON, report, GIFs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from trafficgym.cli.console import open_console, plain, print_left_out, scene_progress
from trafficgym.errors import ConfigError
from trafficgym.metrics.bootstrap import Interval
from trafficgym.metrics.summary import Metric
from trafficgym.report.evaluation import Evaluation, EvaluationConfig, evaluate
from trafficgym.report.files import write
from trafficgym.report.numbers import GROUPS, number, span, title
from trafficgym.report.source import SceneSource
from trafficgym.world.roll_out import POLICIES

ROLLOUTS = "rollouts.arrow"
LABEL_WIDTH, CELL_WIDTH = 26, 25


@dataclass(frozen=True, kw_only=True)
class Args:
    """Drive scenes in closed loop with one or more policies and compare them; table, JSON, HTML report, GIFs."""

    scenes: Path | None = None
    """Scene store, or file or folder of scenes; generated ones by default."""
    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Policy to evaluate, may be given several times; log, idm, constant_velocity and random by default. Others are
    those of installed packages, such as smart:CHECKPOINT."""
    max_scenes: int | None = None
    """At most so many scenes, the first ones; 8 of the generated ones by default."""
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
    with scene_progress() as on_scene:
        evaluation = evaluate(source, config, workers=args.workers, save_rollouts=saved, on_scene=on_scene)
    console = open_console()
    console.print(table(evaluation, width=console.width))
    print_left_out(console, [(outcome.scene_id, outcome.problem) for outcome in evaluation.skipped])
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
        found.add_column(plain(row.policy), justify="right")
    for metrics in GROUPS.values():
        for metric in metrics:
            intervals = [row.values[metric.key] for row in rows]
            cells = [_cell(metric, one, separator) for one in intervals]
            found.add_row(plain(title(metric)), *cells, end_section=metric is metrics[-1])
    return found


def _cell(metric: Metric, interval: Interval | None, separator: str) -> str:
    if interval is None:
        return "-"
    return f"{number(metric, interval.value)}{separator}[dim]{plain(span(metric, interval))}[/]"
