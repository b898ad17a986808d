"""Time of the WOSAC realism metric on one core, part by part, and how it grows.

    python benchmarks/wosac.py --scenes ../shared/data/womd ../shared/data/womd_converted

Rollouts are the log, gaps filled, at other speeds and drifting off, drawn with one seed. `prepare` is `Realism(scene)`;
`score` and `leave one out` begin with arrays and end with numbers, and the log's own score is in both. Parts are timed
inside `score`. All times are processor time, so that other work on the machine counts little, in one thread. Growth is
measured on generated scenes: agents crowd a field of 200 m, of which 8 are evaluated; maps are blocks of houses, 1 to
64 of them, spread out. Resident memory is that of the process, imports included.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from trafficgym.errors import TrafficgymError
from trafficgym.metrics.wosac import Realism, features, fill_gaps
from trafficgym.metrics.wosac.red_lights import RedLights
from trafficgym.metrics.wosac.road_edges import RoadEdges
from trafficgym.scene.scene import AgentType, Links, RoadMap, RoadType, Scene, Signals, Tracks
from trafficgym.scene.sources import open_scenes

OFFICIAL_CPU_S = {"637f20cafde22ff8": 102.0}
"""Of the official implementation with 32 rollouts on 2 cores of a machine like ours, TensorFlow 2.13."""


@dataclass(frozen=True, kw_only=True)
class Args:
    """Measure what a score costs."""

    scenes: tuple[Path, ...] = (Path("../shared/data/womd"), Path("../shared/data/womd_converted"))
    """Files or folders of scenes with 91 steps."""
    rollouts: int = 32
    repeats: int = 7
    """The least counts; medians stand beside it where they say how quiet the machine was."""
    seed: int = 0


def seconds(run: Callable[[], Any], repeats: int) -> NDArray[np.float64]:
    """Processor time of each of some runs; one before them does not count."""
    run()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return np.array(found)


def make_rollouts(scene: Scene, num: int, seed: int) -> NDArray[np.float32]:
    """The log of all tracks at other speeds, drifting off, float32 ``[num, A, 80, 4]``."""
    rng, tracks, now = np.random.default_rng(seed), scene.tracks, scene.current_step
    motion = np.stack([getattr(tracks, n)[:, now : now + 81] for n in ("x", "y", "z", "yaw", "vx", "vy")], axis=-1)
    present = tracks.valid[:, now : now + 81].copy()
    absent = ~present[:, 0]
    present[absent] = True  # rows that are not read
    log = fill_gaps(motion, present)
    rollouts = np.repeat(log[None, :, 1:], num, axis=0)
    speed = rng.normal(1.0, 0.1, (num, len(log), 1, 1))
    drift = rng.normal(0.0, 1.0, (num, len(log), 1, 2)) * np.linspace(0, 1, 80)[:, None]
    rollouts[..., :2] = log[:, :1, :2] + (rollouts[..., :2] - log[:, :1, :2]) * speed + drift
    rollouts[..., 3] += rng.normal(0.0, 0.1, (num, len(log), 1)) * np.linspace(0, 1, 80)
    return rollouts.astype(np.float32)


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Time the parts of `Realism.features` while they run, in seconds by name."""
    spent: dict[str, float] = defaultdict(float)
    parts = [
        (features, "kinematics", "kinematics"),
        (features, "interaction", "interaction"),
        (RoadEdges, "distance", "road edges"),
        (RedLights, "violations", "red lights"),
        (features.FeatureExtractor, "of_rollouts", "features"),
        (Realism, "_in_order", "reading arrays"),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in parts]

    def timed(run: Callable[..., Any], part: str) -> Callable[..., Any]:
        def run_timed(*args: Any) -> Any:
            start = time.process_time()
            result = run(*args)
            spent[part] += time.process_time() - start
            return result

        return run_timed

    for owner, name, part in parts:
        setattr(owner, name, timed(getattr(owner, name), part))
    try:
        yield spent
    finally:
        for owner, name, original in kept:
            setattr(owner, name, original)


