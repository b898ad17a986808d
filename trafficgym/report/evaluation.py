"""Drive every scene with every policy in closed loop, over processes, and summarise.

Nothing depends on the order in which scenes are done or on the number of processes: the seed of a rollout
is made from the seed of the evaluation, the id of the scene and the number of the rollout. All policies
get the same seeds.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from trafficgym.errors import ConfigError, SceneError, StoreError, TrafficgymError
from trafficgym.metrics.bootstrap import Bootstrap
from trafficgym.metrics.summary import Row, SceneMeasures, differences, measure, summarise_measures
from trafficgym.report.recording import Recording, recording
from trafficgym.report.scene_pool import SceneRead, as_done, num_processes, read_scenes
from trafficgym.report.source import SceneSource, unreadable
from trafficgym.scene.scene import Scene
from trafficgym.world.controllers import check_selector
from trafficgym.world.roll_out import POLICIES, check_policy, roll_out_batch
from trafficgym.world.rollout import Rollout
from trafficgym.world.rollout_file import RolloutWriter


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What is evaluated; together with the source it decides every number."""

    policies: tuple[str, ...] = POLICIES
    rollouts: int = 1
    """Rollouts of each scene by each policy, with seeds of their own."""
    seed: int = 0
    control: str = "road_user"
    """Which tracks the policies drive, a selector of `trafficgym.world.controllers`; the others follow their logs."""
    bootstrap: Bootstrap = field(default_factory=Bootstrap)

    def __post_init__(self) -> None:
        if not self.policies or len(set(self.policies)) != len(self.policies):
            raise ConfigError(f"policies are {self.policies}; give at least one, and each once")
        for policy in self.policies:
            check_policy(policy)
        if self.rollouts < 1:
            raise ConfigError(f"rollouts is {self.rollouts}; it must be at least 1")
        check_selector(self.control)

    @property
    def reference(self) -> str:
        """The policy that the others are compared with: the log where it is evaluated, else the first."""
        return "log" if "log" in self.policies else self.policies[0]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One scene: its measures by each policy, or why there are none."""

    index: int  # in the source; behind the last scene for what could not be read at all
    scene_id: str
    measures: tuple[SceneMeasures, ...] = ()
    problem: str = ""  # empty where the scene was evaluated


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All scenes in the order of the source, and the summary."""

    source: SceneSource
    scenes: Sequence[Scene]
    config: EvaluationConfig
    outcomes: tuple[Outcome, ...]
    rows: list[Row]
    differences: list[Row]
    wall_time_s: float
    workers: int

    @property
    def measures(self) -> list[SceneMeasures]:
        """Of every scene that was evaluated, by every policy."""
        return [one for outcome in self.outcomes for one in outcome.measures]

    @property
    def skipped(self) -> list[Outcome]:
        """The scenes that could not be evaluated."""
        return [outcome for outcome in self.outcomes if outcome.problem]


def evaluate(
    source: SceneSource,
    config: EvaluationConfig,
    *,
    workers: int | None = 1,
    save_rollouts: Path | None = None,
    on_scene: Callable[[int, int], None] = lambda done, num: None,
) -> Evaluation:
    """Evaluate; a scene that cannot be evaluated is kept with its reason, and the others go on.

    Args:
        workers: Number of processes, None for one per core but no more than the scenes are worth; the results are
            the same for any number.
        save_rollouts: Where to write all rollouts (`trafficgym.world.rollout_file`), scene after scene in the order
            of the source.
        on_scene: Called with the number of scenes done and of all.

    Raises:
        TrafficgymError: the source cannot be opened, no scene at all could be evaluated, or a process died.
    """
    start = time.perf_counter()
    scenes, num = source.open()
    workers = num_processes(workers, num)
    on_scene(0, num)
    outcomes: list[Outcome] = []
    with recording(save_rollouts) as record:
        work = partial(evaluate_scene, config=config, record=record)
        for outcome in as_done(work, read_scenes(scenes, range(num)), workers):
            outcomes.append(outcome)
            on_scene(len(outcomes), num)
        outcomes.sort(key=lambda outcome: outcome.index)
        if record is not None:
            record.join(outcome.index for outcome in outcomes if outcome.measures)
    outcomes += [Outcome(index=num, scene_id=where, problem=reason) for where, reason in unreadable(scenes)]
    measures = [one for outcome in outcomes for one in outcome.measures]
    if not measures:
        raise SceneError(
            f"{source.name}: none of {num} scenes can be evaluated; {outcomes[0].scene_id}: {outcomes[0].problem}"
        )
    return Evaluation(
        source=source,
        scenes=scenes,
        config=config,
        outcomes=tuple(outcomes),
        rows=summarise_measures(measures, config.bootstrap),
        differences=differences(measures, config.reference, config.bootstrap),
        wall_time_s=time.perf_counter() - start,
        workers=workers,
    )


