"""`trafficgym wosac evaluate`: how realistic policies, or recorded rollouts, are; table, JSON, report."""

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
from trafficgym.metrics.wosac.submission.problems import some
from trafficgym.report.realism import OFFICIAL_ROLLOUTS, RealismConfig, RealismEvaluation, evaluate_realism
from trafficgym.report.realism_files import write
from trafficgym.report.realism_html import remarks
from trafficgym.report.realism_lines import CAPTION, META, bracket, lines
from trafficgym.report.source import SceneSource

LABEL_WIDTH, CELL_WIDTH = 34, 26


@dataclass(frozen=True, kw_only=True)
class Args:
    """Score realism by the metric of the Waymo Open Sim Agents Challenge; table, JSON, HTML report.

    Policies drive every object of a scene. Status 1 where scenes had to be left out because of the rollouts."""

    scenes: tyro.conf.Positional[Path | None] = None
    """Scene store, or file or folder of scenes; generated nominal traffic by default."""
    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Policy to score, may be given several times; idm, constant_velocity and random where nothing else is given.
    Others are those of installed packages, such as smart:CHECKPOINT."""
    rollouts: Path | None = None
    """Recorded rollouts to score: a file of rollouts, a folder of them, or a submission (.tar.gz, folder, binproto)."""
    rollouts_per_scene: int = OFFICIAL_ROLLOUTS
    """So many rollouts of a scene are scored together."""
    config: str = "2025"
    """Edition of the metric: 2023, 2024, 2024_leaderboard, 2025."""
    max_scenes: int | None = None
    """At most so many scenes, the first ones; 8 of the generated ones by default."""
    seed: int = 0
    """Decides everything random: the same seed gives the same numbers."""
    workers: int | None = None
    """Number of processes; one per core by default, fewer for few scenes. The numbers do not depend on it."""
    out: Path = Path("out/wosac")
    """Folder for results.json and report.html."""


def main(argv: Sequence[str]) -> int:
    """Score; return 0, or 1 where scenes were left out because of the rollouts."""
    args = tyro.cli(Args, prog="trafficgym wosac evaluate", args=list(argv))
    if args.workers is not None and args.workers < 1:
        raise ConfigError(f"--workers is {args.workers}; it must be at least 1")
    config = RealismConfig(
        policies=args.policy,
        rollouts=args.rollouts,
        rollouts_per_scene=args.rollouts_per_scene,
        wosac=args.config,
        seed=args.seed,
    )
    # In the long tail the log is what happens to an ego that does nothing: no measure of realism.
    source = SceneSource(path=args.scenes, max_scenes=args.max_scenes, seed=args.seed, generated="nominal")
    with scene_progress() as on_scene:
        evaluation = evaluate_realism(source, config, workers=args.workers, on_scene=on_scene)
    console = open_console()
    console.print(table(evaluation, width=console.width))
    for remark in remarks(evaluation):
        console.print(plain(remark), highlight=False, soft_wrap=True)
    print_left_out(console, [(outcome.scene_id, outcome.problem) for outcome in evaluation.skipped])
    _print_unknown(console, evaluation)
    for path in write(evaluation, args.out, ["trafficgym", "wosac", "evaluate", *argv]):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    return int(any(outcome.is_fault_of_rollouts for outcome in evaluation.skipped))


def table(evaluation: RealismEvaluation, *, width: int) -> Table:
    """Scores down, policies across, the log's replay last; the meta-metric with its interval."""
    config, rows = evaluation.config, (*evaluation.rows, evaluation.oracle)
    separator = " " if width >= LABEL_WIDTH + CELL_WIDTH * len(rows) else "\n"
    level = f"{100 * config.bootstrap.level:.0f} %"
    found = Table(
        title=f"{plain(evaluation.source.name)}: realism by WOSAC {config.config.name} "
        f"(scenes: {len(evaluation.scored)}, rollouts of each: {config.rollouts_per_scene})",
        caption=f"{CAPTION} In parentheses: weights; in brackets: {level} intervals from resampling scenes. "
        f"{evaluation.wall_time_s:.1f} s on {evaluation.workers} process(es).",
    )
    found.add_column("", no_wrap=True)
    for row in rows:
        found.add_column(plain(row.policy), justify="right", style="dim" if row is evaluation.oracle else None)
    for line in lines(config.config):
        cells = [line.text(row.score) for row in rows]
        if line is META:
            bounds = [plain(bracket(row.interval)) for row in rows]
            cells = [f"[bold]{cell}[/]{separator}[dim]{bound}[/]" for cell, bound in zip(cells, bounds, strict=True)]
        found.add_row(plain(line.title), *cells, end_section=line.ends_group)
    return found


def _print_unknown(console: Console, evaluation: RealismEvaluation) -> None:
    if evaluation.unknown:
        console.print(
            f"{len(evaluation.unknown)} recorded scenes are not in {plain(evaluation.source.name)}, and were not "
            f"scored: {plain(some(evaluation.unknown))}",
            highlight=False,
            soft_wrap=True,
        )
