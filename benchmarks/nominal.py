"""Nominal scenes: how fast they are made, how many draws are rejected and why, and that the world finds no fault.

    python benchmarks/nominal.py

Every scene is driven again by a world in which everybody follows the log, from its first step to its last. Prints by
kind of road: scenes per second of processor time, rejected draws, and faults that the world found.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from trafficgym.errors import SceneError
from trafficgym.scene.scene import Scene
from trafficgym.world.world import World, WorldConfig
from trafficgym_scenarios.nominal import NominalConfig
from trafficgym_scenarios.nominal.judge import FAULTS
from trafficgym_scenarios.nominal.scenes import scene_of
from trafficgym_scenarios.roads import Interval


@dataclass(frozen=True, kw_only=True)
class Args:
    """Make nominal scenes and judge them."""

    seeds: int = 1000
    first: int = 0
    steps: int = 201
    roads: tuple[str, ...] = ("any",)
    agents: tuple[int, int] = (20, 20)
    """Least and most road users."""


@dataclass(kw_only=True)
class Tally:
    """What happened on one kind of road."""

    seconds: list[float] = field(default_factory=list)
    agents: int = 0
    rejections: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


def judge(scene: Scene) -> Counter[str]:
    """Events that the world finds in the log, by name."""
    world = World([scene], control="log", config=WorldConfig(watch_log=True, start_step=0))
    found = world.events.state.copy()
    while not world.truncated.all():
        found |= world.step().state
    return Counter(str(event.name) for event in FAULTS if (found & np.uint8(event)).any())


def main(args: Args) -> None:
    """Print the table."""
    config = NominalConfig(roads=args.roads, num_steps=args.steps, num_agents=Interval(*args.agents))
    for kind in config.kinds:  # load the kernels
        scene_of(0, NominalConfig(roads=kind, num_steps=args.steps))
    tallies = {kind: Tally() for kind in config.kinds}
    for seed in range(args.first, args.first + args.seeds):
        start = time.process_time()
        try:
            scene, run = scene_of(seed, config)
        except SceneError as error:
            print(error)
            continue
        tally = tallies[run.road.kind]
        tally.seconds.append(time.process_time() - start)
        tally.agents += scene.num_agents
        tally.rejections.update(run.rejections)
        faults = judge(scene)
        tally.faults.update(faults)
        for name in faults:
            print(f"{scene.id}: {name}")
    Console().print(_table(tallies))


def _table(tallies: dict[str, Tally]) -> Table:
    table = Table("road", "scenes", "agents", "scenes/s", "slowest ms", "rejected draws", "faults", title="nominal")
    total = Tally()
    for tally in tallies.values():
        total.seconds += tally.seconds
        total.agents += tally.agents
        total.rejections.update(tally.rejections)
        total.faults.update(tally.faults)
    for kind, tally in (*tallies.items(), ("all", total)):
        if tally.seconds:
            num = len(tally.seconds)
            rejected = ", ".join(f"{name.lower()} {count}" for name, count in tally.rejections.items()) or "0"
            faults = ", ".join(f"{name.lower()} {count}" for name, count in tally.faults.items()) or "0"
            table.add_row(
                kind,
                str(num),
                f"{tally.agents / num:.1f}",
                f"{num / sum(tally.seconds):.1f}",
                f"{1e3 * max(tally.seconds):.0f}",
                rejected,
                faults,
            )
    return table


if __name__ == "__main__":
    main(tyro.cli(Args))
