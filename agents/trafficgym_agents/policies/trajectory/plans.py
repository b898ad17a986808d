"""Plans: accelerations and yaw rates, the trajectories that they lead to, and the way back.

A plan holds, for each of S half seconds, the acceleration ahead and to the left, both along the axes of the frame that
the agent has now, and the yaw rate, float32 ``[..., S, 3]`` m/s^2, m/s^2, rad/s. Its trajectory, ``[..., H, 3]`` m, m,
rad in that frame, are the poses after 0.1 s, 0.2 s ... With each step of 0.1 s the acceleration changes the velocity,
and the new velocity the position:

    v[k] = v[k-1] + 0.1 a[k],    p[k] = p[k-1] + 0.1 v[k],    yaw[k] = yaw[k-1] + 0.1 w[k]

so that a velocity is always the difference of two neighbouring positions, in logs as in rollouts. A trajectory is
linear in its plan, and what happens early does not depend on what is planned for later.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trafficgym_agents.policies.smart.config import STEPS_PER_TOKEN

Tensor = Any

DT = 0.1
VELOCITY_TIME = 0.2
"""s: `PlanSpace.fit` takes a velocity that is wrong by v for as bad as a position that is wrong by this time v. Without
it, plans of half a second answer each other's errors with larger ones."""


class PlanSpace(nn.Module):
    """Plans of a horizon.

    Args:
        horizon: H: steps of 0.1 s, a multiple of 5.
    """

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon, self.segments = horizon, horizon // STEPS_PER_TOKEN
        position, turn = bases(horizon)
        for name, basis in (("position", position), ("turn", turn)):
            self.register_buffer(name, _tensor(basis), persistent=False)
            for s in range(1, self.segments + 1):
                part = basis[: s * STEPS_PER_TOKEN, :s]
                self.register_buffer(f"{name}_fit_{s}", _tensor(_inverse(part)), persistent=False)
        self.register_buffer("time", _tensor(DT * np.arange(1, horizon + 1)), persistent=False)

    def trajectory(self, plan: Tensor, velocity: Tensor) -> Tensor:
        """Where plans ``[..., S, 3]`` lead, ``[..., H, 3]``.

        Args:
            plan: See the module.
            velocity: Now, ahead and to the left [m/s], and the yaw rate, which is not used, ``[..., 3]``.
        """
        xy = self.position @ plan[..., :2] + self.time[:, None] * velocity[..., None, :2]
        return torch.cat([xy, self.turn @ plan[..., 2:]], -1)

    def fit(self, trajectory: Tensor, velocity: Tensor, known: Tensor) -> Tensor:
        """The plans that come nearest to trajectories, by least squares of positions, velocities, yaws and yaw rates.

        Args:
            trajectory: ``[n, H, 3]``.
            velocity: ``[n, 3]``.
            known: Half seconds that the trajectory is known for, int64 ``[n]``.

        Returns:
            ``[n, S, 3]``; 0 beyond what is known.
        """
        away = torch.cat([self.time[:, None] * velocity[:, None, :2], torch.zeros_like(trajectory[..., 2:])], -1)
        away, plan = trajectory - away, trajectory.new_zeros((len(trajectory), self.segments, 3))
        for s in range(1, self.segments + 1):
            rows = torch.nonzero(known == s).flatten()
            part = away[rows, : s * STEPS_PER_TOKEN]
            plan[rows, :s, :2] = getattr(self, f"position_fit_{s}") @ part[..., :2]
            plan[rows, :s, 2:] = getattr(self, f"turn_fit_{s}") @ part[..., 2:]
        return plan


def bases(horizon: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Position per acceleration [s^2], and yaw per yaw rate [s], of each half second, ``[H, S]``."""
    is_when = np.kron(np.eye(horizon // STEPS_PER_TOKEN), np.ones((STEPS_PER_TOKEN, 1)))
    summed = DT * np.tril(np.ones((horizon, horizon)))
    return np.asarray(summed @ summed @ is_when), np.asarray(summed @ is_when)


def _inverse(basis: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = len(basis)
    rate = (np.eye(steps) - np.eye(steps, k=-1)) / DT
    seen = np.concatenate([np.eye(steps), VELOCITY_TIME * rate])
    return np.linalg.pinv(seen @ basis) @ seen


def _tensor(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
