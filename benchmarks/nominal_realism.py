"""How realistic the perfect simulator of nominal traffic is: the ceiling that a learner can reach on such scenes.

    python benchmarks/nominal_realism.py

Scores, by the WOSAC meta-metric and with the same number of rollouts of each scene: the replayed log, which knows the
future; `expert_policy`, which knows the law and the drivers but not the noise; IDM along the lanes; constant velocity.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from trafficgym.metrics.wosac import Realism
from trafficgym.metrics.wosac.config import find_config
from trafficgym.metrics.wosac.score import Score, mean_score
from trafficgym.scene.scene import Scene
from trafficgym.world.dynamics import TargetPose
from trafficgym.world.world import World
from trafficgym_scenarios.nominal import expert_policy, nominal_scenes

STEPS = 80


@dataclass(frozen=True, kw_only=True)
class Args:
    """Score the expert and simpler policies."""

    scenes: int = 20
    seed: int = 0
    """Of the first scene; the expert's noise has seed + 1,000,000."""
    rollouts: int = 32


def poses(world: World, count: int) -> NDArray[np.float32]:
    """Drive to the horizon: x, y, z, yaw of the first `count` slots by track, ``[B, A, 80, 4]``."""
    num = world.scenes[0].num_agents
    out = np.zeros((count, num, STEPS, 4), np.float32)
    for step in range(STEPS):
        world.step()
        for b in range(count):
            slots = np.flatnonzero(world.track[b] >= 0)
            state = world.state
            out[b, world.track[b, slots], step] = np.stack(
                [values[b, slots] for values in (state.x, state.y, state.z, state.yaw)], -1
            )
    return out


def rollouts(scene: Scene, args: Args) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Name and ``[R, A, 80, 4]`` of each policy."""
    expert = expert_policy(scene, args.seed + 1_000_000)
    yield "expert", poses(World([scene] * args.rollouts, control=expert, dynamics=TargetPose()), args.rollouts)
    for name in ("idm", "constant_velocity"):
        yield name, np.repeat(poses(World([scene], control=name), 1), args.rollouts, axis=0)


def main(args: Args) -> None:
    """Print the table."""
    start = time.perf_counter()
    scores: dict[str, list[Score]] = {}
    for scene in nominal_scenes(args.scenes, seed=args.seed):
        realism = Realism(scene)
        scores.setdefault("log", []).append(realism.oracle(args.rollouts))
        for name, driven in rollouts(scene, args):
            scores.setdefault(name, []).append(realism.score(driven))
    means = {name: mean_score(found, find_config("2025")) for name, found in scores.items()}
    table = Table("policy", "meta-metric", "kinematic", "interactive", "map", "collisions", "off-road", "minADE m")
    for name, mean in means.items():
        table.add_row(
            name,
            f"{mean.metametric:.4f}",
            *(f"{mean.buckets[bucket]:.4f}" for bucket in ("kinematic", "interactive", "map")),
            *(f"{mean.rates[rate]:.2%}" for rate in ("collision", "offroad")),
            f"{mean.min_ade:.2f}",
        )
    Console().print(table)
    took = time.perf_counter() - start
    print(f"{args.scenes} scenes from seed {args.seed}, {args.rollouts} rollouts each, {took:.0f} s")


if __name__ == "__main__":
    main(tyro.cli(Args))
