"""Rollouts that somebody recorded: a file of rollouts, a folder of them, or a submission to the challenge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, TrafficgymError
from trafficgym.metrics.wosac.submission import ScenarioRollouts, shards, submitted_trajectories
from trafficgym.metrics.wosac.submission.problems import some
from trafficgym.metrics.wosac.submission.scenario_check import scenario_problems
from trafficgym.metrics.wosac.submission.simulated import simulated_ids
from trafficgym.report.scene_pool import SceneRead, read_scenes
from trafficgym.scene.scene import Scene
from trafficgym.scene.store import SceneStore
from trafficgym.world.recorded_rollouts import RecordedRollouts
from trafficgym.world.rollout_file import RolloutFile

Given = RecordedRollouts | ScenarioRollouts


class RolloutsError(TrafficgymError, ValueError):
    """The rollouts of one scene cannot be scored."""


@dataclass(frozen=True, kw_only=True)
class SceneUnit:
    """One scene, and what was recorded of it, by name."""

    read: SceneRead
    rollouts: Mapping[str, Given] = field(default_factory=dict)
    problem: str = ""  # with the rollouts


class RolloutFiles:
    """Files of rollouts; each policy in them gets a column of its own."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = [RolloutFile(path) for path in files]
        self.names = tuple(dict.fromkeys(policy for file in self._files for policy in file.policies))
        if not self.names:
            raise ConfigError(f"{files[0]}: holds no rollouts")

    def units(self, scenes: Sequence[Scene], num: int) -> Iterator[SceneUnit]:
        """The first `num` scenes with their rollouts, read one by one."""
        for read in read_scenes(scenes, range(num)):
            try:
                rollouts = {} if read.problem else {name: self._read(read.scene_id, name) for name in self.names}
            except TrafficgymError as error:
                yield SceneUnit(read=read, problem=str(error))
            else:
                yield SceneUnit(read=read, rollouts=rollouts)

    def unknown(self, scene_ids: frozenset[str]) -> tuple[str, ...]:
        """Ids of recorded scenes that are not among `scene_ids`."""
        ids = dict.fromkeys(id for file in self._files for id in file.scene_ids)
        return tuple(id for id in ids if id not in scene_ids)

    def _read(self, scene_id: str, policy: str) -> RecordedRollouts:
        holding = [file for file in self._files if policy in file.policies and file.num_rollouts(scene_id, policy)]
        if not holding:
            raise RolloutsError(f"no rollouts by {policy!r} were recorded")
        if len(holding) > 1:
            raise RolloutsError(f"rollouts by {policy!r} are both in {holding[0].path} and in {holding[1].path}")
        return holding[0].read(scene_id, policy)


class Submission:
    """A submission to the challenge, which is read once from front to back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names = (path.name.removesuffix(".gz").removesuffix(".tar").partition(".binproto")[0],)
        self._scenario_ids: dict[str, None] = {}  # in order

    def units(self, scenes: Sequence[Scene], num: int) -> Iterator[SceneUnit]:
        """Scenes in the order of the submission, and after them those of the first `num` that it lacks."""
        number_of = scene_numbers(scenes, num)
        lacking = dict.fromkeys(range(num))
        for scenario in shards.read(self._path):
            id = scenario.scenario_id
            if id in self._scenario_ids:
                raise ConfigError(f"{self._path}: scenario {id} is there twice; `trafficgym wosac validate` says where")
            self._scenario_ids[id] = None
            if id in number_of:
                del lacking[number_of[id]]
                (read,) = read_scenes(scenes, [number_of[id]])
                yield SceneUnit(read=read, rollouts={self.names[0]: scenario})
        for read in read_scenes(scenes, lacking):
            yield SceneUnit(read=read, problem="the submission does not hold this scenario")

    def unknown(self, scene_ids: frozenset[str]) -> tuple[str, ...]:
        """Ids of scenarios that are not among `scene_ids`; after `units` have been read."""
        return tuple(id for id in self._scenario_ids if id not in scene_ids)


def open_rollouts(path: Path) -> RolloutFiles | Submission:
    """Open whatever holds rollouts at `path`.

    Raises:
        TrafficgymError: there is nothing, or nothing that holds rollouts.
    """
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file or folder of rollouts")
    if not path.is_dir():
        return RolloutFiles([path]) if _begins_like_arrow(path) else Submission(path)
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    if any(shards.SHARD_NAME.fullmatch(file.name) for file in files):
        return Submission(path)
    recorded = [file for file in files if _begins_like_arrow(file)]
    if not recorded:
        raise ConfigError(
            f"{path}: holds neither files of rollouts (`trafficgym evaluate --save-rollouts` makes them) nor shards of "
            "a submission (*.binproto*)"
        )
    return RolloutFiles(recorded)


def scene_numbers(scenes: Sequence[Scene], num: int) -> dict[str, int]:
    """Number of each of the first `num` scenes, by id; scenes that cannot be read have none."""
    ids = (
        scenes.ids[:num]
        if isinstance(scenes, SceneStore)
        else [read.scene_id for read in read_scenes(scenes, range(num))]
    )
    return {id: number for number, id in enumerate(ids)}


def trajectories(given: Given, scene: Scene, num: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Object ids ``[N]`` and the first `num` rollouts in the source's coordinates, ``[R, N, 80, 4]`` m, rad.

    Raises:
        TrafficgymError: they are too few, or are not rollouts of all objects that must be simulated.
    """
    there = len(given.joint_scenes) if isinstance(given, ScenarioRollouts) else given.num_rollouts
    if there < num:
        raise RolloutsError(
            f"has {there} rollouts where {num} are asked for; to score fewer say --rollouts-per-scene {there}"
        )
    if isinstance(given, ScenarioRollouts):
        wrong = [text for reason, text in scenario_problems(given, simulated_ids(scene)) if reason != "num_rollouts"]
        if wrong:
            raise RolloutsError("; ".join(wrong))
        ids, motion = given.trajectories()
    else:
        ids, motion = submitted_trajectories(given, scene)
        logs = ~np.isin(ids, given.object_id[given.is_simulated.all(0)])
        if logs.any():
            raise RolloutsError(
                f"{logs.sum()} of {len(ids)} objects follow their logs in rollouts by {given.policy!r} "
                f"({some(ids[logs])}), and WOSAC wants all simulated; record them again with --control all"
            )
    return ids, motion[:num]


def _begins_like_arrow(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(6) == b"ARROW1"
