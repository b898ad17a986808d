"""Long-tail families: how fast they are made, whether they can be survived, and by whom.

    python benchmarks/longtail.py --num 40 --out longtail

For each family it draws `num` concrete scenarios and prints how many are made per second of CPU time (one core, warm);
the share that some manoeuvre survives (`trafficgym_scenarios.feasibility`); and of those the share in which the ego
that does nothing (constant velocity) has an infraction or a near miss, and in which the careful driver
(`trafficgym_scenarios.careful`) collides, leaves the road or has a near miss. All others are driven by IDM, heroes by
their scripts. With `out` it writes the same as JSON and Markdown.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console
from rich.table import Table

from trafficgym.errors import ConfigError
from trafficgym.scene.atomic import write_atomically
from trafficgym.scene.workers import Tick, in_order
from trafficgym_scenarios.careful import CarefulDriver
from trafficgym_scenarios.families import FAMILIES, find_family
from trafficgym_scenarios.feasibility import Feasibility, feasibility
from trafficgym_scenarios.outcome import Outcome, outcome
from trafficgym_scenarios.scenario import ConcreteScenario

NOTHING_AT_LEAST, CAREFUL_BELOW, PER_SECOND = 0.5, 0.1, 100.0


@dataclass(frozen=True, kw_only=True)
class Args:
    """Measure the families of long-tail scenarios."""

    families: tuple[str, ...] = ()
    """Default: all."""
    num: int = 40
    """Concrete scenarios of each."""
    seed: int = 0
    """Of the first; the others have the seeds that follow."""
    split: Literal["any", "train", "eval"] = "any"
    workers: int = os.cpu_count() or 1
    out: Path | None = None
    """Write OUT.json and OUT.md."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One family. Shares of what happened to the ego are of the avoidable scenarios."""

    family: str
    held_out: bool
    num: int
    without_room: int
    """Drawn, but nobody could be placed."""
    per_second: float
    avoidable: float
    nothing: float
    """Infraction or near miss, straight on at constant speed."""
    nothing_in_lane: float
    """The same, along the lane at constant speed."""
    careful_collides: float
    careful_off_road: float
    careful_near_miss: float
    crashes: tuple[int, ...]
    """Seeds of the avoidable scenarios in which the careful driver collides."""

    @property
    def misses(self) -> list[str]:
        """What it should reach and does not."""
        found = []
        if self.nothing < NOTHING_AT_LEAST:
            found.append(f"nothing < {NOTHING_AT_LEAST:.0%}")
        if self.careful_collides >= CAREFUL_BELOW:
            found.append(f"careful >= {CAREFUL_BELOW:.0%}")
        if self.per_second < PER_SECOND:
            found.append(f"< {PER_SECOND:.0f}/s")
        return found


def measure(unit: tuple[str, int, int, Literal["any", "train", "eval"]], tick: Tick) -> Row:
    """Measure one family: its name, the number of scenarios, the first seed, and the split."""
    name, num, seed, split = unit
    family = find_family(name)
    for other in range(num, num + 3):  # compiles what is needed
        _is_placed(family.sample(seed + other, split))
    drawn = [family.sample(seed + k, split) for k in range(num)]
    start = time.process_time()
    placed = [one for one in drawn if _is_placed(one)]
    spent = time.process_time() - start
    judged: list[tuple[int, Feasibility, Outcome]] = []
    for one in placed:
        judged.append((one.seed, feasibility(one), outcome(one, CarefulDriver())))
        tick()
    possible = [(at, verdict, careful) for at, verdict, careful in judged if verdict.is_avoidable]

    def share(happens: Sequence[bool]) -> float:
        return sum(happens) / max(len(happens), 1)

    return Row(
        family=name,
        held_out=family.held_out,
        num=num,
        without_room=num - len(placed),
        per_second=num / spent,
        avoidable=len(possible) / max(len(placed), 1),
        nothing=share([_is_critical(verdict.constant_velocity) for _, verdict, _ in possible]),
        nothing_in_lane=share([_is_critical(verdict.keeps_lane) for _, verdict, _ in possible]),
        careful_collides=share([careful.collision for _, _, careful in possible]),
        careful_off_road=share([careful.off_road for _, _, careful in possible]),
        careful_near_miss=share([careful.near_miss for _, _, careful in possible]),
        crashes=tuple(at for at, _, careful in possible if careful.collision),
    )


def _is_placed(scenario: ConcreteScenario) -> bool:
    try:
        return scenario.scene is not None
    except ConfigError:
        return False


def _is_critical(done: Outcome) -> bool:
    return done.infraction or done.near_miss


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Head and cells: shares in which the ego that does nothing, and then the careful one, fares badly."""
    head = ["family", "made/s", "avoidable", "nothing", "in lane", "hits", "off road", "near", "misses"]
    cells = []
    for row in rows:
        shares = (
            row.avoidable,
            row.nothing,
            row.nothing_in_lane,
            row.careful_collides,
            row.careful_off_road,
            row.careful_near_miss,
        )
        name = row.family + (" (held out)" if row.held_out else "")
        cells.append([name, f"{row.per_second:.0f}", *(f"{share:.0%}" for share in shares), ", ".join(row.misses)])
    return head, cells


def markdown(rows: Sequence[Row]) -> str:
    """The same table in Markdown."""
    head, cells = table(rows)
    lines = [head[:-1], ["---", *["--:"] * (len(head) - 2)], *(row[:-1] for row in cells)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(args: Args) -> None:
    console = Console(width=max(Console().width, 110))
    names = [find_family(name).name for name in args.families] or list(FAMILIES)
    units = [(name, args.num, args.seed, args.split) for name in names]
    total = len(units) * args.num
    with console.status("") as status:
        done = in_order(measure, units, args.workers, lambda num: status.update(f"{num} of {total} scenarios"))
        rows = list(done)
    head, cells = table(rows)
    shown = Table(title=f"{args.num} scenarios of each family, split {args.split}, from seed {args.seed}")
    for name in head:
        is_text = name in ("family", "misses")
        shown.add_column(name, justify="left" if is_text else "right", no_wrap=name == "family")
    for line in cells:
        shown.add_row(*line)
    console.print(shown)
    for row in rows:
        if row.crashes or row.without_room:
            console.print(f"{row.family}: the careful driver hits at seeds {row.crashes}; no room: {row.without_room}")
    if args.out is not None:
        content = [{**asdict(row), "misses": row.misses} for row in rows]
        write_atomically(args.out.with_suffix(".json"), json.dumps(content, indent=2) + "\n")
        write_atomically(args.out.with_suffix(".md"), markdown(rows))


if __name__ == "__main__":
    main(tyro.cli(Args))