def parts_of(realism: Realism, rollouts: NDArray[np.float32], repeats: int) -> dict[str, float]:
    """Seconds of each part of a score; each the least of all runs."""
    runs = []
    for _ in range(repeats):
        with watched() as spent:
            start = time.process_time()
            realism.score(rollouts)
            spent["score"] = time.process_time() - start
        runs.append(spent)
    found = {part: min(run[part] for run in runs) for part in runs[0]}
    inner = ("kinematics", "interaction", "road edges", "red lights")
    found["other features"] = found["features"] - sum(found.get(part, 0.0) for part in inner)
    found["likelihoods"] = found["score"] - found["features"] - found["reading arrays"]
    return found


def resident_mb() -> float:
    """The most that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


# --- generated scenes -------------------------------------------------------------------------------------------------


def make_scene(num_agents: int, num_blocks: int, *, seed: int, evaluated: int = 8) -> Scene:
    """Cars that drive straight on in a field of 200 m; blocks of houses of 80 m, 20 m apart, in rows of eight."""
    rng, num_steps = np.random.default_rng(seed), 91
    start, yaw = rng.uniform(0, 200, (2, num_agents, 1)), rng.uniform(-np.pi, np.pi, (num_agents, 1))
    speed = rng.uniform(0, 12, (num_agents, 1))
    time_s = 0.1 * np.arange(num_steps)

    def full(values: Any) -> NDArray[np.float32]:
        return np.broadcast_to(np.asarray(values, np.float32), (num_agents, num_steps)).copy()

    tracks = Tracks(
        id=np.arange(num_agents), type=np.full(num_agents, AgentType.VEHICLE, np.int8),
        x=full(start[0] + speed * np.cos(yaw) * time_s), y=full(start[1] + speed * np.sin(yaw) * time_s), z=full(0.8),
        yaw=full(yaw), vx=full(speed * np.cos(yaw)), vy=full(speed * np.sin(yaw)),
        length=full(4.5), width=full(2), height=full(1.6), valid=np.ones((num_agents, num_steps), bool),
        is_sdc=np.arange(num_agents) == 0, to_predict=np.arange(num_agents) < evaluated,
        of_interest=np.zeros(num_agents, bool), difficulty=np.zeros(num_agents, np.int8),
    )  # fmt: skip
    return Scene(
        id=f"{num_agents} agents, {num_blocks} blocks", source="generated", origin=np.array([5000.0, -3000.0, 0.0]),
        timestamps=time_s, current_step=10, tracks=tracks, road=_blocks(num_blocks), signals=Signals.empty(num_steps),
    )  # fmt: skip


def _blocks(num: int) -> RoadMap:
    """Edges around blocks, a point every half metre, the road on their left; none is nearer for those further away."""
    along = np.arange(0, 80, 0.5)
    side, zero = np.stack([along, 0 * along], axis=-1), np.zeros((1, 2))
    corners = np.array([[0, 80], [80, 80], [80, 0]])
    ring = np.concatenate([side[:, ::-1], side + corners[0], corners[1] - side[:, ::-1], corners[2] - side, zero])
    lines = [ring + np.array([100.0 * (k % 8), 100.0 * (k // 8)]) for k in range(num)]
    none = Links.empty(num)
    return RoadMap(
        xyz=np.concatenate([np.concatenate(lines), np.zeros((num * len(ring), 1))], axis=1).astype(np.float32),
        offsets=(np.arange(num + 1) * len(ring)).astype(np.int32), id=np.arange(num),
        type=np.full(num, RoadType.EDGE_BOUNDARY, np.int8), speed_limit=np.zeros(num, np.float32),
        interpolating=np.zeros(num, bool), successors=none, predecessors=none, left_neighbors=none,
        right_neighbors=none, stop_lanes=none,
    )  # fmt: skip


# --- tables -----------------------------------------------------------------------------------------------------------


def measure_scenes(scenes: list[Scene], args: Args, console: Console) -> None:
    """Every scene, the whole and its parts."""
    columns = ("scene", "agents", "evaluated", "edge points", "prepare", "score", "median", "leave one out", "ratio")
    table = Table(*columns, title=f"{args.rollouts} rollouts, ms")
    all_parts, worst = [], 0.0
    for scene in scenes:
        prepare = seconds(lambda scene=scene: Realism(scene), args.repeats)
        realism, rollouts = Realism(scene), make_rollouts(scene, args.rollouts, args.seed)
        score = seconds(lambda r=realism, x=rollouts: r.score(x), args.repeats)
        without = seconds(lambda r=realism, x=rollouts: r.leave_one_out(x), args.repeats)
        parts = parts_of(realism, rollouts, args.repeats)
        all_parts.append(parts)
        worst = max(worst, score.min())
        points = sum(len(scene.road.points(f)) for f in np.flatnonzero(scene.road.is_edge).tolist())
        row = (scene.id, len(realism.ids), len(realism.evaluated), points)
        times = [1e3 * s for s in (prepare.min(), score.min(), np.median(score), without.min())]
        table.add_row(*map(str, row), *(f"{ms:.1f}" for ms in times), f"{without.min() / score.min():.2f}")
        if scene.id in OFFICIAL_CPU_S and args.rollouts == 32:
            ratio = OFFICIAL_CPU_S[scene.id] / (prepare.min() + score.min())
            console.print(f"{scene.id}: {ratio:,.0f} times faster than the official code, preparation included")
    console.print(table)
    names = ("reading arrays", "kinematics", "interaction", "road edges", "red lights", "other features")
    shares = Table("part", "median ms", "largest ms", title="parts of a score")
    for name in (*names, "likelihoods", "score"):
        values = [1e3 * parts.get(name, 0.0) for parts in all_parts]
        shares.add_row(name, f"{np.median(values):.2f}", f"{max(values):.2f}")
    console.print(shares)
    console.print(f"slowest score {1e3 * worst:.1f} ms\n")


def measure_growth(args: Args, console: Console) -> None:
    """Generated scenes: more agents, more rollouts, more map, and agents that leave the map."""
    table = Table("agents", "blocks", "rollouts", "prepare", "score", "leave one out", "interaction", "road edges",
                  title="growth, ms")  # fmt: skip
    cases = [(num, 4, args.rollouts, 0.0) for num in (25, 50, 100, 200, 400)]
    cases += [(50, 4, num, 0.0) for num in (8, 32, 128)]
    cases += [(50, num, args.rollouts, 0.0) for num in (1, 4, 16, 64)]
    cases += [(50, num, args.rollouts, 300.0) for num in (4, 64)]
    for num_agents, num_blocks, num_rollouts, away in cases:
        scene = make_scene(num_agents, num_blocks, seed=args.seed)
        prepare = seconds(lambda scene=scene: Realism(scene), args.repeats).min()
        realism, rollouts = Realism(scene), make_rollouts(scene, num_rollouts, args.seed)
        rollouts[..., 0] -= np.float32(away)
        score = seconds(lambda r=realism, x=rollouts: r.score(x), args.repeats).min()
        without = seconds(lambda r=realism, x=rollouts: r.leave_one_out(x), args.repeats).min()
        parts = parts_of(realism, rollouts, args.repeats)
        blocks = f"{num_blocks}{f', {away:g} m off it' if away else ''}"
        times = (prepare, score, without, parts["interaction"], parts["road edges"])
        table.add_row(str(num_agents), blocks, str(num_rollouts), *(f"{1e3 * s:.1f}" for s in times))
    console.print(table)


def main(args: Args) -> None:
    """Print the tables."""
    start, console = time.perf_counter(), Console(width=120)
    console.print(f"{resident_mb():.0f} MB after imports")
    scenes: dict[str, Scene] = {}
    for path in args.scenes:
        for scene in open_scenes(path):
            if scene.num_steps == 91 and scene.current_step == 10:
                scenes.setdefault(scene.id, scene)
    first = next(iter(scenes.values()))
    Realism(first).leave_one_out(make_rollouts(first, args.rollouts, args.seed))
    console.print(f"{resident_mb():.0f} MB after the first scene")
    usable = []
    for scene in scenes.values():
        try:
            Realism(scene)
            usable.append(scene)
        except TrafficgymError as error:
            console.print(f"left out: {error}")
    measure_scenes(usable, args, console)
    console.print(f"{resident_mb():.0f} MB with all scenes in memory\n")
    measure_growth(args, console)
    console.print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main(tyro.cli(Args))
