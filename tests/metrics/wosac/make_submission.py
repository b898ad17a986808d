"""Submissions to break: taken apart into messages, changed, and put together by protobuf itself."""

from __future__ import annotations

import copy
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np

from trafficgym.metrics.wosac import sim_agents_pb2 as pb
from trafficgym.scene.scene import Scene
from trafficgym.world.rollout_file import RecordedRollouts, RolloutWriter

FIELDS = ("center_x", "center_y", "center_z", "heading")
METADATA = {
    "submission_type": 1,
    "account_name": "somebody@example.org",
    "unique_method_name": "made",
    "authors": ["A. Author", "B. Author"],
    "affiliation": "nowhere",
    "description": "made up",
    "method_link": "https://example.org",
    "uses_lidar_data": False,
    "uses_camera_data": False,
    "uses_public_model_pretraining": False,
    "num_model_parameters": "7M",
    "acknowledge_complies_with_closed_loop_requirement": True,
}


@dataclass
class DraftScenario:
    """One scenario: its id, and trajectories by rollout."""

    id: str
    rollouts: list[list[pb.SimulatedTrajectory]]


@dataclass
class Draft:
    """One shard that can be changed at will."""

    scenarios: list[DraftScenario]
    metadata: pb.SimAgentsChallengeSubmission = field(
        default_factory=lambda: pb.SimAgentsChallengeSubmission(**METADATA)
    )

    @classmethod
    def parse(cls, message: bytes) -> Draft:
        metadata = pb.SimAgentsChallengeSubmission.FromString(message)
        scenarios = []
        for one in metadata.scenario_rollouts:
            found = pb.ScenarioRollouts.FromString(one)
            rollouts = [
                [pb.SimulatedTrajectory.FromString(trajectory) for trajectory in joint.simulated_trajectories]
                for joint in found.joint_scenes
            ]
            scenarios.append(DraftScenario(found.scenario_id, rollouts))
        metadata.ClearField("scenario_rollouts")
        return cls(scenarios, metadata)

    def to_bytes(self) -> bytes:
        message = copy.deepcopy(self.metadata)
        for scenario in self.scenarios:
            found = pb.ScenarioRollouts(scenario_id=scenario.id) if scenario.id else pb.ScenarioRollouts()
            for rollout in scenario.rollouts:
                joint = found.joint_scenes.add()
                joint.simulated_trajectories.extend(one.SerializeToString() for one in rollout)
            message.scenario_rollouts.append(found.SerializeToString())
        return message.SerializeToString()


def draft_scenario(scene: Scene, seed: int = 0) -> DraftScenario:
    """32 rollouts of the objects that are valid at step 10, at random places."""
    ids = scene.tracks.id[scene.tracks.valid[:, 10]].tolist()
    values = np.random.default_rng(seed).normal(0, 1000, (32, len(ids), 4, 80))
    return DraftScenario(
        scene.id,
        [
            [
                pb.SimulatedTrajectory(object_id=id, **dict(zip(FIELDS, row, strict=True)))
                for id, row in zip(ids, rollout, strict=True)
            ]
            for rollout in values
        ],
    )


def write_archive(path: Path, shards: dict[str, bytes], mode: str = "w:gz") -> Path:
    """A tar archive with these members."""
    with tarfile.open(path, mode) as tar:
        for name, content in shards.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    return path


def record(scene: Scene, num_rollouts: int = 32, *, policy: str = "made", start_step: int = 11) -> RecordedRollouts:
    """Random states of every track of a scene from `start_step` to step 90."""
    shape = (num_rollouts, scene.num_agents, 91 - start_step)
    motion = np.random.default_rng(1).normal(0, 100, (*shape, 6)).astype(np.float32)
    return RecordedRollouts(
        scene_id=scene.id,
        policy=policy,
        rollout=np.arange(num_rollouts, dtype=np.int32),
        seed=np.zeros(num_rollouts, np.int64),
        start_step=start_step,
        origin=scene.origin,
        object_id=scene.tracks.id,
        is_simulated=np.ones(shape[:2], bool),
        motion=motion,
        present=np.ones(shape, bool),
    )


def write_rollouts(path: Path, rollouts: Sequence[RecordedRollouts]) -> Path:
    """A file of these rollouts."""
    with RolloutWriter(path) as writer:
        for one in rollouts:
            writer.add(one)
    return path