def roll_outs(scene: Scene, policy: str, config: EvaluationConfig) -> list[Rollout]:
    """The rollouts of one scene by one policy, always the same for the same config."""
    seeds = [rollout_seed(config.seed, scene.id, number) for number in range(config.rollouts)]
    return roll_out_batch(scene, policy, seeds, control=config.control)


def rollout_seed(seed: int, scene_id: str, number: int) -> int:
    """The seed of one rollout, from nothing but its arguments."""
    return int(np.random.SeedSequence([seed, zlib.crc32(scene_id.encode()), number]).generate_state(1)[0])


def evaluate_scene(read: SceneRead, config: EvaluationConfig, record: Recording | None = None) -> Outcome:
    """Evaluate one scene; whatever goes wrong with it becomes the outcome's `problem`.

    Raises:
        StoreError: its rollouts cannot be recorded.
    """
    index, scene = read.index, read.scene
    if scene is None:
        return Outcome(index=index, scene_id=read.scene_id, problem=read.problem)
    problem = cannot_evaluate(scene)
    if problem:
        return Outcome(index=index, scene_id=scene.id, problem=problem)
    try:
        measures = _drive(scene, config) if record is None else _drive_and_record(scene, config, record.part(index))
    except StoreError:  # of the recording: the other scenes would not get further
        raise
    except TrafficgymError as error:
        return Outcome(index=index, scene_id=scene.id, problem=str(error))
    except Exception as error:  # a fault of ours in one scene should not cost the others
        return Outcome(index=index, scene_id=scene.id, problem=f"{type(error).__name__}: {error}")
    if not any(one.num_agents for one in measures):
        return Outcome(index=index, scene_id=scene.id, problem=f"nobody to drive: {config.control!r} selects no agent")
    return Outcome(index=index, scene_id=scene.id, measures=measures)


def _drive(scene: Scene, config: EvaluationConfig) -> tuple[SceneMeasures, ...]:
    return tuple(measure(roll_outs(scene, policy, config)) for policy in config.policies)


def _drive_and_record(scene: Scene, config: EvaluationConfig, part: RolloutWriter) -> tuple[SceneMeasures, ...]:
    measures = []
    with part:
        for policy in config.policies:
            rollouts = roll_outs(scene, policy, config)
            part.add(rollouts)
            measures.append(measure(rollouts))
    return tuple(measures)


def cannot_evaluate(scene: Scene) -> str:
    """Why a scene cannot be evaluated in closed loop; empty where it can."""
    now = scene.current_step
    if now + 1 >= scene.num_steps:
        return (
            f"no future: {scene.num_steps} steps, and step {now} is now, so that there is no log to compare with; "
            "take scenes of the training or validation split"
        )
    if not scene.tracks.valid[:, now].any():
        return f"no agent is on the road at step {now}, which is now"
    if not scene.road.num_features:
        return "no map, so that nobody knows what is off-road"
    return ""
