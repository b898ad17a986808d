"""Plans: accelerations and yaw rates, the trajectories that they lead to, and the way back.

A plan holds, for each of S half seconds, the acceleration ahead and to the left, in the frame of the agent as it turns,
and the yaw rate, float32 ``[..., S, 3]`` m/s^2, m/s^2, rad/s. Its trajectory, ``[..., H, 3]`` m, m, rad in the frame
that the agent has now, are the poses after 0.1 s, 0.2 s ...: with ``R`` a rotation and v the velocity in the frame of
the agent,

    yaw[k] = yaw[k-1] + 0.1 w[k],    v[k] = v[k-1] + 0.1 a[k],    p[k] = p[k-1] + 0.1 R((yaw[k-1] + yaw[k]) / 2) v[k]

so that a yaw rate alone leads round a circle at constant speed, and a velocity is always the difference of two
neighbouring positions, in logs as in rollouts. What happens early does not depend on what is planned for later.
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
        # Yaw per yaw rate, and velocity per acceleration: seconds of each half second that are over, [H, S].
        over = DT * np.tril(np.ones((horizon, horizon))) @ np.kron(np.eye(self.segments), np.ones((STEPS_PER_TOKEN, 1)))
        self.register_buffer("over", _tensor(over), persistent=False)
        for s in range(1, self.segments + 1):
            turn_fit = _inverse(over[: s * STEPS_PER_TOKEN, :s])
            self.register_buffer(f"turn_fit_{s}", _tensor(turn_fit), persistent=False)

    def trajectory(self, plan: Tensor, velocity: Tensor) -> Tensor:
        """Where plans ``[..., S, 3]`` lead, ``[..., H, 3]``.

        Args:
            plan: See the module.
            velocity: Now, ahead and to the left [m/s], and the yaw rate, which is not used, ``[..., 3]``.
        """
        yaw = self.over @ plan[..., 2:]
        ahead, left = (velocity[..., None, :2] + self.over @ plan[..., :2]).unbind(-1)
        cos, sin = _halfway(yaw[..., 0])
        moved = torch.stack([cos * ahead - sin * left, sin * ahead + cos * left], -1)
        return torch.cat([DT * moved.cumsum(-2), yaw], -1)

    def fit(self, trajectory: Tensor, velocity: Tensor, known: Tensor) -> Tensor:
        """The plans that come nearest to trajectories, by least squares of yaws, then of positions and velocities.

        Args:
            trajectory: ``[n, H, 3]``.
            velocity: ``[n, 3]``.
            known: Half seconds that the trajectory is known for, int64 ``[n]``.

        Returns:
            ``[n, S, 3]``; 0 beyond what is known.
        """
        plan = trajectory.new_zeros((len(trajectory), self.segments, 3))
        for s in range(1, self.segments + 1):
            rows, steps = torch.nonzero(known == s).flatten(), s * STEPS_PER_TOKEN
            if not len(rows):
                continue
            rate = getattr(self, f"turn_fit_{s}") @ trajectory[rows, :steps, 2:]
            plan[rows, :s, 2:] = rate
            yaw = (self.over[:steps, :s] @ rate)[..., 0]
            plan[rows, :s, :2] = _accelerations(
                trajectory[rows, :steps, :2], yaw, velocity[rows, :2], self.over[:steps, :s]
            )
        return plan


def _accelerations(xy: Tensor, yaw: Tensor, velocity: Tensor, over: Tensor) -> Tensor:
    """Accelerations ``[n, s, 2]`` that lead through positions ``[n, k, 2]``, by least squares; yaws are ``[n, k]``."""
    cos, sin = _halfway(yaw)
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)  # (n, k, 2, 2)
    # Velocity of each step per acceleration, [n, k, 2, s, 2], and by the velocity now, [n, k, 2].
    per = turn[:, :, :, None] * over[:, None, :, None]
    alone = (turn @ velocity[:, None, :, None])[..., 0]
    missing = torch.diff(xy, dim=1, prepend=torch.zeros_like(xy[:, :1])) / DT - alone
    seen = torch.cat([DT * per.cumsum(1), VELOCITY_TIME * per], 1).flatten(3).flatten(1, 2)  # (n, 4 k, 2 s)
    wanted = torch.cat([DT * missing.cumsum(1), VELOCITY_TIME * missing], 1).flatten(1)
    normal, right = seen.mT @ seen, seen.mT @ wanted[..., None]
    return torch.linalg.solve(normal, right)[..., 0].unflatten(1, (-1, 2))


def _halfway(yaw: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the headings between poses with yaws ``[..., H]``, the first of which turns from 0."""
    halfway = yaw - 0.5 * torch.diff(yaw, dim=-1, prepend=torch.zeros_like(yaw[..., :1]))
    return halfway.cos(), halfway.sin()


def _inverse(basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares of values and of `VELOCITY_TIME` times their rates."""
    steps = len(basis)
    rate = (np.eye(steps) - np.eye(steps, k=-1)) / DT
    seen = np.concatenate([np.eye(steps), VELOCITY_TIME * rate])
    return np.asarray(np.linalg.pinv(seen @ basis) @ seen)


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
