"""Rollouts of one scene by one policy as arrays, which is how they are kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import StoreError
from trafficgym.world.rollout import Rollout

STATES = ("x", "y", "z", "yaw", "vx", "vy")


class RolloutFileError(StoreError):
    """A file of rollouts is missing, damaged, of another version, or does not hold what is asked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedRollouts:
    """R rollouts of one scene by one policy: A objects, T states 0.1 s apart, the first at `start_step` of the scene.

    Raises:
        RolloutFileError: shapes do not fit together, or object ids or rollout numbers repeat.
    """

    scene_id: str
    policy: str
    rollout: NDArray[np.int32]  # (R,) numbers, unique
    seed: NDArray[np.int64]  # (R,)
    start_step: int  # scene step of the first column
    origin: NDArray[np.float64]  # (3,) m, add it to get the source's coordinates
    object_id: NDArray[np.int64]  # (A,) track ids of the scene
    is_simulated: NDArray[np.bool_]  # (R, A) driven by the policy and not by a log
    motion: NDArray[np.float32]  # (R, A, T, 6) x, y, z m; yaw rad; vx, vy m/s; scene frame, box centres
    present: NDArray[np.bool_]  # (R, A, T)

    def __post_init__(self) -> None:
        num, agents, steps = self.present.shape
        shapes = {
            "motion": (num, agents, steps, len(STATES)),
            "rollout": (num,),
            "seed": (num,),
            "origin": (3,),
            "object_id": (agents,),
            "is_simulated": (num, agents),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise RolloutFileError(
                    f"rollouts of scene {self.scene_id!r}: {name} is {list(getattr(self, name).shape)} where "
                    f"present asks for {list(shape)}"
                )
        if not num:
            raise RolloutFileError(f"there are no rollouts of scene {self.scene_id!r} to record")
        for name in ("object_id", "rollout"):
            if len(np.unique(getattr(self, name))) != len(getattr(self, name)):
                raise RolloutFileError(f"rollouts of scene {self.scene_id!r}: {name} holds a number twice")

    @property
    def num_rollouts(self) -> int:
        return self.present.shape[0]

    @property
    def num_steps(self) -> int:
        """States, the first one included."""
        return self.present.shape[2]

    @classmethod
    def of(cls, rollouts: Sequence[Rollout], *, first_number: int = 0) -> RecordedRollouts:
        """Take rollouts of one scene by one policy as they come from `roll_out`, numbered in their order.

        Raises:
            RolloutFileError: there are none, or they are of different scenes, policies or steps.
        """
        if not rollouts:
            raise RolloutFileError("there are no rollouts to record")
        first = rollouts[0]
        for one in rollouts:
            if (one.scene.id, one.policy, one.start_step, one.num_steps) != (
                first.scene.id,
                first.policy,
                first.start_step,
                first.num_steps,
            ):
                raise RolloutFileError(
                    f"rollouts of scene {first.scene.id!r} by {first.policy!r} and of scene {one.scene.id!r} by "
                    f"{one.policy!r}, or of other steps, cannot be recorded as one; record them one after the other"
                )
        return cls(
            scene_id=first.scene.id,
            policy=first.policy,
            rollout=np.arange(first_number, first_number + len(rollouts), dtype=np.int32),
            seed=np.array([one.seed for one in rollouts], np.int64),
            start_step=first.start_step,
            origin=first.scene.origin,
            object_id=first.scene.tracks.id,
            is_simulated=np.stack([one.is_simulated for one in rollouts]),
            motion=np.stack([np.stack([getattr(one, name) for name in STATES], -1) for one in rollouts]),
            present=np.stack([one.present for one in rollouts]),
        )
