"""Realism of simulators side by side, paired by scene: checkpoints, and what needs none.

    python -m trafficgym_baselines.evaluate_simulators --simulators bc=runs/smart/smart.safetensors idm expert log
    python -m trafficgym_baselines.evaluate_simulators --simulators catk=a.safetensors,b.safetensors --scenes val

Several checkpoints of one name are training seeds, whose scores are averaged scene by scene. Intervals come from
resampling scenes; differences are taken between the same scenes. What was scored is kept in the folder, one line per
scene, and is not scored again.

Details: every simulator drives everybody from step 10 to 90. ``expert`` is the law that made a generated scene, with
fresh noise (`expert_policy`), the ceiling; ``log`` is the log replayed. ``--habits`` prints how they drive where the
metric does not look (`habit_table`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, TrafficgymError
from trafficgym.metrics.bootstrap import Interval, paired_difference, ratio_interval
from trafficgym.metrics.goals import WomdThresholds, evaluated_tracks, goal_misses, logged_goals
from trafficgym.metrics.off_log_goals import kinematic_goals, manoeuvre_goals
from trafficgym.metrics.wosac import Realism, SceneScore
from trafficgym.metrics.wosac.submission import submitted_trajectories
from trafficgym.report.scene_pool import as_done
from trafficgym.scene.atomic import write_atomically
from trafficgym.scene.scene import Scene
from trafficgym.world.config import WorldConfig
from trafficgym.world.dynamics import TargetPose
from trafficgym.world.recorded_rollouts import RecordedRollouts
from trafficgym.world.roll_out import roll_out_batch
from trafficgym.world.rollout import Rollout
from trafficgym_agents.algorithms.actors import Actor, PlanActor, TokenActor
from trafficgym_agents.algorithms.checkpoints import load_actor
from trafficgym_agents.policies.smart import simulation as smart
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.trajectory import simulation as trajectory
from trafficgym_baselines.habit_table import Row, habit_row, habit_table, print_habits
from trafficgym_baselines.sources import held_out_scenes
from trafficgym_scenarios import expert_policy

WITHOUT_NETWORK = ("log", "idm", "constant_velocity", "expert")
COLUMNS = {
    "metametric": "RMM",
    "kinematic": "kinematic",
    "interactive": "interactive",
    "map": "map",
    "collision": "collision %",
    "offroad": "off-road %",
    "min_ade": "minADE m",
    "passing_miss": "miss %",
}


@dataclass(frozen=True, kw_only=True)
class Args:
    """Score simulators and compare them."""

    simulators: tuple[str, ...]
    """``name=checkpoint``, ``name=checkpoint,checkpoint`` for training seeds, or one of log, idm, constant_velocity,
    expert."""
    reference: str | None = None
    """Differences are against this one; the first by default."""
    scenes: Path | None = None
    """Store, file or folder of scenes, every fifth of which is used; generated ones by default."""
    num_scenes: int = 50
    rollouts: int = 32
    """Of each scene."""
    sampling: Sampling = field(default_factory=Sampling)
    """How networks draw tokens."""
    seed: int = 0
    workers: int = 1
    goals: Literal["none", "log", "manoeuvre", "kinematic"] = "none"
    """What networks that take goals are told, and everybody is measured by: nothing, and by where the log ends; where
    the log ends; where another way would have led (`manoeuvre_goals`); where the log was before its end, or would be
    after it (`kinematic_goals`)."""
    goal_seconds: float = 0.0
    """After the end of the log, negative for before, of ``kinematic``."""
    habits: bool = False
    """Print headway, jerk and lane changes as well, which are not in the metric."""
    out: Path = Path("runs/evaluation")
    """Folder of what was scored, of table.json and of habits.json."""


@dataclass(frozen=True)
class Unit:
    """One scene to be scored by one simulator."""

    number: int
    simulator: str


def score(args: Args, unit: Unit) -> tuple[Unit, Row]:
    """Score a scene; runs in any process."""
    torch.set_num_threads(1)
    scene = scenes_to_score(args.scenes, args.num_scenes)[unit.number]
    realism = Realism(scene)
    if unit.simulator == "log":
        return unit, _row(realism.oracle(args.rollouts)) | habit_row(scene, None) | {"passing_miss": 0.0}
    if unit.simulator in WITHOUT_NETWORK:
        rollouts = _driven(scene, unit.simulator, args)
    else:
        actor, tokenizer = load_simulator(unit.simulator, args.sampling)
        goals = None if args.goals == "none" else _goals(scene, args)
        rollouts = simulated(scene, actor, tokenizer, num=args.rollouts, seed=args.seed, goals=goals)
    return unit, _row(realism.score(rollouts)) | habit_row(scene, rollouts) | _misses(scene, rollouts, args)


def _goals(scene: Scene, args: Args) -> NDArray[np.float32]:
    """Where agents are to go, ``[A, 2]`` m, NaN where there is no goal."""
    if args.goals == "manoeuvre":
        return manoeuvre_goals(scene, np.random.default_rng([args.seed, *scene.id.encode()]))
    return kinematic_goals(scene, args.goal_seconds) if args.goals == "kinematic" else logged_goals(scene)


def _misses(scene: Scene, rollouts: NDArray[np.float32], args: Args) -> Row:
    """Shares of evaluated agents with a goal, in percent, that do not get there."""
    goals, agents = _goals(scene, args), evaluated_tracks(scene)
    found = {
        "passing_miss": goal_misses(rollouts, goals, agents).rate,
        "final_miss": goal_misses(rollouts, goals, agents, criterion="hard").rate,
        "womd_miss": goal_misses(rollouts, goals, agents, criterion="hard", within=WomdThresholds.of(scene)).rate,
    }
    return {name: 100 * rate for name, rate in found.items() if rate is not None}


def simulated(
    scene: Scene,
    actor: Actor,
    tokenizer: Tokenizer,
    *,
    num: int,
    seed: int,
    goals: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """R rollouts by a network, ``[R, A, 80, 4]``; goals, ``[A, 2]``, are told to those that take them."""
    given, tokens = [scene], [tokenizer(scene)]
    if isinstance(actor, PlanActor):
        return next(trajectory.simulate(actor.network, given, tokens, actor.sampling, num=num, seed=seed))
    assert isinstance(actor, TokenActor)
    told = [goals] if goals is not None and actor.network.config.goal is not None else None
    return next(smart.simulate(actor.network, given, tokens, actor.sampling, num=num, seed=seed, goals=told))


def _driven(scene: Scene, name: str, args: Args) -> NDArray[np.float32]:
    """Rollouts by a policy of a world, ``[R, A, 80, 4]`` in the scene's frame; 0 where nobody is at step 10."""
    config, num = WorldConfig(horizon=80), args.rollouts if name == "expert" else 1
    if name == "expert":
        policy, dynamics = expert_policy(scene, args.seed + 1), TargetPose()
        runs = roll_out_batch(scene, policy, range(num), dynamics=dynamics, config=config)
    else:
        runs = roll_out_batch(scene, name, [0], config=config)
    rollouts = tracks_of(runs, scene)
    return np.broadcast_to(rollouts, (args.rollouts, *rollouts.shape[1:]))


