"""How far trajectories lead from the log."""

from __future__ import annotations

from typing import Any

import torch

from trafficgym.errors import ConfigError
from trafficgym_agents.policies.smart.targets import boxes_at

Tensor = Any


def distances(
    type: Tensor, trajectories: Tensor, log: Tensor, there: Tensor, weights: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """RoaD's generalised distance, ``d^g = sum_k w_k d_k`` (METHODS.md C, paper eq. 6).

    ``d_k`` is the mean distance of the four corners of the nominal box, k steps of 0.1 s from now. Where the log ends
    before the last step that has a weight, the weights of the others are scaled up to the same sum.

    Args:
        type: Class of each agent, ``[N]``.
        trajectories: K of each agent, in its frame, ``[N, K, H, 3]`` m, m, rad.
        log: In the same frame, ``[N, H, 3]``.
        there: How many steps of the log are there, int64 ``[N]``.
        weights: ``w_1, w_2 ...``, H or fewer.

    Returns:
        Distances [m], ``[N, K]``, and whether the log is there at any step that has a weight, bool ``[N]``.

    Raises:
        ConfigError: there are more weights than steps.
    """
    num, k, horizon, _ = trajectories.shape
    if len(weights) > horizon:
        raise ConfigError(
            f"distance_weights are for {len(weights)} steps of 0.1 s, and the policy plans {horizon}; give no more"
        )
    trajectories, log = trajectories[:, :, : len(weights)], log[:, : len(weights)]
    corners = boxes_at(type, trajectories.reshape(num, -1, 3)).view(num, k, len(weights), 4, 2)
    away = (corners - boxes_at(type, log)[:, None]).norm(dim=-1).mean(-1)  # (N, K, steps)
    full = away.new_tensor(weights)
    weight = full * (torch.arange(len(weights), device=there.device) < there[:, None])
    total = weight.sum(-1)
    scaled = weight * (full.sum() / total.clamp(min=1e-9))[:, None]
    return (away * scaled[:, None]).sum(-1), total > 0
