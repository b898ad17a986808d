"""One recorded closed-loop run of one scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trafficgym.scene.scene import Scene

Float = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rollout:
    """What happened to every track of `scene`, ``[A, T]``: A tracks in the scene's order, T simulated states.

    Column 0 is the state at `start_step` of the scene; column k is the state k steps (0.1 s each) later.
    """

    scene: Scene
    policy: str  # name, for tables
    seed: int
    start_step: int
    controller: NDArray[np.int8]  # (A,) Driver
    is_simulated: NDArray[np.bool_]  # (A,) driven by the policy under test (which may be the log itself)
    x: Float  # (A, T) m, box centre, scene frame
    y: Float
    z: Float
    yaw: Float  # rad in [-pi, pi)
    vx: Float  # m/s, scene frame
    vy: Float
    length: Float  # (A,) m, as simulated
    width: Float  # (A,)
    height: Float  # (A,)
    present: NDArray[np.bool_]  # (A, T)
    state: NDArray[np.uint8]  # (A, T) Event bits that hold at the step
    onset: NDArray[np.uint8]  # (A, T) Event bits that began at the step
    collision_with: NDArray[np.int32]  # (A, T) track index, -1 for none
    at_fault: NDArray[np.bool_]  # (A, T) of a collision that holds at the step

    @property
    def num_agents(self) -> int:
        return self.present.shape[0]

    @property
    def num_steps(self) -> int:
        return self.present.shape[1]

    def log(self, name: str) -> NDArray:
        """The logged values of one track field over the same steps, ``[A, T']`` with ``T' <= T`` where the log ends."""
        return getattr(self.scene.tracks, name)[:, self.start_step : self.start_step + self.num_steps]
