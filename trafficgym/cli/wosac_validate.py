"""`trafficgym wosac validate`: is this submission what the server takes?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from trafficgym.errors import ConfigError
from trafficgym.metrics.wosac.submission import Problem, Report, validate
from trafficgym.scene.atomic import write_atomically
from trafficgym.scene.sources import open_scenes


@dataclass(frozen=True, kw_only=True)
class Args:
    """Check a submission to the Sim Agents Challenge; status 0 where nothing is wrong, else 1."""

    submission: tyro.conf.Positional[Path]
    """A `.tar.gz`, a folder of shards, or one shard."""
    scenes: Path | None = None
    """All scenes of the split, a store or files: object ids and the set of scenarios are compared with them."""
    json: Path | None = None
    """Write everything that was found to this file."""
    strict: bool = False
    """Let warnings count as errors."""
    show: int = 20
    """Print at most so many errors, and as many warnings; the JSON has them all."""


def main(argv: Sequence[str]) -> int:
    """Print what is wrong; return 0 where nothing is, else 1."""
    args = tyro.cli(Args, prog="trafficgym wosac validate", args=list(argv))
    if args.show < 0:
        raise ConfigError(f"--show is {args.show}; it must be at least 0")
    scenes = open_scenes(args.scenes) if args.scenes else None
    with _progress() as on_scenario:
        report = validate(args.submission, scenes, on_scenario=on_scenario)
    if args.json:
        write_atomically(args.json, json.dumps(report.to_dict(), indent=1) + "\n")
    _print(report, args.show)
    return 0 if report.ok and not (args.strict and report.warnings) else 1


def print_problems(kind: str, problems: Sequence[Problem], show: int) -> None:
    """One line a problem, the first `show` of them, and how many more there are."""
    for problem in problems[:show]:
        print(f"{kind}: {problem}")
    if len(problems) > show:
        print(f"and {len(problems) - show} more {kind}s")


def _print(report: Report, show: int) -> None:
    print_problems("warning", report.warnings, show)
    print_problems("error", report.errors, show)
    found = "valid" if report.ok else "not valid"
    compared = "" if report.is_against_scenes else "; not compared with scenes (--scenes), so agents may still be wrong"
    print(
        f"{report.path}: {found}: {report.num_scenarios} scenarios in {report.num_shards} shards, "
        f"{len(report.errors)} errors, {len(report.warnings)} warnings{compared}"
    )


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """The number of scenarios on stderr, gone when it is done; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.completed} scenarios checked"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda num: bar.update(task, completed=num)
