"""Poses seen from others, and put where others are."""

from __future__ import annotations

from typing import Any

import torch

from trafficgym_agents.policies.smart.geometry import wrapped
from trafficgym_agents.policies.trajectory.plans import DT

Tensor = Any


def seen_from(pose: Tensor, poses: Tensor) -> Tensor:
    """Poses ``[n, K, 3]`` (m, m, rad) in the frames of others ``[n, 3]``; the first yaw is in [-pi, pi)."""
    cos, sin = pose[:, None, 2].cos(), pose[:, None, 2].sin()
    x, y, yaw = (poses - pose[:, None]).unbind(-1)
    turn = yaw[:, :1]
    return torch.stack([cos * x + sin * y, cos * y - sin * x, yaw - turn + wrapped(turn)], -1)


def placed(pose: Tensor, poses: Tensor) -> Tensor:
    """The inverse: poses ``[n, K, 3]`` in the frames of others ``[n, 3]``, put there; yaw in [-pi, pi)."""
    cos, sin = pose[:, None, 2].cos(), pose[:, None, 2].sin()
    x, y, yaw = poses.unbind(-1)
    moved = torch.stack([cos * x - sin * y, sin * x + cos * y], -1) + pose[:, None, :2]
    return torch.cat([moved, wrapped(yaw + pose[:, None, 2])[..., None]], -1)


def own_velocity(before: Tensor, pose: Tensor) -> Tensor:
    """Velocity of who was at `before` 0.1 s ago: ahead, to the left [m/s], yaw rate [rad/s].

    It is seen with the heading between the two, as in plans.

    Args:
        before: ``[..., 3]`` m, m, rad.
        pose: Now, ``[..., 3]``.
    """
    x, y, turn = ((pose - before) / DT).unbind(-1)
    yaw = pose[..., 2] - 0.5 * DT * turn
    cos, sin = yaw.cos(), yaw.sin()
    return torch.stack([cos * x + sin * y, cos * y - sin * x, turn], -1)
