"""How far is log -> inverse actions -> closed-loop simulation from the log, for each dynamics model and agent type?

Every contiguous run of logged states (1 s or more) is driven from its first state; each action is the inverse from the
*reconstructed* state to the logged one, so that errors do not add up silently. Beside the errors stand those over runs
whose logged speed never changes by more than 8 m/s^2, which is what a car can do: the rest are mostly label noise.

    python benchmarks/dynamics_error.py --scenes ../shared/data/womd ../shared/data/womd_converted
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from trafficgym.scene.readers import find_sources, read
from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.dynamics import Bicycle, Body, DeltaPose, Dynamics, Motion, TargetPose, Verlet
from trafficgym.world.state import DT

MODELS: dict[str, Dynamics] = {
    "bicycle 0.1 s": Bicycle(),
    "bicycle 0.1 s, 5 sub-steps": Bicycle(substeps=5),
    "bicycle 0.5 s (RTR)": Bicycle(steps_per_action=5),
    "bicycle 0.5 s, 5 sub-steps": Bicycle(steps_per_action=5, substeps=5),
    "delta pose 0.1 s": DeltaPose(),
    "delta pose 0.5 s": DeltaPose(steps_per_action=5),
    "Verlet 13x13 0.1 s": Verlet(),
    "Verlet 13x13 0.5 s": Verlet(steps_per_action=5),
    "target pose 0.1 s": TargetPose(),
    "target pose 0.5 s": TargetPose(steps_per_action=5),
}
SHORTEST_RUN = 11  # states
PLAUSIBLE_ACCELERATION = 8.0  # m/s^2


@dataclass(frozen=True, kw_only=True)
class Args:
    """Reconstruction error of every dynamics model on real scenes."""

    scenes: tuple[Path, ...]
    """Files, or folders with files, that `trafficgym.scene.readers.read` knows; TFRecord, JSON, pickle, parquet."""
    max_scenes: int = 1000


class Runs(NamedTuple):
    """R contiguous runs of logged states, padded to T with their last state."""

    log: NDArray[np.float32]  # (6, R, T), the fields of Motion
    length: NDArray[np.float32]  # (R,) m
    type: NDArray[np.int8]  # (R,) AgentType
    valid: NDArray[np.bool_]  # (R, T)

    @property
    def plausible(self) -> NDArray[np.bool_]:
        """(R,) the logged speed never changes faster than a car's can."""
        gained = np.abs(np.diff(self.log[3], axis=1)) / DT
        return np.all((gained <= PLAUSIBLE_ACCELERATION) | ~self.valid[:, 1:], axis=1)


def main(args: Args) -> None:
    console = Console(width=130)
    runs = pack(list(load(args)))
    table = Table(title="Position error of log -> inverse -> world, m", title_justify="left")
    for column in ("model", "type", "states", "median", "p99", "max", "plausible runs", "median", "p99", "max"):
        table.add_column(column, justify="left" if column in ("model", "type") else "right")
    for name, model in MODELS.items():
        error = reconstruct(model, runs)
        for kind in (AgentType.VEHICLE, AgentType.PEDESTRIAN, AgentType.CYCLIST):
            of_kind = runs.type == kind
            if of_kind.any():
                chosen = of_kind & runs.plausible
                share = f"{chosen.sum()} of {of_kind.sum()}"
                seen = np.count_nonzero(~np.isnan(error[of_kind]))
                table.add_row(
                    name, kind.name.lower(), f"{seen}", *summary(error[of_kind]), share, *summary(error[chosen])
                )
        table.add_section()
    console.print(table)
    console.print(timings())


def load(args: Args) -> Iterator[Scene]:
    items = (item for path in find_sources(args.scenes) for item in read(path))
    return islice((item for item in items if isinstance(item, Scene)), args.max_scenes)


def pack(scenes: list[Scene]) -> Runs:
    """Cut the logs of all tracks into runs."""
    longest = max(scene.num_steps for scene in scenes)
    parts, lengths, types, valid = [], [], [], []
    for scene in scenes:
        tracks = scene.tracks
        speed = tracks.vx * np.cos(tracks.yaw) + tracks.vy * np.sin(tracks.yaw)
        log = np.stack([tracks.x, tracks.y, tracks.yaw, speed, tracks.vx, tracks.vy])
        for track in range(scene.num_agents):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], tracks.valid[track].view(np.int8), [0]])))
            for first, end in edges.reshape(-1, 2):
                if end - first >= SHORTEST_RUN:
                    parts.append(log[:, track, np.minimum(np.arange(first, first + longest), end - 1)])
                    lengths.append(tracks.length[track, first])
                    types.append(tracks.type[track])
                    valid.append(np.arange(longest) < end - first)
    return Runs(np.stack(parts, 1), np.array(lengths, np.float32), np.array(types, np.int8), np.stack(valid))


def reconstruct(model: Dynamics, runs: Runs) -> NDArray[np.float32]:
    """Distance from the log after each step, ``[R, T]`` m; NaN where there is no log, and at the start."""
    every, num_steps = model.steps_per_action, runs.valid.shape[1]
    error = np.full(runs.valid.shape, np.nan, np.float32)
    motion, body = Motion(*runs.log[:, :, 0]), Body(runs.length, runs.type)
    for now in range(0, num_steps - every, every):
        action = model.inverse(motion, Motion(*runs.log[:, :, now + every]), body)
        path = model.step(motion, action, body)
        for k, reached in enumerate(path, start=now + 1):
            away = np.hypot(reached.x - runs.log[0, :, k], reached.y - runs.log[1, :, k])
            error[:, k] = np.where(runs.valid[:, now + every], away, np.nan)  # whole decisions only
        motion = path[-1]
    return error


def summary(error: NDArray[np.float32]) -> list[str]:
    """Median, 99th percentile and maximum."""
    known = error[~np.isnan(error)]
    return [f"{v:.4f}" for v in np.percentile(known, [50, 99, 100])] if len(known) else ["-"] * 3


def timings() -> Table:
    table = Table(title="Time of one decision, us", title_justify="left")
    for column in ("model", "step, 256 agents", "inverse, 256", "step, 4096", "inverse, 4096"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, model in MODELS.items():
        table.add_row(name, *(f"{us:.0f}" for shape in ((8, 32), (64, 64)) for us in time_of(model, shape)))
    return table


def time_of(model: Dynamics, shape: tuple[int, int]) -> tuple[float, float]:
    """Time of `step` and of `inverse` for ``[B, A]`` agents, us."""
    motion = Motion(*(np.full(shape, v, np.float32) for v in (1, 2, 0.5, 10, 8.8, 4.8)))
    body = Body(np.full(shape, 4.5, np.float32), np.full(shape, AgentType.VEHICLE, np.int8))
    action = model.inverse(motion, motion, body)
    return (
        best_of(lambda: model.step(motion, action, body)),
        best_of(lambda: model.inverse(motion, motion, body)),
    )


def best_of(call: Callable[[], object], *, rounds: int = 7, repeats: int = 50) -> float:
    """Microseconds of one call in the fastest round."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        times.append(time.perf_counter() - start)
    return 1e6 * min(times) / repeats


if __name__ == "__main__":
    main(tyro.cli(Args, prog="dynamics_error"))
