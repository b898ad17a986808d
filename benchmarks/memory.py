"""Resident memory over a million env-steps, with scenes that are read anew for every episode.

    python benchmarks/memory.py --scenes STORE

Prints the resident size after the first tenth, which has warmed every cache, and at the end.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

import trafficgym
from trafficgym.envs.observations import ObservationConfig


@dataclass(frozen=True, kw_only=True)
class Args:
    """Watch the memory of a long run."""

    scenes: Path | None = None
    """Scene store; generated ones by default."""
    steps: int = 1_000_000
    """Env-steps: steps of one world."""
    worlds: int = 32


def resident() -> float:
    """Resident size of this process [MB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(args: Args) -> None:
    """Run and print."""
    env = trafficgym.vector_env(
        args.scenes,
        num_worlds=args.worlds,
        num_agents=16,
        observation=ObservationConfig(agents=8, road_points=32, signals=1),
        copy=False,
    )
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    actions = [rng.uniform(-1, 1, env.action_space.shape).astype(np.float32) for _ in range(16)]
    calls, start = args.steps // args.worlds, time.perf_counter()
    for k in range(calls):
        env.step(actions[k % 16])
        if k + 1 in (calls // 10, calls // 2, calls):
            print(f"{(k + 1) * args.worlds:>9,} env-steps  {resident():.1f} MB  {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main(tyro.cli(Args))