def tracks_of(runs: Sequence[Rollout], scene: Scene) -> NDArray[np.float32]:
    """Rollouts of worlds as arrays, ``[R, A, 80, 4]`` in the scene's frame; 0 where nobody is at step 10."""
    ids, motion = submitted_trajectories(RecordedRollouts.of(runs), scene)
    rollouts = np.zeros((len(runs), scene.num_agents, *motion.shape[2:]), np.float32)
    here = np.isin(scene.tracks.id, ids)
    rollouts[:, here] = motion[:, np.searchsorted(ids, scene.tracks.id[here])] - np.array([*scene.origin, 0])
    return rollouts


def _row(scored: SceneScore) -> Row:
    return {
        "metametric": scored.metametric,
        **scored.buckets,
        **{name: 100 * value for name, value in scored.rates.items()},
        "ade": scored.ade,
        "min_ade": scored.min_ade,
        **{f"{name}_likelihood": value for name, value in scored.likelihoods.items()},
    }


@lru_cache(maxsize=1)
def scenes_to_score(path: Path | None, num: int) -> Sequence[Scene]:
    """Held-out scenes that can be scored."""
    return [scene for scene in held_out_scenes(path, num)[0] if can_be_scored(scene)]


def can_be_scored(scene: Scene) -> bool:
    """Whether somebody in it is to be evaluated, and its log lasts 8 s from step 10 on."""
    tracks, now = scene.tracks, 10
    if scene.current_step != now or scene.num_steps < now + 81:
        return False
    return bool((tracks.valid[:, now] & (tracks.is_sdc | tracks.to_predict)).any())


@lru_cache(maxsize=8)
def load_simulator(path: str, sampling: Sampling) -> tuple[Actor, Tokenizer]:
    """The actor of a checkpoint, and what reads scenes for it."""
    actor, _ = load_actor(path, sampling)
    quirk = isinstance(actor, TokenActor) and actor.network.config.zero_fill_quirk
    return actor, Tokenizer(actor.network.vocabulary, frame="source" if quirk else "scene")


class Kept:
    """Rows that were scored before, by simulator and scene, in one file of lines.

    Checkpoints are known by their digests, so that one that was trained anew is scored anew.
    """

    def __init__(self, args: Args, digests: Mapping[str, str]) -> None:
        args.out.mkdir(parents=True, exist_ok=True)
        self._digests = digests
        self.path = args.out / "scenes.jsonl"
        self._setting = [str(args.scenes), args.rollouts, repr(args.sampling), args.seed, args.goals, args.goal_seconds]
        self.rows: dict[Unit, Row] = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            try:
                found = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line of a run that was killed
            if found["setting"] == self._setting and found.get("sha256") == digests.get(found["simulator"]):
                self.rows[Unit(found["number"], found["simulator"])] = found["row"]

    def add(self, unit: Unit, row: Row) -> None:
        """Keep a row, on disk too."""
        self.rows[unit] = row
        line = {"setting": self._setting, "number": unit.number, "simulator": unit.simulator}
        line |= {"sha256": self._digests.get(unit.simulator), "row": row}
        with open(self.path, "a") as file:
            file.write("\n" * (file.tell() > 0 and not self._ends_with_newline()) + json.dumps(line) + "\n")

    def _ends_with_newline(self) -> bool:
        with open(self.path, "rb") as file:
            file.seek(-1, 2)
            return file.read() == b"\n"


