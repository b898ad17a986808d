"""Speed of the environments on one core.

    python benchmarks/env.py --scenes ../shared/data/gpudrive --every 12

Agents are the vehicles that move and are on the road at step 0; observations hold the ego (7), 31 neighbours and
200 road points of 7 numbers each. Actions are random, drawn beforehand. Prints agent-steps/s of `vector_env` per
scene and at the median, the same over numbers of worlds, and env-steps/s of the PettingZoo facade. Beside each scene
stands the reference, how often per second NumPy copies one agent's observation in the same batch on the same core, so
that figures from machines of different speed can be told apart.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import trafficgym
from trafficgym.envs.observations import ObservationConfig
from trafficgym.scene.readers import find_sources, load_scene
from trafficgym.scene.scene import Scene
from trafficgym.world.world import WorldConfig

OBSERVATION = ObservationConfig(agents=31, road_points=200, signals=0, agent_order="slot")


@dataclass(frozen=True, kw_only=True)
class Args:
    """Measure agent-steps/s and env-steps/s."""

    scenes: Path = Path("../shared/data/gpudrive")
    """File or folder of scenes."""
    every: int = 12
    """Take every so many-th file, by name."""
    agents: int = 1024
    """As many worlds per scene as make about this many agents."""
    seconds: float = 2.0
    """Of measurement per scene and repeat."""
    repeats: int = 5
    """The best counts: other work on the machine only ever slows things down."""


def make(scenes: list[Scene], num_worlds: int, **options: Any) -> Any:
    """The environment that is measured."""
    return trafficgym.vector_env(
        scenes,
        num_worlds=num_worlds,
        control={"moving vehicle": "external"},
        observation=OBSERVATION,
        world=WorldConfig(start_step=0),
        copy=False,
        **options,
    )


def agent_steps(env: Any, args: Args) -> float:
    """Agent-steps per second: agents that are alive and get an observation, resets included."""
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    actions = [rng.uniform(-1, 1, env.action_space.shape).astype(np.float32) for _ in range(16)]
    env.step(actions[0])
    best = 0.0
    for _ in range(args.repeats):
        done, k = 0, 0
        start = now = time.perf_counter()
        while now - start < args.seconds:
            info = env.step(actions[k % 16])[4]
            done += int(info["alive"].sum())
            k += 1
            now = time.perf_counter()
        best = max(best, done / (now - start))
    return best


def copies(env: Any, args: Args) -> float:
    """Observations per second that NumPy copies, agent by agent's worth."""
    source = np.ones((env.num_worlds, env.num_agents, OBSERVATION.size), np.float32)
    target, best = np.zeros_like(source), 0.0
    for _ in range(20 * args.repeats):
        start = time.perf_counter()
        np.copyto(target, source)
        best = max(best, env.num_worlds * env.num_agents / (time.perf_counter() - start))
    return best


def env_steps(scene: Scene, args: Args) -> tuple[float, int]:
    """Env-steps per second of the PettingZoo facade, and its number of agents."""
    env = trafficgym.parallel_env(
        [scene],
        control={"moving vehicle": "external"},
        observation=OBSERVATION,
        world=WorldConfig(start_step=0),
        num_agents=32,
    )
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    draws = [{name: rng.uniform(-1, 1, 2).astype(np.float32) for name in env.possible_agents} for _ in range(16)]
    best = 0.0
    for _ in range(args.repeats):
        k, start = 0, time.perf_counter()
        while time.perf_counter() - start < args.seconds:
            if not env.agents:
                env.reset()
            draw = draws[k % 16]
            env.step({name: draw[name] for name in env.agents})
            k += 1
        best = max(best, k / (time.perf_counter() - start))
    return best, len(env.possible_agents)


def main(args: Args) -> None:
    """Print the tables."""
    console = Console(width=110)
    scenes = [load_scene(path) for path in find_sources([args.scenes])[:: args.every]]
    columns = ("scene", "agents", "tracks", "map points", "worlds", "agent-steps/s", "copies/s", "copies per step")
    table = Table(*columns, title="vector_env, one core")
    speeds, ratios = [], []
    for scene in scenes:
        num_agents = make([scene], 1).num_agents
        worlds = max(1, args.agents // num_agents)
        env = make([scene], worlds)
        speeds.append(agent_steps(env, args))
        reference = copies(env, args)
        ratios.append(reference / speeds[-1])
        row = (scene.id, num_agents, scene.num_agents, len(scene.road.xyz), worlds)
        table.add_row(*map(str, row), f"{speeds[-1]:,.0f}", f"{reference:,.0f}", f"{ratios[-1]:.1f}")
    console.print(table)
    console.print(f"median {np.median(speeds):,.0f} agent-steps/s; a step takes {np.median(ratios):.1f} copies\n")
    largest = max(scenes, key=lambda s: make([s], 1).num_agents)
    speed, num = env_steps(largest, args)
    console.print(f"PettingZoo, {num} agents ({largest.id}): {speed:,.0f} env-steps/s\n")
    scaling = Table("worlds", "agent-steps/s", title=f"over worlds ({scenes[0].id})")
    for worlds in (1, 4, 16, 64, 256):
        scaling.add_row(str(worlds), f"{agent_steps(make([scenes[0]], worlds), args):,.0f}")
    console.print(scaling)


if __name__ == "__main__":
    main(tyro.cli(Args))
