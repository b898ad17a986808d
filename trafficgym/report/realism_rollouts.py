"""Rollouts that somebody recorded: a file of rollouts, a folder of them, or a submission to the challenge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, TrafficgymError
from trafficgym.metrics.wosac import Realism, fill_gaps
from trafficgym.metrics.wosac.submission import shards
from trafficgym.metrics.wosac.submission.messages import ScenarioRollouts
from trafficgym.metrics.wosac.submission.scenario_check import scenario_problems
from trafficgym.report.scene_pool import SceneRead, read_scenes
from trafficgym.scene.scene import Scene
from trafficgym.scene.store import SceneStore
from trafficgym.world.recorded_rollouts import RecordedRollouts
from trafficgym.world.rollout_file import RolloutFile

NAMED = 5
"""Ids to name in a message before it only counts."""

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


def trajectories(given: Given, realism: Realism, num: int) -> tuple[NDArray, NDArray, Literal["scene", "source"]]:
    """The first `num` rollouts as `Realism.score` takes them: ``[R, N, T, 4]``, ids ``[N]``, frame.

    Raises:
        TrafficgymError: they are too few or too short, or are not rollouts of all objects that must be simulated.
    """
    return _of_scenario(given, realism, num) if isinstance(given, ScenarioRollouts) else _recorded(given, realism, num)


def _of_scenario(
    given: ScenarioRollouts, realism: Realism, num: int
) -> tuple[NDArray, NDArray, Literal["scene", "source"]]:
    wrong = [text for reason, text in scenario_problems(given, np.sort(realism.ids)) if reason != "num_rollouts"]
    if wrong:
        raise RolloutsError("; ".join(wrong))
    _check_number(len(given.joint_scenes), num)
    ids, motion = given.trajectories()
    _check_steps(motion.shape[2], realism)
    return motion[:num], ids, "source"


def _recorded(
    given: RecordedRollouts, realism: Realism, num: int
) -> tuple[NDArray, NDArray, Literal["scene", "source"]]:
    _check_number(given.num_rollouts, num)
    first, scene = realism.config.first_step - 1, realism.scene
    if given.start_step != first:
        raise RolloutsError(
            f"rollouts by {given.policy!r} begin at step {given.start_step}, and {realism.config.name!r} needs the "
            f"states from step {first} on"
        )
    _check_steps(given.num_steps - 1, realism)
    rows = _rows(given, realism)
    steps = slice(0, realism.config.num_steps + 1)
    present = given.present[:num, rows, steps]
    _check_objects(~present[..., 0].all(0), realism, f"are not there when rollouts by {given.policy!r} begin")
    _check_objects(
        ~given.is_simulated[:num, rows].all(0),
        realism,
        f"follow their logs in rollouts by {given.policy!r}, and WOSAC wants all simulated; record them again with "
        "--control all",
    )
    motion = fill_gaps(given.motion[:num, rows, steps], present)[:, :, 1:]
    motion[..., :3] += given.origin - scene.origin
    return motion, realism.ids, "scene"


def _rows(given: RecordedRollouts, realism: Realism) -> list[int]:
    row_of = {int(id): row for row, id in enumerate(given.object_id)}
    absent = np.array([int(id) not in row_of for id in realism.ids])
    _check_objects(absent, realism, f"are missing in rollouts by {given.policy!r}")
    return [row_of[int(id)] for id in realism.ids]


def _check_objects(wrong: NDArray[np.bool_], realism: Realism, words: str) -> None:
    if wrong.any():
        raise RolloutsError(f"{wrong.sum()} of {len(wrong)} objects {words}: {some(realism.ids[wrong])}")


def _check_number(there: int, asked: int) -> None:
    if there < asked:
        raise RolloutsError(
            f"has {there} rollouts where {asked} are asked for; to score fewer say --rollouts-per-scene {there}"
        )


def _check_steps(there: int, realism: Realism) -> None:
    if there < realism.config.num_steps:
        raise RolloutsError(
            f"has {there} simulated steps, and {realism.config.name!r} needs {realism.config.num_steps}"
        )


def some(ids: Sequence[object] | NDArray) -> str:
    """The first few ids, and how many more there are."""
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(str(id) for id in ids[:NAMED]) + more


def _begins_like_arrow(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(6) == b"ARROW1"