def parse(simulators: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Names, and the checkpoints (or the policy) of each."""
    found: dict[str, tuple[str, ...]] = {}
    for given in simulators:
        name, _, paths = given.partition("=")
        if not paths and name not in WITHOUT_NETWORK:
            raise ConfigError(f"simulator {given!r}: say name=checkpoint, or one of {', '.join(WITHOUT_NETWORK)}")
        if name in found:
            raise ConfigError(f"two simulators are called {name!r}; name them apart")
        found[name] = tuple(paths.split(",")) if paths else (name,)
        for path in found[name] if paths else ():
            load_actor(path, Sampling())  # says at once what is wrong with it
    return found


def table(
    rows: Mapping[Unit, Row], simulators: Mapping[str, Sequence[str]], numbers: Sequence[int], reference: str
) -> dict[str, Any]:
    """Means and differences against the reference, each with its interval, by simulator and column."""

    def column(name: str, key: str) -> NDArray[np.float64]:
        """Of each scene, the mean over training seeds; NaN where there is none."""
        values = [[rows[Unit(n, one)].get(key, np.nan) for n in numbers] for one in simulators[name]]
        return np.asarray(values, np.float64).mean(0)

    def entry(name: str, key: str) -> dict[str, Any]:
        own, other = column(name, key), column(reference, key)
        known, both = np.isfinite(own), np.isfinite(own) & np.isfinite(other)
        seeds = [[rows[Unit(n, one)].get(key, np.nan) for n in numbers if known[n]] for one in simulators[name]]
        return {
            "mean": _plain(ratio_interval(np.where(known, own, 0), known)),
            "difference": _plain(paired_difference((np.where(both, own, 0), both), (np.where(both, other, 0), both))),
            "seeds": [float(np.mean(values)) if values else None for values in seeds],
        }

    return {name: {key: entry(name, key) for key in COLUMNS} for name in simulators}


def _plain(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.value, interval.low, interval.high]


def print_table(found: Mapping[str, Any], reference: str) -> None:
    """One line per simulator, its difference in RMM and collisions last."""
    print(
        f"{'':22}"
        + "".join(f"{title:>13}" for title in COLUMNS.values())
        + f"   RMM and collisions against {reference}"
    )
    for name, columns in found.items():
        means = [columns[key]["mean"] for key in COLUMNS]
        values = "".join(f"{'-':>13}" if mean is None else f"{mean[0]:13.4f}" for mean in means)
        differences = [columns[key]["difference"] for key in ("metametric", "collision")]
        against = "  ".join(f"{value:+.4f} [{low:+.4f}, {high:+.4f}]" for value, low, high in differences)
        print(f"{name:22}{values}   {against if name != reference else ''}")


def compare(args: Args) -> dict[str, Any]:
    """Score what has not been scored yet, print the tables and write them; return the first of them (`table`).

    Raises:
        ConfigError: a simulator cannot be used.
    """
    simulators = parse(args.simulators)
    paths = {path for ones in simulators.values() for path in ones if path not in WITHOUT_NETWORK}
    digests = {path: load_actor(path, args.sampling)[1].sha256 for path in paths}
    reference = args.reference or next(iter(simulators))
    if reference not in simulators:
        raise ConfigError(f"the reference {reference!r} is none of the simulators: {', '.join(simulators)}")
    numbers = range(len(scenes_to_score(args.scenes, args.num_scenes)))
    kept = Kept(args, digests)
    units = [Unit(n, one) for paths in simulators.values() for one in paths for n in numbers]
    missing = [unit for unit in dict.fromkeys(units) if unit not in kept.rows]
    work: Callable[[Unit], tuple[Unit, Row]] = partial(score, args)
    for unit, row in as_done(work, missing, args.workers):
        kept.add(unit, row)
    found = table(kept.rows, simulators, numbers, reference)
    held_out, what = held_out_scenes(args.scenes, args.num_scenes)
    print(f"{what}, {args.rollouts} rollouts of each")
    if len(numbers) < len(held_out):
        print(f"{len(held_out) - len(numbers)} of them have no one to evaluate, or no 8 s of future, and were left out")
    print_table(found, reference)
    write_atomically(args.out / "table.json", json.dumps(found, indent=1))
    habits = habit_table(
        {name: [[kept.rows[Unit(n, one)] for one in ones] for n in numbers] for name, ones in simulators.items()}
    )
    write_atomically(args.out / "habits.json", json.dumps(habits, indent=1))
    if args.habits:
        print_habits(habits, len(numbers))
    return found


def main() -> None:
    compare(tyro.cli(Args, prog="evaluate_simulators"))


if __name__ == "__main__":
    try:
        main()
    except TrafficgymError as error:
        raise SystemExit(f"error: {error}") from None
