"""How many scenes each family fits, and why not the others: ``python -m trafficgym_scenarios.survey SCENES``."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console
from rich.table import Table

from trafficgym.errors import ConfigError, TrafficgymError
from trafficgym.scene.atomic import write_atomically
from trafficgym.scene.scene import Scene
from trafficgym.scene.sources import open_scenes
from trafficgym_scenarios.families import FAMILIES, find_family
from trafficgym_scenarios.scenario import LogicalScenario
from trafficgym_scenarios.transplant import Ground, Misfit, transplant

REASONS_SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class Row:
    """One family."""

    family: str
    num_scenes: int
    num_fits: int
    misfits: Mapping[str, int]
    """Scenes by the reason why they do not fit, the most frequent first."""


def survey(
    families: Sequence[LogicalScenario],
    scenes: Iterable[Scene],
    *,
    seed: int = 0,
    ego: Literal["sdc", "any"] = "sdc",
    make_room: bool = False,
    after_each: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Try every family on every scene; the arguments are those of `transplant`.

    Args:
        after_each: Called after each scene.
    """
    found: list[Counter[str]] = [Counter() for _ in families]
    for scene in scenes:
        ground = Ground(scene)
        for family, counts in zip(families, found, strict=True):
            result = transplant(family, ground, seed=seed, ego=ego, make_room=make_room)
            counts[result.reason.value if isinstance(result, Misfit) else ""] += 1
        after_each()
    return [_row(family, counts) for family, counts in zip(families, found, strict=True)]


def _row(family: LogicalScenario, counts: Counter[str]) -> Row:
    misfits = {reason: num for reason, num in counts.most_common() if reason}
    return Row(family=family.name, num_scenes=counts.total(), num_fits=counts[""], misfits=misfits)


@dataclass(frozen=True, kw_only=True)
class Args:
    """Say how many scenes each family of long-tail scenarios fits."""

    scenes: tyro.conf.Positional[tuple[Path, ...]]
    """Scene stores, or files or folders of scenes; one column each."""
    families: tuple[str, ...] = ()
    """Default: all that can be told on roads other than their own."""
    ego: Literal["sdc", "any"] = "sdc"
    """The recording car, or any vehicle that moves."""
    make_room: bool = False
    """Take out a vehicle whose place a hero takes."""
    seed: int = 0
    out: Path | None = None
    """Write the counts as JSON, too."""


def main(argv: Sequence[str]) -> int:
    """Print the table; returns the exit status."""
    args = tyro.cli(Args, prog="python -m trafficgym_scenarios.survey", args=list(argv))
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        families = _families(args.families)
        if not args.scenes:
            raise ConfigError("give a scene store, or a file or folder of scenes")
        columns = {str(path): _survey_of(path, families, args) for path in args.scenes}
    except TrafficgymError as error:
        Console(stderr=True).print(f"error: {error}", markup=False, soft_wrap=True)
        return 2
    console.print(_table(columns))
    if args.out is not None:
        write_atomically(args.out, json.dumps(_content(columns, args), indent=2) + "\n")
    return 0


def _families(names: Sequence[str]) -> list[LogicalScenario]:
    if names:
        return [find_family(name) for name in names]
    return [family for family in FAMILIES.values() if family.setting is not None]


def _survey_of(path: Path, families: Sequence[LogicalScenario], args: Args) -> list[Row]:
    console = Console(stderr=True)
    with console.status(f"{path}") as status:
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            status.update(f"{path}: {done} scenes")

        return survey(
            families, open_scenes(path), seed=args.seed, ego=args.ego, make_room=args.make_room, after_each=count
        )


def _table(columns: Mapping[str, Sequence[Row]]) -> Table:
    table = Table(title="Scenes that each family fits")
    table.add_column("family")
    for name in columns:
        table.add_column(Path(name).name, justify="right")
    table.add_column("why not")
    for rows in zip(*columns.values(), strict=True):
        why: Counter[str] = Counter()
        for row in rows:
            why.update(row.misfits)
        reasons = ", ".join(f"{reason} {num}" for reason, num in why.most_common(REASONS_SHOWN))
        table.add_row(rows[0].family, *(f"{row.num_fits} of {row.num_scenes}" for row in rows), reasons)
    return table


def _content(columns: Mapping[str, Sequence[Row]], args: Args) -> dict[str, object]:
    sources = {
        name: {
            row.family: {"scenes": row.num_scenes, "fits": row.num_fits, "misfits": dict(row.misfits)} for row in rows
        }
        for name, rows in columns.items()
    }
    return {"ego": args.ego, "make_room": args.make_room, "seed": args.seed, "sources": sources}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
